"""What the tests of relay, rebuild, door and ingest share: a pool, a cache, a relay in this process and some stations."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from cache.client import Cache
from cache.keys import CONTROL, ShardKeys
from cache.tasks import end as end_tasks
from geo.station import Located, StatusReport, station_key
from mapsvc.database import Database
from mapsvc.door import Door, Written
from mapsvc.relay import Relay
from mapsvc.verify import verify
from sql import queries
from sql.door import StatusOutcome, StatusRow, apply_batch
from tests.e2e.stack import PARTY, station_at

WITHIN_S = 20.0


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Database]:
    pool = await Database.open(url, 4)
    try:
        yield pool
    finally:
        pool.terminate()


@asynccontextmanager
async def cache(url: str) -> AsyncIterator[Cache]:
    cache = Cache(url)
    try:
        yield cache
    finally:
        await cache.close()


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[Relay]:
    task = asyncio.create_task(relay.run())
    try:
        yield relay
        assert not task.done()
    finally:
        await end_tasks([task])


async def fill(
    pool: Database, stations: int, *, evses: int = 2, party: str = PARTY, order_by: str = "ts", ttl_s: int | None = 900
) -> list[Written]:
    await pool.fetch(queries.PARTY_PUT, party, "operator", party, order_by, ttl_s)
    return await Door(pool).put([Located(station_at(i, evses, party=party)) for i in range(stations)])


def located(i: int, *reports: StatusReport, evses: int = 2, **changes: Any) -> Located:
    return Located(station_at(i, evses, **changes), reports)


def key(i: int, party: str = PARTY) -> str:
    return station_key(party, f"L{i}")


async def report(pool: Database, i: int, slot: int, status: int, ts_ms: int) -> StatusOutcome:
    """One status of the i-th station, through the door."""
    (row,) = await pool.fetch("SELECT num, shard FROM station WHERE key = $1", key(i))
    (evse,) = await pool.fetch("SELECT uid_key FROM evse WHERE num = $1 AND slot = $2", row["num"], slot)
    rows = [StatusRow(row["num"], slot, evse["uid_key"], status, ts_ms, 0, ts_ms, ts_ms)]
    return (await apply_batch(pool, row["shard"], rows)).statuses[0]


async def heads(pool: Database) -> dict[int, int]:
    return {row["shard"]: row["n"] for row in await pool.fetch(queries.SHARD_HEADS)}


async def epoch_of(cache: Cache) -> int:
    return int(await cache.call("HGET", CONTROL, "epoch") or -1)


async def log_of(cache: Cache, shard: int) -> list[tuple[int, int, dict[bytes, bytes]]]:
    """(from, id, fields) of every entry of a shard's log."""
    entries = await cache.client.xrange(ShardKeys(shard, await epoch_of(cache)).log)
    return [(int(fields[b"from"]), int(entry_id.partition(b"-")[0]), fields) for entry_id, fields in entries]


def assert_gapless(entries: list[tuple[int, int, dict[bytes, bytes]]]) -> None:
    """Every entry begins right after the one before it: no number is left out and none comes twice."""
    for (_, end, _), (first, _, _) in itertools.pairwise(entries):
        assert first == end + 1


async def differences(database_url: str, cache: Cache) -> list[str]:
    return [text for verdict in await verify(database_url, cache) for text in verdict.wrong]


async def eventually(condition: Callable[[], Awaitable[bool] | bool], within_s: float = WITHIN_S) -> float:
    began = time.monotonic()
    while True:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return time.monotonic() - began
        assert time.monotonic() - began < within_s, f"not so after {within_s} s"
        await asyncio.sleep(0.01)
