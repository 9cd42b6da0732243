"""Who was warmed up compiles nothing more when requests come."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import numba.core.dispatcher as dispatcher, numpy as np
from geo.warm import warm
warm()
def none(self, sig):
    raise AssertionError(f"{self.py_func.__name__} compiled for {sig}")
dispatcher.Dispatcher.compile = none
from geo.filters import NO_FILTER, ConnectorFilter, Filter
from geo.point import LatLon
from geo.record import tombstone
from geo.select import nearest, select
from geo.station import Status
from geo.summary_json import SummaryWriter
from geo.tilemath import Tile
from geo.world import World
from mapsvc.tiles import Tiles
from tests.geo.model_world import State, Told
from tests.geo.worlds import START_MS, make_evse, make_station, packed, record
world, writer = World(), None
world.put([record(Told(num, 1, make_station(num, 48.0, 2.0 + num / 1e4, [make_evse(0)]))) for num in range(1, 9000)],
          packed([State(1, 0, 1, Status.AVAILABLE, START_MS, START_MS)]), START_MS)
writer = SummaryWriter(world)
for wanted in (Filter(available=1), Filter(ConnectorFilter(("CHADEMO",))), Filter(open_now=True)):
    for _ in range(3):
        found = nearest(world, LatLon(48.0, 2.0), 50_000.0, 20, wanted)
        writer.write(found.rows, found.counts, found.max_kw, found.metres)
hits = world.nearby.nearest(LatLon(48.0, 2.0), 50_000.0, 1000)
writer.write(hits.rows, metres=hits.metres)
chosen = select(world, hits.rows, Filter(available=1))
writer.write(hits.rows[chosen.keep], chosen.counts[chosen.keep], chosen.max_kw[chosen.keep])
world.put([tombstone(5, 2)], packed([]), START_MS)
Tiles(world).get(Tile(14, 8282, 5633), NO_FILTER, START_MS)
Tiles(world).get(Tile(3, 4, 2), NO_FILTER, START_MS)
world.find(make_station(7, 0, 0).key)
"""


def test_nothing_is_compiled_once_a_worker_is_warm() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
