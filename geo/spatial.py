"""Where stations stand: H3 buckets for nearby, z 11 tile buckets for tiles and boxes.

A bucket is a compact array of row numbers. The same station is in one bucket of each kind; a move is remove + add.
`cells_within` lists H3 cells that may hold a point within a distance: conservative by the measured bounds of H3's
distortion (geo tests re-measure them), so metres can decide exactly afterwards.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from math import ceil
from typing import TypeAlias

import h3.api.basic_int as h3
import numpy as np
from numpy.typing import NDArray

from geo.point import Floats, LatLon, haversine_m
from geo.tilemath import pixels, tile_keys, tile_of

FINE_RES, COARSE_RES = 7, 5
BUCKET_ZOOM = 11

# Over the whole globe, pentagons and face edges included, neighbouring cell centres were measured at least 1.203 average
# edge lengths apart, and no boundary vertex further than 1.102 edge lengths from its centre (resolutions 4 to 9).
_MIN_SPACING, _MAX_REACH = 1.20, 1.11
_EDGE_M: list[float] = [h3.average_hexagon_edge_length(res, unit="m") for res in range(16)]

FEW_RINGS = 6

Bucket: TypeAlias = "array[int]"  # array.array takes no subscript at run time before 3.12


def cells_of(lat: Floats, lon: Floats, res: int) -> NDArray[np.uint64]:
    to_cell = h3.latlng_to_cell
    places = zip(lat.tolist(), lon.tolist(), strict=True)
    return np.fromiter((to_cell(a, b, res) for a, b in places), np.uint64, len(lat))


def cells_within(centre: LatLon, distance_m: float, res: int) -> list[int]:
    """Cells of `res` that may hold a point within `distance_m` of `centre`; never misses one, may name too many."""
    reach = _MAX_REACH * _EDGE_M[res]
    ring_m = _MIN_SPACING * _EDGE_M[res] * 0.866  # centres of ring k are at least k times this far away
    k = ceil((distance_m + 2 * reach) / ring_m)
    own = h3.latlng_to_cell(centre.lat, centre.lon, res)
    if k <= FEW_RINGS:
        return list(h3.grid_disk(own, k))  # asking 127 buckets costs less than 127 distances
    limit = distance_m + reach
    return [c for c in h3.grid_disk(own, k) if haversine_m(centre, LatLon(*h3.cell_to_latlng(c))) <= limit]


def reach_m(res: int) -> float:
    """No point of a cell of `res` is further than this from the cell's centre."""
    return _MAX_REACH * _EDGE_M[res]


class SpatialIndex:
    def __init__(self) -> None:
        self.fine: dict[int, Bucket] = {}
        self.coarse: dict[int, Bucket] = {}
        self.tiles: dict[int, Bucket] = {}

    def add(self, rows: NDArray[np.int32], lat: Floats, lon: Floats, fine_cells: NDArray[np.uint64]) -> None:
        """`fine_cells`: the stations' cells of FINE_RES, which the caller keeps as well."""
        at = pixels(lat, lon, BUCKET_ZOOM)
        for buckets, keys in (
            (self.fine, fine_cells),
            (self.coarse, cells_of(lat, lon, COARSE_RES)),
            (self.tiles, tile_keys(BUCKET_ZOOM, at.x, at.y)),
        ):
            for key, row in zip(keys.tolist(), rows.tolist(), strict=True):
                bucket = buckets.get(key)
                if bucket is None:
                    bucket = buckets[key] = array("i")
                bucket.append(row)

    def remove(self, row: int, at: LatLon) -> None:
        for buckets, key in (
            (self.fine, h3.latlng_to_cell(at.lat, at.lon, FINE_RES)),
            (self.coarse, h3.latlng_to_cell(at.lat, at.lon, COARSE_RES)),
            (self.tiles, tile_of(at.lat, at.lon, BUCKET_ZOOM).key),
        ):
            bucket = buckets[key]
            bucket.remove(row)
            if not bucket:
                del buckets[key]

    def in_tiles(self, x: int, y: int, width: int, height: int) -> NDArray[np.int32]:
        """Rows of all stations in a block of BUCKET_ZOOM tiles, given by its north-west one."""
        columns, lines = np.meshgrid(np.arange(x, x + width), np.arange(y, y + height))
        return rows_of(self.tiles, tile_keys(BUCKET_ZOOM, columns.ravel(), lines.ravel()).tolist())

    def within(self, centre: LatLon, distance_m: float) -> NDArray[np.int32]:
        """Rows of every station within `distance_m`, and some further away."""
        res, buckets = (FINE_RES, self.fine) if distance_m <= 6000 else (COARSE_RES, self.coarse)
        return rows_of(buckets, cells_within(centre, distance_m, res))


def rows_of(buckets: dict[int, Bucket], keys: Iterable[int]) -> NDArray[np.int32]:
    found = [bucket for key in keys if (bucket := buckets.get(key)) is not None]
    return np.frombuffer(b"".join(found), np.int32)
