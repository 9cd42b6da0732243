"""The layer of stations in a tile: what a station's columns become in it (geo.mvt.STATIONS)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo.columns import Rows, StationTable
from geo.grid import grid_pixel
from geo.mvt import FLOOR_INDEX, STATIONS, EncodedLayer
from geo.mvt_bytes import MOST_BESIDE_TAGS, Bytes, Ints, feature_end, feature_head, wrap_layer
from geo.station import Availability

Counts = NDArray[np.uint16]
Kilowatts = NDArray[np.float32]
Grid = NDArray[np.uint32]

_MOST_OF_FEATURE = MOST_BESIDE_TAGS + 2 * len(STATIONS.keys)

_UNKNOWN, _FREE, _BUSY, _BROKEN = (
    int(Availability.UNKNOWN), int(Availability.FREE), int(Availability.BUSY), int(Availability.OUT_OF_SERVICE),
)  # fmt: skip


def encode_stations(
    stations: StationTable, z: int, rows: Rows, counts: Counts | None = None, max_kw: Kilowatts | None = None
) -> EncodedLayer:
    """Features in the order of `rows`, which all stand in one tile of zoom `z`; with these counts (n, 4) and powers (n,), or
    each station's own. No features: no bytes, as an empty layer says nothing (spec 4.1 wants at least one)."""
    n = len(rows)
    if n == 0:
        return EncodedLayer(bytearray(), np.zeros(0, np.int64))
    out, tag_offset = np.empty(n * _MOST_OF_FEATURE, np.uint8), np.empty(n, np.int64)
    size = _write_features(
        rows, stations.num, stations.grid_x, stations.grid_y, stations.counts if counts is None else counts,
        stations.max_kw if max_kw is None else max_kw, counts is None, z, FLOOR_INDEX, out, tag_offset,
    )  # fmt: skip
    data = wrap_layer(STATIONS.head, out[:size], STATIONS.tail)
    tag_offset += len(data) - len(STATIONS.tail) - size
    return EncodedLayer(data, tag_offset)


def station_tags(counts: Counts, max_kw: Kilowatts) -> Bytes:
    """Value indices of geo.mvt.STATIONS, shape (n, 7): status, free, busy, out_of_service, unknown, total, kw."""
    tags = np.empty((len(counts), len(STATIONS.keys)), np.uint8)
    _write_tags(counts, max_kw, FLOOR_INDEX, tags)
    return tags


@njit(cache=True)
def _write_tags(counts: Counts, max_kw: Kilowatts, floor_index: Bytes, tags: Bytes) -> None:
    for i in range(len(counts)):
        status, free, busy, broken, unknown, total, kw = _tags_of(counts, max_kw, i, floor_index)
        tags[i, 0], tags[i, 1], tags[i, 2], tags[i, 3] = status, free, busy, broken
        tags[i, 4], tags[i, 5], tags[i, 6] = unknown, total, kw


@njit(cache=True)
def _write_features(
    rows: Rows, num: Ints, grid_x: Grid, grid_y: Grid, counts: Counts, max_kw: Kilowatts, is_by_row: bool, z: int,
    floor_index: Bytes, out: Bytes, tag_offset: Ints,
) -> int:  # fmt: skip
    """All features' bytes back to back, and where in them the first value index of each is. Returns how many bytes there
    are. One loop over the stations: with a column at a time, five times as long."""
    at = 0
    for i in range(len(rows)):
        row = rows[i]
        status, free, busy, broken, unknown, total, kw = _tags_of(counts, max_kw, row if is_by_row else i, floor_index)
        tags = feature_head(out, at, num[row])
        tag_offset[i] = tags + 1
        out[tags], out[tags + 1], out[tags + 2], out[tags + 3] = 0, status, 1, free
        out[tags + 4], out[tags + 5], out[tags + 6], out[tags + 7] = 2, busy, 3, broken
        out[tags + 8], out[tags + 9], out[tags + 10], out[tags + 11] = 4, unknown, 5, total
        out[tags + 12], out[tags + 13] = 6, kw
        at = feature_end(out, at, tags, tags + 14, grid_pixel(grid_x[row], z), grid_pixel(grid_y[row], z))
    return at


@njit(cache=True)
def _tags_of(counts: Counts, max_kw: Kilowatts, i: int, floor_index: Bytes) -> tuple[int, int, int, int, int, int, int]:
    free, busy = np.int64(counts[i, _FREE]), np.int64(counts[i, _BUSY])  # or the compiler makes floats of them
    broken, unknown = np.int64(counts[i, _BROKEN]), np.int64(counts[i, _UNKNOWN])
    return (
        _FREE if free > 0 else _BUSY if busy > 0 else _BROKEN if broken > 0 else _UNKNOWN,
        _floor(floor_index, free),
        _floor(floor_index, busy),
        _floor(floor_index, broken),
        _floor(floor_index, unknown),
        _floor(floor_index, free + busy + broken + unknown),
        _floor(floor_index, np.int64(max_kw[i])),
    )


@njit(cache=True)
def _floor(floor_index: Bytes, number: np.int64) -> int:
    return int(floor_index[number if number < len(floor_index) else -1])
