"""Compiles what is compiled, so that no request waits for it: some seconds the first time on a machine, then read from the
cache beside the sources in 0.3 s."""

from __future__ import annotations

import numpy as np

from geo.along import rows_beside
from geo.cell_sums import CellSums
from geo.corridor import Line
from geo.filters import Filter
from geo.h3bits import parent_cells
from geo.kept_sums import SUM_RES, KeptSums
from geo.mvt import encode_numbers
from geo.nearby import MAX_RADIUS_M
from geo.point import LatLon
from geo.polyline import PRECISIONS, decode, encode
from geo.record import STATE, StationRecord
from geo.select import nearest
from geo.station_layer import encode_stations, station_tags
from geo.summary_json import SummaryWriter
from geo.tilemath import Tile
from geo.world import World


def warm() -> None:
    """Uses each compiled function once, with the types that a worker uses it with."""
    world = World()
    world.put([StationRecord(num=1, n=1, key="warm", party="warm", profile=b"\x90")], np.zeros(0, STATE), 1)
    assert world.find("warm") is not None
    s, hits = world.stations, world.nearby.nearest(LatLon(0.0, 0.0), 1.0, 1)
    SummaryWriter(world).write(hits.rows, metres=hits.metres)
    world.texts.compact()
    encode_stations(s, 14, world.spatial.in_tile(Tile(0, 0, 0), s.num))
    station_tags(s.counts[hits.rows], s.max_kw[hits.rows])
    wanted = Filter(operators=("warm",))
    nearest(world, LatLon(0.0, 0.0), MAX_RADIUS_M, 2, wanted)  # a second, longer look as well
    CellSums(world, wanted, s.cell[hits.rows], 7).add(slice(0, 1))
    cells = parent_cells(s.cell[hits.rows], SUM_RES)
    sums = KeptSums(world).begin(wanted, parent_cells(cells, 0), 0, lambda: cells)
    sums.add(slice(0, 1))
    assert len(sums.rows.cells) == 1
    one = np.zeros(1, np.int64)
    line = Line(*decode(encode(np.array([0.0, 1.0]), np.zeros(2), PRECISIONS[0]), PRECISIONS[0]))
    rows_beside(world, line, 1.0)
    encode_numbers("warm", ("count",), one, one, one, one.reshape(1, 1), np.ones((1, 1), np.bool_))
