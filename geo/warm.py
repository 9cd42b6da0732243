"""Compiles what is compiled, so that no request waits for it: some seconds the first time on a machine, then read from the
cache beside the sources in 0.3 s."""

from __future__ import annotations

import numpy as np

from geo.mvt import STATIONS, encode_numbers, encode_points
from geo.point import LatLon
from geo.record import STATE, StationRecord
from geo.summary_json import SummaryWriter
from geo.world import World


def warm() -> None:
    """Uses each compiled function once, with the types that a worker uses it with."""
    world = World()
    world.put([StationRecord(num=1, n=1, key="warm", party="warm", profile=b"\x90")], np.zeros(0, STATE), 1)
    assert world.find("warm") is not None
    hits = world.nearby.nearest(LatLon(0.0, 0.0), 1.0, 1)
    SummaryWriter(world).write(hits.rows, metres=hits.metres)
    world.texts.compact()
    one = np.zeros(1, np.int64)
    encode_points(STATIONS, one, one, one, np.zeros((1, len(STATIONS.keys)), np.uint8))
    encode_numbers("warm", ("count",), one, one, one, one.reshape(1, 1), np.ones((1, 1), np.bool_))
