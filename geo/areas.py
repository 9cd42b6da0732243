"""What a subscriber watches: a box, H3 cells, or single stations; and the squares under which a change finds its watchers.

A square is a map tile of some zoom, named by its key (geo.tilemath.tile_key). An area is covered by few squares of one zoom,
its *level*: fine ones for a street, coarse ones for a country, so that a subscriber costs the same whatever it watches, and a
change at a position looks up one square per level in use.
Invariant: every position in the area lies in one of its squares; positions in a square marked *whole* all lie in the area.
Oracle: `contains`, for random positions (tests/geo/test_areas.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import cos, degrees, radians
from typing import Protocol

import h3.api.basic_int as h3
import numpy as np
from numpy.typing import NDArray

from geo.point import EARTH_RADIUS_M, Box, Floats, LatLon
from geo.spatial import cells_of, reach_m
from geo.tilemath import Tile, bounds, pixels

FINEST = 13  # a square of 3 km at 50° N: a viewport of a phone
MAX_SQUARES = 64
_ALMOST_180 = 179.9999999
EDGE_DEG = 1e-9  # a position this close to a square's edge may be owned by the neighbour, as projecting rounds


class Area(Protocol):
    """Empty `squares`: the area is `keys`, station by station."""

    level: int
    squares: dict[int, bool]  # key of a tile of zoom `level` -> whether all of it is inside
    keys: frozenset[str]

    def contains(self, lat: Floats, lon: Floats, keys: Sequence[str]) -> NDArray[np.bool_]:
        """Which of these stations (positions in degrees (n,), case-folded keys) are watched."""


class BoxArea:
    keys: frozenset[str] = frozenset()

    def __init__(self, box: Box) -> None:
        self.box = box
        self.level, blocks = _cover(box.parts())
        self.squares: dict[int, bool] = {}
        for part, tiles in zip(box.parts(), blocks, strict=True):
            for tile in tiles:
                self.squares[tile.key] = self.squares.get(tile.key, False) or _holds(part, tile)

    def contains(self, lat: Floats, lon: Floats, keys: Sequence[str]) -> NDArray[np.bool_]:
        return self.box.contains(lat, lon)


class CellsArea:
    """Stations whose own H3 cell, at the resolution of one of `cells`, is that cell."""

    keys: frozenset[str] = frozenset()

    def __init__(self, cells: Iterable[int]) -> None:
        self.cells: dict[int, NDArray[np.uint64]] = {}
        for res in sorted({h3.get_resolution(cell) for cell in cells}):
            self.cells[res] = np.array(sorted(c for c in cells if h3.get_resolution(c) == res), np.uint64)
        around = [box for cell in cells for box in _around(cell).parts()]
        self.level, blocks = _cover(around)
        self.squares = dict.fromkeys((tile.key for tiles in blocks for tile in tiles), False)

    def parts(self) -> list[tuple[Box, int, int]]:
        """Of each cell, once: a box that holds every position in it, and more; its resolution; itself."""
        return [(_around(int(cell)), res, int(cell)) for res, cells in self.cells.items() for cell in cells]

    def contains(self, lat: Floats, lon: Floats, keys: Sequence[str]) -> NDArray[np.bool_]:
        return self.holds(len(lat), lambda res: cells_of(lat, lon, res))

    def holds(self, count: int, cells_at: Callable[[int], NDArray[np.uint64]]) -> NDArray[np.bool_]:
        """The same of positions whose cells by resolution are known already."""
        inside = np.zeros(count, np.bool_)
        for res, cells in self.cells.items():
            inside |= np.isin(cells_at(res), cells)
        return inside


class StationsArea:
    level = 0

    def __init__(self, keys: Iterable[str]) -> None:
        self.squares: dict[int, bool] = {}
        self.keys = frozenset(keys)

    def contains(self, lat: Floats, lon: Floats, keys: Sequence[str]) -> NDArray[np.bool_]:
        return np.fromiter((key in self.keys for key in keys), np.bool_, len(keys))


def _cover(parts: Sequence[Box]) -> tuple[int, list[list[Tile]]]:
    """The finest level at which few tiles cover these boxes, none of which crosses the antimeridian; the tiles of each."""
    for level in range(FINEST, -1, -1):
        blocks = [_block(part, level) for part in parts]
        if level == 0 or sum(len(x) * len(y) for x, y in blocks) <= MAX_SQUARES:
            return level, [[Tile(level, x, y) for y in rows for x in columns] for columns, rows in blocks]
    raise AssertionError("level 0 covers everything")


def _block(part: Box, level: int) -> tuple[Sequence[int], Sequence[int]]:
    """Columns and rows of the tiles that a box touches."""
    # Longitude 180, and what projecting rounds to it, is owned by column 0: what stands on the antimeridian itself is there.
    at = pixels([part.north, part.south], [part.west, min(part.east, _ALMOST_180)], level)
    columns: Sequence[int] = range(int(at.x[0]), int(at.x[1]) + 1)
    if part.east > _ALMOST_180 and 0 not in columns:
        columns = [0, *columns]
    return columns, range(int(at.y[0]), int(at.y[1]) + 1)


def _holds(part: Box, tile: Tile) -> bool:
    if tile.y in (0, (1 << tile.z) - 1):
        return False  # these own the polar caps as well
    edge = bounds(tile)
    return (
        part.west + EDGE_DEG <= edge.west
        and edge.east <= part.east - EDGE_DEG
        and part.south + EDGE_DEG <= edge.south
        and edge.north <= part.north - EDGE_DEG
    )


def _around(cell: int) -> Box:
    """A box that holds every point of an H3 cell."""
    centre = LatLon(*h3.cell_to_latlng(cell))
    d_lat = degrees(1.01 * reach_m(h3.get_resolution(cell)) / EARTH_RADIUS_M)
    south, north = max(-90.0, centre.lat - d_lat), min(90.0, centre.lat + d_lat)
    widest = max(abs(south), abs(north))
    if widest > 89.0:
        return Box(-180.0, south, 180.0, north)
    d_lon = d_lat / cos(radians(widest))
    if d_lon >= 180.0:
        return Box(-180.0, south, 180.0, north)
    west, east = centre.lon - d_lon, centre.lon + d_lon
    return Box(west + 360 if west < -180 else west, south, east - 360 if east > 180 else east, north)
