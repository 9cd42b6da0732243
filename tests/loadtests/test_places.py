"""Where drivers look: as dense as the stations, never twice the same point, equal for equal seeds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from geo.point import LatLon, haversine_m
from geo.tilemath import Tile, tile_of
from loadtests.places import PLACE_ZOOM, Found, Spot, draw, viewports


def town(name: str, lat: float, lon: float, count: int) -> list[Found]:
    return [Found(f"A*B~{name}{i}", lat + i * 1e-5, lon) for i in range(count)]


WORLD = town("large", 48.0, 8.0, 300) + town("middle", 50.0, 10.0, 100) + town("small", 52.0, 12.0, 3)


def test_places_are_drawn_by_their_rank() -> None:
    """Zipf with exponent 1 over three places: 6/11, 3/11, 2/11, however many stations they have."""
    spots = draw(WORLD, 11_000, seed=1)
    names = Counter(spot.station.rstrip("0123456789") for spot in spots)
    assert names["A*B~large"] == pytest.approx(6000, abs=300)
    assert names["A*B~middle"] == pytest.approx(3000, abs=300)
    assert names["A*B~small"] == pytest.approx(2000, abs=300)


def test_points_are_distinct_and_near_their_station() -> None:
    spots = draw(WORLD, 10_000, seed=2)
    assert len({(spot.lat, spot.lon) for spot in spots}) == len(spots)
    at = {one.id: LatLon(one.lat, one.lon) for one in WORLD}
    metres = [haversine_m(at[spot.station], LatLon(spot.lat, spot.lon)) for spot in spots]
    assert np.median(metres) == pytest.approx(700 * 1.18, rel=0.05)  # of a Rayleigh distribution
    assert max(metres) < 5000


def test_all_stations_of_a_place_are_looked_at() -> None:
    assert {spot.station for spot in draw(WORLD, 10_000, seed=3)} == {one.id for one in WORLD}


def test_equal_seeds_draw_equal_places() -> None:
    assert draw(WORLD, 50, seed=1) == draw(WORLD, 50, seed=1) != draw(WORLD, 50, seed=2)


def test_without_stations_there_is_nowhere_to_look() -> None:
    with pytest.raises(ValueError, match="no stations"):
        draw([], 10, seed=1)


@pytest.mark.parametrize(("lat", "lon"), [(89.9, 0.0), (-89.9, 0.0), (0.0, 180.0), (0.0, -180.0), (48.0, 179.99999)])
def test_points_stay_on_the_map(lat: float, lon: float) -> None:
    for spot in draw([Found("A*B~1", lat, lon)], 200, seed=1):
        assert -85 <= spot.lat <= 85
        assert -180 < spot.lon < 180
        tile_of(spot.lat, spot.lon, PLACE_ZOOM)


def test_a_viewport_is_five_tiles_around_the_spot() -> None:
    (view,) = viewports([Spot(48.0, 8.0, "x")])
    own = tile_of(48.0, 8.0, 13)
    assert view[0] == own
    assert set(view) == {own, *(Tile(13, own.x + dx, own.y + dy) for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)))}


@pytest.mark.parametrize(("lat", "lon"), [(85.0511, 0.0), (-85.0511, 0.0), (0.0, -179.99999), (0.0, 179.99999)])
def test_a_viewport_at_the_edge_of_the_map_is_five_tiles_too(lat: float, lon: float) -> None:
    (view,) = viewports([Spot(lat, lon, "x")])
    assert len(set(view)) == 5
    assert all(0 <= tile.x < 8192 and 0 <= tile.y < 8192 for tile in view)
