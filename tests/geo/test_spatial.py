"""Stations by place: everywhere, pentagons, face edges and poles included."""

from __future__ import annotations

from random import Random

import h3.api.basic_int as h3
import numpy as np
import pytest

import geo.sorted_rows
from geo.spatial import _EDGE_M, _MAX_REACH, FINE_RES, TILE_ZOOM, SpatialIndex, cells_of
from geo.tilemath import Tile, pixels, tile_keys, tile_of
from tests.geo.model_world import R_M, haversine_m, mercator
from tests.geo.worlds import TORTURE

MANY = 20 if TORTURE else 1
HARD_PLACES: list[tuple[float, float]] = [
    *(h3.cell_to_latlng(cell) for cell in h3.get_pentagons(7)),
    (90.0, 0.0), (-90.0, 0.0), (89.99, 123.0), (0.0, 180.0), (0.0, -180.0), (-16.5, 179.999),
]  # fmt: skip


def destination(lat: float, lon: float, bearing: float, metres: float) -> tuple[float, float]:
    """Where one comes to along a great circle (the textbook's direct problem on the sphere)."""
    phi, lam, d = np.radians(lat), np.radians(lon), metres / R_M
    phi2 = np.arcsin(np.clip(np.sin(phi) * np.cos(d) + np.cos(phi) * np.sin(d) * np.cos(bearing), -1, 1))
    y, x = np.sin(bearing) * np.sin(d) * np.cos(phi), np.cos(d) - np.sin(phi) * np.sin(phi2)
    return float(np.degrees(phi2)), float((np.degrees(lam + np.arctan2(y, x)) + 180) % 360 - 180)


def anywhere(random: Random) -> tuple[float, float]:
    return float(np.degrees(np.arcsin(random.uniform(-1, 1)))), random.uniform(-180, 180)


def somewhere(random: Random) -> tuple[float, float]:
    """Half of the time near one of the hard places."""
    if random.random() < 0.5:
        return anywhere(random)
    lat, lon = random.choice(HARD_PLACES)
    return destination(lat, lon, random.uniform(0, 6.3), random.expovariate(1 / 20_000))


@pytest.mark.parametrize("res", range(4, 11))
def test_the_bounds_of_distortion_hold(res: int) -> None:
    """No cell reaches further than _MAX_REACH edges.

    The extremes are next to the pentagons and where the icosahedron's faces meet: all pentagons' surroundings are looked
    at, and a sample of the rest."""
    random = Random(res)
    cells = {cell for pentagon in h3.get_pentagons(res) for cell in h3.grid_disk(pentagon, 3)}
    cells |= {h3.latlng_to_cell(*anywhere(random), res) for _ in range(1500 * MANY)}
    for cell in cells:
        centre = h3.cell_to_latlng(cell)
        assert max(haversine_m(*centre, *corner) for corner in h3.cell_to_boundary(cell)) <= _MAX_REACH * _EDGE_M[res]


def put(index: SpatialIndex, row: int, at: tuple[float, float]) -> None:
    lat, lon = (np.array([x]) for x in at)
    keys = tile_keys(TILE_ZOOM, *pixels(lat, lon, TILE_ZOOM)[:2])
    index.add(np.array([row], np.int32), cells_of(lat, lon, FINE_RES), keys)


NUM = np.random.default_rng(1).permutation(200)


def take(index: SpatialIndex, row: int, at: tuple[float, float]) -> None:
    index.remove(row, h3.latlng_to_cell(*at, FINE_RES), tile_of(*at, TILE_ZOOM).key)


@pytest.mark.parametrize("small", [1, 10_000])
@pytest.mark.parametrize("seed", range(10 * MANY))
def test_it_finds_what_was_added_and_not_removed(seed: int, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geo.sorted_rows, "SMALL_AT_LEAST", small)
    random = Random(seed)
    index = SpatialIndex()
    index._found = np.empty(1, np.int32)  # it makes room
    there: dict[int, tuple[float, float]] = {}
    for row in range(200):
        if there and random.random() < 0.4:
            gone = random.choice(list(there))
            take(index, gone, there.pop(gone))
        else:
            twin = random.random() < 0.3 and there
            there[row] = random.choice(list(there.values())) if twin else somewhere(random)
            put(index, row, there[row])
        if row % 10:
            continue
        res, z = random.randint(0, FINE_RES), random.randint(0, TILE_ZOOM)
        cell_of = {row: h3.latlng_to_cell(*at, FINE_RES) for row, at in there.items()}
        parents = {row: h3.cell_to_parent(cell, res) for row, cell in cell_of.items()}
        asked = set(random.sample(sorted(set(parents.values())), random.randint(0, len(set(parents.values())))))
        found = index.in_cells(np.array(list(asked), np.uint64), res).tolist()
        assert sorted(found) == sorted(row for row in there if parents[row] in asked)
        for at in list(there.values())[:20]:
            tile = Tile(z, *mercator(*at, z)[:2])
            expected = [row for row, place in there.items() if mercator(*place, z)[:2] == (tile.x, tile.y)]
            assert index.in_tile(tile, NUM).tolist() == sorted(expected, key=NUM.__getitem__)
    for row, at in there.items():
        take(index, row, at)
    assert len(index.in_tile(Tile(0, 0, 0), NUM)) == 0
    with pytest.raises(KeyError):
        take(index, 1, (48.0, 2.0))


def test_a_block_of_tiles_gives_its_stations() -> None:
    random = Random(7)
    places = [destination(48.8566, 2.3522, random.uniform(0, 6.3), random.uniform(0, 60_000)) for _ in range(300)]
    index = SpatialIndex()
    for row, place in enumerate(places):
        put(index, row, place)
    for z in (9, 11, 14):
        at = mercator(48.8566, 2.3522, z)
        for width, height in ((1, 1), (2, 1), (1, 3), (5, 4)):
            block = {(at.x + i, at.y + j) for i in range(width) for j in range(height)}
            expected = {row for row, place in enumerate(places) if mercator(*place, z)[:2] in block}
            found = index.in_tiles(z, at.x, at.y, width, height).tolist()
            assert sorted(found) == sorted(expected)


def test_nothing_is_nowhere() -> None:
    assert len(SpatialIndex().in_tiles(11, 0, 0, 3, 3)) == 0
