"""Statuses of many shards in one batch: numbered shard by shard, held up by nobody, wholly there or not at all. R1, R2."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import asyncpg
import pytest

from geo.station import Status
from sql import queries
from sql.door import BATCH_ROWS, BUSY, Settled, StatusRow, apply_batch, apply_statuses
from tests.sql.stations import add_stations, evse_state, report

SHARDS = (2, 7, 11)
A, C = Status.AVAILABLE, Status.CHARGING
APPLIED, CONFIRMED = Settled("applied", True), Settled("confirmed", True)


async def heads(connection: asyncpg.Connection) -> dict[int, int]:
    return {row["shard"]: row["n"] for row in await connection.fetch(queries.SHARD_HEADS)}


async def numbered(connection: asyncpg.Connection, shard: int, after: int) -> list[tuple[int, int, int]]:
    """(num, slot, status) of a shard's outbox after a number, in order; gapless."""
    rows = await connection.fetch(queries.OUTBOX_READ, shard, after, 10_000)
    assert [row["n"] for row in rows] == list(range(after + 1, after + 1 + len(rows)))
    return [(row["num"], row["slot"], row["status"]) for row in rows]


async def test_every_shard_counts_its_own_rows_in_their_order(connection: asyncpg.Connection) -> None:
    nums = {shard: [s.num for s in await add_stations(connection, shard, 2)] for shard in SHARDS}
    before = await heads(connection)
    rows = {shard: [report(two, 1, C, 10), report(one, 0, A, 10), report(one, 0, A, 11)]
            for shard, (one, two) in nums.items()}  # fmt: skip
    settled = await apply_statuses(connection, rows, wait=False)
    assert settled == {shard: [APPLIED, APPLIED, CONFIRMED] for shard in SHARDS}
    after = await heads(connection)
    for shard in range(16):
        assert after[shard] - before[shard] == (2 if shard in SHARDS else 0)
    for shard, (one, two) in nums.items():
        assert await numbered(connection, shard, before[shard]) == [(two, 1, C), (one, 0, A)]
        state = await evse_state(connection, one)
        assert (state["n"], state["k1"]) == (after[shard], 11)


async def test_a_shard_that_somebody_holds_is_busy_and_the_others_are_written(
    connection: asyncpg.Connection, database_url: str
) -> None:
    nums = {shard: (await add_stations(connection, shard, 1))[0].num for shard in SHARDS}
    before = await heads(connection)
    other = await asyncpg.connect(database_url)
    transaction = other.transaction()
    await transaction.start()
    await apply_batch(other, SHARDS[1], [report(nums[SHARDS[1]], 1, C, 5)])
    rows = {shard: [report(num, 0, C, 10)] for shard, num in nums.items()}
    settled = await apply_statuses(connection, rows, wait=False)
    assert settled == {SHARDS[0]: [APPLIED], SHARDS[1]: [BUSY], SHARDS[2]: [APPLIED]}
    assert (await evse_state(connection, nums[SHARDS[1]]))["k1"] is None
    waiting = asyncio.create_task(apply_statuses(connection, {SHARDS[1]: rows[SHARDS[1]]}, wait=True))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await transaction.commit()
    await other.close()
    assert await waiting == {SHARDS[1]: [APPLIED]}
    num = nums[SHARDS[1]]
    assert await numbered(connection, SHARDS[1], before[SHARDS[1]]) == [(num, 1, C), (num, 0, C)]


async def test_who_waits_for_a_shard_holds_no_other(connection: asyncpg.Connection) -> None:
    rows = {shard: [report((await add_stations(connection, shard, 1))[0].num, 0, C, 10)] for shard in SHARDS}
    with pytest.raises(asyncpg.InvalidParameterValueError, match="a batch that waits is of one shard"):
        await apply_statuses(connection, rows, wait=True)
    with pytest.raises(asyncpg.InvalidParameterValueError, match="no such shard"):
        await apply_statuses(connection, {16: rows[SHARDS[0]]}, wait=False)


async def test_rows_under_a_wrong_shard_are_refused_and_nothing_is_stored(connection: asyncpg.Connection) -> None:
    mine, other = [(await add_stations(connection, shard, 1))[0].num for shard in SHARDS[:2]]
    before = await heads(connection)
    with pytest.raises(asyncpg.InvalidParameterValueError, match="not of shard"):
        await apply_statuses(
            connection, {SHARDS[0]: [report(mine, 0, C, 10)], SHARDS[2]: [report(other, 0, C, 10)]}, wait=False
        )
    assert await heads(connection) == before
    assert (await evse_state(connection, mine))["k1"] is None


async def test_the_bound_on_rows_is_of_the_whole_batch(connection: asyncpg.Connection) -> None:
    num = (await add_stations(connection, SHARDS[0], 1))[0].num
    half = [report(num, 99, C, 10)] * (BATCH_ROWS // 2)
    settled = await apply_statuses(connection, {SHARDS[0]: half, SHARDS[1]: half}, wait=False)
    assert {one.outcome for part in settled.values() for one in part} == {"unknown_evse"}
    with pytest.raises(asyncpg.InvalidParameterValueError, match="at most 1000 rows, not 1001"):
        await apply_statuses(connection, {SHARDS[0]: half, SHARDS[1]: [*half, *half[:1]]}, wait=False)
    assert await apply_statuses(connection, {}, wait=False) == {}


async def test_one_notification_names_the_shards_that_changed(
    connection: asyncpg.Connection, database_url: str
) -> None:
    rows = {shard: [report((await add_stations(connection, shard, 1))[0].num, 0, C, 10)] for shard in SHARDS}
    heard: list[object] = []
    listener = await asyncpg.connect(database_url)
    await listener.add_listener("outbox", lambda *args: heard.append(args[3]))
    await apply_statuses(connection, rows, wait=False)
    await apply_statuses(connection, rows, wait=False)  # confirmed
    changed = rows[SHARDS[1]][0]._replace(status=A, k1=11)
    await apply_statuses(connection, {**rows, SHARDS[1]: [changed]}, wait=False)
    async with asyncio.timeout(10):
        while len(heard) < 2:
            await listener.execute("SELECT pg_sleep(0.02)")
    assert heard == [",".join(map(str, SHARDS)), str(SHARDS[1])]
    await listener.close()


async def test_who_writes_an_evse_without_its_shard_is_noticed(
    connection: asyncpg.Connection, database_url: str
) -> None:
    """The door goes to rows by their place. One that was moved meanwhile must not pass for written."""
    num = (await add_stations(connection, SHARDS[0], 1))[0].num
    before = await heads(connection)
    stranger = await asyncpg.connect(database_url)
    transaction = stranger.transaction()
    await transaction.start()
    await stranger.execute("UPDATE evse SET seen_ms = 1 WHERE num = $1 AND slot = 0", num)
    writing = asyncio.create_task(apply_statuses(connection, {SHARDS[0]: [report(num, 0, C, 10)]}, wait=False))
    await asyncio.sleep(0.1)
    await transaction.commit()
    await stranger.close()
    with pytest.raises(asyncpg.InvalidParameterValueError, match="does not hold its shard"):
        await writing
    assert await heads(connection) == before
    assert await connection.fetchval("SELECT count(*) FROM status_history") == 0


async def test_overlapping_batches_of_many_shards_end_and_leave_no_hole(
    connection: asyncpg.Connection, database_url: str
) -> None:
    """Writers of many shards in any order, beside writers of one that wait: nobody waits in a circle, nothing is lost."""
    evses = 20
    nums = {shard: [s.num for s in await add_stations(connection, shard, evses, evses=1)] for shard in SHARDS}
    before = await heads(connection)
    acked: Counter[int] = Counter()

    async def write(mine: int) -> None:
        draw = random.Random(mine)
        writer = await asyncpg.connect(database_url)
        for turn in range(40):
            shards = draw.sample(SHARDS, draw.randint(1, 3))
            rows: dict[int, Sequence[StatusRow]] = {
                shard: [report(num, 0, draw.randint(1, 6), turn * 10 + draw.randint(0, 20))
                        for num in draw.sample(nums[shard], evses // 2)]
                for shard in shards
            }  # fmt: skip
            if mine == 0:
                rows = {shards[0]: rows[shards[0]]}
            while rows:
                settled = await apply_statuses(writer, rows, wait=mine == 0)
                for shard, part in settled.items():
                    acked[shard] += part.count(APPLIED)
                rows = {shard: rows[shard] for shard, part in settled.items() if part[0] == BUSY}
        await writer.close()

    async with asyncio.timeout(120):
        await asyncio.gather(*(write(mine) for mine in range(4)))
    for shard in SHARDS:
        told = await numbered(connection, shard, before[shard])
        assert len(told) == acked[shard] > 0
        kept = await connection.fetch("SELECT num, slot, status FROM status_history WHERE shard = $1 ORDER BY n", shard)
        assert told == [tuple(row) for row in kept]
        states = await connection.fetch("SELECT num, status FROM evse WHERE shard = $1 AND k1 IS NOT NULL", shard)
        assert {row["num"]: row["status"] for row in states} == {num: status for num, _, status in told}
