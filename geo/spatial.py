"""Buckets of stations by place: H3 cells for aggregates, z 11 tiles for tiles and boxes.

A bucket is a compact array of row numbers. The same station is in one bucket of each kind; a move is remove + add.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import TypeAlias

import h3.api.basic_int as h3
import numpy as np
from numpy.typing import NDArray

from geo.point import Floats, LatLon
from geo.tilemath import pixels, tile_keys, tile_of

FINE_RES, COARSE_RES = 7, 5
BUCKET_ZOOM = 11

# Over the whole globe, pentagons and face edges included, no boundary vertex was measured further than 1.102 average edge
# lengths from its cell's centre (resolutions 4 to 9).
_MAX_REACH = 1.11
_EDGE_M: list[float] = [h3.average_hexagon_edge_length(res, unit="m") for res in range(16)]

Bucket: TypeAlias = "array[int]"  # array.array takes no subscript at run time before 3.12


def cells_of(lat: Floats, lon: Floats, res: int) -> NDArray[np.uint64]:
    to_cell = h3.latlng_to_cell
    places = zip(lat.tolist(), lon.tolist(), strict=True)
    return np.fromiter((to_cell(a, b, res) for a, b in places), np.uint64, len(lat))


def reach_m(res: int) -> float:
    """No point of a cell of `res` is further than this from the cell's centre."""
    return _MAX_REACH * _EDGE_M[res]


class SpatialIndex:
    def __init__(self) -> None:
        self.fine: dict[int, Bucket] = {}
        self.tiles: dict[int, Bucket] = {}

    def add(self, rows: NDArray[np.int32], lat: Floats, lon: Floats, fine_cells: NDArray[np.uint64]) -> None:
        """`fine_cells`: the stations' cells of FINE_RES, which the caller keeps as well."""
        at = pixels(lat, lon, BUCKET_ZOOM)
        for buckets, keys in (
            (self.fine, fine_cells),
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


def rows_of(buckets: dict[int, Bucket], keys: Iterable[int]) -> NDArray[np.int32]:
    found = [bucket for key in keys if (bucket := buckets.get(key)) is not None]
    return np.frombuffer(b"".join(found), np.int32)
