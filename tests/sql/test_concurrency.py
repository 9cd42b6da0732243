"""Promises R1 and R2 under concurrent writers: the outbox is gapless, in commit order, and agrees with what was acked."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import asyncpg
import pytest

from sql import queries
from sql.door import apply_batch
from tests.sql.stations import add_stations, report

SHARDS = (0, 1, 2)
WRITERS = 4
BATCHES = 40  # per writer
EVSES = 30  # per shard: few, so that batches overlap
SEED = 20260101


async def test_the_outbox_is_gapless_and_in_commit_order_under_overlapping_writers(
    connection: asyncpg.Connection, database_url: str
) -> None:
    nums = {shard: [s.num for s in await add_stations(connection, shard, EVSES, evses=1)] for shard in SHARDS}
    first = {row["shard"]: row["n"] for row in await connection.fetch(queries.SHARD_HEADS)}
    done = asyncio.Event()
    acked: Counter[int] = Counter()

    async def write(mine: int) -> None:
        """Overlapping, unsorted batches; every fourth one is rolled back after it took its numbers."""
        draw = random.Random(SEED + mine)
        writer = await asyncpg.connect(database_url)
        for turn in range(BATCHES):
            shard = draw.choice(SHARDS)
            chosen = draw.sample(nums[shard], EVSES // 2)
            rows = [report(num, 0, draw.randint(1, 6), turn * 10 + draw.randint(0, 20)) for num in chosen]
            if turn % 4 == 3:
                transaction = writer.transaction()
                await transaction.start()
                await apply_batch(writer, shard, rows)
                await asyncio.sleep(draw.random() / 200)
                await transaction.rollback()
                continue
            result = await apply_batch(writer, shard, rows)
            acked[shard] += sum(row.outcome == "applied" for row in result.statuses)
        await writer.close()

    async def follow(shard: int) -> list[asyncpg.Record]:
        """A relay: polls n > last while the writers run. One row skipped, and it would never come back."""
        reader = await asyncpg.connect(database_url)
        rows: list[asyncpg.Record] = []
        while True:
            finished = done.is_set()
            last = rows[-1]["n"] if rows else first[shard]
            found = await reader.fetch(queries.OUTBOX_READ, shard, last, 7)
            assert [row["n"] for row in found] == list(range(last + 1, last + 1 + len(found)))
            rows += found
            if finished and not found:
                break
        await reader.close()
        return rows

    followers = [asyncio.create_task(follow(shard)) for shard in SHARDS]
    async with asyncio.timeout(120):
        await asyncio.gather(*(write(mine) for mine in range(WRITERS)))
        done.set()
        carried = dict(zip(SHARDS, await asyncio.gather(*followers), strict=True))

    for shard in SHARDS:
        assert len(carried[shard]) == acked[shard] > 0
        kept = await connection.fetch("SELECT n, num, status FROM status_history WHERE shard = $1 ORDER BY n", shard)
        assert [(row["n"], row["num"], row["status"]) for row in carried[shard]] == [tuple(row) for row in kept]
        last = {row["num"]: (row["n"], row["status"]) for row in carried[shard]}
        states = await connection.fetch("SELECT num, n, status FROM evse WHERE shard = $1 AND k1 IS NOT NULL", shard)
        assert {row["num"]: (row["n"], row["status"]) for row in states} == last


async def test_whatever_writes_evses_of_a_shard_waits_for_its_writer(
    connection: asyncpg.Connection, database_url: str
) -> None:
    """Writers that took EVSE rows in orders of their own could wait for each other in a circle."""
    one, two = await add_stations(connection, 0, 2)
    await apply_batch(connection, 0, [report(two.num, 0, 1, 1)])
    writer = await asyncpg.connect(database_url)
    transaction = writer.transaction()
    await transaction.start()
    await apply_batch(writer, 0, [report(one.num, 0, 1, 1)])
    await connection.execute("SET lock_timeout = '50ms'")
    confirmation = (0, [two.num], [0], [1], [2], [0], [9000])
    for query, arguments in ((queries.CONFIRM_BATCH, confirmation), (queries.PARTY_RESET_ORDER, (0, "NO*ONE"))):
        with pytest.raises(asyncpg.LockNotAvailableError):
            await connection.fetch(query, *arguments)
    with pytest.raises(asyncpg.LockNotAvailableError):
        await apply_batch(connection, 0, [report(two.num, 0, 2, 2)])
    await transaction.commit()
    await writer.close()
    assert await connection.fetchval(queries.CONFIRM_BATCH, *confirmation) == 1
