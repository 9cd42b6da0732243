"""The world against its oracle (tests/geo/model_world.py): whatever comes, in whatever order. Promises R5 and R7."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from geo.columns import Rows
from geo.filters import ANY_CONNECTOR, NO_FILTER, Filter
from geo.point import Floats, LatLon
from geo.station import AVAILABILITY
from tests.geo.comparing import assert_nearby, assert_selected
from tests.geo.model_world import CLASSES
from tests.geo.worlds import WorldMachine, examples, filters, queries

# Their covers are there when stations come, go and move.
ASKED_ALL_THE_TIME = (LatLon(48.8569, 2.3525), LatLon(-16.5, 179.9999))


class Told:
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
        self.told = Told(self)
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
                masks[AVAILABILITY[state.status]] |= (1 << state.slot) & (1 << 64) - 1
            assert s.masks[row].tolist() == masks
            assert dict(zip(CLASSES, s.counts[row].tolist(), strict=True)) == model.counts(num)
            assert round(float(s.max_kw[row]), 1) == model.max_kw(num)
            assert world.matching(row, ANY_CONNECTOR)[1] == model.max_kw(num)
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
            self.world.keep_only(shard, set(), 1 << 60)
        spatial = self.world.spatial
        assert (self.world.station_count, spatial.fine, spatial.coarse, spatial.tiles) == (0, {}, {}, {})
        assert not self.world.evses.live.any()


TestWorld = Holds.TestCase
TestWorld.settings = examples(40)
