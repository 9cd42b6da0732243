"""The layer of stations in a tile: what a station's columns become in it (geo.mvt.STATIONS)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo.columns import Rows, StationTable
from geo.grid import grid_pixels
from geo.mvt import FLOOR_INDEX, STATIONS, EncodedLayer, encode_points
from geo.station import Availability

Counts = NDArray[np.uint16]
Kilowatts = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_UNKNOWN, _FREE, _BUSY, _BROKEN = (
    int(Availability.UNKNOWN), int(Availability.FREE), int(Availability.BUSY), int(Availability.OUT_OF_SERVICE),
)  # fmt: skip


def encode_stations(stations: StationTable, z: int, rows: Rows, counts: Counts, max_kw: Kilowatts) -> EncodedLayer:
    """Features in the order of `rows`, which all stand in one tile of zoom `z`, with these counts (n, 4) and powers (n,)."""
    px, py = grid_pixels(stations.grid_x[rows], z), grid_pixels(stations.grid_y[rows], z)
    return encode_points(STATIONS, stations.num[rows], px, py, station_tags(counts, max_kw))


def station_tags(counts: Counts, max_kw: Kilowatts) -> Bytes:
    """Value indices of geo.mvt.STATIONS, shape (n, 7): status, free, busy, out_of_service, unknown, total, kw."""
    tags = np.empty((len(counts), len(STATIONS.keys)), np.uint8)
    _write_tags(counts, max_kw, FLOOR_INDEX, tags)
    return tags


@njit(cache=True)
def _write_tags(counts: Counts, max_kw: Kilowatts, floor_index: Bytes, tags: Bytes) -> None:
    for i in range(len(counts)):
        free, busy = np.int64(counts[i, _FREE]), np.int64(counts[i, _BUSY])
        broken, unknown = np.int64(counts[i, _BROKEN]), np.int64(counts[i, _UNKNOWN])
        tags[i, 0] = _FREE if free > 0 else _BUSY if busy > 0 else _BROKEN if broken > 0 else _UNKNOWN
        tags[i, 1] = _floor(floor_index, free)
        tags[i, 2] = _floor(floor_index, busy)
        tags[i, 3] = _floor(floor_index, broken)
        tags[i, 4] = _floor(floor_index, unknown)
        tags[i, 5] = _floor(floor_index, free + busy + broken + unknown)
        tags[i, 6] = _floor(floor_index, np.int64(max_kw[i]))


@njit(cache=True)
def _floor(floor_index: Bytes, number: np.int64) -> int:
    return int(floor_index[number if number < len(floor_index) else -1])
