"""The roads mix: where it takes place, what its sessions ask for, and what counts as a fault of an answer about roads."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from aiohttp.test_utils import TestServer

from geo.point import LatLon, haversine_m
from geo.tilemath import tile_of
from loadtests import checks, road_checks, road_mix, road_survey
from loadtests.lean import Target
from loadtests.options import Options
from loadtests.places import Spot
from loadtests.recorder import Recorder, Row
from loadtests.road_survey import pairs
from loadtests.session import Step, judge
from loadtests.survey import SurveyError
from tests.loadtests.fake_api import FakeApi
from tests.loadtests.test_session import Answer

TARGET = Target.of("http://127.0.0.1:1")
MATERIAL = {"spots": [(48.0 + k / 100, 2.0, f"FR*TST~L{k}") for k in range(25)], "lines": ["_p~iF", "{}@|\\"]}


async def surveyed(api: FakeApi, options: Options) -> dict[str, Any]:
    """By a thread of its own: the client waits in gevent's loop, the server in asyncio's."""
    server = TestServer(api.application())
    await server.start_server()
    try:
        return await asyncio.to_thread(road_mix.survey, Target.of(str(server.make_url("")).rstrip("/")), options)
    finally:
        await server.close()


# -- where --------------------------------------------------------------------------------------------------------------------


async def test_places_are_beside_roads_and_lines_lead_from_one_to_another() -> None:
    api = FakeApi(roads=True)
    found = await surveyed(api, Options(points=100))
    assert api.boxes == ["1.500000,47.500000,3.500000,48.500000"]
    spots = [Spot(*values) for values in found["spots"]]
    assert len(spots) == 100
    assert all(spot.lon < 2.5 for spot in spots), "the other town has no roads, though the bounds hold it"
    assert set(found["lines"]) == {"{}@|\\"}
    ways = [[set(one) for one in body["waypoints"]] for body in api.sent]
    assert ways.count([{"lat", "lon"}, {"station"}]) == 100  # each place is tried
    assert ways.count([{"lat", "lon"}, {"lat", "lon"}]) == road_survey.LINES


@pytest.mark.parametrize("options", [Options(bbox="2.9,47,3.1,49"), Options(bbox="20,47,21,49")])
async def test_a_target_without_roads_there_is_refused(options: Options) -> None:
    api = FakeApi(roads=True)
    api.stations = [one for one in api.stations if one["lon"] == 3.0]
    with pytest.raises(SurveyError, match="no roads"):
        await surveyed(api, options)
    assert api.boxes == [options.bbox]
    with pytest.raises(SurveyError, match="no roads"):
        await surveyed(FakeApi(), Options())


def test_lines_are_some_kilometres_long_where_there_are_such() -> None:
    rng = np.random.default_rng(1)
    spots = [Spot(48 + north, 8 + east, "x") for north, east in rng.normal(0, 0.05, (200, 2)).tolist()]
    found = pairs(spots, 300, seed=1)
    metres = [haversine_m(LatLon(a.lat, a.lon), LatLon(b.lat, b.lon)) for a, b in found]
    assert min(metres) >= 0.99 * road_survey.LEAST_LINE_M
    assert np.median(metres) < 2.0 * road_survey.LEAST_LINE_M, "and no longer than they must be"
    assert found == pairs(spots, 300, seed=1) != pairs(spots, 300, seed=2)
    near = [Spot(48.0, 8.0, "x"), Spot(48.0001, 8.0, "y")]
    assert {frozenset(pair) for pair in pairs(near, 5, seed=1)} == {frozenset(near)}
    assert pairs(near[:1], 5, seed=1) == []


# -- sessions -----------------------------------------------------------------------------------------------------------------


def scripts(options: Options = Options()) -> tuple[list[list[Step]], Recorder]:  # noqa: B008 (it is frozen)
    recorder = Recorder("session")
    return [list(script) for script in road_mix.scripts(TARGET, options, recorder, MATERIAL)], recorder


def test_a_session_asks_what_an_app_asks() -> None:
    made, recorder = scripts()
    names = ["nearby by drive time", "route", "along a route", "road tile", "road tile"]
    assert [step.row.name for step in made[1]] == names
    nearby, route, along, *tiles = made[1]
    assert nearby.path == "/v1/nearby?lat=48.01&lon=2.0&limit=10&sort=drive_time"
    assert json.loads(route.body) == {"waypoints": [{"lat": 48.01, "lon": 2.0}, {"station": "FR*TST~L1"}]}
    assert json.loads(along.body)["geometry"] == "{}@|\\"
    assert tiles[0].path == "/v1/tiles/roads/{}/{}/{}.mvt".format(*tile_of(48.01, 2.0, 13)) != tiles[1].path
    areas = [k for k, script in enumerate(made) if any(step.row.name == "reachable" for step in script)]
    assert areas == [0, 10, 20]
    assert len({step.request for script in made for step in script if step.row.name == "route"}) == len(made)
    assert {row.name for row in recorder.rows} == {"session", "reachable", *names}


def test_a_post_is_whole_and_ends_with_its_body() -> None:
    made, _ = scripts()
    head, _, body = made[1][1].request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/route HTTP/1.1\r\n")
    assert b"Content-Type: application/json" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert body == made[1][1].body
    assert made[1][0].request.startswith(b"GET ")
    assert b"Content-Length" not in made[1][0].request


# -- answers ------------------------------------------------------------------------------------------------------------------

DRIVEN: dict[str, Any] = {
    "stations": [{"drive_time_s": 60}, {"drive_time_s": 61}], "degraded": False, "proven": True, "unreachable": 0,
}  # fmt: skip
WAY = {"duration_s": 100, "distance_m": 900, "geometry": "x", "legs": [{"duration_s": 40}, {"duration_s": 61}]}
ROUTE = {"waypoints": [{}, {}, {}], "routes": [WAY]}
ALONG: dict[str, Any] = {
    "stations": [{"offset_m": 5, "detour_s": 30}, {"offset_m": 9, "detour_s": 0}],
    "degraded": False, "complete": True, "considered": 2, "route": {"distance_m": 900},
}  # fmt: skip
AREA = {"geometry": {"type": "Polygon", "coordinates": [[]]}, "properties": {"minutes": 15.0}}


@pytest.mark.parametrize(
    ("check", "told", "fault"),
    [
        (road_checks.nearby, DRIVEN, ""),
        (road_checks.nearby, {**DRIVEN, "stations": []}, ""),
        (road_checks.nearby, {**DRIVEN, "stations": [{"drive_time_s": None}], "degraded": True}, ""),
        (road_checks.nearby, {**DRIVEN, "degraded": True}, "a degraded answer has no drive times"),
        (road_checks.nearby, {**DRIVEN, "stations": DRIVEN["stations"][::-1]}, "nearby by drive time tells the soonest first"),
        (road_checks.nearby, {**DRIVEN, "stations": [{}]}, "a station lacks drive_time_s"),
        (road_checks.nearby, {**DRIVEN, "stations": [{"drive_time_s": 1}] * 11},
         "the answer tells of at most as many stations as were asked for"),
        (road_checks.nearby, {"stations": []}, "nearby by drive time says degraded, proven and unreachable"),
        (road_checks.route, ROUTE, ""),
        (road_checks.route, {**ROUTE, "routes": []}, "a route lacks a member"),
        (road_checks.route, {**ROUTE, "waypoints": [{}, {}]}, "a route has a line, and a leg between two waypoints each"),
        (road_checks.route, {**ROUTE, "routes": [{**WAY, "duration_s": 110}]},
         "a route has a line, and a leg between two waypoints each"),
        (road_checks.route, {**ROUTE, "routes": [{**WAY, "geometry": ""}]},
         "a route has a line, and a leg between two waypoints each"),
        (road_checks.along, ALONG, ""),
        (road_checks.along, {**ALONG, "stations": []}, ""),
        (road_checks.along, {**ALONG, "stations": ALONG["stations"][::-1]},
         "stations along a route come in the order of the drive"),
        (road_checks.along, {**ALONG, "degraded": True},
         "stations along a route have their detours, or the answer is degraded"),
        (road_checks.along, {**ALONG, "stations": [{"offset_m": 5, "detour_s": None}]},
         "stations along a route have their detours, or the answer is degraded"),
        (road_checks.along, {**ALONG, "stations": [{"offset_m": 5, "detour_s": None}], "degraded": True}, ""),
        (road_checks.along, {**ALONG, "stations": [{"offset_m": 5, "detour_s": 601}]},
         "a detour is longer than was asked for"),
        (road_checks.along, {"stations": []}, "along a route there are degraded, complete, considered and route"),
        (road_checks.reachable, AREA, ""),
        (road_checks.reachable, {**AREA, "properties": {"minutes": 10.0}}, "another time was asked for"),
        (road_checks.reachable, {**AREA, "geometry": {"type": "Point", "coordinates": [1]}}, "a reachable area is no area"),
        (road_checks.reachable, {}, "a reachable area is a Feature"),
    ],
)  # fmt: skip
def test_what_parsed_answers_must_hold(check: checks.Check, told: Mapping[str, Any], fault: str) -> None:
    body, path = json.dumps(told).encode(), "/v1/reachable?lat=1&lon=2&minutes=15"
    if fault:
        with pytest.raises(ValueError, match=fault):
            check(body, path)
    else:
        check(body, path)


@pytest.mark.parametrize("compact", [True, False])
def test_every_degraded_answer_is_counted_and_is_a_fault_unless_that_is_allowed(compact: bool) -> None:
    separators = (",", ":") if compact else None
    good = json.dumps({"stations": [], "degraded": False, "name": '"degraded":true'}, separators=separators).encode()
    bad = json.dumps({"stations": [], "degraded": True}, separators=separators).encode()
    for is_fault, fault in ((True, "a degraded answer"), (False, "")):
        counts = Counter[str]()
        row = Row("x", look=road_checks.degraded(counts, "x", is_fault=is_fault))
        step = Step(TARGET, "/", row)
        told = [judge(step, b"", 200, len(body), Answer(body)) for body in (good, bad, good, bad)]
        assert told == ["", fault, "", fault]
        assert counts == {"degraded: x": 2}


def test_the_option_says_whether_degraded_answers_are_faults() -> None:
    for options, fault in ((Options(), "a degraded answer"), (Options(degraded="counted"), "")):
        made, recorder = scripts(options)
        body = b'{"stations":[],"degraded":true,"proven":false,"unreachable":0}'
        assert judge(made[0][0], b"", 200, len(body), Answer(body)) == fault
        assert recorder.counts == {"degraded: nearby by drive time": 1}
