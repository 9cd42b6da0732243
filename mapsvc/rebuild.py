"""Builds a new epoch of the cache from PostGIS, then moves everybody to it. Promise R3.

One REPEATABLE READ snapshot gives the shards' counters and the stations as of just those counters; what is committed
meanwhile comes through the outbox, from those counters on. Only when all keys of epoch + 1 stand does the pointer flip.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import time
from typing import Any

import asyncpg

from cache.client import Argument, Cache
from cache.codec import pack_record
from cache.keys import ShardKeys
from cache.writer import publish_control
from geo.station import SHARDS
from geo.world import PartyClock
from mapsvc.cached_form import cell_name, placed
from mapsvc.settings import Settings
from sql import queries

log = logging.getLogger(__name__)

REBUILD_LOCK = 0x7265_6275  # advisory lock: one rebuild at a time, whoever asks ("rebu")
PAGE = 1000  # stations a fetch: about 1 MB


async def party_clocks(connection: Any) -> dict[str, PartyClock]:
    rows = await connection.fetch(queries.PARTIES)
    return {row["id"]: PartyClock(row["ttl_s"], row["heartbeat_ms"] or 0) for row in rows}


async def rebuild(database_url: str, cache: Cache, seen_epoch: int | None = None) -> int:
    """Returns the current epoch. `seen_epoch`: the one found wanting; if it is no longer current, somebody else has
    rebuilt meanwhile and nothing is done."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.fetchval("SELECT pg_advisory_lock($1)", REBUILD_LOCK)
        epoch: int = await connection.fetchval(queries.EPOCH_GET)
        if seen_epoch is not None and seen_epoch != epoch:
            return epoch
        began, new = time.monotonic(), epoch + 1
        await _unlink(cache, new)  # what a rebuild that died left behind
        count = await _write_epoch(connection, cache, new)
        await connection.fetchval(queries.EPOCH_SET, new)
        await publish_control(cache, new, await party_clocks(connection))
        log.info(
            "cache rebuilt", extra={"epoch": new, "stations": count, "seconds": round(time.monotonic() - began, 2)}
        )
        await _unlink(cache, epoch)
        return new
    finally:
        await connection.close()


async def _write_epoch(connection: Any, cache: Cache, epoch: int) -> int:
    count = 0
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        heads = {row["shard"]: row for row in await connection.fetch(queries.SHARD_HEADS)}
        for shard in range(SHARDS):
            keys = ShardKeys(shard, epoch)
            cursor = await connection.cursor(queries.SNAPSHOT_SHARD, shard)
            coming = asyncio.ensure_future(cursor.fetch(PAGE))
            while rows := await coming:
                coming = asyncio.ensure_future(cursor.fetch(PAGE))
                await asyncio.sleep(0)  # the request for the next page is on its way while we work on this one
                await cache.pipeline(_commands(keys, rows))
                count += len(rows)
            head = heads[shard]
            await cache.call("HSET", keys.head, "n", head["n"], "clock_ms", head["clock_ms"])
    return count


def _commands(keys: ShardKeys, rows: list[Any]) -> list[tuple[Argument, ...]]:
    """HSETs for a page of stations, cell by cell (the page is in order of cell)."""
    commands: list[tuple[Argument, ...]] = []
    for cell, members in itertools.groupby(rows, key=lambda row: row["cell"]):
        name = cell_name(cell)
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
            commands.append(("HSET", keys.stations(name), *records))
            commands.append(("HSET", keys.places, *places))
            commands.append(("SADD", keys.cells, name))
        if states:
            commands.append(("HSET", keys.evses(name), *states))
    return commands


async def _unlink(cache: Cache, epoch: int) -> None:
    """Drops an epoch's keys in slices, so that Redis goes on answering."""
    for shard in range(SHARDS):
        keys = ShardKeys(shard, epoch)
        cells = [cell.decode() for cell in await cache.call("SMEMBERS", keys.cells)]
        names = [name(cell) for cell in cells for name in (keys.stations, keys.evses)]
        names += [keys.head, keys.log, keys.places, keys.cells]
        for start in range(0, len(names), 500):
            await cache.pipeline([("UNLINK", name) for name in names[start : start + 500]])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Builds the Redis cache anew from PostGIS and moves all readers to it without a stop."


def run(_: argparse.Namespace, settings: Settings) -> int:
    async def work() -> int:
        cache = Cache(settings.redis_url or "", timeout_s=60)
        try:
            return await rebuild(settings.database_url or "", cache)
        finally:
            await cache.close()

    print(f"cache rebuilt: epoch {asyncio.run(work())}")
    return 0
