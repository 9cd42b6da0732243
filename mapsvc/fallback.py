"""When Redis cannot give a worker its stations, PostGIS does: the same rows through the same World.put. Promise R3.

Only for a worker that has none yet: it starts while Redis is down or being rebuilt. One that has them goes on with what it
has. Once Redis is there again the replica reads it as after any gap, into the same world, and `n` decides.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing

import asyncpg
import numpy as np

from cache.replica import Replica
from geo.station import SHARDS
from mapsvc import database
from mapsvc.cached_form import placed
from mapsvc.rebuild import PAGE_S, pages, party_clocks
from sql import queries

log = logging.getLogger(__name__)

AFTER_S = 3.0  # Redis has that long to give the next piece
LOOK_S = 0.1
PAUSE_S = 1.0  # after PostgreSQL failed as well


async def stand_in(replica: Replica, database_url: str) -> None:
    """Until the replica is ready, by whatever way."""
    while not replica.ready:
        if replica.starved_s < AFTER_S:
            await asyncio.sleep(LOOK_S)
            continue
        try:
            await load(replica, database_url)
        except (asyncpg.PostgresError, *database.DOWN) as error:
            log.warning("database does not answer either", extra={"error": type(error).__name__})
            await asyncio.sleep(PAUSE_S)


async def load(replica: Replica, database_url: str) -> None:
    """All stations as of one instant."""
    began, world = time.monotonic(), replica.world
    connection = await asyncpg.connect(database_url, timeout=database.CONNECT_S, command_timeout=PAGE_S)
    try:
        await connection.transaction(isolation="repeatable_read", readonly=True).start()
        heads = {row["shard"]: row["n"] for row in await connection.fetch(queries.SHARD_HEADS)}
        epoch: int = await connection.fetchval(queries.EPOCH_GET)
        world.set_parties(await party_clocks(connection), replica.now_ms())
        for shard in range(SHARDS):
            async with aclosing(pages(connection, shard)) as coming:
                async for rows in coming:
                    items = [placed(row) for row in rows]
                    states = np.concatenate([item.states for item in items])
                    world.put([item.record for item in items], states, replica.now_ms())
            replica.adopt(shard, heads[shard], epoch)
    finally:
        connection.terminate()
    log.info(
        "stations loaded from PostGIS",
        extra={"stations": world.station_count, "seconds": round(time.monotonic() - began, 2)},
    )
