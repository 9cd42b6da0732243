"""Stations by place: in the order of their H3 cells for aggregates, in the order of their tiles for tiles and boxes.

H3 orders the descendants of a cell together (geo.h3bits), and so do the keys of tiles (geo.tilemath): what lies below a cell of
any resolution, or in a tile of any zoom, is one stretch of the order.
"""

from __future__ import annotations

import h3.api.basic_int as h3
import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo.columns import Rows
from geo.h3bits import Cells, descendant_range
from geo.point import Floats
from geo.sorted_rows import HOLE, SortedRows
from geo.tilemath import Ints, Tile, tile_keys

FINE_RES = 7
TILE_ZOOM = 14  # the deepest one
MANY = 50  # from so many on they are not sorted by insertion

# Over the whole globe, pentagons and face edges included, no boundary vertex was measured further than 1.102 average edge
# lengths from its cell's centre (resolutions 4 to 9).
_MAX_REACH = 1.11
_EDGE_M: list[float] = [h3.average_hexagon_edge_length(res, unit="m") for res in range(16)]


def cells_of(lat: Floats, lon: Floats, res: int) -> NDArray[np.uint64]:
    to_cell = h3.latlng_to_cell
    places = zip(lat.tolist(), lon.tolist(), strict=True)
    return np.fromiter((to_cell(a, b, res) for a, b in places), np.uint64, len(lat))


def reach_m(res: int) -> float:
    """No point of a cell of `res` is further than this from the cell's centre."""
    return _MAX_REACH * _EDGE_M[res]


class SpatialIndex:
    def __init__(self) -> None:
        self.cells: SortedRows[np.uint64] = SortedRows(np.uint64)  # of FINE_RES
        self.tiles: SortedRows[np.int64] = SortedRows(np.int64)  # keys of TILE_ZOOM
        self._found: Rows = np.empty(2048, np.int32)

    def add(self, rows: Rows, cells: Cells, tiles: Ints) -> None:
        """Cells of FINE_RES and keys of tiles of TILE_ZOOM, one a row."""
        self.cells.add(cells, rows)
        self.tiles.add(tiles, rows)

    def remove(self, row: int, cell: int, tile: int) -> None:
        """Raises KeyError for one that is not there."""
        self.cells.remove(cell, row)
        self.tiles.remove(tile, row)

    def in_cells(self, cells: Cells, res: int) -> Rows:
        """All stations below these cells of one resolution, each given once."""
        return self.cells.between(*descendant_range(cells, res, FINE_RES))

    def in_tile(self, tile: Tile, num: Ints) -> Rows:
        """All stations of a tile of at most TILE_ZOOM, by rising `num` (rows,)."""
        key, deeper, (large, small) = tile.key, 2 * (TILE_ZOOM - tile.z), self.tiles.parts()
        first, end = key << deeper, (key + 1) << deeper
        while True:
            count = _in_stretch(*large, *small, first, end, num, self._found)
            if count <= len(self._found):
                return self._found[:count].copy()
            self._found = np.empty(2 * count, np.int32)

    def in_tiles(self, z: int, x: int, y: int, width: int, height: int) -> Rows:
        """All stations in a block of tiles, given by its north-west one."""
        columns, lines = np.meshgrid(np.arange(x, x + width), np.arange(y, y + height))
        keys, deeper = np.sort(tile_keys(z, columns.ravel(), lines.ravel())), 2 * (TILE_ZOOM - z)
        return self.tiles.between(keys << deeper, (keys + 1) << deeper)


# -- compiled ---------------------------------------------------------------------------------------------------------------


@njit(cache=True)
def _in_stretch(
    keys: Ints, rows: Rows, more_keys: Ints, more_rows: Rows, first: int, end: int, num: Ints, found: Rows
) -> int:
    """The rows whose key is from `first` up to below `end`, by rising `num`; returns how many there are, more perhaps than
    there is room for."""
    count = _take(keys, rows, first, end, found, _take(more_keys, more_rows, first, end, found, 0))
    if count > len(found):
        return count
    if count > MANY:
        found[:count] = found[:count][np.argsort(num[found[:count]])]
        return count
    for i in range(1, count):
        row, place = found[i], i
        while place > 0 and num[found[place - 1]] > num[row]:
            found[place] = found[place - 1]
            place -= 1
        found[place] = row
    return count


@njit(cache=True)
def _take(keys: Ints, rows: Rows, first: int, end: int, found: Rows, count: int) -> int:
    for place in range(np.searchsorted(keys, first), len(keys)):
        if keys[place] >= end:
            break
        if rows[place] != HOLE:
            if count < len(found):
                found[count] = rows[place]
            count += 1
    return count
