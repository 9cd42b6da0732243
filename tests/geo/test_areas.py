"""Areas: squares never miss a position of the area, whole squares hold no other."""

from __future__ import annotations

import random

import h3.api.basic_int as h3
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geo.areas import FINEST, MAX_SQUARES, Area, BoxArea, CellsArea, StationsArea
from geo.point import Box
from geo.tilemath import pixels, tile_keys

SPOTS = [(48.85, 2.35), (0.0, 0.0), (52.0, 179.95), (-17.0, -179.9), (89.5, 30.0), (-89.9, -170.0), (85.06, 10.0)]


def squares_of(area: Area, lat: np.ndarray, lon: np.ndarray) -> list[bool | None]:
    at = pixels(lat, lon, area.level)
    return [area.squares.get(key) for key in tile_keys(area.level, at.x, at.y).tolist()]


def check(area: Area, lat: np.ndarray, lon: np.ndarray) -> None:
    inside = area.contains(lat, lon, [""] * len(lat))
    for square, within in zip(squares_of(area, lat, lon), inside.tolist(), strict=True):
        assert not within or square is not None, "a position of the area lies in none of its squares"
        assert not square or within, "a whole square holds a position outside"
    assert 0 <= area.level <= FINEST


def around(rng: random.Random, box: Box, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Positions in and around a box, on its edges and corners too."""
    width = box.east - box.west + (360 if box.west > box.east else 0)
    height = box.north - box.south
    lat = [min(90.0, max(-90.0, box.south + height * rng.uniform(-0.3, 1.3))) for _ in range(n)]
    lon = [(box.west + width * rng.uniform(-0.3, 1.3) + 180) % 360 - 180 for _ in range(n)]
    lat += [box.south, box.north, box.south, box.north]
    lon += [box.west, box.east, box.east, box.west]
    return np.array(lat), np.array(lon)


@given(
    st.floats(-180, 180), st.floats(-90, 90), st.floats(0, 359.9), st.floats(0, 180), st.integers(0, 2**32),
)  # fmt: skip
@example(170.0, -10.0, 20.0, 5.0, 1)  # crosses the antimeridian
@example(-180.0, -90.0, 359.9, 180.0, 1)
@example(0.0, 0.0, 179.99999999999997, 0.0, 0)  # ends where projecting rounds to the antimeridian
@example(100.0, 80.0, 80.0, 10.0, 1)  # ends on the antimeridian, at the pole
def test_a_box(west: float, south: float, width: float, height: float, seed: int) -> None:
    east = west + width
    box = Box.of(west, south, east - 360 if east > 180 else east, min(90.0, south + height))
    area = BoxArea(box)
    assert len(area.squares) <= MAX_SQUARES + 16
    check(area, *around(random.Random(seed), box))


def test_a_viewport_is_covered_by_small_squares_some_of_them_whole() -> None:
    area = BoxArea(Box.of(2.2, 48.8, 2.45, 48.92))
    assert area.level >= 12
    assert any(area.squares.values())
    assert len(area.squares) <= MAX_SQUARES


def test_the_whole_world_is_a_few_squares() -> None:
    area = BoxArea(Box.of(-180.0, -90.0, 180.0, 90.0))
    check(area, np.array([90.0, -90.0, 0.0]), np.array([0.0, 180.0, -180.0]))
    assert len(area.squares) <= MAX_SQUARES


@pytest.mark.parametrize("res", [4, 6, 7, 9])
@pytest.mark.parametrize("spot", SPOTS)
def test_cells(res: int, spot: tuple[float, float]) -> None:
    own = h3.latlng_to_cell(*spot, res)
    cells = h3.grid_disk(own, 1)[:5]
    area = CellsArea(cells)
    rng = random.Random(res)
    lat, lon = [], []
    for cell in cells:
        for a, b in h3.cell_to_boundary(cell):
            centre = h3.cell_to_latlng(cell)
            part = rng.uniform(0.5, 1.2)
            d_lon = (b - centre[1] + 180) % 360 - 180
            lat.append(min(90.0, max(-90.0, centre[0] + part * (a - centre[0]))))
            lon.append((centre[1] + part * d_lon + 180) % 360 - 180)
    a, b = np.array(lat), np.array(lon)
    check(area, a, b)
    inside = area.contains(a, b, [""] * len(a))
    assert inside.any()
    assert inside.tolist() == [h3.latlng_to_cell(x, y, res) in cells for x, y in zip(lat, lon, strict=True)]
    for box, of_res, cell in area.parts():
        mine = [h3.latlng_to_cell(x, y, of_res) == cell for x, y in zip(lat, lon, strict=True)]
        assert all(box.contains(a, b)[mine])


def test_cells_of_several_resolutions() -> None:
    big, small = h3.latlng_to_cell(48.0, 2.0, 5), h3.latlng_to_cell(51.0, 2.0, 8)
    area = CellsArea([big, small])
    lat, lon = np.array([48.0, 51.0, 51.1]), np.array([2.0, 2.0, 2.0])
    assert area.contains(lat, lon, [""] * 3).tolist() == [True, True, False]
    check(area, lat, lon)


def test_stations_are_known_by_key_alone() -> None:
    area = StationsArea(["a~1", "b~2"])
    assert area.squares == {}
    assert area.contains(np.zeros(2), np.zeros(2), ["b~2", "c~3"]).tolist() == [True, False]
