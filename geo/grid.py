"""Positions as the replica keeps them: the world's width in 2^32 parts, 8 bytes a station instead of 16, and tiles and pixels
of any zoom by shifts.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from geo.tilemath import EXTENT, Floats, Ints, tile_keys, world_position

GRID_BITS = 32
_EXTENT_BITS = EXTENT.bit_length() - 1
GRID_MAX_ZOOM = GRID_BITS - _EXTENT_BITS - 2  # two bits below a pixel tell how to round it


def grid_position(lat: ArrayLike, lon: ArrayLike) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """(u, v) in units of 2^-32, rounded to odd: down, and what is not exact gets an odd last bit. So a position takes 8 bytes,
    and `grid_pixel` rounds as `world_pixels` does, since what was cut off can still be told from nothing (S. Boldo,
    G. Melquiond, Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd). Raises ValueError."""
    u, v = (_to_odd(part * float(1 << GRID_BITS)) for part in world_position(lat, lon))
    return u, v


def _to_odd(scaled: Floats) -> NDArray[np.uint32]:
    down = np.floor(scaled)
    odd: NDArray[np.uint32] = down.astype(np.uint32) | (down != scaled).astype(np.uint32)
    return odd


def grid_tile_keys(z: int, grid_x: NDArray[np.uint32], grid_y: NDArray[np.uint32]) -> Ints:
    """Keys of the owning tiles at zoom `z` <= GRID_MAX_ZOOM, shape (n,)."""
    return tile_keys(z, *(part.astype(np.int64) >> GRID_BITS - z for part in (grid_x, grid_y)))


@njit(cache=True)
def grid_pixel(grid: int, z: int) -> int:
    """px, or py, in the owning tile at zoom `z` <= GRID_MAX_ZOOM: what `pixels` gives for the same position."""
    within = GRID_BITS - z
    shift = within - _EXTENT_BITS
    half = 1 << shift - 1
    rest = np.int64(grid) & ((1 << within) - 1)
    pixel, cut = rest >> shift, rest & ((1 << shift) - 1)
    if (cut > half or (cut == half and pixel & 1)) and pixel < EXTENT - 1:  # to the nearest, halves to even
        pixel += 1
    return int(pixel)
