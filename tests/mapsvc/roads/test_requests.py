"""Requests of the routing endpoints: what is read of them, and how every fault is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.filters import NO_FILTER, Filter
from geo.point import LatLon
from geo.polyline import encode
from geo.world import World
from mapsvc.json_body import Members
from mapsvc.problems import Problem, Unprocessable
from mapsvc.roads import along
from mapsvc.roads.along import AlongQuery, parse_along
from mapsvc.roads.reachable import ReachableQuery, parse_reachable
from mapsvc.roads.route import GEOJSON, POLYLINE, RouteQuery, parse_route
from mapsvc.roads.valhalla_files import MAX_KM, MAX_MINUTES
from mapsvc.roads.waypoints import MOST, Waypoint, read_waypoints
from tests.geo.model_world import Told
from tests.geo.worlds import START_MS, examples, make_evse, make_station, packed, party_of
from tests.mapsvc.test_bodies import packed_record

A, B = {"lat": 48.0, "lon": 7.0}, {"lat": 48.5, "lon": 7.5}
PARIS = LatLon(48.85, 2.35)
STATION = f"{party_of(1)}~L1"


def world_of_one() -> World:
    world = World()
    world.put([packed_record(Told(1, 1, make_station(1, PARIS.lat, PARIS.lon, [make_evse(0)])))], packed([]), START_MS)
    return world


WORLD = world_of_one()


def route(**told: Any) -> RouteQuery:
    return parse_route(orjson.dumps({"waypoints": [A, B], **told}), WORLD)


def beside(query: str = "", **told: Any) -> AlongQuery:
    return parse_along(query, orjson.dumps(told), WORLD)


def faults(parse: Callable[..., Any], *args: Any, **told: Any) -> list[str]:
    """Where they are."""
    with pytest.raises(Problem) as failure:
        parse(*args, **told)
    assert all(fault.allowed for fault in failure.value.faults)
    return [fault.where for fault in failure.value.faults]


# -- waypoints ------------------------------------------------------------------------------------------------------------


def waypoints(*some: Any) -> list[Waypoint]:
    members = Members.of(orjson.dumps({"waypoints": some}))
    found = read_waypoints(members, WORLD)
    members.done()
    return found


def test_a_waypoint_is_a_position_or_a_station_in_any_case() -> None:
    there = LatLon(float(np.float32(PARIS.lat)), float(np.float32(PARIS.lon)))
    for told in (STATION, STATION.upper(), STATION.lower().replace("~", "%7E")):
        found, other = waypoints({"station": told}, B)
        assert found.station == told
        assert found.at == pytest.approx(there, abs=1e-5)
        assert other == Waypoint(LatLon(48.5, 7.5))
        assert other.place == B


def test_the_ends_of_the_world_are_positions_and_so_is_the_same_place_twice() -> None:
    ends = [{"lat": lat, "lon": lon} for lat in (-90, 90) for lon in (-180, 180)]
    assert [{"lat": one.at.lat, "lon": one.at.lon} for one in waypoints(*ends, *ends)] == ends + ends


@pytest.mark.parametrize(
    ("some", "where"),
    [
        ([A], ["/waypoints"]),
        ([A] * (MOST + 1), ["/waypoints"]),
        ([A, {"lat": 90.001, "lon": 1}], ["/waypoints/1/lat"]),
        ([{"lat": 1, "lon": -180.5}, {"lat": "1", "lon": True}], ["/waypoints/0/lon", "/waypoints/1/lat", "/waypoints/1/lon"]),
        ([A, {}], ["/waypoints/1/lat", "/waypoints/1/lon"]),
        ([A, {"station": "nobody~1"}], ["/waypoints/1/station"]),
        ([A, {"station": "x" * 1000}], ["/waypoints/1/station"]),
        ([A, {"station": ""}], ["/waypoints/1/station"]),
        ([A, {"station": 5}], ["/waypoints/1/station"]),
        ([A, {"station": "%00%ff"}], ["/waypoints/1/station"]),
        ([A, {"station": STATION, "lat": 1}], ["/waypoints/1/lat"]),
        ([A, {**B, "name": "home"}], ["/waypoints/1/name"]),
    ],
)  # fmt: skip
def test_a_waypoint_that_is_none_is_named(some: list[Any], where: list[str]) -> None:
    assert faults(waypoints, *some) == where


def test_a_station_that_is_null_is_absent() -> None:
    assert waypoints(A, {**B, "station": None}) == waypoints(A, B)


# -- /v1/route ------------------------------------------------------------------------------------------------------------


def test_a_route_needs_waypoints_only() -> None:
    query = route()
    assert [one.place for one in query.waypoints] == [A, B]
    assert query[1:] == ((), POLYLINE, "en-US", 0, True)


def test_a_route_is_asked_for_in_all_its_forms() -> None:
    query = route(
        avoid=["tolls", "ferries", "tolls"], geometry=GEOJSON, language="de-DE", alternates=2, maneuvers=False
    )
    assert query[1:] == (("ferries", "tolls"), GEOJSON, "de-DE", 2, False)


@pytest.mark.parametrize(
    ("told", "where"),
    [
        ({"waypoints": [A, B, A], "alternates": 1}, ["/alternates"]),
        ({"alternates": 3}, ["/alternates"]),
        ({"avoid": ["hills"]}, ["/avoid"]),
        ({"avoid": "tolls"}, ["/avoid"]),
        ({"geometry": "polyline5"}, ["/geometry"]),
        ({"language": "tlh"}, ["/language"]),
        ({"maneuvers": 1}, ["/maneuvers"]),
        ({"costing": "truck"}, ["/costing"]),
        ({"waypoints": None}, ["/waypoints"]),
        ({"waypoints": [A, {"lat": 1}], "language": 5, "x": 1}, ["/waypoints/1/lon", "/language", "/x"]),
    ],
)
def test_what_is_wrong_with_a_route_is_named(told: Mapping[str, Any], where: list[str]) -> None:
    assert faults(route, **told) == where


# -- /v1/along-route ------------------------------------------------------------------------------------------------------

LATS, LONS = np.array([48.0, 48.1, 48.1]), np.array([7.0, 7.0, 7.2])
LINE = {"type": "LineString", "coordinates": np.stack((LONS, LATS), axis=1).tolist()}


def test_a_line_is_a_polyline_of_either_precision_or_geojson() -> None:
    for told in (
        {"geometry": encode(LATS, LONS, 6)},
        {"geometry": encode(LATS, LONS, 5), "precision": 5},
        {"geometry": LINE, "waypoints": None},
        {"geometry": {**LINE, "coordinates": [[*place, 123.4] for place in LINE["coordinates"]], "bbox": []}},
    ):
        query = beside(**told)
        assert query.line is not None and query.waypoints == []
        assert query.line.lat.tolist() == LATS.tolist() and query.line.lon.tolist() == LONS.tolist()
        assert query[2:] == ((), along.DETOUR_S, along.DISTANCE_M, along.BY_OFFSET, along.LIMIT, NO_FILTER)


def test_a_line_may_cross_the_antimeridian_and_a_pole() -> None:
    query = beside(geometry={"type": "LineString", "coordinates": [[180, 0], [-179.9, 0.1], [-180, 0]]})
    assert query.line is not None and query.line.length_m < 40_000
    query = beside(geometry={"type": "LineString", "coordinates": [[0, 89.9], [180, 89.9]]})
    assert query.line is not None and query.line.length_m == pytest.approx(22_239, abs=10)


def test_along_waypoints_with_filters_and_limits() -> None:
    query = beside(
        "min_power_kw=100&available", waypoints=[A, {"station": STATION}], geometry=None, avoid=["motorways"],
        max_detour_s=0, max_distance_m=50_000, sort="detour", limit=60,
    )  # fmt: skip
    assert query.line is None and [one.station for one in query.waypoints] == [None, STATION]
    assert query[2:7] == (("motorways",), 0.0, 50_000.0, "detour", 60)
    assert query.wanted.available and query.wanted != Filter(available=1)


@pytest.mark.parametrize(
    ("told", "where"),
    [
        ({}, ["/geometry"]),
        ({"geometry": LINE, "waypoints": [A, B]}, ["/geometry"]),
        ({"geometry": ""}, ["/geometry"]),
        ({"geometry": "\x7f"}, ["/geometry"]),
        ({"geometry": "é"}, ["/geometry"]),
        ({"geometry": "??"}, ["/geometry"]),
        ({"geometry": "????"}, ["/geometry"]),  # the same place twice
        ({"geometry": encode(LATS, LONS, 6), "precision": 4}, ["/precision"]),
        ({"geometry": 5}, ["/geometry"]),
        ({"geometry": []}, ["/geometry"]),
        ({"geometry": {"type": "Point", "coordinates": [1, 2]}}, ["/geometry"]),
        ({"geometry": {"type": "LineString"}}, ["/geometry"]),
        ({"geometry": {"type": "LineString", "coordinates": []}}, ["/geometry"]),
        ({"geometry": {"type": "LineString", "coordinates": [[1, 2]]}}, ["/geometry"]),
        ({"geometry": {"type": "LineString", "coordinates": [[1, 2], [1]]}}, ["/geometry"]),
        ({"geometry": {"type": "LineString", "coordinates": [[1, 2], None]}}, ["/geometry"]),
        ({"geometry": {"type": "LineString", "coordinates": [[1, 2], {"lon": 1}]}}, ["/geometry"]),
        ({"geometry": {"type": "LineString", "coordinates": [[1, 2], [None, 1]]}}, ["/geometry"]),
        ({"geometry": {"type": "LineString", "coordinates": [[1, 2], [1, [2]]]}}, ["/geometry"]),
        ({"geometry": {"type": "LineString", "coordinates": [[1, 2], ["nan", "nan"]]}}, ["/geometry"]),
        ({"geometry": {"type": "LineString", "coordinates": [[1, 2], [1, 90.5]]}}, ["/geometry"]),
        ({"geometry": {"type": "LineString", "coordinates": [[1, 2], [181, 2]]}}, ["/geometry"]),
        ({"geometry": {"type": "LineString", "coordinates": [[0, 0], [180, 0]]}}, ["/geometry"]),  # any way is the shortest
        ({"geometry": {"type": "LineString", "coordinates": [[0, 0], [60, 0]]}}, ["/geometry"]),  # 6,672 km
        ({"geometry": LINE, "sort": "name"}, ["/sort"]),
        ({"geometry": LINE, "max_detour_s": -1}, ["/max_detour_s"]),
        ({"geometry": LINE, "max_distance_m": 50_001}, ["/max_distance_m"]),
        ({"geometry": LINE, "limit": 0}, ["/limit"]),
        ({"geometry": LINE, "limit": 61}, ["/limit"]),
        ({"waypoints": [A]}, ["/waypoints"]),
        ({"geometry": "?", "limit": "x", "y": 1}, ["/geometry", "/limit", "/y"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_line_is_named(told: Mapping[str, Any], where: list[str]) -> None:
    assert faults(beside, **told) == where


def test_a_filter_that_is_none_is_named_as_a_parameter() -> None:
    assert faults(beside, "min_power_kw=x", geometry=LINE) == ["min_power_kw"]


def test_a_line_has_not_more_positions_than_it_may() -> None:
    steps = np.arange(along.MAX_POSITIONS + 1) % 2 * 1e-5
    lat, lon = np.asarray(48 + steps, np.float64), np.asarray(7 + steps, np.float64)
    assert beside(geometry=encode(lat[:-1], lon[:-1], 5), precision=5).line is not None
    assert faults(beside, geometry=encode(lat, lon, 5), precision=5) == ["/geometry"]


@pytest.mark.parametrize("place", ["12", ["1", "2"], [True, False], [" 1_0 ", "2"]])
def test_a_position_is_made_of_numbers(place: Any) -> None:
    assert faults(beside, geometry={"type": "LineString", "coordinates": [[1.5, 2.5], place]}) == ["/geometry"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("0", "1", "lat")), inner, max_size=2),
        max_leaves=6,
    )
)  # fmt: skip
@examples(100)
def test_whatever_coordinates_come_they_are_a_line_or_refused(value: Any) -> None:
    for coordinates in (value, [value, [1, 2]], [[value, value], [1, 2]]):
        try:
            body = orjson.dumps({"geometry": {"type": "LineString", "coordinates": coordinates}})
        except orjson.JSONEncodeError:  # a number beyond 64 bits
            return
        try:
            line = parse_along("", body, WORLD).line
        except Unprocessable:
            continue
        assert line is not None and line.length_m > 0


# -- /v1/reachable --------------------------------------------------------------------------------------------------------


def reach(query: str) -> ReachableQuery:
    return parse_reachable(f"lat=48&lon=7{query}")


def test_an_area_is_asked_for_by_time_by_distance_or_by_what_is_in_the_battery() -> None:
    query = reach("&minutes=15")
    assert query == (LatLon(48, 7), 15.0, None, None, False, query.limit, NO_FILTER)
    assert reach("&kilometres=400")[1:4] == (None, 400.0, None)
    query = reach("&battery_kwh=60&soc=40&consumption_kwh_100km=18&stations=true&limit=3&min_power_kw=50")
    assert query.minutes is None and query.battery == (60, 40, 18)
    assert query.km == pytest.approx(60 * 0.40 / 0.18)
    assert (query.with_stations, query.limit) == (True, 3) and query.wanted != NO_FILTER


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("", ["minutes"]),
        ("&minutes=5&kilometres=5", ["minutes"]),
        ("&minutes=5&battery_kwh=60&soc=5&consumption_kwh_100km=18", ["minutes"]),
        ("&minutes=0.5", ["minutes"]),
        (f"&minutes={MAX_MINUTES + 1}", ["minutes"]),
        (f"&kilometres={MAX_KM + 1}", ["kilometres"]),
        ("&minutes=nan", ["minutes"]),
        ("&minutes=", ["minutes"]),
        ("&kilometres=inf", ["kilometres"]),
        ("&battery_kwh=60", ["soc", "consumption_kwh_100km"]),
        ("&battery_kwh=60&soc=40", ["consumption_kwh_100km"]),
        ("&battery_kwh=60&soc=0&consumption_kwh_100km=18", ["soc"]),
        ("&battery_kwh=60&soc=40&consumption_kwh_100km=0", ["consumption_kwh_100km"]),
        ("&battery_kwh=100&soc=100&consumption_kwh_100km=10", ["battery_kwh"]),  # 1000 km
        ("&battery_kwh=1&soc=1&consumption_kwh_100km=200", ["battery_kwh"]),  # 5 m
        ("&minutes=5&soc=5", ["soc"]),
        ("&minutes=5&limit=0", ["limit"]),
        ("&minutes=5&colour=red", ["colour"]),
        ("&minutes=5&minutes=6", ["minutes"]),
    ],
)
def test_what_is_wrong_with_an_area_is_named(query: str, where: list[str]) -> None:
    assert faults(reach, query) == where


def test_a_position_is_required() -> None:
    assert faults(parse_reachable, "minutes=5") == ["lat", "lon"]
    assert faults(parse_reachable, "minutes=5&lat=90.1&lon=x") == ["lat", "lon"]
