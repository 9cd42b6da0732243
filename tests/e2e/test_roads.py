"""The routing endpoints on real roads with real registers; every number computed again by asking Valhalla directly.

The engine's own answers are the truth for what a drive takes; what is tested here is all that stands between it and a client:
which stations were asked about, in which order, what a detour is, and what is said when something is wrong.
"""

from __future__ import annotations

import asyncio
import math
import random
from pathlib import Path
from typing import Any

import mapbox_vector_tile
import numpy as np
import pytest
import pytest_asyncio
import shapely

from geo.point import LatLon, haversine_m
from geo.polyline import decode, encode
from geo.station import Located, Station
from mapsvc.roads.snapping import ORIGIN_SNAP_M, STATION_SNAP_M
from tests.e2e.roads_stack import ROADS, RoadsStack, in_order, needs_roads, registers, roads
from tests.mapsvc.documented import assert_documented

pytestmark = [needs_roads, pytest.mark.asyncio(loop_scope="module")]
__all__ = ["roads"]

CENTRE = LatLon(49.4094, 8.6947)
Json = Any


def around(rng: random.Random, centre: LatLon = CENTRE, spread: float = 0.03) -> LatLon:
    return LatLon(round(rng.gauss(centre.lat, spread), 6), round(rng.gauss(centre.lon, spread * 1.5), 6))


async def seconds_to(roads: RoadsStack, origin: LatLon, stations: list[Station]) -> list[float | None]:
    """From one origin to each of the stations, by Valhalla's matrix over all of them."""
    found: list[float | None] = []
    for first in range(0, len(stations), 200):
        some = stations[first : first + 200]
        located = await roads.valhalla(
            "locate", {"locations": [_place(one) for one in some], "costing": "auto", "verbose": False}
        )
        near = [bool(told["edges"]) for told in located]
        body = {
            "sources": [{"lat": origin.lat, "lon": origin.lon, "search_cutoff": ORIGIN_SNAP_M}],
            "targets": [_place(one) for one, is_near in zip(some, near, strict=True) if is_near],
            "costing": "auto",
        }
        told = iter((await roads.valhalla("sources_to_targets", body))["sources_to_targets"][0] if any(near) else [])
        found += [next(told)["time"] if is_near else None for is_near in near]
    return found


def _place(station: Station) -> dict[str, float]:
    return {"lat": station.lat, "lon": station.lon, "search_cutoff": STATION_SNAP_M}


def best_kw(station: Station) -> float:
    return max((c.power_kw or 0.0 for evse in station.evses for c in evse.connectors), default=0.0)


@pytest.fixture(scope="module")
def known() -> list[Located]:
    return list(registers())


# -- Heidelberg -----------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="module")
async def heidelberg(roads: RoadsStack) -> RoadsStack:
    await roads.on("heidelberg")
    return roads


async def test_without_a_graph_everything_says_so(roads: RoadsStack) -> None:
    await roads.stop()
    near = await roads.get("/v1/nearby?lat=49.4094&lon=8.6947&sort=drive_time&limit=5")
    assert (near["degraded"], near["degraded_reason"], near["proven"]) == (True, "no_roads", False)
    assert in_order([one["distance_m"] for one in near["stations"]])
    assert {one["drive_time_s"] for one in near["stations"]} == {None}
    for method, path, body in (
        ("POST", "/v1/route", b'{"waypoints":[{"lat":49.4,"lon":8.6},{"lat":49.5,"lon":8.7}]}'),
        ("GET", "/v1/reachable?lat=49.4&lon=8.6&minutes=5", b""), ("GET", "/v1/tiles/roads.json", b""),
        ("GET", "/v1/tiles/roads/12/1/1.mvt", b""),
    ):  # fmt: skip
        async with roads.stack.session.request(method, roads.stack.url + path, data=body or None) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "60"), path
    line = encode(np.array([49.40, 49.42]), np.array([8.60, 8.75]), 5)
    told = await roads.post("/v1/along-route", {"geometry": line, "precision": 5})
    assert told["degraded"] and told["stations"] and {one["detour_s"] for one in told["stations"]} == {None}
    assert in_order([one["offset_m"] for one in told["stations"]])
    roads.keep()


async def test_nearby_by_drive_time_equals_the_matrix_over_all(heidelberg: RoadsStack, known: list[Located]) -> None:
    rng, compared = random.Random(1), 0
    for k in range(12):
        origin = around(rng)
        fast = k % 3 == 2
        query = f"/v1/nearby?lat={origin.lat}&lon={origin.lon}&sort=drive_time&limit=10&radius_m=15000"
        found = await heidelberg.get(query + ("&min_power_kw=100" if fast else ""))
        stations = [
            one.station
            for one in known
            if haversine_m(origin, LatLon(one.station.lat, one.station.lon)) <= 15_000
            and (not fast or best_kw(one.station) >= 100)
        ]
        truth = sorted(s for s in await seconds_to(heidelberg, origin, stations) if s is not None)[:10]
        if not truth:  # the driver stands on an island: a yard behind a gate
            assert found["degraded_reason"] == "no_road"
            continue
        compared += 1
        assert [one["drive_time_s"] for one in found["stations"]] == truth
        assert found["proven"] and not found["degraded"]
        assert all(one["drive_distance_m"] >= one["distance_m"] - 2 * STATION_SNAP_M for one in found["stations"])
    assert compared >= 9


async def test_a_driver_far_from_any_road_gets_the_air_line(heidelberg: RoadsStack) -> None:
    found = await heidelberg.get("/v1/nearby?lat=48.1&lon=8.6&sort=drive_time&limit=5&radius_m=100000")
    assert (found["degraded"], found["degraded_reason"]) == (True, "no_road")
    assert len(found["stations"]) == 5


async def test_a_route_goes_through_positions_and_stations(heidelberg: RoadsStack) -> None:
    station = (await heidelberg.get("/v1/nearby?lat=49.38&lon=8.67&limit=1"))["stations"][0]
    body = {"waypoints": [{"lat": 49.4094, "lon": 8.6947}, {"station": station["id"]}, {"lat": 49.42, "lon": 8.75}]}
    german = await heidelberg.post("/v1/route", {**body, "language": "de-DE"})
    english = await heidelberg.post("/v1/route", body)
    (route,) = german["routes"]
    assert [one.get("station") for one in german["waypoints"]] == [None, station["id"], None]
    assert german["waypoints"][1]["lat"] == station["lat"]
    assert route["duration_s"] == pytest.approx(sum(leg["duration_s"] for leg in route["legs"]), abs=2)
    assert route["distance_m"] == pytest.approx(sum(leg["distance_m"] for leg in route["legs"]), abs=5)
    texts = [instructions(told) for told in (german, english)]
    assert "abbiegen" in texts[0] and "Turn" in texts[1]

    lat, lon = decode(route["geometry"], 6)
    as_geojson = await heidelberg.post("/v1/route", {**body, "geometry": "geojson", "maneuvers": False})
    assert as_geojson["routes"][0]["geometry"]["coordinates"] == np.stack((lon, lat), axis=1).tolist()
    assert all("maneuvers" not in leg for leg in as_geojson["routes"][0]["legs"])
    drawn = sum(haversine_m(LatLon(a, b), LatLon(c, d)) for a, b, c, d in zip(lat, lon, lat[1:], lon[1:], strict=False))
    assert drawn == pytest.approx(route["distance_m"], rel=0.02)
    for k, waypoint in enumerate(german["waypoints"]):
        nearest = min(
            haversine_m(LatLon(waypoint["lat"], waypoint["lon"]), LatLon(a, b)) for a, b in zip(lat, lon, strict=True)
        )
        assert nearest <= waypoint["to_road_m"] + 30, k


def instructions(told: Json) -> str:
    return " ".join(one["instruction"] for leg in told["routes"][0]["legs"] for one in leg["maneuvers"])


async def test_a_drive_time_of_nearby_is_that_of_the_route(heidelberg: RoadsStack) -> None:
    found = await heidelberg.get("/v1/nearby?lat=49.4094&lon=8.6947&sort=drive_time&limit=6")
    for station in found["stations"]:
        body = {"waypoints": [{"lat": 49.4094, "lon": 8.6947}, {"station": station["id"]}], "maneuvers": False}
        (route,) = (await heidelberg.post("/v1/route", body))["routes"]
        # Two algorithms of one engine; they differ by where on the road a drive begins and ends.
        assert route["duration_s"] == pytest.approx(station["drive_time_s"], rel=0.15, abs=20)


async def test_what_is_avoided_and_what_is_another_way(heidelberg: RoadsStack) -> None:
    ends = {"waypoints": [{"lat": 49.3705, "lon": 8.6400}, {"lat": 49.4400, "lon": 8.6200}], "maneuvers": False}
    best = await heidelberg.post("/v1/route", {**ends, "alternates": 2})
    (slow,) = (await heidelberg.post("/v1/route", {**ends, "avoid": ["motorways"]}))["routes"]
    assert best["routes"][0]["has_motorways"] and not slow["has_motorways"]
    assert slow["duration_s"] > best["routes"][0]["duration_s"]
    assert 1 <= len(best["routes"]) <= 3
    assert len({one["geometry"] for one in best["routes"]}) == len(best["routes"])


@pytest.mark.parametrize(
    ("waypoints", "pointers"),
    [
        ([{"lat": 49.41, "lon": 8.69}, {"lat": 48.0, "lon": 8.69}, {"lat": 49.4, "lon": 8.7}], ["/waypoints/1"]),
        ([{"lat": 47.0, "lon": 8.69}, {"lat": 48.0, "lon": 8.69}], ["/waypoints/0", "/waypoints/1"]),
        ([{"lat": 49.41, "lon": 8.69}, {"station": "nobody~1"}], ["/waypoints/1/station"]),
        ([{"lat": 49.41}, {"lat": 91, "lon": 1}], ["/waypoints/0/lon", "/waypoints/1/lat"]),
        ([{"lat": 49.41, "lon": 8.69}], ["/waypoints"]),
        ([{"lat": 49.41, "lon": 8.69, "name": "x"}, {"lat": 49.4, "lon": 8.7}], ["/waypoints/0/name"]),
        ([{"lat": 0, "lon": 0}, {"lat": 49.4, "lon": 120}], ["/waypoints"]),
    ],
)
async def test_a_problem_names_the_waypoint(heidelberg: RoadsStack, waypoints: list[Json], pointers: list[str]) -> None:
    told = await heidelberg.post("/v1/route", {"waypoints": waypoints}, 422)
    assert [one["pointer"] for one in told["errors"]] == pointers


# -- along a line ---------------------------------------------------------------------------------------------------------

ENDS = LatLon(49.4094, 8.6947), LatLon(49.357, 8.785)


async def whole_detour(roads: RoadsStack, ends: tuple[LatLon, LatLon], station: Json) -> float | None:
    """What a stop adds to the whole drive: two routes, asked for independently."""
    a, b = ({"lat": at.lat, "lon": at.lon} for at in ends)
    stop = {"lat": station["lat"], "lon": station["lon"], "search_cutoff": STATION_SNAP_M}
    times = []
    for places in ([a, stop, b], [a, b]):
        told = await roads.valhalla("route", {"locations": places, "costing": "auto", "directions_type": "none"})
        if told is None:
            return None
        times.append(told["trip"]["summary"]["time"])
    return float(times[0] - times[1])


async def test_detours_along_a_route_are_what_the_stop_adds(heidelberg: RoadsStack, known: list[Located]) -> None:
    body = {
        "waypoints": [{"lat": at.lat, "lon": at.lon} for at in ENDS],
        "sort": "detour", "limit": 60, "max_distance_m": 2500, "max_detour_s": 1500,
    }  # fmt: skip
    told = await heidelberg.post("/v1/along-route", body)
    assert len(told["stations"]) >= 15 and not told["degraded"]
    assert in_order([one["detour_s"] for one in told["stations"]])
    for station in told["stations"]:
        truth = await whole_detour(heidelberg, ENDS, station)
        assert truth is not None
        # The windows hold all of this short route, so the two are the same drive.
        assert station["detour_s"] == pytest.approx(max(0.0, truth), abs=3), station["id"]
    by_offset = await heidelberg.post("/v1/along-route", {**body, "sort": "offset"})
    assert in_order([one["offset_m"] for one in by_offset["stations"]])
    assert {one["id"] for one in by_offset["stations"]} == {one["id"] for one in told["stations"]}


async def test_stations_beside_a_line_are_those_beside_it(heidelberg: RoadsStack, known: list[Located]) -> None:
    """A plain polyline of some other navigation system, and the same as GeoJSON; brute force over the registers."""
    lat, lon = np.linspace(49.36, 49.44, 40), np.linspace(8.60, 8.72, 40)
    line = {"geometry": encode(lat, lon, 5), "precision": 5, "limit": 60, "max_detour_s": 7200, "max_distance_m": 1000}
    told = await heidelberg.post("/v1/along-route", line)
    geojson = {"type": "LineString", "coordinates": np.stack((np.round(lon, 5), np.round(lat, 5)), axis=1).tolist()}
    again = await heidelberg.post("/v1/along-route", {**line, "geometry": geojson, "precision": 6})
    assert [one["id"] for one in again["stations"]] == [one["id"] for one in told["stations"]]

    dense = [
        LatLon(float(a), float(b))
        for a, b in zip(np.linspace(49.36, 49.44, 4000), np.linspace(8.60, 8.72, 4000), strict=True)
    ]
    near = 0
    for one in known:
        if 49.3 < one.station.lat < 49.5 and 8.5 < one.station.lon < 8.8:
            near += min(haversine_m(LatLon(one.station.lat, one.station.lon), at) for at in dense) <= 1000
    assert told["considered"] == pytest.approx(near, abs=1)
    for one in told["stations"]:
        offsets = np.array([haversine_m(LatLon(one["lat"], one["lon"]), at) for at in dense])
        assert one["line_distance_m"] == pytest.approx(offsets.min(), abs=3)
        assert one["offset_m"] == pytest.approx(offsets.argmin() / 3999 * told["route"]["distance_m"], abs=30)


async def test_filters_and_limits_hold_along_a_route(heidelberg: RoadsStack) -> None:
    body = {"waypoints": [{"lat": at.lat, "lon": at.lon} for at in ENDS], "max_distance_m": 3000, "limit": 60}
    fast = await heidelberg.post("/v1/along-route?min_power_kw=100", body)
    assert fast["stations"] and all(one["max_power_kw"] >= 100 for one in fast["stations"])
    near = await heidelberg.post("/v1/along-route", {**body, "max_detour_s": 120})
    assert near["stations"] and all(one["detour_s"] <= 120 for one in near["stations"])
    few = await heidelberg.post("/v1/along-route", {**body, "limit": 2})
    assert len(few["stations"]) == 2
    assert (await heidelberg.post("/v1/along-route?available", body))["stations"] == []  # registers tell no status
    for wrong, pointer in (
        ({}, "/geometry"), ({**body, "geometry": "abc"}, "/geometry"), ({"geometry": "\x7f"}, "/geometry"),
        ({"geometry": "??"}, "/geometry"), ({**body, "sort": "name"}, "/sort"), ({**body, "max_detour_s": -1}, "/max_detour_s"),
        ({"geometry": {"type": "Point", "coordinates": [1, 2]}}, "/geometry"), ({**body, "x": 1}, "/x"),
    ):  # fmt: skip
        told = await heidelberg.post("/v1/along-route", wrong, 422)
        assert pointer in [one["pointer"] for one in told["errors"]], wrong


# -- reachable, tiles, the description ------------------------------------------------------------------------------------


async def test_a_reachable_area_holds_what_is_reached(heidelberg: RoadsStack, known: list[Located]) -> None:
    told = await heidelberg.get("/v1/reachable?lat=49.4094&lon=8.6947&minutes=8&stations=true&limit=1000")
    shape = shapely.make_valid(shapely.geometry.shape(told["geometry"]))
    assert told["properties"] == {"minutes": 8.0}
    assert told["stations_inside"] == len(told["stations"]) > 10
    inside = {one["id"] for one in told["stations"]}
    near = [one.station for one in known if haversine_m(CENTRE, LatLon(one.station.lat, one.station.lon)) < 9000]
    for station, seconds in zip(near, await seconds_to(heidelberg, CENTRE, near), strict=True):
        key = f"{station.party}~{station.location_id}"
        assert (key in inside) == bool(shapely.contains_xy(shape, station.lon, station.lat))
        if seconds is not None and seconds < 6 * 60:
            assert shape.distance(shapely.Point(station.lon, station.lat)) < 0.006, (
                key
            )  # half a kilometre: it is simplified
        if key in inside:
            assert seconds is None or seconds < 12 * 60, key


async def test_the_range_of_a_battery_is_an_estimate_and_says_so(heidelberg: RoadsStack) -> None:
    query = "/v1/reachable?lat=49.4094&lon=8.6947"
    battery = await heidelberg.get(f"{query}&battery_kwh=60&soc=3&consumption_kwh_100km=18")
    plain = await heidelberg.get(f"{query}&kilometres=10")
    assert battery["properties"]["kilometres"] == 10.0 and battery["properties"]["is_estimate"] is True
    assert "hills" in battery["properties"]["estimate"]
    assert battery["geometry"] == plain["geometry"]
    for wrong in ("", "&minutes=5&kilometres=5", "&battery_kwh=60", "&minutes=121", "&kilometres=401", "&soc=5&minutes=5",
                  "&battery_kwh=100&soc=100&consumption_kwh_100km=10"):  # fmt: skip
        async with heidelberg.stack.session.get(heidelberg.stack.url + query + wrong) as answer:
            assert answer.status == 400, wrong
            assert (await answer.json())["errors"]
    async with heidelberg.stack.session.get(f"{heidelberg.stack.url}/v1/reachable?lat=48&lon=8.7&minutes=5") as answer:
        assert answer.status == 422
        assert [one["parameter"] for one in (await answer.json())["errors"]] == ["lat", "lon"]


async def test_the_basemap_has_the_roads(heidelberg: RoadsStack) -> None:
    told = await heidelberg.get("/v1/tiles/roads.json")
    west, south, east, north = told["bounds"]
    assert west < 8.69 < east and south < 49.41 < north
    counts = []
    for z in (told["minzoom"], 11, told["maxzoom"]):
        x = int((8.6947 + 180) / 360 * (1 << z))
        y = int((1 - math.asinh(math.tan(math.radians(49.4094))) / math.pi) / 2 * (1 << z))
        url = told["tiles"][0].format(z=z, x=x, y=y)
        async with heidelberg.stack.session.get(url) as answer:
            tile = await answer.read()
            assert answer.status == 200
        async with heidelberg.stack.session.get(url, headers={"If-None-Match": answer.headers["ETag"]}) as again:
            assert again.status == 304
        layers = mapbox_vector_tile.decode(tile)
        assert layers.keys() == {"edges"}
        counts.append(len(layers["edges"]["features"]))
        assert {"road_class"} <= layers["edges"]["features"][0]["properties"].keys()
    assert counts[0] > 50 and counts[2] > 500
    async with heidelberg.stack.session.get(f"{heidelberg.stack.url}/v1/tiles/roads/6/1/1.mvt") as answer:
        assert answer.status == 404


async def test_answers_are_as_the_description_has_them(heidelberg: RoadsStack) -> None:
    told = await heidelberg.get("/openapi.json")
    posts: dict[str, Json] = {
        "/v1/route": {"waypoints": [{"lat": 49.41, "lon": 8.69}, {"lat": 49.42, "lon": 8.7}]},
        "/v1/along-route": {"waypoints": [{"lat": at.lat, "lon": at.lon} for at in ENDS]},
    }
    for path, body in posts.items():
        async with heidelberg.stack.session.post(heidelberg.stack.url + path, json=body) as answer:
            assert_documented(told, "POST", path, answer.status, answer.headers, await answer.read())
            assert answer.status == 200
        async with heidelberg.stack.session.post(heidelberg.stack.url + path, json={"x": 1}) as answer:
            assert_documented(told, "POST", path, answer.status, answer.headers, await answer.read())
            assert answer.status == 422
    for path, query in (
        ("/v1/reachable", "?lat=49.41&lon=8.69&minutes=5&stations=true&limit=3"), ("/v1/tiles/roads.json", ""),
        ("/v1/nearby", "?lat=49.41&lon=8.69&sort=drive_time"),
        ("/v1/nearby", "?lat=49.41&lon=8.69&sort=drive_time&format=geojson&fields=name,drive_time_s&open_now=true"),
    ):  # fmt: skip
        async with heidelberg.stack.session.get(heidelberg.stack.url + path + query) as answer:
            assert answer.status == 200
            assert_documented(told, "GET", path, answer.status, answer.headers, await answer.read())


# -- other countries, and the swap ----------------------------------------------------------------------------------------


async def test_a_bad_file_leaves_the_old_graph_serving(heidelberg: RoadsStack, tmp_path: Path) -> None:
    whole = (ROADS / "andorra.osm.pbf").read_bytes()
    for name, content, says in (
        ("truncated.osm.pbf", whole[:1_000_000], "truncated"), ("empty.osm.pbf", b"", "is empty"),
        ("text.osm.pbf", b"no map at all", "no OSM PBF"), ("header.osm.pbf", whole[: 4 + 14 + 174], "no data"),
    ):  # fmt: skip
        path = tmp_path / name
        path.write_bytes(content)
        code, output = await heidelberg.build(path)
        assert code == 1 and name in output and says in output, output
        assert "Traceback" not in output
    route = {"waypoints": [{"lat": 49.41, "lon": 8.69}, {"lat": 49.42, "lon": 8.7}], "maneuvers": False}
    assert (await heidelberg.post("/v1/route", route))["routes"]


async def test_a_new_graph_is_swapped_in_without_a_failed_request(heidelberg: RoadsStack) -> None:
    """Heidelberg, then both small countries: whoever asks meanwhile is answered, from the one or from the other."""
    route = {"waypoints": [{"lat": 49.41, "lon": 8.69}, {"lat": 49.42, "lon": 8.7}], "maneuvers": False}
    swapped = asyncio.Event()
    outcomes: list[int] = []

    async def keep_asking() -> None:
        while not swapped.is_set():
            async with heidelberg.stack.session.post(f"{heidelberg.stack.url}/v1/route", json=route) as answer:
                outcomes.append(answer.status)

    askers = [asyncio.create_task(keep_asking()) for _ in range(3)]
    await heidelberg.turn_to("andorra", "liechtenstein")
    swapped.set()
    await asyncio.gather(*askers)
    assert len(outcomes) > 20
    assert set(outcomes) == {200, 422}  # on the old graph, and no road near on the new one
    first = outcomes.index(422)
    assert 200 not in outcomes[first + 20 :]  # not back and forth: some were under way
    for lat, lon, to_lat, to_lon in ((42.5075, 1.5218, 42.5667, 1.4833), (47.1410, 9.5209, 47.2110, 9.5250)):
        body = {"waypoints": [{"lat": lat, "lon": lon}, {"lat": to_lat, "lon": to_lon}]}
        (found,) = (await heidelberg.post("/v1/route", body))["routes"]
        assert 4_000 < found["distance_m"] < 30_000
    near = await heidelberg.get("/v1/nearby?lat=47.1410&lon=9.5209&sort=drive_time&limit=3&radius_m=30000")
    assert not near["degraded"]


async def test_a_long_drive_over_motorways(roads: RoadsStack) -> None:
    """Berlin to Munich with Superchargers and Germany's fast chargers."""
    await roads.turn_to("europe-motorways")
    ends = LatLon(52.52, 13.40), LatLon(48.14, 11.58)
    body = {"waypoints": [{"lat": at.lat, "lon": at.lon} for at in ends], "limit": 60, "max_distance_m": 1500}
    told = await roads.post("/v1/along-route?min_power_kw=150", body)
    assert 550_000 < told["route"]["distance_m"] < 700_000
    assert told["considered"] > 60 and not told["complete"] and len(told["stations"]) > 20
    offsets = [one["offset_m"] for one in told["stations"]]
    assert in_order(offsets) and offsets[-1] - offsets[0] > 400_000  # spread over the whole drive
    assert any(one["id"].startswith("superchargers~") for one in told["stations"])
    exact = 0
    for station in told["stations"][::6]:
        truth = await whole_detour(roads, ends, station)
        assert truth is not None
        assert station["detour_s"] >= truth - 5  # never told too small
        exact += abs(station["detour_s"] - max(0.0, truth)) <= 30
    assert exact >= len(told["stations"][::6]) - 2
