"""The world against its oracle (tests/geo/model_world.py): whatever comes, in whatever order. Promises R5 and R7."""

from __future__ import annotations

import h3.api.basic_int as h3
import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import rule

from geo.columns import Rows
from geo.filters import NO_FILTER, Filter
from geo.point import Floats, LatLon
from geo.profiles import MASK_SLOTS
from geo.station import AVAILABILITY, Status
from geo.tilemath import Tile
from geo.world import World
from tests.geo.comparing import assert_nearby, assert_selected
from tests.geo.model_world import CLASSES, State, Told, shard_of
from tests.geo.worlds import (
    START_MS,
    WorldMachine,
    examples,
    filters,
    make_evse,
    make_station,
    packed,
    party_of,
    queries,
    record,
)  # fmt: skip

# Their covers are there when stations come, go and move.
ASKED_ALL_THE_TIME = (LatLon(48.8569, 2.3525), LatLon(-16.5, 179.9999))

NO_NUMS = np.zeros(0, np.int64)


class Listener:
    """An observer that keeps what the world looked like to those who only listen."""

    def __init__(self, machine: Holds) -> None:
        self._machine = machine
        self.looks: dict[int, tuple[object, ...]] = {}  # by row
        self.seen: dict[int, int] = {}

    def changed(self, rows: Rows) -> None:
        self.looks |= {row: self._machine.look(row) for row in rows.tolist()}
        self.confirmed(rows)

    def confirmed(self, rows: Rows) -> None:
        self.seen |= {row: int(self._machine.world.stations.seen_ms[row]) for row in rows.tolist()}

    def reshaped(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        for row, *at in zip(rows.tolist(), lat.tolist(), lon.tolist(), strict=True):
            s = self._machine.world.stations
            if s.shown[row]:
                assert (s.lat[row], s.lon[row]) == tuple(at)
                self.changed(rows[rows == row])
            else:
                assert self.looks.pop(row)[:2] == tuple(at)
                del self.seen[row]


class Holds(WorldMachine):
    def __init__(self) -> None:
        super().__init__()
        self.told = Listener(self)
        self.world.observe(self.told)

    def look(self, row: int) -> tuple[object, ...]:
        """All that tiles and bodies take from the columns, but for `seen_ms`, which a confirmation moves."""
        s = self.world.stations
        columns = (s.lat, s.lon, s.num, s.operator, s.party, s.facilities, s.max_kw, s.changed_ms)
        state = int(self.world.schedules.state[s.schedule[row]])
        return (*(column[row].item() for column in columns), *s.counts[row].tolist(), *s.masks[row].tolist(), state)

    @rule(query=queries, wanted=filters)
    def ask(self, query: tuple[tuple[float, float], float, int], wanted: Filter) -> None:
        at, radius_m, limit = query
        assert_nearby(self.world, self.model, LatLon(*at), radius_m, limit, wanted)

    @rule(wanted=st.lists(filters, min_size=3, max_size=3))
    def choose(self, wanted: list[Filter]) -> None:
        for one in wanted:
            assert_selected(self.world, self.model, self.world.shown_rows(), one)

    def check(self) -> None:
        world, model, s = self.world, self.model, self.world.stations
        rows = self.rows()
        assert rows.keys() == model.stations.keys()
        assert world.station_count == len(rows)
        for num, row in rows.items():
            station = model.stations[num].station
            assert world.find(station.key) == row
            assert (s.lat[row], s.lon[row]) == (station.lat, station.lon)
            states = world.evse_states(row)
            assert states == model.evse_states(num)
            masks = [0, 0, 0, 0]
            for state in states:
                masks[AVAILABILITY[state.status]] |= (1 << state.slot) & (1 << MASK_SLOTS) - 1
            assert s.masks[row].tolist() == masks
            assert dict(zip(CLASSES, s.counts[row].tolist(), strict=True)) == model.counts(num)
            assert round(float(s.max_kw[row]), 1) == model.max_kw(num)
            assert (s.changed_ms[row], s.seen_ms[row]) == model.latest(num)
        # Whoever only listens knows all of it.
        assert self.told.looks == {row: self.look(row) for row in rows.values()}
        assert self.told.seen == {row: int(s.seen_ms[row]) for row in rows.values()}
        assert world.next_due_ms > self.now_ms
        for place in ASKED_ALL_THE_TIME:
            assert_nearby(world, model, place, 40_000.0, 3, NO_FILTER)

    def teardown(self) -> None:
        """Everything taken out again: nothing is left behind."""
        for shard in range(16):
            self.world.keep_only(shard, NO_NUMS, 1 << 60)
        assert (self.world.station_count, len(self.world.spatial.in_tile(Tile(0, 0, 0), self.world.stations.num))) == (
            0,
            0,
        )
        assert len(self.world.spatial.in_cells(np.array(h3.get_res0_cells(), np.uint64), 0)) == 0
        assert len(self.world.nearby.nearest(LatLon(*ASKED_ALL_THE_TIME[0]), 200_000.0, 1000).rows) == 0
        assert not self.world.evses.live.any()


TestWorld = Holds.TestCase
TestWorld.settings = examples(40)


# -- one by one -------------------------------------------------------------------------------------------------------

HERE = (48.8566, 2.3522)
T = START_MS


def world_of(*states: State, slots: int = 1, num: int = 1) -> World:
    world = World()
    station = make_station(num, *HERE, [make_evse(slot) for slot in range(slots)])
    world.put([record(Told(num, 1, station))], packed(states), T)
    return world


def shown(world: World, num: int = 1) -> list[tuple[int, str, int | None]]:
    """(slot, status, seen_ms) of every EVSE."""
    (row,) = world.rows_of_nums(np.array([num])).tolist()
    return [(state.slot, state.status.name, state.seen_ms) for state in world.evse_states(row)]


def confirm(world: World, *seen: tuple[int, int, int]) -> None:
    nums, slots, ms = np.array(seen, np.int64).T
    world.confirm(nums, slots, ms, T)


def test_a_confirmation_that_overtakes_its_status_is_not_lost() -> None:
    """The side stream is not in step with the log: the seen_ms of the status that follows is the older one."""
    world = world_of(State(1, 0, 2, Status.AVAILABLE, T, T))
    confirm(world, (1, 0, T + 9000))
    world.put_states(packed([State(1, 0, 3, Status.CHARGING, T + 5000, T + 5000)]), T)
    assert shown(world) == [(0, "CHARGING", T + 9000)]


def test_an_evse_that_starts_anew_has_not_been_seen() -> None:
    world = world_of(State(1, 0, 2, Status.AVAILABLE, T, T))
    world.put_states(packed([State(1, 0, 3, Status.UNKNOWN, 0, 0)]), T)
    assert shown(world) == [(0, "UNKNOWN", None)]
    confirm(world, (1, 0, T + 9000))
    assert shown(world) == [(0, "UNKNOWN", None)]


def test_a_second_reading_of_the_same_state_brings_the_confirmations_that_were_missed() -> None:
    world = world_of(State(1, 0, 2, Status.AVAILABLE, T, T))
    world.put_states(packed([State(1, 0, 2, Status.AVAILABLE, T, T + 7000)]), T)
    assert shown(world) == [(0, "AVAILABLE", T + 7000)]
    world.put_states(packed([State(1, 0, 2, Status.AVAILABLE, T, T + 6000)]), T)
    assert shown(world) == [(0, "AVAILABLE", T + 7000)]


def test_of_several_states_and_confirmations_in_one_batch_the_last_counts_in_any_order() -> None:
    states = [State(1, 0, n, Status(n % 3 + 1), T + n, T + n) for n in range(2, 9)]
    for batch in (states, states[::-1], [*states[3:], *states[:3]]):
        world = world_of(*batch)
        assert shown(world) == [(0, Status(8 % 3 + 1).name, T + 8)]
        confirm(world, (1, 0, T + 70), (1, 0, T + 90), (1, 0, T + 80))
        assert shown(world)[0][2] == T + 90


def test_a_batch_of_several_states_of_an_evse_ends_as_if_they_had_come_one_by_one() -> None:
    """The seen_ms of a later number may be the earlier one: two receipts, committed in the other order."""
    for seen_ms, stands in (((100, 50), 100), ((100, 0, 50), 50), ((100, 0), 0), ((50, 100, 70, 90), 100)):
        states = [State(1, 0, 2 + k, Status.CHARGING, T, ms and T + ms) for k, ms in enumerate(seen_ms)]
        other = State(2, 0, 2, Status.AVAILABLE, T, T)  # its turn is another one
        for batch in ([*states, other], [other, *states[::-1]]):
            world = world_of()
            world.put([record(Told(2, 1, make_station(2, *HERE, [make_evse(0)])))], packed(batch), T)
            assert shown(world) == [(0, "CHARGING" if stands else "UNKNOWN", T + stands if stands else None)]
            assert shown(world, 2) == [(0, "AVAILABLE", T)]


def test_what_a_complete_reading_did_not_hold_does_not_come_back_from_an_old_entry() -> None:
    world = world_of(State(1, 0, 2, Status.AVAILABLE, T, T))
    station = make_station(1, *HERE, [make_evse(0)])
    world.keep_only(shard_of(station), NO_NUMS, 5)
    world.put([record(Told(1, 5, station))], packed([]), T)
    assert world.station_count == 0
    world.put([record(Told(1, 6, station))], packed([]), T)
    assert world.station_count == 1
    world.keep_only(shard_of(station), NO_NUMS, 5)  # a reading as of 5 says nothing about what is newer
    world.keep_only((shard_of(station) + 1) % 16, NO_NUMS, 9)
    assert world.station_count == 1


def test_another_lineage_counts_though_its_numbers_are_lower() -> None:
    world = world_of(State(1, 0, 20, Status.AVAILABLE, T, T + 5000))
    station = make_station(1, 10.0, 20.0, [make_evse(0)])
    world.forget_versions(world.rows_of_shard(shard_of(station)))
    world.put([record(Told(1, 1, station))], packed([State(1, 0, 1, Status.CHARGING, T, T + 1)]), T)
    assert shown(world) == [(0, "CHARGING", T + 1)]
    assert world.stations.lat[world.shown_rows()].tolist() == [10.0]


def test_a_station_that_has_another_num_in_another_lineage_is_found_by_its_key() -> None:
    """The new one comes before the reading that drops the old one is complete."""
    world = world_of()
    station = make_station(1, *HERE, [make_evse(0)])
    world.put([record(Told(77, 1, station))], packed([]), T)
    world.keep_only(shard_of(station), np.array([77]), 9)
    assert world.find(station.key) == int(world.rows_of_nums(np.array([77]))[0])
    world.keep_only(shard_of(station), NO_NUMS, 9)
    assert world.find(station.key) is None


def test_what_is_not_there_is_ignored() -> None:
    world = world_of(State(1, 0, 2, Status.AVAILABLE, T, T), State(1, 1, 2, Status.AVAILABLE, T, T))
    strangers = [
        State(2, 0, 9, 1, T, T),
        State(1, 1, 9, 1, T, T),
        State(1 << 40, 0, 9, 1, T, T),
        State(1, 65535, 9, 1, T, T),
    ]
    world.put_states(packed(strangers), T)
    confirm(world, (2, 0, T + 1), (1, 1, T + 1), (1 << 40, 0, T + 1))
    world.put([], packed([]), T)
    world.put_states(packed([]), T)
    assert shown(world) == [(0, "AVAILABLE", T)]
    assert world.find("nobody~x") is None
    assert world.rows_of_nums(np.array([1, 2, 1 << 40])).tolist() == [0, -1, -1]


def test_a_world_grows_beyond_its_first_tables_and_reuses_what_is_left_behind() -> None:
    world, count = World(), 3000
    told = [
        Told(num, 1, make_station(num, num / 100, 3.0, [make_evse(s) for s in range(num % 4)]))
        for num in range(1, count)
    ]
    states = [State(t.num, e.slot, 2, Status.AVAILABLE, T, T) for t in told if t.station for e in t.station.evses]
    world.put([record(t) for t in told], packed(states), T)
    rows, evses = world.stations.size, world.evses.size
    for n in range(2, 6):
        world.put([record(t._replace(n=n)) for t in told], packed([]), T)
    assert (world.station_count, world.stations.size, world.evses.size) == (count - 1, rows, evses)
    free = {int(world.stations.num[row]): int(world.stations.counts[row, 1]) for row in world.shown_rows()}
    assert all(free[num] == num % 4 for num in range(1, count))
    assert world.rows_by_num(100, 103).tolist() == [
        world.find(f"{party_of(num)}~l{num}".casefold()) for num in (100, 101, 102)
    ]
