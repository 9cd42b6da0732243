"""Sums that are kept through filters in use are those that the stations have now; only what changed is summed up again."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

import geo.kept_sums
import geo.sorted_rows
from geo.cell_rows import COUNT, CellRows
from geo.cell_sums import CellSums
from geo.columns import Rows
from geo.filters import Filter
from geo.h3bits import Cells, parent_cells
from geo.kept_sums import SUM_RES, KeptSums, Summing
from geo.point import Floats
from geo.record import tombstone
from geo.station import Status
from geo.world import World
from tests.geo.model_world import State, Told
from tests.geo.test_select import some_filter
from tests.geo.worlds import START_MS, TORTURE, make_evse, make_station, packed, record, some_plugs

FREE = Filter(available=1)


class Watched:
    """A world that tells its changes to sums, as mapsvc.tiles does."""

    def __init__(self, random: Random, count: int) -> None:
        self.random, self.world, self.n = random, World(), 1
        self.sums = KeptSums(self.world)
        self.world.observe(self)
        self.put(range(1, count + 1))

    def changed(self, rows: Rows) -> None:
        self.sums.changed(self.world.stations.cell[rows])

    def confirmed(self, rows: Rows) -> None:
        pass

    def reshaped(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        self.changed(rows)

    def put(self, nums: range | list[int]) -> None:
        """New ones, or elsewhere."""
        self.n += 1
        told = [
            Told(num, self.n, make_station(num, self.random.uniform(40, 46), self.random.uniform(0, 9),
                                           [make_evse(0, some_plugs(self.random)), make_evse(1)]))
            for num in nums
        ]  # fmt: skip
        self.world.put([record(one) for one in told], packed(self.states(nums)), START_MS)

    def states(self, nums: range | list[int]) -> list[State]:
        return [
            State(num, slot, self.n, self.random.choice(list(Status)), START_MS, START_MS)
            for num in nums
            for slot in (0, 1)
        ]

    def report(self, nums: list[int]) -> None:
        self.n += 1
        self.world.put_states(packed(self.states(nums)), START_MS)

    def remove(self, nums: list[int]) -> None:
        self.n += 1
        self.world.put([tombstone(num, self.n) for num in nums], packed([]), START_MS)

    def cells(self, res: int) -> Cells:
        return np.unique(parent_cells(self.world.stations.cell[self.world.shown_rows()], res))

    def begin(self, wanted: Filter, res: int) -> Summing:
        return self.sums.begin(wanted, self.cells(res), res, lambda: self.cells(SUM_RES))

    def summed(self, wanted: Filter, res: int) -> CellRows:
        summing, step = self.begin(wanted, res), self.random.choice((1, 7, 1000))
        for start in range(0, len(summing.stations), step):
            summing.add(slice(start, min(start + step, len(summing.stations))))
        return summing.rows


def one_by_one(world: World, wanted: Filter, cells: Cells, res: int) -> CellRows:
    sums = CellSums(world, wanted, cells, res)
    sums.add(slice(0, len(cells)))
    return sums.rows


def assert_same(found: CellRows, wanted: CellRows) -> None:
    for name in CellRows._fields:
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name


@pytest.mark.parametrize("held", [1, 300, 200_000])
@pytest.mark.parametrize("seed", range(30 if TORTURE else 3))
def test_kept_sums_are_those_of_the_stations_now(seed: int, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geo.kept_sums, "MAX_HELD", held)
    monkeypatch.setattr(geo.sorted_rows, "SMALL_AT_LEAST", 20)
    random = Random(seed)
    watched = Watched(random, 300)
    filters, matching = [some_filter(random) for _ in range(3)] + [FREE, Filter(available=2)], 0
    for _ in range(120):
        known = watched.world.stations.num[watched.world.shown_rows()].tolist()
        some = random.sample(known, min(len(known), random.choice((1, 3, 20))))
        random.choice((watched.report, watched.report, watched.report, watched.remove, watched.put))(some)
        if random.random() < 0.3:
            watched.put([random.randint(1, 400)])
        wanted, res = random.choice(filters), random.randrange(SUM_RES)
        found = watched.summed(wanted, res)
        assert_same(found, one_by_one(watched.world, wanted, watched.cells(res), res))
        matching += int(found.counts[COUNT].sum())
    assert matching > 300


def test_only_cells_that_changed_are_summed_up_again() -> None:
    watched = Watched(Random(1), 300)
    assert watched.begin(FREE, 0).stations.sum() == 300
    watched.summed(FREE, 0)
    assert len(watched.begin(FREE, 0).stations) == 0
    watched.report([7])
    due = watched.begin(FREE, 0).stations
    assert len(due) == 1 and due.sum() < 100
    assert watched.begin(Filter(available=2), 0).stations.sum() == 300  # a filter of its own
    watched.summed(FREE, 3)
    assert len(watched.begin(FREE, 0).stations) == 0  # zooms share them


def test_a_change_between_two_pieces_is_not_taken_for_known() -> None:
    watched = Watched(Random(2), 300)
    summing = watched.begin(FREE, 1)
    half = len(summing.stations) // 2
    summing.add(slice(0, half))
    watched.report(list(range(1, 301)))
    summing.add(slice(half, len(summing.stations)))
    assert len(watched.begin(FREE, 1).stations) == half
    assert_same(watched.summed(FREE, 1), one_by_one(watched.world, FREE, watched.cells(1), 1))
