"""Status updates from rows to outcomes, with a real database behind: resolution, ordering, confirmations, overload. R1, R2."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from cache.client import Cache
from cache.tasks import end
from geo.station import Status, shard_of
from mapsvc.database import Database
from mapsvc.door import Door
from mapsvc.ingest import service as module
from mapsvc.ingest import writers as writers_module
from mapsvc.ingest.reports import Malformed, Report
from mapsvc.ingest.service import StatusService
from mapsvc.ingest.writers import QueueFullError
from sql import queries
from sql.door import apply_statuses
from tests.mapsvc.live import database, eventually, fill, heads, key, located

PARTY, OTHER = "FR*TST", "DE*OTH"


def at(
    i: int, slot: int, status: Status, ts_ms: int | None, *, seq: tuple[int, int] | None = None, place: bool = True
) -> Report:
    return Report(f"l{i}-{slot}", f"l{i}" if place else None, status, ts_ms, seq)


class Running:
    """A service at work."""

    def __init__(self, pool: Database, url: str) -> None:
        self.pool = pool
        self.cache = Cache(url)
        self.service = StatusService(pool, self.cache)
        self.task = asyncio.create_task(self.service.run())

    async def submit(self, *rows: Report | Malformed, parties: tuple[str, ...] = (PARTY,)) -> list[str]:
        return [outcome.outcome for outcome in await self.service.submit(parties, rows)]

    async def stop(self) -> None:
        """In order: what is pending is written."""
        self.task.cancel()
        await asyncio.wait([self.task])

    async def kill(self) -> None:
        """As a crash: nothing is written any more."""
        self.service._flush = _nothing  # type: ignore[method-assign, assignment]
        await end([self.task])


async def _nothing(_: object) -> None:
    pass


@pytest_asyncio.fixture
async def running(database_url: str, redis_url: str) -> AsyncIterator[Running]:
    async with database(database_url) as pool:
        await fill(pool, 5)
        running = Running(pool, redis_url)
        yield running
        await running.stop()
        await running.cache.close()


async def state(pool: Database, i: int, slot: int) -> tuple[int, int, int]:
    """status, k1, seen_ms."""
    row = await pool.fetchrow(
        "SELECT e.status, e.k1, e.seen_ms FROM evse AS e JOIN station AS s USING (num) WHERE s.key = $1 AND e.slot = $2",
        key(i), slot,
    )  # fmt: skip
    return row["status"], row["k1"], row["seen_ms"]


async def test_outcomes_come_in_the_order_of_the_rows(running: Running) -> None:
    now_ms = running.service.clock.now_ms()
    told = await running.submit(
        at(0, 0, Status.CHARGING, 10),
        Malformed("no"),
        at(9, 0, Status.CHARGING, 10),
        at(0, 0, Status.AVAILABLE, 5),
        at(1, 1, Status.CHARGING, now_ms + 121_000),
        at(0, 0, Status.CHARGING, 11),
        at(1, 1, Status.CHARGING, now_ms + 119_000),
        at(2, 0, Status.CHARGING, None),
        at(3, 0, Status.BLOCKED, 12),
    )
    assert told == [
        "applied", "malformed", "unknown_evse", "late", "future", "confirmed", "applied", "malformed", "applied",
    ]  # fmt: skip


async def test_a_uid_without_a_location_must_be_unique_among_the_callers_parties(running: Running) -> None:
    pool = running.pool
    await fill(pool, 2, party=OTHER)  # the same uids, at another party
    assert await running.submit(at(0, 0, Status.CHARGING, 10, place=False)) == ["applied"]
    both = (PARTY, OTHER)
    assert await running.submit(at(0, 0, Status.CHARGING, 11, place=False), parties=both) == ["ambiguous_evse"]
    assert await running.submit(at(0, 0, Status.CHARGING, 11), parties=both) == ["ambiguous_evse"]
    assert await running.submit(at(4, 0, Status.CHARGING, 11, place=False), parties=both) == ["applied"]
    assert await running.submit(at(4, 0, Status.CHARGING, 11, place=False), parties=(OTHER,)) == ["forbidden"]
    assert await running.submit(at(4, 0, Status.CHARGING, 11), parties=(OTHER,)) == ["forbidden"]
    assert await running.submit(at(7, 0, Status.CHARGING, 11, place=False), parties=both) == ["unknown_evse"]


async def test_an_evse_that_is_new_gone_or_back_is_found_out_at_once(running: Running) -> None:
    """Resolutions are remembered for a minute; the door tells when they are stale."""
    door = Door(running.pool, running.service.writers)
    assert await running.submit(at(6, 0, Status.CHARGING, 10)) == ["unknown_evse"]
    await door.put([located(6)])
    assert await running.submit(at(6, 0, Status.CHARGING, 10)) == ["applied"]
    await door.remove([key(6)])
    assert await running.submit(at(6, 0, Status.BLOCKED, 11)) == ["unknown_evse"]
    await door.put([located(6, updated_ms=1_800_000_000_000)])
    assert await running.submit(at(6, 0, Status.BLOCKED, 3)) == ["applied"]  # what was before does not count any more


async def test_a_party_that_orders_by_sequence_is_judged_by_it(running: Running) -> None:
    await running.pool.fetch(queries.PARTY_PUT, PARTY, "operator", "", "seq", 900)
    assert await running.submit(
        at(0, 0, Status.CHARGING, 99, seq=(1, 5)),
        at(0, 0, Status.BLOCKED, 100, seq=(1, 4)),
        at(0, 0, Status.BLOCKED, 1, seq=(2, 0)),
        at(0, 0, Status.BLOCKED, 101),
    ) == ["applied", "late", "applied", "malformed"]


async def test_a_key_confirmed_in_memory_makes_older_rows_late_and_outlives_an_orderly_end(
    running: Running, redis_url: str
) -> None:
    assert await running.submit(at(0, 0, Status.CHARGING, 10)) == ["applied"]
    assert await running.submit(at(0, 0, Status.CHARGING, 30)) == ["confirmed"]
    assert (await state(running.pool, 0, 0))[1] == 10  # not written: the TTL is far from a quarter over
    assert running.service.writers.pending_rows == 1
    assert await running.submit(at(0, 0, Status.BLOCKED, 20)) == ["late"]
    await running.stop()
    assert (await state(running.pool, 0, 0))[1] == 30
    successor = Running(running.pool, redis_url)
    try:
        assert await successor.submit(at(0, 0, Status.BLOCKED, 20)) == ["late"]
    finally:
        await successor.stop()
        await successor.cache.close()


async def test_a_crash_forgets_confirmations_that_were_not_written_and_nothing_else(
    running: Running, redis_url: str
) -> None:
    """Documented: UNKNOWN may show early. The key of such a confirmation is forgotten with it."""
    await running.submit(at(0, 0, Status.CHARGING, 10))
    before = await state(running.pool, 0, 0)
    await running.submit(at(0, 0, Status.CHARGING, 30))
    await running.kill()
    assert await state(running.pool, 0, 0) == before
    successor = Running(running.pool, redis_url)
    try:
        assert await successor.submit(at(0, 0, Status.BLOCKED, 5), at(0, 0, Status.CHARGING, 30)) == [
            "late",
            "confirmed",
        ]
    finally:
        await successor.stop()
        await successor.cache.close()


async def test_confirmations_are_written_when_a_quarter_of_the_ttl_is_over(running: Running) -> None:
    await running.pool.fetch(queries.PARTY_PUT, PARTY, "operator", "", "ts", 4)
    await running.submit(at(0, 0, Status.CHARGING, 10))
    before = await state(running.pool, 0, 0)
    n = await heads(running.pool)
    for ts_ms in range(11, 16):
        assert await running.submit(at(0, 0, Status.CHARGING, ts_ms)) == ["confirmed"]
        await asyncio.sleep(0.05)
    assert await state(running.pool, 0, 0) == before
    await eventually(lambda: running.service.writers.pending_rows == 0)
    status, k1, seen_ms = await state(running.pool, 0, 0)
    assert (status, k1) == (Status.CHARGING, 15)
    assert seen_ms > before[2]
    assert await heads(running.pool) == n  # no number was taken


async def test_too_many_pending_confirmations_are_written_before_their_time(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers_module, "PENDING_ROWS", 0)
    await running.submit(at(0, 0, Status.CHARGING, 10))
    await running.submit(at(0, 0, Status.CHARGING, 30))
    await eventually(lambda: running.service.writers.pending_rows == 0)
    assert (await state(running.pool, 0, 0))[1] == 30


async def test_what_arrives_while_a_batch_commits_is_the_next_batch(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    async def slow(pool: Any, by_shard: Any, *, wait: bool) -> Any:
        sizes.append(sum(map(len, by_shard.values())))
        await asyncio.sleep(0.1)
        return await apply_statuses(pool, by_shard, wait=wait)

    monkeypatch.setattr(writers_module, "apply_statuses", slow)
    first = asyncio.create_task(running.submit(at(0, 0, Status.CHARGING, 10)))
    await eventually(lambda: bool(sizes))
    rest = await asyncio.gather(*(running.submit(at(0, k % 2, Status.CHARGING, 10 + k)) for k in range(1, 30)))
    assert [outcome for (outcome,) in [await first, *rest]].count("applied") == 2
    assert sizes[0] == 1
    assert sum(sizes) == 30
    assert len(sizes) <= 6


async def test_a_batch_that_fails_is_acknowledged_to_nobody_and_the_next_one_goes_on(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def failing(pool: Any, by_shard: Any, *, wait: bool) -> Any:
        raise OSError("gone")

    monkeypatch.setattr(writers_module, "apply_statuses", failing)
    told = await asyncio.gather(
        *(running.submit(at(k, 0, Status.CHARGING, 10)) for k in range(5)), return_exceptions=True
    )
    assert all(isinstance(result, OSError) for result in told)
    assert running.service.writers.waiting_rows == 0
    monkeypatch.setattr(writers_module, "apply_statuses", apply_statuses)
    assert await running.submit(*(at(k, 0, Status.CHARGING, 10) for k in range(5))) == ["applied"] * 5


async def test_a_batch_holds_rows_of_several_shards_and_fails_or_stands_as_a_whole(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shard_of(key(1)) != shard_of(key(0))
    batches: list[set[int]] = []

    async def failing(pool: Any, by_shard: Any, *, wait: bool) -> Any:
        batches.append(set(by_shard))
        raise OSError("gone")

    monkeypatch.setattr(writers_module, "apply_statuses", failing)
    with pytest.raises(OSError, match="gone"):
        await running.submit(at(0, 0, Status.CHARGING, 10), at(1, 0, Status.CHARGING, 10))
    assert batches == [{shard_of(key(0)), shard_of(key(1))}]
    monkeypatch.setattr(writers_module, "apply_statuses", apply_statuses)
    # Had some of it stood, it would be confirmed: sending it again is harmless either way.
    assert await running.submit(at(0, 0, Status.CHARGING, 10), at(1, 0, Status.CHARGING, 10)) == ["applied"] * 2


async def test_a_shard_that_somebody_else_holds_delays_its_own_rows_only(running: Running, database_url: str) -> None:
    """An import holds a shard for a while: the others go on, and its own rows keep their order."""
    assert await running.submit(*(at(k, 0, Status.AVAILABLE, 5) for k in range(5))) == ["applied"] * 5
    other = await asyncpg.connect(database_url)
    transaction = other.transaction()
    await transaction.start()
    held = shard_of(key(0))
    await other.fetch("SELECT FROM shard WHERE shard = $1 FOR UPDATE", held)
    rows = [at(k, 0, Status.CHARGING, 10) for k in range(5)]
    waiting = asyncio.create_task(running.submit(*rows))
    later = asyncio.create_task(running.submit(at(0, 0, Status.CHARGING, 9), at(0, 0, Status.BLOCKED, 12)))
    free = [k for k in range(5) if shard_of(key(k)) != held]
    await eventually(lambda: _have(running.pool, free, Status.CHARGING))
    assert not waiting.done()
    assert not later.done()
    assert await running.submit(at(free[0], 0, Status.RESERVED, 11)) == ["applied"]
    assert (await state(running.pool, 0, 0))[0] == Status.AVAILABLE
    await transaction.rollback()
    await other.close()
    assert await waiting == ["applied"] * 5
    assert await later == ["late", "applied"]
    assert (await state(running.pool, 0, 0))[0] == Status.BLOCKED
    assert running.service.writers.waiting_rows == 0


async def _have(pool: Database, stations: Sequence[int], status: Status) -> bool:
    return all([(await state(pool, k, 0))[0] == status for k in stations])


async def test_more_than_one_batch_may_hold_is_written_in_several_and_in_order(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers_module, "BATCH_ROWS", 7)
    sizes: list[int] = []

    async def counting(pool: Any, by_shard: Any, *, wait: bool) -> Any:
        sizes.append(sum(map(len, by_shard.values())))
        return await apply_statuses(pool, by_shard, wait=wait)

    monkeypatch.setattr(writers_module, "apply_statuses", counting)
    statuses = (Status.CHARGING, Status.AVAILABLE)
    for slot in (0, 1):  # from now on their names are remembered, and requests are queued as they come
        await running.submit(*(at(k, slot, Status.AVAILABLE, 5) for k in range(5)))
    sizes.clear()
    told = await asyncio.gather(
        *(
            running.submit(*(at(k, slot, statuses[turn % 2], 10 + turn) for k in range(5) for slot in (0, 1)))
            for turn in range(20)
        )
    )
    assert told == [["applied"] * 10] * 20
    assert max(sizes) <= 7
    assert sum(sizes) == 200
    assert running.service.writers.waiting_rows == 0


async def test_a_full_queue_refuses_before_it_takes_anything(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers_module, "QUEUE_ROWS", 10)
    hold = asyncio.Event()

    async def held(pool: Any, by_shard: Any, *, wait: bool) -> Any:
        await hold.wait()
        return await apply_statuses(pool, by_shard, wait=wait)

    monkeypatch.setattr(writers_module, "apply_statuses", held)
    waiting = asyncio.create_task(running.submit(*(at(0, 0, Status.CHARGING, 10 + k) for k in range(8))))
    await eventually(lambda: running.service.writers.waiting_rows == 8)
    with pytest.raises(QueueFullError):
        await running.submit(at(1, 0, Status.CHARGING, 10), *(at(0, 0, Status.CHARGING, 50 + k) for k in range(3)))
    assert running.service.writers.waiting_rows == 8
    hold.set()
    assert (await waiting)[0] == "applied"


async def test_a_request_that_takes_too_long_is_given_up_and_its_rows_harm_nobody(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBMIT_S", 0.2)

    async def slow(pool: Any, by_shard: Any, *, wait: bool) -> Any:
        await asyncio.sleep(0.5)
        return await apply_statuses(pool, by_shard, wait=wait)

    monkeypatch.setattr(writers_module, "apply_statuses", slow)
    with pytest.raises(TimeoutError):
        await running.submit(at(0, 0, Status.CHARGING, 10))
    monkeypatch.setattr(writers_module, "apply_statuses", apply_statuses)
    await eventually(lambda: running.service.writers.waiting_rows == 0)
    assert await running.submit(at(0, 0, Status.CHARGING, 10)) == ["confirmed"]


async def test_redis_being_away_costs_confirmations_their_speed_only(database_url: str) -> None:
    async with database(database_url) as pool:
        await fill(pool, 1)
        running = Running(pool, "redis://127.0.0.1:1")
        try:
            assert await running.submit(at(0, 0, Status.CHARGING, 10)) == ["applied"]
            assert await running.submit(at(0, 0, Status.CHARGING, 30)) == ["confirmed"]
            await eventually(lambda: running.service.seen_dropped >= 1)
            assert not running.task.done()
        finally:
            await running.stop()
            await running.cache.close()
        assert (await state(pool, 0, 0))[1] == 30
