"""Positions, boxes and metres: the only door for coordinates, and two ways to measure that must agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geo.point import (
    EARTH_RADIUS_M,
    Box,
    CoordinateError,
    LatLon,
    haversine_m,
    unit_vectors,
)  # fmt: skip
from tests.geo import model_world

lats, lons = st.floats(-90, 90), st.floats(-180, 180)
points = st.builds(LatLon, lats, lons)
NOT_NUMBERS = (math.nan, math.inf, -math.inf)


@pytest.mark.parametrize("lat", [-90.0, 90.0, 0.0, -0.0])
@pytest.mark.parametrize("lon", [-180.0, 180.0, 0.0])
def test_the_ends_of_the_ranges_are_positions(lat: float, lon: float) -> None:
    assert LatLon.of(lat, lon) == (lat, lon)


@pytest.mark.parametrize("lat", [math.nextafter(90, 91), math.nextafter(-90, -91), 1e300, *NOT_NUMBERS])
def test_a_latitude_out_of_range_says_what_is_allowed(lat: float) -> None:
    with pytest.raises(CoordinateError, match="latitude must be a number from -90 to 90"):
        LatLon.of(lat, 0.0)
    for box in ((0.0, lat, 1.0, 1.0), (0.0, 0.0, 1.0, lat)):
        with pytest.raises(CoordinateError, match="latitude"):
            Box.of(*box)


@pytest.mark.parametrize("lon", [math.nextafter(180, 181), math.nextafter(-180, -181), 1e300, *NOT_NUMBERS])
def test_a_longitude_out_of_range_says_what_is_allowed(lon: float) -> None:
    with pytest.raises(CoordinateError, match="longitude must be a number from -180 to 180"):
        LatLon.of(0.0, lon)
    for box in ((lon, 0.0, 1.0, 1.0), (0.0, 0.0, lon, 1.0)):
        with pytest.raises(CoordinateError, match="longitude"):
            Box.of(*box)


def test_a_box_stands_upright() -> None:
    with pytest.raises(CoordinateError, match="south must not exceed north"):
        Box.of(0.0, 1.0, 1.0, 0.0)
    assert Box.of(1.0, 1.0, 1.0, 1.0).area_deg2 == 0.0


edge_lons = st.sampled_from((-180.0, 180.0, 179.5, -179.5, 0.0)) | lons


@given(edge_lons, edge_lons, edge_lons, lats)
@example(-180.0, 180.0, 180.0, 0.0)
@example(180.0, 180.0, -180.0, 0.0)
@example(-180.0, -180.0, 180.0, 0.0)
@example(180.0, -180.0, 180.0, 0.0)
def test_a_box_holds_what_lies_east_of_its_west_and_west_of_its_east(
    west: float, east: float, lon: float, lat: float
) -> None:
    """Once around the globe from west to east; ±180 are one meridian."""
    box = Box.of(west, -90.0, east, 90.0)
    span = east - west if west <= east else east - west + 360
    away = {(turn + lon - west) for turn in (-360, 0, 360)}
    near_edge = any(abs(d) < 1e-9 or abs(d - span) < 1e-9 for d in away)
    inside = any(0 <= d <= span for d in away)
    held = bool(box.contains(np.array([lat]), np.array([lon]))[0])
    if not near_edge:
        assert held == inside
    elif any(lon == edge or abs(lon) == abs(edge) == 180.0 for edge in (west, east)):
        assert held
    assert any(bool(part.contains(np.array([lat]), np.array([lon]))[0]) for part in box.parts()) == held


@given(lons, lons)
def test_the_parts_of_a_box_are_boxes_that_do_not_cross(west: float, east: float) -> None:
    box = Box.of(west, -1.0, east, 1.0)
    assert all(part.west <= part.east for part in box.parts())
    assert sum(part.area_deg2 for part in box.parts()) == pytest.approx(box.area_deg2)
    assert 0 <= box.area_deg2 <= 720


@given(points, points)
@example(LatLon(90, 0), LatLon(-90, 0))
@example(LatLon(0, -180), LatLon(0, 180))
@example(LatLon(45, 10), LatLon(-45, -170))
@example(LatLon(0.1, 0), LatLon(-0.1, 180))
def test_metres_by_haversine_are_those_of_the_textbook(a: LatLon, b: LatLon) -> None:
    expected = model_world.haversine_m(*a, *b)
    # Towards the antipodes asin loses digits; nobody asks for more than 200 km.
    assert haversine_m(a, b) == pytest.approx(expected, abs=1e-6 if expected < 1e7 else 1.0)
    assert haversine_m(a, b) == haversine_m(b, a)


@given(points, st.floats(-1e-6, 1e-6), st.floats(-1e-6, 1e-6))
def test_a_few_centimetres_are_told_to_a_hundredth_of_a_millimetre(a: LatLon, up: float, east: float) -> None:
    b = LatLon(min(90.0, max(-90.0, a.lat + up)), min(180.0, max(-180.0, a.lon + east)))
    expected = model_world.haversine_m(*a, *b)
    assert haversine_m(a, b) == pytest.approx(expected, abs=1e-6)


def test_known_distances() -> None:
    quarter = EARTH_RADIUS_M * math.pi / 2
    assert haversine_m(LatLon(0, 0), LatLon(90, 123)) == pytest.approx(quarter)
    assert haversine_m(LatLon(0, 179.5), LatLon(0, -179.5)) == pytest.approx(quarter / 90)
    assert haversine_m(LatLon(0, 0), LatLon(0, 180)) == pytest.approx(2 * quarter)
    assert haversine_m(LatLon(48.8566, 2.3522), LatLon(52.52, 13.405)) == pytest.approx(877_464, abs=20)


@given(st.lists(st.tuples(lats, lons), min_size=1, max_size=20))
def test_unit_vectors_are_of_length_one_and_as_far_apart_as_their_places(some: list[tuple[float, float]]) -> None:
    lat, lon = np.array(some).T
    vectors = unit_vectors(lat, lon)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=0, atol=1e-15)
    chords = np.linalg.norm(vectors - vectors[0], axis=1)
    metres = 2 * EARTH_RADIUS_M * np.arcsin(np.minimum(chords / 2, 1.0))  # the haversine's own identity
    assert np.allclose(metres, [model_world.haversine_m(*some[0], *one) for one in some], rtol=0, atol=1.0)
