"""A history of the database, and the ways in which replicas come to know it: late, torn, repeated, in other batches.

`History` plays the parts of the database and the relay (docs/architecture.md); `replica_*` those of a worker. Whatever
the way, all worlds must end alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

import numpy as np

from geo.record import StationRecord
from geo.station import Station, Status
from geo.world import World
from tests.geo.model_world import REMOVED, ModelEvse, State, Told, shard_of
from tests.geo.worlds import HOURS, OPERATORS, START_MS, make_evse, make_station, packed, some_plugs

REPORTED = [status for status in Status if status is not Status.REMOVED]


@dataclass
class Row:
    """A station as the database holds it; EVSE rows stay when their EVSE is gone."""

    n: int
    station: Station | None  # None: removed
    evses: dict[int, ModelEvse] = field(default_factory=dict)


@dataclass
class Entry:
    """What one `n` brings: a station as the relay read it (maybe later than `n`), or one state."""

    n: int
    told: Told | None
    states: list[State]


@dataclass
class Seen:
    """A confirmation on the side stream, sent after entry `after`; before entry `not_before` it would mean nothing."""

    after: int
    not_before: int
    num: int
    slot: int
    seen_ms: int


class History:
    def __init__(self, random: Random, places: list[tuple[float, float]], steps: int) -> None:
        self.random, self.places = random, places
        self.now_ms, self.n = START_MS, 0
        self.rows: dict[int, Row] = {}
        self.entries: list[Entry] = []
        self.seen: list[Seen] = []
        self.snapshots: list[dict[int, tuple[Told, list[State]]]] = [{}]  # after each entry
        self._last_whole: dict[int, int] = {}  # num -> n of its last station entry
        self._first_report: dict[tuple[int, int], int] = {}  # (num, slot) -> n of what is confirmable since
        for _ in range(steps):
            self._step()
        for entry in self.entries:
            if entry.told is not None:  # the relay reads the station when it comes to it
                read_at = min(entry.n + random.choice((0, 0, 1, 5)), self.n)
                entry.told, entry.states = self.snapshots[read_at][entry.told.num]

    def _step(self) -> None:
        random = self.random
        self.now_ms += random.choice((1, 1000, 20_000))
        num = random.randint(1, 9)
        row = self.rows.get(num)
        if row is None or row.station is None or random.random() < 0.15:
            self._put_station(num)
        elif random.random() < 0.08:
            self._write_station(num, None)
        elif there := [slot for slot, evse in row.evses.items() if evse.status != REMOVED]:
            self._report(num, random.choice(there))

    def _put_station(self, num: int) -> None:
        random = self.random
        slots = random.choice(((0,), (0, 1), (0, 2), (1, 2), (0, 1, 2, 66)))
        station = make_station(
            num, *random.choice(self.places), [make_evse(slot, some_plugs(random)) for slot in slots],
            operator=random.choice(OPERATORS) or None, opening_times=random.choice(list(HOURS.values())),
        )  # fmt: skip
        self._write_station(num, station)

    def _write_station(self, num: int, station: Station | None) -> None:
        """As apply_batch does: EVSEs that vanish are REMOVED, those that come (back) have never reported."""
        self.n += 1
        row = self.rows.setdefault(num, Row(0, None))
        row.n, row.station = self.n, station
        named = {evse.slot for evse in station.evses} if station else set()
        for slot in named | row.evses.keys():
            evse = row.evses.get(slot)
            if slot in named and (evse is None or evse.status == REMOVED):
                row.evses[slot] = ModelEvse(self.n, Status.UNKNOWN)
            elif slot not in named and evse is not None and evse.status != REMOVED:
                row.evses[slot] = ModelEvse(self.n, REMOVED, self.now_ms, evse.seen_ms)
        self._last_whole[num] = self.n
        self._log(Told(num, self.n, station), [])

    def _report(self, num: int, slot: int) -> None:
        evse = self.rows[num].evses[slot]
        status = self.random.choice(REPORTED)
        if evse.seen_ms and status == evse.status:
            evse.seen_ms = self.now_ms
            not_before = max(self._last_whole[num], self._first_report[num, slot])
            self.seen.append(Seen(self.n, not_before, num, slot, self.now_ms))
            return
        self.n += 1
        if not evse.seen_ms:
            self._first_report[num, slot] = self.n
        self.rows[num].evses[slot] = ModelEvse(self.n, status, self.now_ms, self.now_ms)
        self._log(None, [State(num, slot, self.n, status, self.now_ms, self.now_ms)])

    def _log(self, told: Told | None, states: list[State]) -> None:
        self.entries.append(Entry(self.n, told, states))
        self.snapshots.append({
            num: (
                Told(num, row.n, row.station),
                [State(num, slot, e.n, e.status, e.changed_ms, e.seen_ms) for slot, e in row.evses.items()],
            )
            for num, row in self.rows.items()
        })  # fmt: skip

    def whole(self) -> dict[int, tuple[Told, list[State]]]:
        """The database at the end, confirmations included."""
        return {
            num: (
                Told(num, row.n, row.station),
                [State(num, slot, e.n, e.status, e.changed_ms, e.seen_ms) for slot, e in row.evses.items()],
            )
            for num, row in self.rows.items()
        }


Records = Callable[[Told], StationRecord]


class Worker:
    """A world that is fed as the replica feeds it, and is watched: never may it fall back behind what it was told."""

    def __init__(self, history: History, world: World, record: Records) -> None:
        self._history, self._world, self._record = history, world, record
        self._highest: dict[int, tuple[int, bool]] = {}  # num -> the highest n it was told, and whether that is shown
        self._evse_n: dict[tuple[int, int], int] = {}

    def put(self, told: list[Told], states: list[State]) -> None:
        if told:
            self._world.put([self._record(one) for one in told], packed(states), self._history.now_ms)
        else:
            self._world.put_states(packed(states), self._history.now_ms)
        for num, n, station in told:
            if n > self._highest.get(num, (0, False))[0]:
                self._highest[num] = n, station is not None
        self._check()

    def keep_only(self, found: dict[int, set[int]], head: int) -> None:
        for shard, nums in found.items():
            self._world.keep_only(shard, np.array(list(nums), np.int64), head)
        held = set().union(*found.values())
        for num, (n, is_shown) in self._highest.items():
            if is_shown and num not in held and n <= head:
                self._highest[num] = head, False
        self._check()

    def confirm(self, some: list[Seen]) -> None:
        if some:
            columns = np.array([(one.num, one.slot, one.seen_ms) for one in some], np.int64).T
            self._world.confirm(columns[0], columns[1], columns[2], self._history.now_ms)

    def _check(self) -> None:
        s, e = self._world.stations, self._world.evses
        rows = {int(s.num[row]): int(row) for row in self._world.shown_rows()}
        assert rows.keys() == {num for num, (_, is_shown) in self._highest.items() if is_shown}
        evse_n = {}
        for num, row in rows.items():
            assert s.n[row] == self._highest[num][0]
            for slot in range(int(s.slots[row])):
                evse_n[num, slot] = int(e.n[s.first[row] + slot])
                assert evse_n[num, slot] >= self._evse_n.get((num, slot), 0)
        self._evse_n = evse_n


def in_order(history: History, world: World, record: Records) -> None:
    """The worker that was there from the beginning."""
    _follow(history, Worker(history, world, record), 0, Random(0), end=history.n, most=1, jitter=False)


def torn_snapshot_and_replay(history: History, world: World, record: Records, random: Random) -> None:
    """A worker that joined on the way: cells read one by one while the world went on, then the stream from before, in
    batches of its own, some of it twice; then perhaps a gap and another reading into the same world."""
    worker = Worker(history, world, record)
    heads = sorted(random.randint(0, history.n) for _ in range(random.choice((1, 2, 3))))
    for head, gap in zip(heads, [*heads[1:], None], strict=True):
        end = history.n if gap is None else random.randint(head, gap)
        found: dict[int, set[int]] = {shard: set() for shard in range(16)}
        for num in random.sample(range(1, 10), 9):
            read = history.snapshots[random.randint(head, min(history.n, head + 12))].get(num)
            if read is not None and read[0].station is not None:
                worker.put([read[0]], read[1])
                found[shard_of(read[0].station)].add(num)
        worker.keep_only(found, head)
        _follow(history, worker, max(0, head - random.choice((0, 3))), random, end=end, most=9, jitter=True)


def at_once(history: History, world: World, record: Records, random: Random) -> None:
    """A worker that starts when all is over."""
    worker, whole = Worker(history, world, record), list(history.whole().values())
    random.shuffle(whole)
    while whole:
        part, whole = whole[:4], whole[4:]
        worker.put([told for told, _ in part], [state for _, states in part for state in states])


def _follow(history: History, worker: Worker, head: int, random: Random, *, end: int, most: int, jitter: bool) -> None:
    """The stream after `head` up to `end`, and the side stream; with jitter, these two are not in step."""
    side = sorted(((_moment(one, head, random) if jitter else one.after), i) for i, one in enumerate(history.seen))
    sides = iter([(moment, history.seen[i]) for moment, i in side])
    waiting = next(sides, None)
    for batch in _batches(history.entries[head:end], random, most):
        while waiting is not None and waiting[0] < batch[0].n:
            worker.confirm([waiting[1]])
            waiting = next(sides, None)
        told = [entry.told for entry in batch if entry.told is not None]
        worker.put(told, [state for entry in batch for state in entry.states])
    if waiting is not None and end == history.n:
        worker.confirm([waiting[1], *(one for _, one in sides)])


def _moment(one: Seen, head: int, random: Random) -> int:
    """After which entry this confirmation arrives: late, or before the very state that it confirms."""
    early = max(one.not_before, one.after - random.choice((0, 0, 0, 4)))
    return max(early, head) if early < one.after else one.after + random.choice((0, 3, 20))


def _batches(entries: list[Entry], random: Random, most: int) -> Iterator[list[Entry]]:
    start = 0
    while start < len(entries):
        size = random.randint(1, most)
        yield entries[start : start + size]
        start += size if most == 1 or random.random() < 0.8 else max(1, size - 3)  # some come again
