"""The relay's side of Redis: a batch applies once, right after the one before it, whole or not at all. Promises R4, R5."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from cache import writer as module
from cache.client import Cache
from cache.codec import unpack_record, unpack_records, unpack_states
from cache.keys import ShardKeys, seen_key
from cache.writer import ABSENT, Batch, Placed, ShardWriter, empty_states, touch_seen
from geo.record import STATE, States, StationRecord, tombstone
from geo.station import Status

SHARD = 5
HERE, THERE = "851fb467fffffff", "851fb46ffffffff"


def states(num: int, status: Status, n: int, slots: int = 1, seen_ms: int = 7) -> States:
    rows = np.zeros(slots, STATE)
    rows["num"], rows["slot"], rows["status"], rows["n"], rows["seen_ms"] = num, range(slots), status, n, seen_ms
    return rows


def change(first: int, last: int, status: Status = Status.CHARGING, num: int = 1, cell: str = HERE) -> Batch:
    return Batch(first, last, 1000 + last, states(num, status, last), {num: cell}, [])


def station(n: int, cell: str, num: int = 1, slots: int = 2) -> Batch:
    placed = Placed(StationRecord(num, n, key=f"p~{num}"), states(num, Status.UNKNOWN, n, slots), cell)
    return Batch(n, n, 1000 + n, empty_states(), {}, [placed])


class Shard:
    """One empty shard in epoch 1, and a look into it."""

    def __init__(self, url: str) -> None:
        self.cache = Cache(url)
        self.keys = ShardKeys(SHARD, 1)

    def writer(self) -> ShardWriter:
        return ShardWriter(self.cache, SHARD, 1)

    async def head(self) -> int:
        return int(await self.cache.call("HGET", self.keys.head, "n"))

    async def log(self) -> list[tuple[int, int]]:
        """(from, id) of every entry."""
        entries = await self.cache.client.xrange(self.keys.log)
        return [(int(fields[b"from"]), int(entry_id.partition(b"-")[0])) for entry_id, fields in entries]

    async def status(self, cell: str = HERE, field: str = "1.0") -> int | None:
        value = await self.cache.call("HGET", self.keys.evses(cell), field)
        return None if value is None else int(unpack_states(value)["status"][0])


@pytest_asyncio.fixture(params=["single", "cluster"])
async def shard(request: pytest.FixtureRequest) -> AsyncIterator[Shard]:
    url = request.getfixturevalue("redis_url" if request.param == "single" else "cluster_url")
    shard = Shard(url)
    await shard.cache.call("HSET", shard.keys.head, "n", 10)
    yield shard
    await shard.cache.close()


async def test_a_batch_changes_the_cells_the_log_and_the_head_together(shard: Shard) -> None:
    writer = shard.writer()
    assert await writer.head() == 10
    assert await writer.apply(station(11, HERE)) == 11
    assert await writer.apply(change(12, 14)) == 14
    assert await shard.head() == 14
    assert await shard.log() == [(11, 11), (12, 14)]
    assert await shard.status() == Status.CHARGING
    assert await shard.cache.call("SMEMBERS", shard.keys.cells) == {HERE.encode()}
    (_, first), (_, second) = await shard.cache.client.xrange(shard.keys.log)
    assert [record.num for record in unpack_records(first[b"t"])] == [1]
    assert unpack_states(second[b"s"])["n"].tolist() == [14]
    assert second[b"t"] == b""


async def test_a_repeated_batch_is_a_no_op(shard: Shard) -> None:
    writer = shard.writer()
    await writer.apply(change(11, 12, Status.CHARGING))
    await writer.apply(change(13, 13, Status.BLOCKED))
    before = await shard.log()
    assert await writer.apply(change(11, 12, Status.CHARGING)) == 13
    assert await writer.apply(change(13, 13, Status.OUTOFORDER)) == 13
    assert await shard.log() == before
    assert await shard.status() == Status.BLOCKED


async def test_a_relay_that_was_thought_dead_cannot_write_over_its_successors_work(shard: Shard) -> None:
    """Both believe to hold the shard; whichever way their batches are cut, only what begins right after the head applies."""
    old, new = shard.writer(), shard.writer()
    assert await old.head() == await new.head() == 10
    assert await new.apply(change(11, 13, Status.BLOCKED)) == 13
    for stale in (change(11, 11), change(11, 13), change(12, 20), change(13, 14), change(11, 99)):
        assert await old.apply(stale) == 13  # and it learns where the shard is
    assert await shard.status() == Status.BLOCKED
    assert await old.apply(change(14, 15, Status.RESERVED)) == 15  # from there on it may go on as well as the other
    assert await new.apply(change(14, 14, Status.AVAILABLE)) == 15
    assert await shard.log() == [(11, 13), (14, 15)]
    assert await shard.status() == Status.RESERVED


async def test_a_batch_that_would_leave_a_gap_is_refused(shard: Shard) -> None:
    assert await shard.writer().apply(change(12, 12)) == 10
    assert await shard.log() == []
    assert await shard.status() is None


async def test_a_cache_that_is_gone_is_not_begun_anew_by_a_batch_or_a_beat(shard: Shard) -> None:
    writer = shard.writer()
    await shard.cache.call("DEL", shard.keys.head)
    assert await writer.head() is None
    assert await writer.apply(change(11, 11)) == ABSENT
    assert await writer.beat(10, 5000) == ABSENT
    assert await shard.cache.call("EXISTS", shard.keys.head) == 0
    assert await shard.cache.call("EXISTS", shard.keys.log) == 0


async def test_a_beat_is_said_only_by_one_who_is_where_the_head_is(shard: Shard) -> None:
    writer = shard.writer()
    assert await writer.beat(9, 5000) == 10
    assert await writer.beat(11, 5000) == 10
    assert await shard.cache.call("EXISTS", seen_key(SHARD)) == 0
    assert await writer.beat(10, 5000) == 10
    ((_, fields),) = await shard.cache.client.xrange(seen_key(SHARD))
    assert fields == {b"n": b"10", b"clock_ms": b"5000", b"epoch": b"1"}
    assert await shard.cache.call("HGET", shard.keys.head, "clock_ms") == b"5000"


async def test_a_move_takes_the_station_and_its_evses_out_of_the_old_cell(shard: Shard) -> None:
    writer = shard.writer()
    await writer.apply(station(11, HERE))
    await writer.apply(station(12, THERE))
    assert await shard.cache.call("EXISTS", shard.keys.stations(HERE)) == 0
    assert await shard.cache.call("EXISTS", shard.keys.evses(HERE)) == 0
    assert set(await shard.cache.call("HKEYS", shard.keys.evses(THERE))) == {b"1.0", b"1.1"}
    assert await shard.cache.call("HGET", shard.keys.places, "1") == THERE.encode()


async def test_a_removal_leaves_a_tombstone_with_its_number_and_no_evses(shard: Shard) -> None:
    writer = shard.writer()
    await writer.apply(station(11, HERE))
    gone = Placed(tombstone(1, 12), states(1, Status.REMOVED, 12, 2), HERE)
    await writer.apply(Batch(12, 12, 0, empty_states(), {}, [gone]))
    record = unpack_record(await shard.cache.call("HGET", shard.keys.stations(HERE), "1"))
    assert (record.removed, record.n) == (True, 12)
    assert await shard.cache.call("EXISTS", shard.keys.evses(HERE)) == 0


async def test_statuses_of_a_station_that_nobody_may_see_pass_by_number_only(shard: Shard) -> None:
    batch = Batch(11, 13, 0, empty_states(), {}, [])
    assert await shard.writer().apply(batch) == 13
    assert await shard.log() == [(11, 13)]


async def test_the_log_is_bounded_in_bytes(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_BYTES", 50_000)
    writer = shard.writer()
    await writer.head()
    for n in range(11, 1500):
        await writer.apply(change(n, n))
    entries = await shard.log()
    assert entries[-1] == (1499, 1499)
    assert 100 < len(entries) < 1000  # XTRIM drops whole nodes of a hundred
    successor = shard.writer()
    await successor.head()  # takes stock of what is there
    for n in range(1500, 2000):
        await successor.apply(change(n, n))
        assert 100 < len(await shard.log()) < 1000  # no reader that is a little behind loses its place


async def test_seen_at_moves_forward_only_and_creates_nothing(shard: Shard) -> None:
    await shard.writer().apply(station(11, HERE))

    async def seen() -> int:
        return int(unpack_states(await shard.cache.call("HGET", shard.keys.evses(HERE), "1.0"))["seen_ms"][0])

    now_ms = 1_800_000_000_123
    await touch_seen(shard.cache, shard.keys, [(HERE, 1, 0, now_ms), (HERE, 9, 9, now_ms), (THERE, 1, 0, now_ms)])
    assert await seen() == now_ms
    await touch_seen(shard.cache, shard.keys, [(HERE, 1, 0, now_ms - 1)])
    await touch_seen(shard.cache, shard.keys, [])
    assert await seen() == now_ms
    assert await shard.cache.call("HLEN", shard.keys.evses(HERE)) == 2
    assert await shard.cache.call("EXISTS", shard.keys.evses(THERE)) == 0
    state = unpack_states(await shard.cache.call("HGET", shard.keys.evses(HERE), "1.0"))[0]
    assert (int(state["num"]), int(state["n"]), int(state["slot"])) == (1, 11, 0)
