"""The sessions of the roads mix: what an app asks about roads while somebody looks for a charger and drives there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import gevent

from loadtests import checks, places, road_checks, road_survey
from loadtests.lean import Target
from loadtests.options import Options
from loadtests.recorder import Recorder, Row
from loadtests.road_survey import ROUTE, road_tile_path
from loadtests.session import Script, Step
from loadtests.survey import SurveyError

AT_ONCE = 500  # scripts made without a pause
ALONG = "/v1/along-route"
ASIDE_M = 1000  # how far off a line a driver would go for a charger in a town
MINUTES = 15
AREA_EVERY = 10  # sessions
TILES = 2
LEAST_STATIONS = len('{"stations":[],"degraded":false}')
LEAST_ROUTE = len('{"waypoints":[],"routes":[]}')


def survey(target: Target, options: Options) -> dict[str, Any]:
    """Raises SurveyError."""
    found = road_survey.find(target, options)
    if found is None:
        raise SurveyError("the target has no roads with stations beside them (mapsvc roads FILE.osm.pbf)")
    return found


def scripts(target: Target, options: Options, recorder: Recorder, material: Mapping[str, Any]) -> list[Script]:
    """One for each spot: nearby by drive time, the route to a station, stations along a line, a reachable area now and then,
    two tiles of roads."""

    def look(of: str) -> checks.Check:
        return road_checks.degraded(recorder.counts, of, is_fault=options.degraded == "fault")

    nearby = recorder.row(
        Row("nearby by drive time", least=LEAST_STATIONS, check=road_checks.nearby, look=look("nearby by drive time"))
    )
    route = recorder.row(Row("route", "POST", least=LEAST_ROUTE, check=road_checks.route))
    along = recorder.row(
        Row("along a route", "POST", least=LEAST_STATIONS, check=road_checks.along, look=look("along a route"))
    )
    area = recorder.row(Row("reachable", least=2, check=road_checks.reachable))
    tile = recorder.row(Row("road tile", check=checks.tile))
    ways = [
        Step(target, ALONG, along, body=_json(geometry=line, max_distance_m=ASIDE_M,
             max_detour_s=road_checks.MAX_DETOUR_S, limit=road_checks.LIMIT))
        for line in material["lines"]
    ]  # fmt: skip
    tiles: dict[str, Step] = {}
    made: list[Script] = []
    spots = [places.Spot(*values) for values in material["spots"]]
    for number, (spot, view) in enumerate(zip(spots, places.viewports(spots), strict=True)):
        if number % AT_ONCE == 0:
            gevent.sleep(0)  # lets a worker tell its master that it lives
        at = f"lat={spot.lat}&lon={spot.lon}"
        way = [{"lat": spot.lat, "lon": spot.lon}, {"station": spot.station}]
        steps = [
            Step(target, f"/v1/nearby?{at}&limit={road_checks.LIMIT}&sort=drive_time", nearby),
            Step(target, ROUTE, route, body=_json(waypoints=way)),
            ways[number % len(ways)],
        ]
        if number % AREA_EVERY == 0:
            steps.append(Step(target, f"/v1/reachable?{at}&minutes={MINUTES}", area))
        paths = [road_tile_path(one) for one in view[:TILES]]
        steps += [tiles.setdefault(path, Step(target, path, tile)) for path in paths]
        made.append(steps)
    return made


def _json(**members: Any) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()
