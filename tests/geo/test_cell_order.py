"""Stations in the order of their cells, against a look at each of them, while they come, go and move."""

from __future__ import annotations

from random import Random

import h3.api.basic_int as h3
import numpy as np
import pytest

from geo.cell_order import CellOrder
from geo.record import tombstone
from geo.spatial import FINE_RES
from geo.world import World
from tests.geo.model_world import Told
from tests.geo.worlds import START_MS, TORTURE, make_evse, make_station, packed, record

PLACES = [(48.0 + 0.03 * k, 2.0 + 0.05 * k) for k in range(40)] + [(0.0, 179.99), (0.0, -179.99), (89.9, 0.0)]


@pytest.mark.parametrize("seed", range(100 if TORTURE else 5))
def test_what_is_below_cells_is_what_stands_there(seed: int) -> None:
    random, world = Random(seed), World()
    order = CellOrder(world)
    for n in range(1, 60):
        num = random.randrange(30)
        station = make_station(num, *random.choice(PLACES), [make_evse(0)])
        world.put([random.choice((record(Told(num, n, station)), tombstone(num, n)))], packed([]), START_MS)
        res = random.randrange(FINE_RES + 1)
        rows = world.shown_rows().tolist()
        cell_of = {row: h3.cell_to_parent(int(world.fine_cells[row]), res) for row in rows}
        cells = set(random.sample(sorted(set(cell_of.values())), random.randint(0, len(set(cell_of.values())))))
        found = order.below(np.array(sorted(cells, key=lambda _: random.random()), np.uint64), res).tolist()
        assert sorted(found) == sorted(row for row in rows if cell_of[row] in cells)
        assert [world.fine_cells[row] for row in found] == sorted(world.fine_cells[row] for row in found)
        pieces = order.whole_cells(random.randint(1, 9))
        assert sorted(row for piece in pieces for row in piece.tolist()) == rows
        in_pieces = [set(world.fine_cells[piece].tolist()) for piece in pieces]
        assert sum(map(len, in_pieces)) == len(set().union(*in_pieces))
