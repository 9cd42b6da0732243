"""Sums of stations through a filter against the oracle, cell by cell: whatever masks tell, and whatever they do not."""

from __future__ import annotations

from random import Random

import h3.api.basic_int as h3
import numpy as np
import pytest

import geo.sorted_rows
from geo.cell_rows import BUSY, COUNT, FREE, OUT_OF_SERVICE, UNKNOWN
from geo.cell_sums import CellSums
from geo.filters import Filter
from geo.spatial import FINE_RES
from geo.world import World
from tests.geo.model_world import ModelWorld
from tests.geo.test_select import some_filter, some_world
from tests.geo.worlds import TORTURE

Row = tuple[list[int], float, int, float]


def sums_of(world: World, wanted: Filter, res: int, pieces: int) -> dict[int, Row]:
    cells = sorted({h3.cell_to_parent(int(cell), res) for cell in world.stations.cell[world.shown_rows()]})
    sums = CellSums(world, wanted, np.array(cells, np.uint64), res)
    for start in range(0, len(cells), pieces):
        sums.add(slice(start, min(start + pieces, len(cells))))
    rows = sums.rows
    return {
        cell: (rows.counts[:, i].tolist(), round(float(rows.max_kw[i]), 1), int(rows.best_num[i]),
               round(float(rows.best_kw[i]), 1))
        for i, cell in enumerate(cells)
    }  # fmt: skip


def expected(world: World, model: ModelWorld, wanted: Filter, res: int) -> dict[int, Row]:
    found: dict[int, Row] = {}
    for row in world.shown_rows().tolist():
        num, cell = int(world.stations.num[row]), h3.cell_to_parent(int(world.stations.cell[row]), res)
        counts, max_kw, best_num, best_kw = found.get(cell, ([0] * 5, 0.0, -1, -1.0))
        if model.passes(num, wanted) is True:
            told, kw = model.counts(num, wanted.connector), model.max_kw(num, wanted.connector)
            counts = [counts[COUNT] + 1, *(counts[kind] + told[NAMES[kind]] for kind in range(1, 5))]
            max_kw = max(max_kw, kw)
            if told["free"]:
                best_kw, negative = max((best_kw, -best_num), (kw, -num))
                best_num = -negative
        found[cell] = counts, max_kw, best_num, best_kw
    return found


NAMES = {FREE: "free", BUSY: "busy", OUT_OF_SERVICE: "out_of_service", UNKNOWN: "unknown"}


@pytest.mark.parametrize("small", [1, 10_000])
@pytest.mark.parametrize("seed", range(30 if TORTURE else 3))
def test_sums_are_those_of_the_stations_one_by_one(seed: int, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geo.sorted_rows, "SMALL_AT_LEAST", small)
    random = Random(seed)
    world, model = some_world(random, 250)
    kept = 0
    for turn in range(40):
        if turn % 10 == 9:  # holes
            model_gone = random.sample(world.stations.num[world.shown_rows()].tolist(), 10)
            for shard in range(16):
                rows = world.rows_of_shard(shard)
                nums = set(world.stations.num[rows].tolist()) - set(model_gone)
                world.keep_only(shard, np.array(list(nums)), 1 << 60)
        wanted, res = some_filter(random), random.randint(0, FINE_RES)
        sums = sums_of(world, wanted, res, random.choice((1, 3, 10_000)))
        assert sums == expected(world, model, wanted, res)
        kept += sum(row[0][COUNT] for row in sums.values())
    assert kept > 500
