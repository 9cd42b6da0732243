"""Tiles: every position is in exactly one per zoom, and its pixel is PostGIS's."""

from __future__ import annotations

import asyncpg
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geo.tilemath import (
    EXTENT,
    MAX_ZOOM,
    Tile,
    bounds,
    check_tile,
    pixels,
    tile_key,
    tile_keys,
    tile_of,
    tile_of_key,
    world_pixels,
)

LIMIT_LAT = 85.0511287798066  # atan(sinh(π)): where Web Mercator's square world ends

lats = st.floats(-90, 90)
lons = st.floats(-180, 180)
zooms = st.integers(0, 24)
tiles = zooms.flatmap(lambda z: st.builds(Tile, st.just(z), st.integers(0, (1 << z) - 1), st.integers(0, (1 << z) - 1)))


@given(lats, lons, zooms)
@example(90.0, 180.0, 24)
@example(-90.0, -180.0, 24)
@example(LIMIT_LAT, np.nextafter(180, 0), 24)
def test_a_position_lies_within_the_bounds_of_its_tile(lat: float, lon: float, z: int) -> None:
    tile = tile_of(lat, lon, z)
    assert check_tile(*tile) == tile
    west, south, east, north = bounds(tile)
    # Longitudes this near to 180 round to 180, which is -180: the same meridian.
    assert west - 1e-9 <= lon <= east + 1e-9 or (tile.x == 0 and lon > 180 - 1e-9)
    assert south - 1e-9 <= np.clip(lat, -LIMIT_LAT, LIMIT_LAT) <= north + 1e-9


@given(lats, lons, st.integers(1, 24))
@example(0.0, 0.0, 1)
@example(LIMIT_LAT, 90.0, 1)
def test_the_owner_at_one_zoom_is_the_parent_of_the_owner_at_the_next(lat: float, lon: float, z: int) -> None:
    assert tile_of(lat, lon, z).parent == tile_of(lat, lon, z - 1)
    assert tile_of(lat, lon, z).ancestor(0) == Tile(0, 0, 0)


@given(tiles)
def test_the_north_west_corner_of_a_tile_and_its_middle_are_its_own(tile: Tile) -> None:
    n = float(1 << tile.z)
    corner = world_pixels(np.array([tile.x / n]), np.array([tile.y / n]), tile.z)
    assert [int(column[0]) for column in corner] == [tile.x, tile.y, 0, 0]
    middle = world_pixels(np.array([(tile.x + 0.5) / n]), np.array([(tile.y + 0.5) / n]), tile.z)
    assert [int(column[0]) for column in middle] == [tile.x, tile.y, EXTENT // 2, EXTENT // 2]
    west, south, east, north = bounds(tile)
    assert tile_of((south + north) / 2, (west + east) / 2, tile.z) == tile


@given(tiles)
def test_four_children_fill_their_parent(tile: Tile) -> None:
    assert {child.parent for child in tile.children} == {tile}
    assert [child.key for child in tile.children] == [tile.key << 2 | digit for digit in range(4)]
    west, south, east, north = bounds(tile)
    boxes = [bounds(child) for child in tile.children]
    assert min(b.west for b in boxes) == pytest.approx(west, abs=1e-9)
    assert max(b.east for b in boxes) == pytest.approx(east, abs=1e-9)
    assert min(b.south for b in boxes) == pytest.approx(south, abs=1e-9)
    assert max(b.north for b in boxes) == pytest.approx(north, abs=1e-9)
    assert sum(b.area_deg2 for b in boxes) == pytest.approx((east - west) * (north - south))


@given(tiles)
def test_a_key_tells_its_tile(tile: Tile) -> None:
    assert tile_of_key(tile.key) == tile
    assert tile_key(*tile) == tile_keys(tile.z, np.array([tile.x]), np.array([tile.y]))[0]


def test_the_deepest_key_fits_a_signed_64_bit_integer() -> None:
    last = (1 << MAX_ZOOM) - 1
    assert tile_of_key(tile_key(MAX_ZOOM, last, last)) == Tile(MAX_ZOOM, last, last)
    assert tile_keys(MAX_ZOOM, np.array([last]), np.array([last]))[0] == tile_key(MAX_ZOOM, last, last) < 1 << 63


@given(st.integers(-4, 1 << 70))
def test_any_integer_is_a_key_or_refused(key: int) -> None:
    try:
        tile = tile_of_key(key)
    except ValueError:
        return
    assert check_tile(*tile).key == key


@given(lons, zooms)
def test_the_polar_caps_belong_to_the_edge_rows(lon: float, z: int) -> None:
    at = pixels([90.0, 85.06, -85.06, -90.0], [lon] * 4, z)
    last = (1 << z) - 1
    assert at.y.tolist() == [0, 0, last, last]
    assert at.py.tolist() == [0, 0, EXTENT - 1, EXTENT - 1]


@given(lats, zooms)
def test_longitude_180_is_minus_180(lat: float, z: int) -> None:
    at = pixels([lat, lat], [180.0, -180.0], z)
    assert at.x.tolist() == [0, 0]
    assert at.px.tolist() == [0, 0]
    assert tile_of(lat, 179.999999, z).x == (1 << z) - 1


def test_a_position_in_the_last_half_pixel_stays_in_its_tile() -> None:
    """PostGIS gives it the pixel 4096, which MapLibre does not draw."""
    at = pixels([0.0, 0.0], [-1e-9, 0.0], 1)
    assert at.x.tolist() == [0, 1]
    assert at.px.tolist() == [4095, 0]


@pytest.mark.parametrize(
    "lat, lon", [(90.1, 0), (-91, 0), (0, 180.5), (0, -181), (np.nan, 0), (0, np.nan), (np.inf, 0)]
)
def test_a_position_out_of_range_is_refused(lat: float, lon: float) -> None:
    with pytest.raises(ValueError, match="latitude must be from -90 to 90"):
        pixels([1.0, lat], [1.0, lon], 5)


@pytest.mark.parametrize("z, x, y", [(-1, 0, 0), (15, 0, 0), (3, 8, 0), (3, 0, 8), (3, -1, 0), (0, 0, 1)])
def test_a_tile_that_does_not_exist_is_refused(z: int, x: int, y: int) -> None:
    with pytest.raises(ValueError, match="must be from 0 to"):
        check_tile(z, x, y, max_zoom=14)


def test_no_positions_have_no_pixels() -> None:
    assert [len(column) for column in pixels([], [], 14)] == [0, 0, 0, 0]


async def test_pixels_equal_those_of_postgis(database_url: str) -> None:
    """Random, dense, decimal and corner positions. Only what PostGIS calls 4096 is 4095 here, by design."""
    r = np.random.default_rng(7)
    spread = np.stack((r.uniform(-85, 85, 4000), r.uniform(-180, 180, 4000)))
    city = np.stack((r.normal(48.85, 0.05, 4000), r.normal(2.35, 0.05, 4000))).round(5)
    grid = np.stack((r.integers(-85, 86, 1000), r.integers(-180, 180, 1000)))
    corners = np.array([(box.north, box.west) for box in (bounds(Tile(11, x, 700)) for x in range(0, 2048, 9))]).T
    lat, lon = np.concatenate((spread, city, grid, corners), axis=1).astype(float)
    connection = await asyncpg.connect(database_url)
    clamped = 0
    try:
        for z in (0, 1, 5, 10, 11, 12, 13, 14):
            ours = pixels(lat, lon, z)
            rows = await connection.fetch(
                """SELECT coalesce(ST_X(p), -1) AS px, coalesce(ST_Y(p), -1) AS py
                   FROM unnest($2::float8[], $3::float8[], $4::int[], $5::int[])
                        WITH ORDINALITY AS t(lat, lon, x, y, i),
                   ST_AsMVTGeom(ST_Transform(ST_SetSRID(ST_Point(lon, lat), 4326), 3857), ST_TileEnvelope($1, x, y),
                                4096, 0, true) AS p ORDER BY i""",
                z, lat.tolist(), lon.tolist(), ours.x.tolist(), ours.y.tolist(),
            )  # fmt: skip
            theirs = np.array([(row["px"], row["py"]) for row in rows])
            clamped += int((theirs == EXTENT).sum())
            differ = (np.minimum(theirs, EXTENT - 1) != np.stack((ours.px, ours.py), axis=1)).any(axis=1)
            assert not differ.any(), f"zoom {z}: {[(lat[i], lon[i]) for i in np.flatnonzero(differ)[:5]]}"
    finally:
        await connection.close()
    assert clamped > 0  # the rule of the last half pixel was put to the test
