"""Where the roads mix can take place: beside the roads of the target's graph.

Its `bounds` are wider than that: an extract's motorways go on where its streets end. So tiles tell where there are roads, and a
route whether one gets from there to the station.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from geo.tilemath import Tile, pixels
from loadtests import places
from loadtests import survey as surveys
from loadtests.http1 import HttpError
from loadtests.lean import Connection, Target
from loadtests.options import Options
from loadtests.places import VIEW_ZOOM, Found, Spot
from loadtests.session import JSON, describe
from loadtests.survey import SurveyError

TILEJSON, ROUTE = "/v1/tiles/roads.json", "/v1/route"
MOST_PLACES = 1000  # each is tried: some 10 ms of the target's time
MOST_TILES = 2000  # those with the most stations
NEAR_ROAD_M = 1000.0  # from a position to where its route meets it; the service does not drive to stations farther off
LINES = 200
OTHERS = 20  # that a line could lead to, of which it takes the nearest …
LEAST_LINE_M = 3000.0  # … that is not nearer than this


class Bounds(NamedTuple):
    """Degrees."""

    west: float
    south: float
    east: float
    north: float

    def has(self, one: Found) -> bool:
        return self.west <= one.lon <= self.east and self.south <= one.lat <= self.north


def road_tile_path(tile: Tile) -> str:
    return f"/v1/tiles/roads/{tile.z}/{tile.x}/{tile.y}.mvt"


def find(target: Target, options: Options, most: int = MOST_PLACES) -> dict[str, Any] | None:
    """`spots`, and `lines` as encoded polylines. None: the target has no roads, or no stations beside them. Raises
    SurveyError."""
    if (bounds := _bounds(target)) is None:
        return None
    box = ",".join(f"{side:.6f}" for side in bounds) if options.bbox == surveys.WORLD else options.bbox
    found = [one for one in surveys.stations(target, box, options.survey_stations) if bounds.has(one)]
    if not (beside := _beside_roads(target, found)):
        return None
    spots = _reached(target, places.draw(beside, min(options.points, most), options.seed))
    if not spots or not (lines := _lines(target, spots, options.seed)):
        return None
    return {"spots": [tuple(spot) for spot in spots], "lines": lines}


def _bounds(target: Target) -> Bounds | None:
    connection = Connection(target)
    try:
        status = connection.ask(target.request(TILEJSON, encoding="identity"))
        if status in (404, 503):  # made before there were roads; has none
            return None
        if status != 200:
            raise SurveyError(f"{TILEJSON} answered {status}")
        return Bounds(*map(float, surveys.json_of(connection)["bounds"]))
    except (LookupError, TypeError, ValueError):
        raise SurveyError(f"{TILEJSON} tells no bounds") from None
    except (HttpError, OSError) as error:
        raise SurveyError(f"{TILEJSON}: {describe(error)}") from None
    finally:
        connection.close()


def _beside_roads(target: Target, stations: Sequence[Found]) -> list[Found]:
    """Those in whose tile there are roads."""
    if not stations:
        return []
    at = pixels([one.lat for one in stations], [one.lon for one in stations], VIEW_ZOOM)
    tiles = [Tile(VIEW_ZOOM, x, y) for x, y in zip(at.x.tolist(), at.y.tolist(), strict=True)]
    paved: set[Tile] = set()

    def look(connection: Connection, tile: Tile) -> None:
        path = road_tile_path(tile)
        try:
            status = connection.ask(target.request(path, encoding="identity"))
        except (HttpError, OSError) as error:
            raise SurveyError(f"{path}: {describe(error)}") from None
        if status not in (200, 404):
            raise SurveyError(f"{path} answered {status}")
        if status == 200 and connection.length:
            paved.add(tile)

    surveys.for_each(target, [tile for tile, _ in Counter(tiles).most_common(MOST_TILES)], look)
    return [one for one, tile in zip(stations, tiles, strict=True) if tile in paved]


def _reached(target: Target, spots: Sequence[Spot]) -> list[Spot]:
    """Those from which a road leads to their station."""
    asked = [({"lat": spot.lat, "lon": spot.lon}, {"station": spot.station}) for spot in spots]
    told = _routes(target, asked)
    return [
        spot
        for k, spot in enumerate(spots)
        if k in told and all(one["to_road_m"] <= NEAR_ROAD_M for one in told[k]["waypoints"])
    ]


def _lines(target: Target, spots: Sequence[Spot], seed: int) -> list[str]:
    """Ways from spot to spot, as a navigation system would have them."""
    asked = [tuple({"lat": spot.lat, "lon": spot.lon} for spot in pair) for pair in pairs(spots, LINES, seed)]
    told = _routes(target, asked)
    return [told[k]["routes"][0]["geometry"] for k in sorted(told)]


def _routes(target: Target, asked: Sequence[Sequence[Mapping[str, object]]]) -> dict[int, Any]:
    """The answers by number, of those to which there is a way. Raises SurveyError."""
    told: dict[int, Any] = {}

    def ask(connection: Connection, k: int) -> None:
        body = json.dumps({"waypoints": asked[k], "maneuvers": False}).encode()
        try:
            status = connection.ask(target.request(ROUTE, "POST", body, encoding="identity", Content_Type=JSON))
        except (HttpError, OSError) as error:
            raise SurveyError(f"{ROUTE}: {describe(error)}") from None
        if status == 200:
            told[k] = surveys.json_of(connection)
        elif status != 422:
            raise SurveyError(f"{ROUTE} answered {status}: {connection.body()[:200].decode(errors='replace')}")

    surveys.for_each(target, range(len(asked)), ask)
    return told


def pairs(spots: Sequence[Spot], count: int, seed: int) -> list[tuple[Spot, Spot]]:
    """Two different spots each, some kilometres apart where there are such."""
    if len(spots) < 2:
        return []
    rng = np.random.default_rng(seed)
    lat, lon = (np.radians([getattr(spot, name) for spot in spots]) for name in ("lat", "lon"))
    found = []
    for begin in rng.integers(len(spots), size=count).tolist():
        others = (begin + rng.integers(1, len(spots), size=OTHERS)) % len(spots)
        east = (lon[others] - lon[begin]) * np.cos(lat[begin])
        metres = 6_371_009.0 * np.hypot(lat[others] - lat[begin], east)
        far = metres >= LEAST_LINE_M
        end = others[np.argmin(np.where(far, metres, np.inf)) if far.any() else np.argmax(metres)]
        found.append((spots[begin], spots[int(end)]))
    return found
