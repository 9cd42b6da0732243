"""Web Mercator tiles: which tile a position belongs to, and which pixel of it.

Formulas: EPSG Guidance Note 7-2, method 1024 (Popular Visualisation Pseudo Mercator), in units of the world's width:

    u = (lon + 180) / 360                    0 at the antimeridian, growing eastwards
    v = 1/2 - asinh(tan(lat)) / 2π           0 at 85.0511° N, growing southwards

Tile (z, x, y) holds x <= u·2^z < x+1 and y <= v·2^z < y+1 (XYZ numbering: y 0 is the northern row).

**Ownership.** A position belongs to exactly one tile per zoom: the floor of its scaled u and v. Scaling by 2^z is
exact in floating point, so the owner at z is the parent of the owner at z + 1 for every position, edges included.
Longitude 180 is -180 (column 0). Beyond ±85.0511° v is clamped: the polar caps belong to the first and the last row.

**Pixels** are those of PostGIS `ST_AsMVTGeom(ST_Transform(geom, 3857), ST_TileEnvelope(z, x, y), 4096, 0, true)`,
which rounds to the *nearest* grid point, halves to even (`rint` in lwgeom_grid_in_place). A position in a tile's last
half pixel thus becomes 4096 there, and PostGIS repeats it as 0 in the next tile. Here it stays with its owner and is
clamped to 4095, less than one pixel off: MapLibre drops points at or beyond the extent, so 4096 would show nowhere.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geo.point import Box

EXTENT = 4096  # tile grid units per side: 0.6 m on the equator at z 14, finer than a register's coordinates
MAX_ZOOM = 30  # tile_key then takes 61 bits and fits a signed 64-bit integer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
IntLike = TypeVar("IntLike", int, Ints)

_BELOW_ONE = np.nextafter(1.0, 0.0)


class Tile(NamedTuple):
    """Numbers as they are in a URL. The constructor checks nothing; `check_tile` is the door."""

    z: int
    x: int
    y: int

    @property
    def key(self) -> int:
        return tile_key(self.z, self.x, self.y)

    @property
    def parent(self) -> Tile:
        """The tile one zoom out that holds this one; the world tile is its own parent."""
        return self if self.z == 0 else Tile(self.z - 1, self.x >> 1, self.y >> 1)

    @property
    def children(self) -> tuple[Tile, Tile, Tile, Tile]:
        """The four tiles one zoom in, in order of their keys."""
        z, x, y = self.z + 1, self.x << 1, self.y << 1
        return (Tile(z, x, y), Tile(z, x + 1, y), Tile(z, x, y + 1), Tile(z, x + 1, y + 1))

    def ancestor(self, z: int) -> Tile:
        """The tile at zoom `z` <= self.z that holds this one."""
        if not 0 <= z <= self.z:
            raise ValueError(f"zoom of an ancestor must be from 0 to {self.z}")
        return Tile(z, self.x >> (self.z - z), self.y >> (self.z - z))


class Pixels(NamedTuple):
    """Owning tiles and positions in them, all of shape (n,); px and py are from 0 to 4095, y grows southwards."""

    x: Ints
    y: Ints
    px: Ints
    py: Ints


def check_tile(z: int, x: int, y: int, max_zoom: int = MAX_ZOOM) -> Tile:
    """The tile of these numbers. Raises ValueError that says what is allowed."""
    if not 0 <= z <= min(max_zoom, MAX_ZOOM):
        raise ValueError(f"z must be from 0 to {min(max_zoom, MAX_ZOOM)}")
    if not (0 <= x < 1 << z and 0 <= y < 1 << z):
        raise ValueError(f"x and y must be from 0 to {(1 << z) - 1} at zoom {z}")
    return Tile(z, x, y)


def world_position(lat: ArrayLike, lon: ArrayLike) -> tuple[Floats, Floats]:
    """(u, v) in [0, 1) of positions in degrees, shape as given. Raises ValueError outside ±90, ±180 and on NaN."""
    phi, lam = np.asarray(lat, np.float64), np.asarray(lon, np.float64)
    # Asked this way round NaN fails too: do not turn it into `(abs(phi) > 90).any()`.
    if not (np.all(np.abs(phi) <= 90.0) and np.all(np.abs(lam) <= 180.0)):
        raise ValueError("latitude must be from -90 to 90, longitude from -180 to 180")
    u = (lam + 180.0) / 360.0
    v = 0.5 - np.arcsinh(np.tan(np.radians(phi))) / (2 * np.pi)
    return u - np.floor(u), np.clip(v, 0.0, _BELOW_ONE)


def world_pixels(u: Floats, v: Floats, z: int) -> Pixels:
    """Owning tiles and pixels at zoom `z` of positions already projected by `world_position`."""
    if not 0 <= z <= MAX_ZOOM:
        raise ValueError(f"z must be from 0 to {MAX_ZOOM}")
    su, sv = u * float(1 << z), v * float(1 << z)
    x, y = np.floor(su), np.floor(sv)
    px, py = np.rint((su - x) * EXTENT), np.rint((sv - y) * EXTENT)
    return Pixels(
        x.astype(np.int64),
        y.astype(np.int64),
        np.minimum(px, EXTENT - 1).astype(np.int64),
        np.minimum(py, EXTENT - 1).astype(np.int64),
    )


def pixels(lat: ArrayLike, lon: ArrayLike, z: int) -> Pixels:
    """Owning tiles and pixels of positions in degrees, shape (n,). 1 million in 0.1 s. Raises ValueError."""
    return world_pixels(*world_position(lat, lon), z)


def tile_of(lat: float, lon: float, z: int) -> Tile:
    """The tile that owns a position. It goes through `pixels`, so that scalar and vector agree to the last bit."""
    at = pixels([lat], [lon], z)
    return Tile(z, int(at.x[0]), int(at.y[0]))


def bounds(tile: Tile) -> Box:
    """West, south, east, north in degrees, without the polar caps that the first and last row own as well."""
    n = float(1 << tile.z)
    # Inverse of v: lat = atan(sinh(π(1 - 2v))), the Gudermannian function.
    south, north = (float(np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * y / n))))) for y in (tile.y + 1, tile.y))
    return Box(tile.x / n * 360 - 180, south, (tile.x + 1) / n * 360 - 180, north)


def tile_key(z: int, x: int, y: int) -> int:
    """One integer per tile: a 1, then the zoom's base-4 quadkey digits (2·bit of y + bit of x, coarsest first).

    The leading 1 tells zooms apart, so keys of all zooms share one dictionary; `key >> 2` is the parent's, and the keys
    of all descendants d zooms in are the range [key << 2d, (key + 1) << 2d).
    """
    return _spread(x) | _spread(y) << 1 | 1 << 2 * z


def tile_keys(z: int, x: Ints, y: Ints) -> Ints:
    """`tile_key` of tiles of one zoom, shape (n,)."""
    return _spread(x) | _spread(y) << 1 | 1 << 2 * z


def tile_of_key(key: int) -> Tile:
    """Inverse of `tile_key`. Raises ValueError if no tile has this key."""
    z, odd = divmod(key.bit_length() - 1, 2)
    if key < 1 or odd or z > MAX_ZOOM:
        raise ValueError("not the key of a tile")
    digits = key ^ 1 << 2 * z
    return Tile(z, _gather(digits), _gather(digits >> 1))


# Interleaving by "magic numbers": S. E. Anderson, Bit Twiddling Hacks, "Interleave bits by Binary Magic Numbers".
_MAGIC = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)


def _spread(bits: IntLike) -> IntLike:
    """Bit i moves to bit 2i, for 31-bit numbers."""
    for shift, mask in _MAGIC:
        bits = (bits | bits << shift) & mask
    return bits


def _gather(bits: int) -> int:
    """Inverse of `_spread`: bit 2i moves to bit i; odd bits are dropped."""
    bits &= _MAGIC[-1][1]
    for (shift, _), (_, mask) in zip(_MAGIC[::-1], (*_MAGIC[-2::-1], (0, 0xFFFFFFFF)), strict=True):
        bits = (bits | bits >> shift) & mask
    return bits
