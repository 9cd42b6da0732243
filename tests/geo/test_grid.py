"""Positions in 2^32 parts tell the same tiles and pixels as those in degrees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geo.grid import GRID_MAX_ZOOM, grid_pixel, grid_position, grid_tile_keys
from geo.tilemath import EXTENT, Pixels, pixels, tile_keys


@given(
    st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=20),
    st.integers(0, GRID_MAX_ZOOM),
)
@example([(0.0, 0.0), (-1e-9, 180.0), (90.0, -180.0)], GRID_MAX_ZOOM)
def test_the_grid_tells_the_same_tiles_and_pixels(places: list[tuple[float, float]], z: int) -> None:
    lat, lon = np.array(places).T
    assert_on_grid(pixels(lat, lon, z), grid_position(lat, lon), z)


@pytest.mark.parametrize("z", range(GRID_MAX_ZOOM + 1))
def test_the_grid_rounds_halves_as_positions_do(z: int) -> None:
    """Longitudes whose u·2^z·4096 is a half or next to one: rounding twice would go wrong there."""
    halves = (np.arange(64.0) + 0.5) / (EXTENT << z)
    u = np.concatenate(
        [halves, *(np.nextafter(halves, end) for end in (0.0, 1.0)), halves + 2.0**-40, halves - 2.0**-40]
    )
    lon = u * 360.0 - 180.0
    assert_on_grid(pixels(np.zeros(len(u)), lon, z), grid_position(np.zeros(len(u)), lon), z)
    exact = grid_position(np.zeros(64), np.arange(64) * 0.703125 / 8 - 180.0)[0]  # multiples of 2^-12
    assert exact.tolist() == [k << 20 for k in range(64)]


def assert_on_grid(at: Pixels, grid: tuple[NDArray[np.uint32], NDArray[np.uint32]], z: int) -> None:
    assert grid_tile_keys(z, *grid).tolist() == tile_keys(z, at.x, at.y).tolist()
    assert [[grid_pixel(one, z) for one in part] for part in grid] == [at.px.tolist(), at.py.tolist()]
