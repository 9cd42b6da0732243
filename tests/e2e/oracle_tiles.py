"""What a vector tile has to hold: own Web Mercator for the tile, PostGIS for the place in it, own sums for the cells.

A station belongs to the tile that owns its position, an H3 cell to the tile that owns its centre. Within the tile the
position is ST_AsMVTGeom's, save the edge rule of geo/tilemath.py: what PostGIS rounds to 4096 stays at 4095.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import floor, log, pi, radians, tan
from typing import Any, NamedTuple

import asyncpg
import h3.api.basic_int as h3
import mapbox_vector_tile

from geo.aggregates import RES_OF_ZOOM
from geo.mvt import NUMBERS
from tests.e2e.oracle import Oracle, Shown, View

EXTENT = 4096
STATION_ZOOMS = range(11, 15)
AGGREGATE_ZOOMS = range(11)
BASE_RES = max(RES_OF_ZOOM)
CLASSES = {"available": "free", "busy": "busy", "out_of_service": "out_of_service", "unknown": "unknown"}
STATUS_CODES = {"unknown": 0, "free": 1, "busy": 2, "out_of_service": 3}

Props = dict[str, int]
Features = dict[int, tuple[int, int, Props]]
"""By id: position in the tile, y growing southwards, and properties."""


class Tile(NamedTuple):
    z: int
    x: int
    y: int

    @property
    def path(self) -> str:
        return f"/v1/tiles/stations/{self.z}/{self.x}/{self.y}.mvt"


class Spot(NamedTuple):
    tile: Tile
    px: int
    py: int


@dataclass(eq=False)
class TileOracle:
    """Of one set of stations; statuses and filters come with each question."""

    stations: dict[int, dict[int, Spot]]  # zoom -> num -> where
    cells: dict[int, dict[int, Spot]]  # zoom -> cell -> where its centre is
    base: dict[int, int]  # num -> cell of BASE_RES

    @classmethod
    async def of(cls, oracle: Oracle, database_url: str) -> TileOracle:
        places = oracle.published.values()
        base = {place.num: h3.latlng_to_cell(place.lat, place.lon, BASE_RES) for place in places}
        wanted: list[tuple[int, int, float, float, Tile]] = []  # zoom, id, lat, lon, owner
        for z in STATION_ZOOMS:
            wanted += [(z, p.num, p.lat, p.lon, owner(p.lat, p.lon, z)) for p in places]
        for z in AGGREGATE_ZOOMS:
            for cell in {h3.cell_to_parent(cell, RES_OF_ZOOM[z]) for cell in base.values()}:
                lat, lon = h3.cell_to_latlng(cell)
                wanted.append((z, cell, lat, lon, owner(lat, lon, z)))
        connection = await asyncpg.connect(database_url)
        try:
            rows = await connection.fetch(
                "SELECT ST_X(at) AS px, ST_Y(at) AS py FROM (SELECT ord, ST_AsMVTGeom("
                "    ST_Transform(ST_SetSRID(ST_MakePoint(lon, lat), 4326), 3857), ST_TileEnvelope(z, x, y), 4096, 0, true"
                ") AS at FROM unnest($1::float8[], $2::float8[], $3::int[], $4::int[], $5::int[]) WITH ORDINALITY"
                " AS q (lat, lon, z, x, y, ord)) AS found ORDER BY ord",
                [lat for _, _, lat, _, _ in wanted],
                [lon for _, _, _, lon, _ in wanted],
                *([tile[k] for *_, tile in wanted] for k in range(3)),
            )
        finally:
            await connection.close()
        spots: dict[int, dict[int, Spot]] = defaultdict(dict)
        for (z, which, _, _, tile), row in zip(wanted, rows, strict=True):
            spots[z][which] = Spot(tile, *(min(int(row[name]), EXTENT - 1) for name in ("px", "py")))
        return cls({z: spots[z] for z in STATION_ZOOMS}, {z: spots[z] for z in AGGREGATE_ZOOMS}, base)

    def tiles(self, z: int) -> set[Tile]:
        """All tiles of a zoom that hold anything."""
        return {spot.tile for spot in (self.stations if z in STATION_ZOOMS else self.cells)[z].values()}

    def expected(self, view: View, z: int) -> dict[Tile, Features]:
        """Every tile of a zoom that has features under a filter."""
        found: dict[Tile, Features] = defaultdict(dict)
        if z in STATION_ZOOMS:
            for num, shown in view.shown.items():
                spot = self.stations[z][num]
                found[spot.tile][num] = (spot.px, spot.py, station_props(shown))
            return found
        members: dict[int, list[Shown]] = defaultdict(list)
        for num, shown in view.shown.items():
            members[h3.cell_to_parent(self.base[num], RES_OF_ZOOM[z])].append(shown)
        for cell, stations in members.items():
            spot = self.cells[z][cell]
            found[spot.tile][cell & (1 << 52) - 1] = (spot.px, spot.py, cell_props(stations))
        return found


def owner(lat: float, lon: float, z: int) -> Tile:
    """The tile that holds a position: Web Mercator by the textbook's logarithm, caps beyond the square clamped."""
    n = 1 << z
    u = (lon + 180) / 360 % 1.0
    v = 0.5 - log(tan(pi / 4 + radians(lat) / 2)) / (2 * pi) if abs(lat) < 89.9 else float(lat < 0)
    return Tile(z, floor(u * n), min(max(floor(v * n), 0), n - 1))


def station_props(shown: Shown) -> Props:
    counts = {told: shown.counts[ours] for ours, told in CLASSES.items()}
    best = next((name for name in ("free", "busy", "out_of_service") if counts[name]), "unknown")
    props = counts | {"total": shown.counts["total"], "kw": floor(shown.max_kw), "status": STATUS_CODES[best]}
    return {name: stepped(value) for name, value in props.items()}


def stepped(value: int) -> int:
    """Exact below 100, then rounded down to one of the dictionary's steps."""
    return value if value < 100 else max(step for step in NUMBERS if step <= value)


def cell_props(stations: list[Shown]) -> Props:
    props: Props = {told: sum(s.counts[ours] for s in stations) for ours, told in CLASSES.items()}
    props |= {"count": len(stations), "max_kw": floor(max(s.max_kw for s in stations))}
    free = [s for s in stations if s.counts["available"]]
    if free:
        best = min(free, key=lambda s: (-s.max_kw, s.place.num))
        props |= {"best_id": best.place.num, "best_kw": floor(best.max_kw)}
    return props


def decoded(body: bytes, z: int) -> Features:
    """A tile's features as mapbox-vector-tile reads them. AssertionError unless it is the one layer of its zoom."""
    if not body:
        return {}
    return features_of(mapbox_vector_tile.decode(body, default_options={"y_coord_down": True}), z)


def features_of(layers: dict[str, Any], z: int) -> Features:
    assert list(layers) == ["stations" if z in STATION_ZOOMS else "aggregates"]
    (layer,) = layers.values()
    assert (layer["extent"], layer["version"]) == (EXTENT, 2)
    found: Features = {}
    for feature in layer["features"]:
        geometry = feature["geometry"]
        assert geometry["type"] == "Point"
        found[feature["id"]] = (*geometry["coordinates"], feature["properties"])
    assert len(found) == len(layer["features"]), "an id stands twice"
    return found
