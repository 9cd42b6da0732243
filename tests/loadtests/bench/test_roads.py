"""S10: where it drives, what right answers are, who is asked when, and what an answer waits for."""

from __future__ import annotations

import asyncio
import csv
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import mapbox_vector_tile
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from geo.point import LatLon, haversine_m
from geo.polyline import encode
from loadtests.bench.ingest.hot_tile import ask as ask_paths
from loadtests.bench.processes import ProgramError
from loadtests.bench.results import WrongAnswerError
from loadtests.bench.roads import areas, crowd, drives, oracle, valhalla
from loadtests.bench.roads.asking import VALHALLA, WORKER, Caller, Contender, Meter, Question, bottleneck, in_turns
from loadtests.bench.roads.stand import TOWN_M, Stand, middle, origins
from loadtests.bench.roads.valhalla import Places
from tests.loadtests.fake_api import FakeApi
from tests.loadtests.scripted import ScriptedServer

METER = Meter(dict.fromkeys((WORKER, VALHALLA), os.getpid()))


def town(count: int = 300, *, seed: int = 1, lat: float = 49.4, lon: float = 8.7, sigma: float = 0.02) -> Places:
    north, east = np.random.default_rng(seed).normal(0, sigma, (2, count))
    return Places(tuple(f"A*B~{lat:g}-{k}" for k in range(count)), lat + north, lon + east)


def both(one: Places, other: Places) -> Places:
    return Places(one.ids + other.ids, np.concatenate((one.lat, other.lat)), np.concatenate((one.lon, other.lon)))


# -- where --------------------------------------------------------------------------------------------------------------------


def test_areas_are_those_whose_files_are_there_or_the_generated_one(tmp_path: Path) -> None:
    assert areas.found(tmp_path) == [areas.GENERATED]
    for name in ("roads/heidelberg.osm.pbf", "roads/milan.osm.pbf", areas.BNETZA):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [one.name for one in areas.found(tmp_path)] == ["milan"], "Heidelberg needs both registers"
    (tmp_path / areas.WOLADEN).touch()
    heidelberg, milan = areas.found(tmp_path)
    assert [words[:2] for words in heidelberg.imports(tmp_path)] == [("import", "bnetza"), ("import", "csv")]
    ((*_, columns),) = milan.imports(tmp_path)
    with (tmp_path / "milan.csv").open() as file:
        assert {pair.split("=")[1] for pair in columns.split(",")} == set(next(csv.reader(file)))


def test_milan_is_the_same_town_each_time_and_denser_in_the_middle(tmp_path: Path) -> None:
    areas.write_milan(tmp_path / "one.csv")
    areas.write_milan(tmp_path / "again.csv")
    areas.write_milan(tmp_path / "other.csv", seed=2)
    one, again, other = ((tmp_path / f"{name}.csv").read_text() for name in ("one", "again", "other"))
    assert one == again != other
    rows = list(csv.DictReader(one.splitlines()))
    assert len({row["id"] for row in rows}) == 600
    for name, at, sigma in zip(("lat", "lon"), areas.MILAN, areas.MILAN_SIGMA_DEG, strict=True):
        values = [float(row[name]) for row in rows]
        assert np.mean(values) == pytest.approx(at, abs=sigma / 5)
        assert np.std(values) == pytest.approx(sigma, rel=0.15)


def test_drivers_begin_in_the_densest_town() -> None:
    places = both(town(300), town(100, lat=45.0, seed=2))
    found = origins(places, 200, seed=1)
    assert found == origins(places, 200, seed=1) != origins(places, 200, seed=2)
    assert len(set(found)) == 200
    assert min(lat for lat, _ in found) > 49, "the other town has fewer"
    centre = LatLon(*middle(places, 1))
    metres = [haversine_m(centre, LatLon(*at)) for at in found]
    assert max(metres) < TOWN_M + 6_000
    assert np.median(metres) > 500, "not all at one place"
    with pytest.raises(ProgramError, match="no stations"):
        origins(places.those(np.zeros(0, np.int64)), 5, seed=1)


def test_stations_within_a_radius_come_nearest_first() -> None:
    places, at = town(), (49.4, 8.7)
    metres = {row: haversine_m(LatLon(*at), LatLon(places.lat[row], places.lon[row])) for row in range(300)}
    expected = sorted((row for row in metres if metres[row] <= 2000), key=lambda row: metres[row])
    assert 0 < len(expected) < 300
    assert places.within(at, 2000.0).tolist() == expected


# -- right answers ------------------------------------------------------------------------------------------------------------

EVERY = {"a": 10.0, "b": 20.0, "c": 20.0, **{f"x{k}": 30.0 + k for k in range(20)}}
SOONEST = ["a", "b", "c", *(f"x{k}" for k in range(7))]


def driven(ids: list[str], *, proven: bool = True, shift: Mapping[str, int] | None = None) -> bytes:
    stations = [{"id": one, "drive_time_s": EVERY.get(one, 1.0) + (shift or {}).get(one, 0)} for one in ids]
    return json.dumps({"stations": stations, "degraded": False, "proven": proven, "unreachable": 0}).encode()


def test_the_soonest_are_right_whatever_the_order_of_ties() -> None:
    assert oracle.check_drive_times("ours", driven(SOONEST), EVERY) == (True, 0)
    assert oracle.check_drive_times("ours", driven(["a", "c", "b", *SOONEST[3:]]), EVERY) == (True, 0)


def test_a_time_may_be_a_second_off_and_is_counted() -> None:
    assert oracle.check_drive_times("ours", driven(SOONEST, shift={"x6": -1}), EVERY) == (True, 1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (driven(SOONEST, shift={"x6": 2}), "x6 is 36.0 s away, not 38"),
        (driven([*SOONEST[:-1], "x9"]), "the soonest are"),
        (driven(SOONEST[:-1]), "the soonest are"),
        (driven(["b", "a", *SOONEST[2:]]), "out of order"),
        (driven(["a", "b", "b", *SOONEST[3:]]), "a station twice"),
        (driven(["elsewhere", *SOONEST[:-1]]), "elsewhere is inf s away"),
    ],
)
def test_other_drive_times_are_wrong(body: bytes, message: str) -> None:
    with pytest.raises(WrongAnswerError, match=message):
        oracle.check_drive_times("ours", body, EVERY)


def test_an_answer_that_is_not_proven_may_lack_stations_but_not_lie_about_them() -> None:
    far = [*SOONEST[:-1], "x9"]
    assert oracle.check_drive_times("ours", driven(far, proven=False), EVERY) == (False, 0)
    with pytest.raises(WrongAnswerError, match="x9 is"):
        oracle.check_drive_times("ours", driven(far, proven=False, shift={"x9": 5}), EVERY)


def test_what_is_missed_is_counted_by_times() -> None:
    assert oracle.missed([10, 20, 20, 30], [30, 20, 20, 10, 99]) == 0
    assert oracle.missed([10, 20, 20, 30], [10, 20, 31]) == 2
    assert oracle.soonest([3.0, 1.0, 2.0], 2) == [1.0, 2.0]


def test_contenders_are_tallied_against_the_matrix_over_all() -> None:
    ids = list(EVERY)

    def matrix(told: Callable[[str], float | None]) -> bytes:
        return json.dumps({"sources_to_targets": {"durations": [[told(one) for one in ids]]}}).encode()

    answers = {
        drives.OURS: driven(SOONEST),
        drives.ALL: matrix(EVERY.get),
        drives.FIFTY: matrix(EVERY.get),
        drives.FIRST: matrix(lambda one: EVERY[one] if one not in ("a", "x2", "x11") else None),
    }
    tally = drives.Tally()
    drives._compare(answers, ids, tally)
    assert (tally.compared, tally.missed) == (1, {drives.FIFTY: 0, drives.FIRST: 2})
    degraded = driven(SOONEST, shift={"a": 50}).replace(b'"degraded": false', b'"degraded": true')
    drives._compare({**answers, drives.OURS: degraded}, ids, tally)
    assert (tally.compared, tally.degraded) == (1, 1), "nobody believes its times"
    with pytest.raises(WrongAnswerError):
        drives._compare({**answers, drives.OURS: driven(SOONEST[1:])}, ids, tally)


def test_each_contender_is_asked_about_the_same_stations() -> None:
    places, at = town(), (49.4, 8.7)
    stand = cast(Stand, SimpleNamespace(places=places, ours=Caller("http://x"), direct=Caller("http://x")))
    (ours, fifty, first, everything), (rows,) = drives._contenders(stand, [at])
    assert ours.questions[0].path == "/v1/nearby?lat=49.4&lon=8.7&limit=10&sort=drive_time"
    asked = [json.loads(one.questions[0].body) for one in (fifty, first, everything)]
    assert [len(one["targets"]) for one in asked] == [50, 50, len(rows)]
    assert asked[0]["targets"] == asked[2]["targets"][:50]
    assert [one.get("matrix_locations") for one in asked] == [None, 10, None]
    assert asked[2]["targets"][-1]["lat"] == places.lat[rows[-1]]


def test_routes_areas_and_tiles_are_those_of_valhalla() -> None:
    ours = {"routes": [{"duration_s": 434, "geometry": "abc"}]}
    theirs = {"trip": {"summary": {"time": 433.512}, "legs": [{"shape": "abc"}]}}
    oracle.check_route("ours", json.dumps(ours).encode(), json.dumps(theirs).encode())
    for wrong in ({"duration_s": 433, "geometry": "abc"}, {"duration_s": 434, "geometry": "abd"}):
        with pytest.raises(WrongAnswerError, match="a route"):
            oracle.check_route("ours", json.dumps({"routes": [wrong]}).encode(), json.dumps(theirs).encode())
    area, other = ({"type": "Polygon", "coordinates": [[[k, 1]]]} for k in (1, 2))
    theirs_area = json.dumps({"features": [{"geometry": area}]}).encode()
    oracle.check_area("ours", json.dumps({"geometry": area}).encode(), theirs_area)
    with pytest.raises(WrongAnswerError, match="another area"):
        oracle.check_area("ours", json.dumps({"geometry": other}).encode(), theirs_area)

    def tile(*layers: tuple[str, str]) -> bytes:
        return bytes(mapbox_vector_tile.encode(
            [{"name": name, "features": [{"geometry": line, "properties": {"road_class": 1}}]} for name, line in layers]
        ))  # fmt: skip

    edges, nodes, other_edges = (
        ("edges", "LINESTRING(0 0, 9 9)"),
        ("nodes", "POINT(1 1)"),
        ("edges", "LINESTRING(0 0, 8 9)"),
    )
    assert oracle.check_tile("ours", tile(edges), tile(nodes, edges)) == 1
    assert oracle.check_tile("ours", b"", tile(nodes)) == 0
    for wrong_tile in (tile(other_edges), tile(nodes, edges), b""):
        with pytest.raises(WrongAnswerError, match="other roads"):
            oracle.check_tile("ours", wrong_tile, tile(nodes, edges))


def test_detours_are_compared_and_none_may_be_missing() -> None:
    detours = {"a": 30.4, "b": 100.0, "far": 700.0}

    def along(complete: bool = True, **told: int) -> bytes:
        stations = [{"id": one, "detour_s": seconds} for one, seconds in told.items()]
        return json.dumps({"stations": stations, "complete": complete}).encode()

    oracle.check_along("ours", along(a=30, b=100), detours, 600.0)
    oracle.check_along("ours", along(False, a=30), detours, 600.0)
    for body, message in (
        (along(a=31, b=100), "a detour of 31 s to a, not 30.4"),
        (along(a=30), "1 stations beside the line are missing, b"),
        (along(a=30, b=100, elsewhere=5), "to elsewhere, not None"),
    ):
        with pytest.raises(WrongAnswerError, match=message):
            oracle.check_along("ours", body, detours, 600.0)


def test_the_ends_of_a_line_say_where_it_leads() -> None:
    east_then_north = encode(np.array([48.0, 48.0, 48.01]), np.array([8.0, 8.01, 8.01]), 6)
    first, last = oracle.ends(oracle.line_of(east_then_north), 30.0, 60)
    assert (first["lat"], first["lon"], first["heading"]) == (pytest.approx(48.0), pytest.approx(8.0), 90)
    assert (last["lat"], last["lon"], last["heading"]) == (pytest.approx(48.01), pytest.approx(8.01), 0)
    assert first["heading_tolerance"] == last["heading_tolerance"] == 60


async def test_stations_without_a_road_are_left_out() -> None:
    """And a part of them that is near none at all, which Valhalla refuses as a whole."""
    places = both(town(350), town(200, lat=45.0, seed=2))

    async def locate(request: web.Request) -> web.Response:
        asked = (await request.json())["locations"]
        assert {one["search_cutoff"] for one in asked} == {1000}
        told: list[dict[str, Any]] = [
            {"edges": [{}] if one["lon"] > 8.7 and one["lat"] > 47 else None} for one in asked
        ]
        return web.json_response(told, status=200 if any(one["edges"] for one in told) else 400)

    app = web.Application()
    app.router.add_post("/locate", locate)
    server = TestServer(app)
    await server.start_server()
    caller = Caller(str(server.make_url("")))
    found = await asyncio.to_thread(valhalla.on_road, caller, places)
    caller.close()
    await server.close()
    expected = np.flatnonzero((places.lon > 8.7) & (places.lat > 47)).tolist()
    assert found.ids == tuple(places.ids[row] for row in expected)
    assert found.lat.tolist() == places.lat[expected].tolist()


# -- asking -------------------------------------------------------------------------------------------------------------------


def test_questions_are_sent_as_they_are_and_refusals_told_apart() -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    bad, away = (b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nno" % status for status in (400, 503))
    with ScriptedServer([None, ok, None, ok, None, bad, None, away]) as server:
        caller = Caller(server.url)
        assert caller.ask(Question("/a")) == caller.ask(Question("/b", b"[1]")) == b"{}"
        with pytest.raises(WrongAnswerError, match="/a answered 400"):
            caller.ask(Question("/a"))
        with pytest.raises(ProgramError, match="/a answered 503"):
            caller.ask(Question("/a"))
        caller.close()
    assert server.accepted == 1
    assert server.requests[0].startswith(b"GET /a ")
    assert server.requests[1].startswith(b"POST /b ")


class Echo:
    """A caller that answers with what it was asked, and keeps the order."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def ask(self, question: Question) -> bytes:
        self.order.append(question.path)
        return question.path.encode()


def contenders(echo: Echo, count: int) -> list[Contender]:
    return [Contender(name, cast(Caller, echo), [Question(f"{name}{k}") for k in range(count)]) for name in "abc"]


def test_contenders_take_turns_and_none_is_always_first() -> None:
    echo, seen = Echo(), list[tuple[int, dict[str, bytes]]]()
    some = contenders(echo, 4)
    assert in_turns(some, METER, 60.0, lambda number, answers: seen.append((number, dict(answers)))) == 4
    assert " ".join(echo.order) == "a0 b0 c0 b1 c1 a1 c2 a2 b2 a3 b3 c3"
    assert [number for number, _ in seen] == [0, 1, 2, 3]
    assert seen[1][1] == {"a": b"a1", "b": b"b1", "c": b"c1"}
    assert [len(one.ms) for one in some] == [4, 4, 4]
    figures = some[0].figures()
    assert figures["asked"] == 4
    assert figures["p50 ms"] <= figures["p95 ms"] <= figures["p99 ms"]  # type: ignore[operator]


def test_turns_end_when_their_time_is_over() -> None:
    some = contenders(Echo(), 1000)
    assert in_turns(some, METER, 0.0) == 1
    assert [len(one.ms) for one in some] == [1, 1, 1]


@pytest.mark.parametrize(
    ("cpu_ms", "who"),
    [
        ({"Valhalla": 80.0, "worker": 10.0, "client": 5.0}, "Valhalla, 80 % of the time"),
        ({"Valhalla": 20.0, "worker": 50.0, "client": 5.0}, "worker, 50 % of the time"),
        ({"Valhalla": 20.0, "worker": 10.0, "client": 5.0}, "waiting, 65 % of the time"),
        ({"Valhalla": 130.0, "worker": 20.0, "client": 5.0}, "Valhalla, 100 % of the time"),
    ],
)
def test_the_bottleneck_is_whom_an_answer_waits_for(cpu_ms: dict[str, float], who: str) -> None:
    assert bottleneck(cpu_ms, 100.0) == who


# -- beside -------------------------------------------------------------------------------------------------------------------


async def beside(api: FakeApi, ask: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    server = TestServer(api.application())
    await server.start_server()
    try:
        return await asyncio.to_thread(ask, str(server.make_url("")).rstrip("/"))
    finally:
        await server.close()


async def test_a_crowd_tells_what_it_was_answered() -> None:
    api = FakeApi(roads=True, degraded_every=2, failing=frozenset({"POST route"}))
    way = json.dumps({"waypoints": [{"lat": 48.0, "lon": 2.0}, {"lat": 48.1, "lon": 2.0}]})
    asked = [("/v1/nearby?lat=48&lon=2&limit=10&sort=drive_time", ""), ("/v1/route", way)]
    told = await beside(api, lambda url: crowd.ask(url, asked, clients=4, seconds=0.6))
    counts = told["counts"]
    assert len(api.connections) == 4
    assert counts["degraded"] == pytest.approx(api.asked["drive times"] / 2, abs=1)
    assert counts["refused 500"] == api.asked["POST route"] // 10
    assert sum(counts.values()) == api.asked["GET nearby"] + api.asked["POST route"]


async def test_probes_ask_for_all_their_paths_in_turn() -> None:
    api = FakeApi()
    paths = ["/", "/v1/tiles/stations.json", "/v1/reachable?minutes=5"]
    told = await beside(api, lambda url: ask_paths(url, paths, 200.0, 0.6))
    count = len(told["waits"])
    assert count > 60
    assert api.asked == {name: pytest.approx(count / 3, abs=1) for name in ("GET /", "GET tiles", "GET reachable")}
