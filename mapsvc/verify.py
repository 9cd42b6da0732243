"""`mapsvc verify`: does Redis hold what PostGIS holds? Shard by shard, record by record; exit code 1 if it does not.

It may run while updates flow. The database is read first, in one snapshot a shard; Redis is read once its head has passed
that snapshot's. What Redis then holds with a higher `n` is newer than the question; the rest must be equal byte for byte.
Cells are not read at one instant, so a shard that seems to differ is read again before anybody is told. Promises R3, R5.

`seen_at` alone may lag: confirmations reach the cells after the database, and lossily. Only a later one is wrong there:
it would show a status as live past its TTL (R7).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import zlib
from typing import Any, NamedTuple

import asyncpg

from cache.client import Cache
from cache.codec import pack_record, unpack_record, unpack_states
from cache.keys import CONTROL, ShardKeys
from geo.station import SHARDS
from mapsvc.cached_form import placed
from mapsvc.settings import Settings
from sql import queries

TRIES = 3  # a difference seen that often, a second apart, is one
PATIENCE_S = 30.0  # in all, for the relay to carry what the snapshots knew
CELLS_AT_ONCE = 64
SHOWN = 20  # differences printed


class State(NamedTuple):
    status: int
    n: int
    changed_ms: int
    seen_ms: int


class Holding(NamedTuple):
    """What one side knows of a shard. A tombstone is no record, but its `n` counts."""

    head: int
    records: dict[int, tuple[str, int, bytes]]  # num -> (cell, n, packed record)
    states: dict[tuple[int, int], State]  # (num, slot)
    tombstones: dict[int, int]  # num -> n
    doubles: list[str]  # what stands twice

    @property
    def checksum(self) -> int:
        """Of all but `seen_at`; equal on both sides of a shard at rest."""
        crc = 0
        for num in sorted(self.records):
            crc = zlib.crc32(self.records[num][2], crc)
        for place in sorted(self.states):
            crc = zlib.crc32(repr((place, self.states[place][:3])).encode(), crc)
        return crc


async def postgis(connection: Any, shard: int) -> Holding:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        heads = {row["shard"]: row["n"] for row in await connection.fetch(queries.SHARD_HEADS)}
        holding = Holding(heads[shard], {}, {}, {}, [])
        async for row in connection.cursor(queries.SNAPSHOT_SHARD, shard, prefetch=1000):
            item = placed(row)
            num = item.record.num
            if item.record.removed:
                continue  # unpublished
            holding.records[num] = (item.cell, item.record.n, pack_record(item.record))
            for state in item.states:
                holding.states[num, int(state["slot"])] = _state(state)
    return holding


async def redis(cache: Cache, shard: int, epoch: int) -> Holding:
    keys = ShardKeys(shard, epoch)
    holding = Holding(int(await cache.call("HGET", keys.head, "n") or -1), {}, {}, {}, [])
    cells = sorted(cell.decode() for cell in await cache.call("SMEMBERS", keys.cells))
    for start in range(0, len(cells), CELLS_AT_ONCE):
        part = cells[start : start + CELLS_AT_ONCE]
        replies = await cache.pipeline([("HGETALL", key(cell)) for cell in part for key in (keys.stations, keys.evses)])
        for cell, records, states in zip(part, replies[0::2], replies[1::2], strict=True):
            for value in _values(records):
                record = unpack_record(value)
                if record.removed:
                    holding.tombstones[record.num] = max(record.n, holding.tombstones.get(record.num, -1))
                    continue
                if record.num in holding.records:
                    holding.doubles.append(f"station {record.num} stands in two cells")
                holding.records[record.num] = (cell, record.n, value)
            for state in unpack_states(list(_values(states))):
                place = (int(state["num"]), int(state["slot"]))
                if place in holding.states:
                    holding.doubles.append(f"EVSE {place[0]}.{place[1]} stands in two cells")
                holding.states[place] = _state(state)
    return holding


def _values(reply: Any) -> list[bytes]:
    """The values of HGETALL: raw commands answer with a flat list in RESP2, clients of a Cluster with a dictionary."""
    return list(reply.values()) if isinstance(reply, dict) else list(reply[1::2])


def _state(state: Any) -> State:
    return State(int(state["status"]), int(state["n"]), int(state["changed_ms"]), int(state["seen_ms"]))


def compare(truth: Holding, cached: Holding) -> list[str]:
    """What is wrong in Redis, given that its head was not behind the truth's when it was read."""
    wrong = list(cached.doubles)
    for num, (cell, n, packed) in truth.records.items():
        held = cached.records.get(num)
        if held is None:
            if cached.tombstones.get(num, -1) <= truth.head:
                wrong.append(f"station {num} (n {n}) is missing")
        elif held[1] <= truth.head and (held[0], held[2]) != (cell, packed):
            wrong.append(f"station {num}: n {n} in cell {cell}, but n {held[1]} in cell {held[0]} in Redis")
    for num, (_, n, _) in cached.records.items():
        if num not in truth.records and n <= truth.head:
            wrong.append(f"station {num} (n {n}) should not be there")
    for place, state in truth.states.items():
        there = cached.states.get(place)
        if there is None:
            if place[0] in cached.records and cached.records[place[0]][1] <= truth.head:
                wrong.append(f"EVSE {place[0]}.{place[1]} is missing")
        elif there.n <= truth.head and (there[:3] != state[:3] or there.seen_ms > state.seen_ms):
            wrong.append(f"EVSE {place[0]}.{place[1]}: {state}, but {there} in Redis")
    for place, there in cached.states.items():
        if place not in truth.states and there.n <= truth.head:
            wrong.append(f"EVSE {place[0]}.{place[1]} (n {there.n}) should not be there")
    return wrong


class Verdict(NamedTuple):
    shard: int
    stations: int
    evses: int
    checksum: int  # of what PostGIS holds
    wrong: list[str]


async def verify_shard(connection: Any, cache: Cache, shard: int, deadline: float) -> Verdict:
    wrong: list[str] = []
    for attempt in range(TRIES):
        if attempt:
            await asyncio.sleep(1)
        truth = await postgis(connection, shard)
        cached = await _redis_not_behind(cache, shard, truth.head, deadline)
        if cached is None:
            wrong = [f"Redis stays behind n {truth.head}"]
            break
        wrong = compare(truth, cached)
        if not wrong:
            break
    return Verdict(shard, len(truth.records), len(truth.states), truth.checksum, wrong)


async def _redis_not_behind(cache: Cache, shard: int, head: int, deadline: float) -> Holding | None:
    """What Redis holds, read after its head reached `head`; None when it does not get there."""
    loop = asyncio.get_running_loop()
    deadline = max(deadline, loop.time() + 1)
    while loop.time() < deadline:
        epoch = await cache.call("HGET", CONTROL, "epoch")
        if epoch is not None:
            at = await cache.call("HGET", ShardKeys(shard, int(epoch)).head, "n")
            if at is not None and int(at) >= head:
                return await redis(cache, shard, int(epoch))
        await asyncio.sleep(0.05)
    return None


async def verify(database_url: str, cache: Cache) -> list[Verdict]:
    connection = await asyncpg.connect(database_url)
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    try:
        return [await verify_shard(connection, cache, shard, deadline) for shard in range(SHARDS)]
    finally:
        await connection.close()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Compares the Redis cache with PostGIS. Exit code 1 if they differ. May run at any time."


def run(_: argparse.Namespace, settings: Settings) -> int:
    async def work() -> list[Verdict]:
        cache = Cache(settings.redis_url or "", timeout_s=60)
        try:
            return await verify(settings.database_url or "", cache)
        finally:
            await cache.close()

    if settings.database_url is None or settings.redis_url is None:
        print("mapsvc: set DATABASE_URL and REDIS_URL (`mapsvc up` prints its own)", file=sys.stderr)
        return 2
    verdicts = asyncio.run(work())
    for v in verdicts:
        told = f"{len(v.wrong)} differences" if v.wrong else "equal"
        print(f"shard {v.shard:2}  {v.stations:>8} stations  {v.evses:>8} EVSEs  {v.checksum:08x}  {told}")
    wrong = [text for v in verdicts for text in v.wrong]
    for text in wrong[:SHOWN]:
        print(f"mapsvc: {text}", file=sys.stderr)
    return 1 if wrong else 0
