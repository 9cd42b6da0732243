"""The world against its oracle (tests/geo/model_world.py): whatever comes, in whatever order. Promises R5 and R7."""

from __future__ import annotations

from geo.filters import Filter
from geo.select import select
from geo.station import AVAILABILITY, Status
from tests.geo.model_world import CLASSES
from tests.geo.worlds import WorldMachine, examples


class Holds(WorldMachine):
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
            counts = model.counts(num)
            assert dict(zip(CLASSES, s.counts[row].tolist(), strict=True)) == counts
            classes = [AVAILABILITY[state.status] for state in states]
            masks = [sum(1 << e.slot for e, of in zip(states, classes, strict=True) if of == c and e.slot < 64)
                     for c in range(4)]  # fmt: skip
            assert s.masks[row].tolist() == masks
            assert round(float(s.max_kw[row]), 1) == model.max_kw(num)


TestWorld = Holds.TestCase
TestWorld.settings = examples(60)
