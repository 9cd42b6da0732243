"""Builds a new epoch of the cache from PostGIS, then moves everybody to it. Promise R3.

One REPEATABLE READ snapshot gives the shards' counters and the stations as of just those counters; what is committed
meanwhile comes through the outbox, from those counters on. Only when all keys of the new epoch stand does the pointer flip.
Epochs only ever grow, even past those that a database restored from a backup, or a Redis from an old copy, knows of: a
new one is at least the time of day in seconds. So whoever follows the highest epoch never follows the past.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import asyncpg

from cache.client import Argument, Cache
from cache.codec import pack_record
from cache.keys import CONTROL, ShardKeys
from cache.writer import publish_control, unlink_other_layouts
from geo.party_clocks import PartyClock
from geo.station import SHARDS
from mapsvc import database
from mapsvc.cached_form import cell_name, placed
from mapsvc.settings import Settings
from sql import queries

log = logging.getLogger(__name__)

REBUILD_LOCK = 0x7265_6275  # advisory lock: one rebuild at a time, whoever asks ("rebu")
PAGE = 1000  # stations a fetch: about 1 MB
PAGE_S = 60.0  # for one
TURN_S = 0.5  # how often a second rebuild asks whether the first one is through


async def party_clocks(connection: Any) -> dict[str, PartyClock]:
    rows = await connection.fetch(queries.PARTIES)
    return {row["id"]: PartyClock(row["ttl_s"], row["heartbeat_ms"] or 0) for row in rows}


async def rebuild(
    database_url: str, cache: Cache, seen_epoch: int | None = None, *, reason: str = "asked for", void: bool = False
) -> int:
    """Returns the current epoch. `seen_epoch`: the one found wanting; if it is no longer current, somebody else has
    rebuilt meanwhile and nothing is done. `void`: what readers hold may never have happened (see ShardKeys.head)."""
    connection = await asyncpg.connect(database_url, timeout=database.CONNECT_S, command_timeout=PAGE_S)
    try:
        await _take_turn(connection)
        epoch: int = await connection.fetchval(queries.EPOCH_GET)
        if seen_epoch is not None and seen_epoch != epoch:
            return epoch
        log.warning("rebuilding the cache", extra={"reason": reason, "epoch": epoch})
        began = time.monotonic()
        new: int = max(epoch + 1, await connection.fetchval(queries.CLOCK_MS) // 1000)
        shown, unfinished = await cache.call("HMGET", CONTROL, "epoch", "building")
        if unfinished is not None and int(unfinished) not in (epoch, int(shown or epoch)):
            await _unlink(cache, int(unfinished))  # of a rebuild that died
        await cache.call("HSET", CONTROL, "building", new)
        count = await _write_epoch(connection, cache, new, void)
        await connection.fetchval(queries.EPOCH_SET, new)
        await publish_control(cache, new, await party_clocks(connection))
        log.info(
            "cache rebuilt", extra={"epoch": new, "stations": count, "seconds": round(time.monotonic() - began, 2)}
        )
        for old in {epoch, int(shown or epoch)}:
            await _unlink(cache, old)
        if left := await unlink_other_layouts(cache):
            log.info("keys of another layout dropped", extra={"keys": left})
        return new
    finally:
        connection.terminate()  # and the lock with it, even if the server hangs


async def _take_turn(connection: Any) -> None:
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", REBUILD_LOCK):  # noqa: ASYNC110
        await asyncio.sleep(TURN_S)


async def _write_epoch(connection: Any, cache: Cache, epoch: int, void: bool) -> int:
    """How many stations it holds. If this fails the connection is of no more use."""
    count = 0
    transaction = connection.transaction(isolation="repeatable_read", readonly=True)
    await transaction.start()
    heads = {row["shard"]: row for row in await connection.fetch(queries.SHARD_HEADS)}
    for shard in range(SHARDS):
        keys = ShardKeys(shard, epoch)
        async with aclosing(pages(connection, shard)) as coming:
            async for rows in coming:
                await cache.pipeline(_commands(keys, rows))
                count += len(rows)
        head: list[Argument] = ["n", heads[shard]["n"], "clock_ms", heads[shard]["clock_ms"]]
        await cache.call("HSET", keys.head, *head, "void", int(void))
    await transaction.commit()
    return count


async def pages(connection: Any, shard: int) -> AsyncGenerator[list[Any], None]:
    """A shard's stations, page by page, in a transaction; the next page is on its way while one is worked on."""
    cursor = await connection.cursor(queries.SNAPSHOT_SHARD, shard)
    coming = asyncio.ensure_future(cursor.fetch(PAGE))
    try:
        while rows := await coming:
            coming = asyncio.ensure_future(cursor.fetch(PAGE))
            await asyncio.sleep(0)
            yield rows
    finally:
        coming.cancel()


def _commands(keys: ShardKeys, rows: list[Any]) -> list[tuple[Argument, ...]]:
    """HSETs for a page of stations, cell by cell (the page is in order of cell)."""
    commands: list[tuple[Argument, ...]] = []
    for name, members in itertools.groupby(rows, key=lambda row: cell_name(row["cell"])):
        records: list[Argument] = []
        states: list[Argument] = []
        places: list[Argument] = []
        for item in (placed(row) for row in members):
            if item.record.removed:
                continue  # unpublished: appears nowhere
            num = item.record.num
            records += (num, pack_record(item.record))
            places += (num, name)
            for state in item.states:
                states += (f"{num}.{int(state['slot'])}", state.tobytes())
        if records:
            commands.append(("SADD", keys.cells, name))  # first: what stands in no named cell is never dropped
            commands.append(("HSET", keys.stations(name), *records))
            commands.append(("HSET", keys.places, *places))
        if states:
            commands.append(("HSET", keys.evses(name), *states))
    return commands


async def _unlink(cache: Cache, epoch: int) -> None:
    """Drops an epoch's keys in slices, so that Redis goes on answering. The head goes first: a reader that still finds it
    after its cells has read whole cells."""
    for shard in range(SHARDS):
        keys = ShardKeys(shard, epoch)
        await cache.call("UNLINK", keys.head)
        cells = [cell.decode() for cell in await cache.call("SMEMBERS", keys.cells)]
        names = [name(cell) for cell in cells for name in (keys.stations, keys.evses)]
        names += [keys.log, keys.places, keys.cells]
        for start in range(0, len(names), 500):
            await cache.pipeline([("UNLINK", name) for name in names[start : start + 500]])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Builds the Redis cache anew from PostGIS and moves all readers to it without a stop."
    parser.add_argument(
        "--void",
        action="store_true",
        help="after a restore: what workers hold may never have happened, so they take everything anew",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    async def work() -> int:
        cache = Cache(settings.redis_url or "", timeout_s=60)
        try:
            return await rebuild(settings.database_url or "", cache, void=args.void)
        finally:
            await cache.close()

    print(f"cache rebuilt: epoch {asyncio.run(work())}")
    return 0
