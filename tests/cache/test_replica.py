"""Promise R5, the replica's half: whatever happens to the stream and to Redis, no gap stays unnoticed and every replica ends
equal to the truth; meanwhile it goes on answering and never goes back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing

import h3.api.basic_int as h3
import numpy as np
import pytest
import pytest_asyncio

from cache import replica as module
from cache.keys import CONTROL, ShardKeys, seen_key
from cache.replica import Cell, Replica, Reply
from cache.writer import pack_seen, publish_seen, touch_seen
from geo.columns import Rows
from geo.h3bits import COARSE_RES
from geo.party_clocks import PartyClock
from geo.point import Floats
from geo.station import SHARDS, Status, shard_of
from geo.world import World
from mapsvc.cached_form import cell_name
from tests.cache.source import Source, of_world
from tests.e2e.stack import PARTY, TORTURE

WITHIN_S = 20.0


Hook = Callable[[], Awaitable[None]]


class Watched(Replica):
    """A replica that notes whether it ever had to stop answering, or showed fewer stations than there always were."""

    def __init__(self, source: Source, at_least: int = 0) -> None:
        super().__init__(source.cache.url, World(), lambda: source.clock_ms)
        self.source = source
        self.at_least = at_least
        self.loads: list[int] = []  # shards whose cells were read to the end
        self.fewest = 10**9
        self.was_unready = False
        self.before: Hook | None = None  # called once, between the names of the cells and the cells
        self.after: Hook | None = None  # called once, between the cells and the head that must be reached

    async def _read_cells(self, epoch: int, cells: Sequence[Cell]) -> AsyncGenerator[list[Reply], None]:
        before, self.before = self.before, None
        if before is not None:
            await before()
        async with aclosing(super()._read_cells(epoch, cells)) as coming:
            async for replies in coming:
                yield replies
        after, self.after = self.after, None
        if after is not None:
            await after()
        self.loads += {shard for _, shard in cells}

    async def follows(self) -> None:
        """Until it equals the truth; AssertionError when it does not get there."""
        deadline = time.monotonic() + WITHIN_S
        ready = self.ready
        while True:
            assert not any(task.done() for task in self._tasks)
            self.was_unready |= ready and not self.ready
            ready = ready or self.ready
            if ready:
                self.fewest = min(self.fewest, self.world.station_count)
            stands = [position.n for position in self.positions] == self.source.n
            if stands and self.ready and of_world(self.world) == self.source.truth():
                return
            if time.monotonic() > deadline:
                assert [position.n for position in self.positions] == self.source.n
                assert of_world(self.world) == self.source.truth()
            await asyncio.sleep(0.002)


@pytest_asyncio.fixture
async def replica(source: Source) -> AsyncIterator[Watched]:
    """Started on 40 stations, and up to date."""
    await source.put(range(40))
    replica = Watched(source)
    await replica.start()
    await replica.follows()
    yield replica
    await replica.stop()
    assert not replica.was_unready


async def test_it_follows_changes_moves_and_removals(source: Source, replica: Watched) -> None:
    await source.report(3, 1, Status.CHARGING)
    await source.put([3, 4], moved_by=5.0)
    await source.report(3, 0, Status.AVAILABLE)
    await source.remove([5, 6])
    await source.put([50, 5])
    await replica.follows()
    assert replica.gaps == 0
    assert sorted(set(replica.loads)) == sorted(replica.loads)  # every shard was read once


async def test_one_that_starts_late_equals_one_that_was_there_all_the_time(source: Source, replica: Watched) -> None:
    for turn in range(3):
        await source.put(range(10), moved_by=float(turn))
        await source.remove([20 + turn])
        await source.report(turn, 0, Status.BLOCKED)
    late = Watched(source)
    await late.start()
    await late.follows()
    await late.stop()
    await replica.follows()
    assert of_world(late.world) == of_world(replica.world)


@pytest.mark.parametrize("at_once", [1, 10_000])
async def test_stations_of_all_shards_are_loaded_in_the_order_of_their_cells(
    source: Source, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(module, "CELLS_TO_BEGIN", at_once)
    await source.put(range(80))
    late = Watched(source)
    await late.start()
    await late.follows()
    await late.stop()
    s = late.world.stations
    places = zip(s.lat[: s.size].tolist(), s.lon[: s.size].tolist(), strict=True)
    names = [cell_name(h3.latlng_to_cell(lat, lon, COARSE_RES)) for lat, lon in places]
    cells = s.cell[: s.size].tolist()
    assert len(cells) == 80
    assert cells == sorted(cells) if at_once > 1 else names == sorted(names)


async def test_a_missing_entry_is_noticed_by_the_next_one(source: Source, replica: Watched) -> None:
    shard = shard_of(source.held[7].station.key)
    await source.report(7, 0, Status.CHARGING, lost=True)
    await asyncio.sleep(0.05)
    assert of_world(replica.world) != source.truth()
    await source.report(7, 1, Status.BLOCKED)
    replica.loads.clear()
    await replica.follows()
    assert replica.gaps == 1
    assert set(replica.loads) == {shard}  # that shard was read again, and no other


async def test_a_missing_last_entry_is_noticed_by_the_relays_beats(source: Source, replica: Watched) -> None:
    await source.beat()
    await source.report(7, 0, Status.CHARGING, lost=True)
    await source.beat()
    await source.beat()
    await replica.follows()
    assert replica.gaps == 1


async def test_a_lost_removal_and_a_lost_move_are_made_up_for(source: Source, replica: Watched) -> None:
    await source.remove([8], lost=True)
    await source.put([9], moved_by=3.0, lost=True)
    for _ in range(2):
        await source.beat()
    await replica.follows()
    assert replica.gaps > 0


@pytest.mark.parametrize("mishap", ["deleted", "trimmed", "recreated"])
async def test_a_stream_that_went_away_is_followed_on(source: Source, replica: Watched, mishap: str) -> None:
    for shard in range(SHARDS):
        if mishap == "trimmed":
            await source.trim_log(shard)
        else:
            await source.lose_log(shard)
        if mishap == "recreated":  # by somebody else, with something in it
            await source.cache.call("XADD", ShardKeys(shard, source.epoch).log, "0-1", "from", 0, "s", "", "t", "")
    await source.report(1, 0, Status.CHARGING)
    await source.put(range(40, 50))
    await replica.follows()
    assert replica.gaps == 0  # it had seen all that went


@pytest.mark.parametrize("mishap", ["deleted", "trimmed"])
async def test_a_stream_that_went_away_unread_is_a_gap(source: Source, replica: Watched, mishap: str) -> None:
    for num in range(40):
        await source.report(num, 0, Status.CHARGING, lost=True)
    for shard in range(SHARDS):
        await (source.trim_log(shard) if mishap == "trimmed" else source.lose_log(shard))
    await source.put(range(40))
    await replica.follows()
    assert replica.gaps == len({shard_of(held.station.key) for held in source.held.values()})


async def test_being_far_behind_is_not_taken_for_a_gap(source: Source) -> None:
    """More entries than one read brings, and beats that know of all of them."""
    await source.put([1])
    replica = Replica(source.cache.url, World(), lambda: source.clock_ms)
    try:
        await replica._read_control()
        await replica._load(range(SHARDS))
        for turn in range(1300):
            await source.report(1, 0, Status.CHARGING if turn % 2 else Status.BLOCKED)
            if turn % 200 == 100:
                await source.beat()
        await source.beat()
        for _ in range(1300 // module.ENTRIES + 1):
            await replica._tail(list(range(SHARDS)))
        assert replica.gaps == 0
        assert of_world(replica.world) == source.truth()
    finally:
        await replica.stop()


class Changes:
    """An observer that notes how many stations changed at a time."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def changed(self, rows: Rows) -> None:
        self.sizes.append(len(rows))

    def confirmed(self, rows: Rows) -> None:
        pass

    def reshaped(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        pass


@pytest.mark.parametrize("most", [2000, 7])
async def test_what_one_read_brings_of_all_shards_is_one_change_of_the_world_unless_it_is_a_flood(
    source: Source, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", most)
    await source.put(range(40))
    replica = Replica(source.cache.url, World(), lambda: source.clock_ms)
    try:
        await replica._read_control()
        await replica._load(range(SHARDS))
        changes = Changes()
        replica.world.observe(changes)
        for num in range(40):
            await source.report(num, num % 2, Status.CHARGING)
            await source.report(num, 1 - num % 2, Status.BLOCKED)
        assert await replica._tail(list(range(SHARDS)))
        assert of_world(replica.world) == source.truth()
        assert replica.ns == tuple(source.n)
        if most == 2000:
            assert changes.sizes == [40]
        else:
            assert len(changes.sizes) > 5
            assert max(changes.sizes) <= most
    finally:
        await replica.stop()


async def test_it_moves_to_a_new_epoch_without_ceasing_to_answer(source: Source, replica: Watched) -> None:
    replica.fewest = 10**9
    for _ in range(3):
        await source.report(2, 0, Status.CHARGING)
        await source.rebuild()
        await source.report(2, 0, Status.AVAILABLE)
        await replica.follows()
    assert replica.epoch == source.epoch
    assert replica.fewest == 40
    assert not replica.was_unready


async def test_cells_that_are_dropped_while_they_are_read_drop_no_station(source: Source, replica: Watched) -> None:
    """A rebuild unlinks the old epoch while a reader is in the middle of it: what it no longer finds does exist."""
    await source.report(7, 0, Status.CHARGING, lost=True)
    old = source.epoch

    async def rebuilt() -> None:
        await source.rebuild(unlink=False)
        await source.unlink(old)

    replica.fewest = 10**9
    replica.before = rebuilt
    await source.report(7, 1, Status.BLOCKED)  # shows the gap: the cells are read again
    await replica.follows()
    assert replica.fewest == 40


async def test_a_reload_under_load_never_makes_it_unready(source: Source, replica: Watched) -> None:
    """Entries come while the cells are read, so that it stands behind the head that it read after them."""

    async def more() -> None:
        for turn in range(20):
            await source.report(turn, 0, Status.BLOCKED)
        replica.was_unready |= not replica.ready

    await source.report(7, 0, Status.CHARGING, lost=True)
    replica.before = more
    await source.report(7, 1, Status.BLOCKED)
    await replica.follows()


async def test_a_worker_is_not_ready_before_every_shard_was_read_and_replayed(source: Source) -> None:
    await source.put(range(20))
    keys = ShardKeys(3, source.epoch)
    head = await source.cache.call("HGETALL", keys.head)
    await source.cache.call("DEL", keys.head)
    replica = Watched(source)
    await replica.start()
    try:
        await asyncio.sleep(0.5)
        assert not replica.ready
        assert replica.starved_s < 5
        await source.cache.call("HSET", keys.head, *(word for field in head.items() for word in field))
        await replica.follows()
    finally:
        await replica.stop()


# -- Redis that is not what it was ------------------------------------------------------------------------------------


async def test_an_older_copy_of_redis_takes_nobody_back(source: Source, replica: Watched) -> None:
    copy = await source.copy()
    await source.report(1, 0, Status.CHARGING)
    await source.put([2], moved_by=2.0)
    await source.remove([3])
    await replica.follows()
    await source.restore(copy)
    await asyncio.sleep(0.7)  # longer than the epoch pointer is believed
    assert of_world(replica.world) == source.truth()
    late = Watched(source)  # it can only know the old state, for now
    await late.start()
    await source.bring_forward()
    await source.report(1, 1, Status.BLOCKED)
    await replica.follows()
    await late.follows()
    await late.stop()


async def test_cells_that_go_back_while_they_are_read_are_read_again(source: Source, replica: Watched) -> None:
    """Redis comes back older in the midst of it, and is brought forward before the reader is through."""
    copy = await source.copy()
    await source.report(7, 0, Status.CHARGING, lost=True)

    replica.before = lambda: source.restore(copy)
    replica.after = source.bring_forward
    await source.report(7, 1, Status.BLOCKED)  # shows the gap
    await replica.follows()


async def test_an_older_copy_of_an_older_epoch_takes_nobody_back(source: Source, replica: Watched) -> None:
    copy = await source.copy()
    await source.rebuild()
    await source.report(1, 0, Status.CHARGING)
    await replica.follows()
    await source.restore(copy)
    await asyncio.sleep(0.7)
    assert replica.epoch == source.epoch
    assert of_world(replica.world) == source.truth()
    await source.rebuild(unlink=False)  # what the relay does when the epoch that it knows is not there
    await source.put(range(3), moved_by=1.0)
    await replica.follows()


async def test_a_new_epoch_that_is_still_behind_takes_nobody_back(source: Source, replica: Watched) -> None:
    """A long rebuild under load: its cells are of the beginning, and the relay brings them forward afterwards."""
    before = await source.copy()
    n = list(source.n)
    for num in range(40):
        await source.report(num, 0, Status.CHARGING)
    await replica.follows()
    new, now = source.epoch + 1, of_world(replica.world)
    for shard in range(SHARDS):  # the cells of `before`, under the names of the new epoch
        old_name, new_name = (ShardKeys(shard, e).pattern.removesuffix("*").encode() for e in (source.epoch, new))
        for key, value in before.items():
            if key.startswith(old_name) and key != ShardKeys(shard, source.epoch).log.encode():
                await source.cache.call("RESTORE", new_name + key.removeprefix(old_name), 0, value)
    await source.cache.call("HSET", CONTROL, "epoch", new)
    source.epoch = new
    for _ in range(20):
        await asyncio.sleep(0.05)
        assert of_world(replica.world) == now
    assert n != source.n
    await source.bring_forward()
    await source.beat()
    await replica.follows()


@pytest.mark.parametrize("told", ["void", "beat"])
async def test_a_database_that_was_restored_from_a_backup_is_followed_back(
    source: Source, replica: Watched, told: str
) -> None:
    """Its numbers are lower, and what it says counts: the rebuild says so, or a beat of the new epoch does."""
    backup = Source(source.cache.url)
    backup.held = {num: held._replace(states=dict(held.states)) for num, held in source.held.items()}
    backup.n, backup.clock_ms = list(source.n), source.clock_ms
    for num in range(10):
        await source.report(num, 0, Status.CHARGING)
        await source.report(num, 0, Status.OUTOFORDER)
    await source.put([45])
    await source.remove([11])
    await replica.follows()

    backup.epoch = source.epoch
    replica.source = backup
    if told == "void":
        for num in range(12):  # its numbers may even pass those that were, with other content
            backup.report_unsent(num, 1, Status.RESERVED)
            backup.report_unsent(num, 1, Status.AVAILABLE)
    await backup.rebuild(void=told == "void", unlink=False)
    for _ in range(3):
        await backup.beat()
        await asyncio.sleep(0.4)
    await replica.follows()
    await backup.put([46])
    await replica.follows()
    await backup.close()


async def test_foreign_bytes_in_the_stream_and_in_a_cell_end_nothing(source: Source, replica: Watched) -> None:
    shard = shard_of(source.held[7].station.key)
    log = ShardKeys(shard, source.epoch).log
    n = source.n[shard]
    await source.cache.call("XADD", log, f"{n + 1}-0", "from", n + 1, "s", "rubbish", "t", "")
    await source.cache.call("XADD", seen_key(shard), "*", "nonsense", "1")
    await source.cache.call("XADD", seen_key(shard), "*", "c", "rubbish")
    await asyncio.sleep(0.3)
    await source.cache.call("DEL", log)
    await source.report(7, 0, Status.CHARGING)
    await replica.follows()


# -- confirmations ----------------------------------------------------------------------------------------------------


async def test_confirmations_come_by_the_side_stream_and_through_the_cells(source: Source, replica: Watched) -> None:
    await source.report(7, 0, Status.CHARGING)
    await replica.follows()
    shard = shard_of(source.held[7].station.key)
    seen_ms = source.clock_ms + 5000
    await publish_seen(source.cache, shard, pack_seen([7, 7, 999], [0, 9, 0], [seen_ms] * 3))

    def seen_by(replica: Replica) -> int:
        row = int(replica.world.rows_of_nums(_nums(7))[0])
        return int(replica.world.evses.seen_ms[replica.world.stations.first[row]])

    await _until(lambda: seen_by(replica) == seen_ms)
    late = Watched(source)
    await late.start()
    await late.follows()
    await _until(lambda: seen_by(late) == seen_ms)  # from the side stream's history
    await late.stop()

    await source.cache.call("DEL", seen_key(shard))
    cell = source.placed(7).cell
    keys = ShardKeys(shard, source.epoch)
    await touch_seen(source.cache, keys, [(cell, 7, 0, seen_ms + 1), (cell, 7, 5, seen_ms), ("nowhere", 1, 0, 1)])
    await touch_seen(source.cache, keys, [(cell, 7, 0, seen_ms - 1)])  # never back
    late = Watched(source)
    await late.start()
    await late.follows()
    assert seen_by(late) == seen_ms + 1
    await late.stop()


async def test_heartbeats_and_ttls_come_with_the_control_hash(source: Source, replica: Watched) -> None:
    await source.report(7, 0, Status.CHARGING)
    await replica.follows()
    source.clock_ms += 1_000_000
    row = int(replica.world.rows_of_nums(_nums(7))[0])
    await _until(lambda: replica.world.evse_states(row)[0].status is Status.UNKNOWN)
    source.parties[PARTY] = PartyClock(900, source.clock_ms - 1000)
    await source.rebuild()
    await _until(lambda: replica.world.evse_states(row)[0].status is Status.CHARGING)


async def test_the_age_of_the_data_is_that_of_the_quietest_shard(source: Source, replica: Watched) -> None:
    await source.beat()
    await _until(lambda: replica.data_clock_ms == source.clock_ms)
    before = source.clock_ms
    source.writers.pop(5)
    await source.beat()
    await asyncio.sleep(0.2)
    assert replica.data_clock_ms == before


# -- all of it together -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", range(60 if TORTURE else 6))
async def test_after_any_sequence_of_mishaps_the_replica_equals_the_truth(source: Source, turn: int) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    await source.put(range(30))
    replica = Watched(source)
    await replica.start()
    await replica.follows()
    copies = [await source.copy()]
    try:
        for _ in range(120):
            await random_step(source, draw, copies)
        for _ in range(2):
            await source.beat()
        await replica.follows()
        late = Watched(source)
        await late.start()
        await late.follows()
        await late.stop()
    finally:
        await replica.stop()
    assert not replica.was_unready


async def random_step(source: Source, draw: random.Random, copies: list[dict[bytes, bytes]]) -> None:
    nums = sorted(source.held)
    lost = draw.random() < 0.1
    match draw.choices(
        ["report", "put", "remove", "new", "beat", "lose", "trim", "rebuild", "copy", "restore", "pause"],
        [50, 10, 4, 6, 8, 3, 3, 2, 3, 3, 8],
    )[0]:
        case "report":
            await source.report(draw.choice(nums), draw.randrange(2), draw.choice(list(Status)[:7]), lost=lost)
        case "put":
            await source.put([draw.choice(nums)], moved_by=draw.choice([0.0, 0.0, 3.0, -7.0]), lost=lost)
        case "remove" if len(nums) > 5:
            await source.remove([draw.choice(nums)], lost=lost)
        case "new":
            await source.put([draw.randrange(60)], lost=lost)
        case "beat":
            await source.beat()
        case "lose":
            await source.lose_log(draw.randrange(SHARDS))
        case "trim":
            await source.trim_log(draw.randrange(SHARDS))
        case "rebuild":
            await source.rebuild(unlink=draw.random() < 0.7)
            copies.clear()  # their epoch is over: the relay would not bring them forward
            copies.append(await source.copy())
        case "copy":
            copies.append(await source.copy())
        case "restore":
            await source.restore(draw.choice(copies))
            if draw.random() < 0.5:
                await asyncio.sleep(0.1)
            await source.bring_forward()
        case _:
            await asyncio.sleep(draw.choice([0.0, 0.01, 0.2]))


def _nums(*nums: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(nums, np.int64)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110 (the replica tells nobody)
            await asyncio.sleep(0.005)
