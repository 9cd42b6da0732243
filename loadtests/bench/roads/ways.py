"""Routes, stations along a line, reachable areas and tiles of roads, beside what Valhalla itself takes for the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import orjson

from geo.corridor import beside
from geo.tilemath import Tile, tile_of
from loadtests.bench.questions import Point
from loadtests.bench.results import Result
from loadtests.bench.roads import oracle, valhalla
from loadtests.bench.roads.asking import Contender, Question, in_turns, post
from loadtests.bench.roads.oracle import LIMIT
from loadtests.bench.roads.stand import Stand
from loadtests.bench.snapshot import Ints

ASIDE_M, DETOUR_S = 1_000, 600  # in a town; the service's own defaults are of a motorway
DEFAULT_ASIDE_M = 5_000
MOST_ALONG = 60  # stations that one answer may hold
HEADING_M, HEADING_TOLERANCE_DEG = 30.0, 60  # as mapsvc/roads/along.py has them
WINDOW_M = 15_000.0  # lines up to this length have one detour for each station, from end to end
MINUTES = 15
TILE_ZOOM = 14

Heed = Callable[[int, Mapping[str, bytes]], None]


def measure(stand: Stand, result: Result) -> None:
    ways = list(zip(stand.origins, [*stand.origins[1:], stand.origins[0]], strict=True))
    lines = _routes(stand, result, ways)
    _along(stand, result, lines)
    _areas(stand, result)
    _tiles(stand, result)


def _routes(stand: Stand, result: Result, ways: Sequence[tuple[Point, Point]]) -> list[str]:
    """The lines of the routes, of which some are compared along the way."""
    places = [[{"lat": lat, "lon": lon} for lat, lon in way] for way in ways]
    ours = Contender("ours, a route through the town", stand.ours, [post("/v1/route", waypoints=way) for way in places])
    theirs = Contender("Valhalla's route", stand.direct, [valhalla.route(way) for way in places])
    lines: list[str] = []

    def heed(_: int, answers: Mapping[str, bytes]) -> None:
        oracle.check_route(ours.name, answers[ours.name], answers[theirs.name])
        lines.append(orjson.loads(answers[ours.name])["routes"][0]["geometry"])

    _told(stand, result, [ours, theirs], heed)
    result.check(f"{len(lines)} routes, each with the time and the line of Valhalla's", stand.say)
    return lines


def _along(stand: Stand, result: Result, lines: Sequence[str]) -> None:
    checked = [
        line for line in lines if oracle.line_of(line).length_m <= WINDOW_M and len(_beside(stand, line)) <= MOST_ALONG
    ]
    checked = checked[: max(1, stand.scale.sample // 5)]
    stations = sum(_check_along(stand, line) for line in checked)
    result.check(
        f"{stations} detours along {len(checked)} of the routes equal to those of Valhalla's routes", stand.say
    )
    considered: dict[str, list[int]] = {}
    contenders = [
        Contender(
            f"ours, along a route, within {aside_m / 1000:g} km", stand.ours, [_asked(one, aside_m) for one in lines]
        )
        for aside_m in (ASIDE_M, DEFAULT_ASIDE_M)
    ]

    def heed(_: int, answers: Mapping[str, bytes]) -> None:
        for one in contenders:
            some = considered.setdefault(one.name, [])
            some.append(orjson.loads(answers[one.name])["considered"])
            one.remark = f"{sum(some) / len(some):.0f} stations beside the line"

    _told(stand, result, contenders, heed)


def _asked(line: str, aside_m: float, limit: int = LIMIT) -> Question:
    return post("/v1/along-route", geometry=line, max_distance_m=aside_m, max_detour_s=DETOUR_S, limit=limit)


def _beside(stand: Stand, polyline: str) -> Ints:
    return beside(oracle.line_of(polyline), stand.places.lat, stand.places.lon, ASIDE_M).index


def _check_along(stand: Stand, polyline: str) -> int:
    """How many stations there are beside the line."""
    places = stand.places.those(_beside(stand, polyline))
    ends = oracle.ends(oracle.line_of(polyline), HEADING_M, HEADING_TOLERANCE_DEG)
    stops = zip(places.ids, places.locations(), strict=True)
    detours = {one: valhalla.detour_s(stand.direct, ends, stop) for one, stop in stops}
    body = stand.ours.ask(_asked(polyline, ASIDE_M, MOST_ALONG))
    oracle.check_along("ours, along a route", body, {k: v for k, v in detours.items() if v is not None}, DETOUR_S)
    return len(detours)


def _areas(stand: Stand, result: Result) -> None:
    origins = stand.origins
    asked = [Question(f"/v1/reachable?lat={lat}&lon={lon}&minutes={MINUTES}") for lat, lon in origins]
    ours = Contender(f"ours, reachable in {MINUTES} minutes", stand.ours, asked)
    theirs = Contender("Valhalla's isochrone", stand.direct, [valhalla.isochrone(at, MINUTES) for at in origins])

    def heed(_: int, answers: Mapping[str, bytes]) -> None:
        oracle.check_area(ours.name, answers[ours.name], answers[theirs.name])

    count = _told(stand, result, [ours, theirs], heed)
    result.check(f"{count} reachable areas equal to Valhalla's", stand.say)


def _tiles(stand: Stand, result: Result) -> None:
    """Each for the first time: the service keeps what it has made."""
    tiles = list(dict.fromkeys(tile_of(lat, lon, TILE_ZOOM) for lat, lon in stand.origins))
    ours = Contender("ours, a tile of roads, cold", stand.ours, [Question(_path(one)) for one in tiles])
    theirs = Contender("Valhalla's tile", stand.direct, [valhalla.tile(*one) for one in tiles])
    roads: list[int] = []

    def heed(_: int, answers: Mapping[str, bytes]) -> None:
        roads.append(oracle.check_tile(ours.name, answers[ours.name], answers[theirs.name]))

    _told(stand, result, [ours, theirs], heed)
    result.check(
        f"{len(roads)} tiles of roads of zoom {TILE_ZOOM} with the {sum(roads):,} roads of Valhalla's", stand.say
    )


def _path(tile: Tile) -> str:
    return f"/v1/tiles/roads/{tile.z}/{tile.x}/{tile.y}.mvt"


def _told(stand: Stand, result: Result, contenders: Sequence[Contender], heed: Heed) -> int:
    """A row for each; how many questions they came to."""
    stand.say(f"{contenders[0].name}")
    count = in_turns(contenders, stand.meter, stand.scale.part_s, heed)
    for one in contenders:
        result.row(one.name, one.figures())
    return count
