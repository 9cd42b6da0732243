"""Stations along a line: which are asked about, between which points of the line, and what is told of them. On a country where
one drives along the air line, so that every detour can be reckoned by hand; on real roads: tests/e2e/test_roads.py."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from geo.corridor import Beside, Line, beside_vectors
from geo.filters import NO_FILTER, Filter
from geo.point import Floats, LatLon, haversine_m, unit_vectors
from geo.record import tombstone
from geo.station import Status
from geo.world import World
from mapsvc.deadline import Deadline
from mapsvc.params import NearbyQuery
from mapsvc.problems import Unavailable, Unprocessable
from mapsvc.roads import along, snapping
from mapsvc.roads import client as clients
from mapsvc.roads.along import AT_ONCE, BY_DETOUR, BY_OFFSET, MOST, STEP_M, WINDOW_M, Along, AlongQuery, Detours, Found
from mapsvc.roads.client import RoadsClient
from mapsvc.roads.drive_time import DriveTimes
from mapsvc.roads.graphs import Served
from mapsvc.roads.snapping import Snaps
from mapsvc.roads.waypoints import Waypoint
from mapsvc.shape import PLAIN
from tests.geo.model_world import State, Told
from tests.geo.worlds import START_MS, make_evse, make_station, packed
from tests.mapsvc.roads.fake_valhalla import SPEED_MS, FakeValhalla, asking
from tests.mapsvc.roads.without import no_roads
from tests.mapsvc.test_bodies import packed_record

Place = tuple[float, float]
WEST, EAST = LatLon(48.0, 7.0), LatLon(48.0, 7.5)
STRAIGHT = Line(np.array([48.0, 48.0]), np.array([7.0, 7.5]))  # 37 km, to the east


def put(world: World, num: int, n: int, place: Place) -> None:
    station = make_station(num, *place, [make_evse(0)])
    states = packed([State(num, 0, n + 1, Status.AVAILABLE, START_MS, START_MS)])
    world.put([packed_record(Told(num, n, station))], states, START_MS)


def world_of(places: Sequence[Place]) -> World:
    """Numbered from 1, all free."""
    world = World()
    for num, place in enumerate(places, 1):
        put(world, num, 1, place)
    return world


def nums(world: World, found: Found) -> list[int]:
    return [int(num) for num in world.stations.num[found.rows]]


def beside(line: Line | None = STRAIGHT, **told: Any) -> AlongQuery:
    query = AlongQuery(line, [], (), along.MAX_DETOUR_S, 20_000, BY_OFFSET, MOST, NO_FILTER)
    return query._replace(**told)


def by_way_of(*places: LatLon, **told: Any) -> AlongQuery:
    return beside(None, waypoints=[Waypoint(place) for place in places], **told)


def along_in(world: World, client: RoadsClient) -> Along:
    return Along(world, lambda: START_MS, client, Snaps(client))


async def answer(world: World, fake: FakeValhalla, query: AlongQuery) -> Found:
    async with asking(fake) as client:
        return await along_in(world, client).find(query)


def air_s(*places: LatLon) -> float:
    return sum(haversine_m(a, b) for a, b in pairwise(places)) / SPEED_MS


def dense(a: LatLon, b: LatLon, count: int = 1000) -> list[LatLon]:
    """Positions on the way from a to b."""
    a_xyz, b_xyz = unit_vectors(np.array([a.lat, b.lat]), np.array([a.lon, b.lon]))
    x, y, z = (a_xyz + np.linspace(0, 1, count)[:, None] * (b_xyz - a_xyz)).T
    lats, lons = np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))
    return [LatLon(*place) for place in zip(lats.tolist(), lons.tolist(), strict=True)]


def routes_asked(fake: FakeValhalla) -> list[Mapping[str, Any]]:
    return [body for body in fake.bodies if body.get("directions_type") == "none"]


# -- which are asked about ------------------------------------------------------------------------------------------------


def test_few_are_all_chosen_in_order_of_offset() -> None:
    chosen = along._spread(np.array([5.0, 1.0, 3.0]), np.zeros(3), 10.0, 3)
    assert chosen.tolist() == [1, 2, 0]
    assert along._spread(np.zeros(0), np.zeros(0), 10.0, 3).tolist() == []


@pytest.mark.parametrize("seed", range(20))
def test_of_many_the_nearest_of_each_section_come_first(seed: int) -> None:
    """By rounds: the nearest of each section, then the second nearest of each, till there are enough."""
    rng = np.random.default_rng(seed)
    count, most, length_m = int(rng.integers(1, 400)), int(rng.integers(1, 60)), float(rng.choice([0.5, 1000.0, 1e6]))
    offset_m: Floats = np.append(rng.uniform(0, length_m, count) ** rng.choice([1.0, 0.2]) % length_m, length_m)
    distance_m: Floats = rng.permutation(len(offset_m)).astype(np.float64)
    chosen = along._spread(offset_m, distance_m, length_m, most).tolist()
    assert len(chosen) == len(set(chosen)) == min(most, len(offset_m))
    assert np.all(np.diff(offset_m[chosen]) >= 0)
    if len(offset_m) <= most:
        return
    sections: dict[int, list[int]] = {}
    for k in np.argsort(distance_m).tolist():
        section = min(most - 1, int(offset_m[k] / max(length_m, 1.0) * most))
        sections.setdefault(section, []).append(k)
    expected: list[int] = []
    for turn in range(len(offset_m)):
        some = [of[turn] for of in sections.values() if turn < len(of)]
        expected += sorted(some, key=distance_m.__getitem__)
    assert sorted(chosen) == sorted(expected[:most])


async def test_all_that_match_beside_the_line_are_asked_about_if_they_are_few() -> None:
    rng = random.Random(1)
    places = [(48.0 + rng.uniform(-0.1, 0.1), rng.uniform(6.9, 7.6)) for _ in range(70)]
    world, fake = world_of(places), FakeValhalla()
    found = await answer(world, fake, beside(max_distance_m=3000))
    distances = [min(haversine_m(LatLon(*place), at) for at in dense(WEST, EAST)) for place in places]
    near = {num for num, distance_m in enumerate(distances, 1) if distance_m <= 3000}
    assert 10 < len(near) < MOST
    assert set(nums(world, found)) == near
    assert (found.considered, found.is_complete) == (len(near), True)
    assert np.all(np.diff(found.offset_m) >= 0)
    for num, distance_m in zip(nums(world, found), found.distance_m, strict=True):
        assert distance_m == pytest.approx(distances[num - 1], abs=30)


async def test_too_many_are_told_to_be_so_and_chosen_over_the_whole_line() -> None:
    rng = random.Random(2)
    town = [(48.0 + rng.uniform(-0.01, 0.01), 7.1 + rng.uniform(-0.01, 0.01)) for _ in range(3 * MOST)]
    world = world_of([*town, (48.05, 7.4), (48.05, 7.48)])
    found = await answer(world, FakeValhalla(), beside())
    assert (found.considered, found.is_complete) == (3 * MOST + 2, False)
    assert len(found.rows) == MOST
    assert {3 * MOST + 1, 3 * MOST + 2} < set(nums(world, found))


@pytest.mark.parametrize("limit", [1, 5, 20, MOST])
async def test_by_offset_no_more_are_asked_about_than_the_answer_takes(limit: int) -> None:
    """The same stations and detours as of all; every third takes too long to get to."""
    world = world_of([(48.0 + 0.004 * (k % 5), 7.001 + k / 120) for k in range(MOST - 2)])
    whole = FakeValhalla()
    whole.detour_of = lambda lat, lon: 1000.0 if round((lon - 7.001) * 120) % 3 == 0 else 0.0
    some = FakeValhalla()
    some.detour_of = whole.detour_of
    all_of_them = await answer(world, whole, beside(max_detour_s=900))
    found = await answer(world, some, beside(max_detour_s=900, limit=limit))
    assert nums(world, found) == nums(world, all_of_them)[:limit]
    assert found.detour_s.tolist() == all_of_them.detour_s.tolist()[:limit]
    assert (found.considered, found.is_complete) == (MOST - 2, True)
    by_station = [sum(len(body["locations"]) == 3 for body in routes_asked(fake)) for fake in (some, whole)]
    assert by_station[1] == MOST - 2
    assert by_station[0] <= min(by_station[1], 1.5 * limit + 2 * along.FEW)


async def test_who_is_one_too_many_has_the_stations_of_his_line_at_least() -> None:
    world = world_of([(48.02, 7.4), (48.0, 7.2)])
    async with asking(FakeValhalla()) as client:
        with ExitStack() as under_way:
            for _ in range(clients.REQUESTS):
                under_way.enter_context(client.one_graph())
            found = await along_in(world, client).find(beside())
            assert (nums(world, found), found.degraded) == ([2, 1], "busy")
            with pytest.raises(Unavailable) as failure:
                await along_in(world, client).find(by_way_of(WEST, EAST))
    assert failure.value.retry_after_s == 1


async def test_filters_go_first() -> None:
    """What does not match takes no place among those that are asked about."""
    world, fake = world_of([(48.0, 7.0 + k / 200) for k in range(100)]), FakeValhalla()
    busy = [State(num, 0, 5, Status.CHARGING, START_MS, START_MS) for num in range(1, 91)]
    world.put_states(packed(busy), START_MS)
    found = await answer(world, fake, beside(wanted=Filter(available=1)))
    assert nums(world, found) == list(range(91, 101))
    assert (found.considered, found.is_complete) == (10, True)
    assert max(len(body["locations"]) for body in fake.bodies if len(body["locations"]) > 3) == 10  # to be snapped


async def test_nothing_is_asked_where_nothing_stands() -> None:
    fake = FakeValhalla()
    found = await answer(world_of([(10.0, 10.0)]), fake, beside())
    assert (len(found.rows), found.considered, found.is_complete, found.degraded) == (0, 0, True, "")
    assert not fake.asked


async def test_what_is_too_far_for_the_largest_detour_is_not_asked_about() -> None:
    world, fake = world_of([(48.15, 7.25), (48.01, 7.25)]), FakeValhalla()
    found = await answer(world, fake, beside(max_detour_s=300))
    assert (nums(world, found), found.considered) == ([2], 1)


async def test_a_station_whose_road_is_the_line_is_no_detour_however_far_off_the_road_it_stands() -> None:
    fake = FakeValhalla()
    fake._locate = lambda asked: [  # type: ignore[method-assign]
        {"edges": [{"way_id": 1, "percent_along": 0.5, "correlated_lat": 48.0, "correlated_lon": one["lon"]}]}
        for one in asked["locations"]
    ]
    world = world_of([(48.0081, 7.25)])  # 900 m
    assert nums(world, await answer(world, fake, beside(max_detour_s=0))) == [1]


# -- windows and headings -------------------------------------------------------------------------------------------------


def detours(line: Line) -> Detours:
    client = no_roads()
    return Detours(client, Snaps(client), line, (), Deadline(0.0))


@pytest.mark.parametrize("length_deg", [0.01, 0.13, 2.0])
async def test_a_window_reaches_far_enough_on_both_sides_and_is_shared(length_deg: float) -> None:
    line = Line(np.array([0.0, 0.0]), np.array([7.0, 7.0 + length_deg]))
    windows = [await detours(line)._window(offset_m) for offset_m in np.linspace(0, line.length_m, 200)]
    for (begin_m, end_m, by_m), offset_m in zip(windows, np.linspace(0, line.length_m, 200), strict=True):
        assert begin_m <= max(0.0, offset_m - WINDOW_M) and end_m >= min(line.length_m, offset_m + WINDOW_M)
        assert begin_m > offset_m - WINDOW_M - STEP_M or begin_m == 0
        assert end_m < offset_m + WINDOW_M + STEP_M or end_m == line.length_m
        assert begin_m % STEP_M == 0 and (end_m % STEP_M == 0 or end_m == line.length_m)
        assert 0 <= begin_m < end_m <= line.length_m and by_m is None
    assert len(set(windows)) <= 2 * (line.length_m / STEP_M + 2)


@pytest.mark.parametrize(
    ("a", "b", "heading"),
    [
        ((48, 7), (48.001, 7), 0), ((48, 7), (48, 7.001), 90), ((48, 7), (47.999, 7), 180), ((48, 7), (48, 6.999), 270),
        ((0, 0), (0.001, 0.001), 45), ((60, 0), (60.001, 0.002), 45), ((0, 179.9999), (0, -179.9999), 90),
        ((0, -179.9999), (0, 179.9999), 270), ((48, 7), (48.001, 6.9999999), 0), ((48, 7), (48, 7), 0),
    ],
)  # fmt: skip
def test_a_heading_is_that_of_the_compass(a: Place, b: Place, heading: int) -> None:
    assert along._heading(LatLon(*a), LatLon(*b)) == heading


async def test_the_points_of_the_line_are_asked_for_with_its_heading_and_without_if_that_is_refused() -> None:
    world, fake = world_of([(48.01, 7.25)]), FakeValhalla()
    found = await answer(world, fake, beside())
    asked = [body["locations"] for body in routes_asked(fake)]
    assert [len(places) for places in asked] == [2, 3]
    for places in asked:
        for place in (places[0], places[-1]):
            assert (place["heading"], place["heading_tolerance"]) == (90, along.HEADING_TOLERANCE)
    assert "heading" not in asked[1][1]

    rough = FakeValhalla()
    async with asking(rough) as client:
        real = client.ask

        async def ask(action: str, body: Mapping[str, Any], deadline: Deadline) -> Any:
            rough.fails = "442" if "heading" in body["locations"][0] else ""
            return await real(action, body, deadline)

        client.ask = ask  # type: ignore[method-assign]
        again = await along_in(world, client).find(beside())
    assert again.detour_s.tolist() == found.detour_s.tolist()
    assert rough.asked["route"] == 4
    assert all("heading" not in place for body in routes_asked(rough) for place in body["locations"])


# -- detours --------------------------------------------------------------------------------------------------------------


async def test_a_detour_is_what_the_stop_adds_between_the_ends_of_the_window() -> None:
    places = [(48.02, 7.05), (47.97, 7.25), (48.0, 7.3), (48.1, 7.45)]
    world, fake = world_of(places), FakeValhalla()
    found = await answer(world, fake, beside())
    assert nums(world, found) == [1, 2, 3, 4]
    windows = detours(STRAIGHT)
    for k, place in enumerate(places):
        begin, end = (STRAIGHT.at(offset_m) for offset_m in (await windows._window(float(found.offset_m[k])))[:2])
        extra_s = air_s(begin, LatLon(*place), end) - air_s(begin, end)
        assert found.detour_s[k] == pytest.approx(extra_s, abs=2)
        assert found.detour_m[k] == pytest.approx(extra_s * SPEED_MS, abs=20)
    assert found.detour_s[2] <= 2
    assert len({tuple(map(str, body["locations"])) for body in routes_asked(fake)}) == len(routes_asked(fake))


async def test_what_is_avoided_is_avoided_on_every_way() -> None:
    fake = FakeValhalla()
    await answer(world_of([(48.01, 7.25)]), fake, beside(avoid=("tolls",)))
    assert all(body["costing_options"] == {"auto": {"use_tolls": 0.0}} for body in routes_asked(fake))


async def test_stations_are_told_by_detour_or_by_offset_with_ties_by_id_and_not_more_than_are_wanted() -> None:
    rng = random.Random(3)
    places = [(48.0 + rng.uniform(0, 0.1), rng.uniform(7.0, 7.5)) for _ in range(30)]
    world = world_of([*places, (48.05, 7.25), (48.05, 7.25), (48.05, 7.25)])
    found = await answer(world, FakeValhalla(), beside(sort=BY_DETOUR))
    assert len(found.rows) == 33 and np.all(np.diff(found.detour_s) >= 0)
    twins = [world.key(row) for row in found.rows.tolist() if world.stations.num[row] > 30]
    assert len(twins) == 3 and twins == sorted(twins)
    few = await answer(world, FakeValhalla(), beside(sort=BY_DETOUR, limit=4))
    assert nums(world, few) == nums(world, found)[:4]
    near = await answer(world, FakeValhalla(), beside(max_detour_s=600))
    assert set(nums(world, near)) == {
        num for num, detour_s in zip(nums(world, found), found.detour_s, strict=True) if detour_s <= 600
    }


async def test_what_no_road_or_no_way_leads_to_is_not_told() -> None:
    world, fake = world_of([(48.0, 7.301), (48.0, 7.2), (48.0, 7.3)]), FakeValhalla()
    fake.detour_of = lambda lat, lon: None if abs(lon - 7.301) < 1e-4 else 0.0
    async with asking(fake) as client:
        real = client.ask

        async def ask(action: str, body: Mapping[str, Any], deadline: Deadline) -> Any:
            if action == "route" and any(abs(place["lon"] - 7.2) < 1e-4 for place in body["locations"]):
                raise clients.RefusedError(442)
            return await real(action, body, deadline)

        client.ask = ask  # type: ignore[method-assign]
        found = await along_in(world, client).find(beside())
    assert nums(world, found) == [3]
    assert (found.considered, found.degraded) == (3, "")


async def test_a_request_has_only_a_few_calls_with_the_engine_at_a_time() -> None:
    fake = FakeValhalla()
    fake.slow_s = 0.002
    await answer(world_of([(48.0, 7.0 + k / 100) for k in range(40)]), fake, beside())
    assert fake.most_at_once == AT_ONCE


async def test_a_route_that_is_computed_here_is_a_line_like_another() -> None:
    world, fake = world_of([(48.02, 7.25)]), FakeValhalla()
    given, routed = await answer(world, fake, beside()), await answer(world, fake, by_way_of(WEST, EAST))
    assert routed.duration_s == pytest.approx(air_s(WEST, EAST), abs=1) and given.duration_s is None
    assert routed.length_m == pytest.approx(given.length_m, abs=1)
    assert routed.detour_s.tolist() == given.detour_s.tolist()


# -- lines that are not the best way --------------------------------------------------------------------------------------

NOT_THE_LINE = (
    "a detour is reckoned against the best way between the window's ends, not against the drive along the line"
)


@pytest.mark.parametrize("form", ["line", "waypoints"])
async def test_what_stands_on_the_road_is_no_detour_on_a_drive_there_and_back(form: str) -> None:
    query = beside(Line(np.array([48.0] * 3), np.array([7.0, 7.1, 7.0])))
    if form == "waypoints":
        query = by_way_of(WEST, LatLon(48.0, 7.1), WEST)
    found = await answer(world_of([(48.0, 7.02), (48.0, 7.05), (48.0, 7.09), (48.0, 7.1)]), FakeValhalla(), query)
    assert len(found.rows) == 4
    assert found.detour_s.max() <= 30


async def test_a_window_shrinks_until_the_line_is_the_best_way_and_else_goes_by_its_point() -> None:
    there_and_back = Line(np.array([48.0] * 3), np.array([7.0, 8.0, 7.0]))
    turn_m = there_and_back.length_m / 2
    async with asking(FakeValhalla()) as client:
        asked = Detours(client, Snaps(client), there_and_back, (), Deadline.after(5))
        windows = {away_m: await asked._window(turn_m - away_m) for away_m in (40_000, 10_000, 3_000, 0)}
    widths_m = [window.end_m - window.begin_m for window in windows.values()]
    assert widths_m == sorted(widths_m, reverse=True) and widths_m[0] >= 2 * WINDOW_M and widths_m[2] < WINDOW_M
    assert all(
        window.end_m - turn_m <= widths_m[k] / 4 for k, window in enumerate(windows.values()) if window.by_m is None
    )
    assert [window.by_m for window in windows.values()] == [None, None, None, pytest.approx(turn_m)]


async def test_a_detour_is_not_told_too_small_where_the_drive_goes_by_way_of_a_place() -> None:
    """Up to a town and down again; the station is between the ends, on the road that this drive does not take."""
    a, town, b = LatLon(48.0, 7.0), LatLon(48.09, 7.05), LatLon(48.0, 7.1)
    station = LatLon(48.0, 7.05)
    found = await answer(world_of([(station.lat, station.lon)]), FakeValhalla(), by_way_of(a, town, b))
    truth_s = min(air_s(a, station, town, b), air_s(a, town, station, b)) - air_s(a, town, b)
    assert found.detour_s[0] >= truth_s - 5


async def test_a_line_that_winds_is_compared_over_the_whole_window_if_there_is_no_better_way() -> None:
    """A river's valley: the air line is half of it, and yet it is the way."""
    winding = Line(np.array([48.0, 48.05] * 10), np.linspace(7.0, 7.2, 20))
    fake = FakeValhalla()
    real = fake.seconds
    fake.seconds = lambda a, b: real(a, b) if abs(a["lon"] - b["lon"]) < 0.02 else (real(a, b) or 0) * 5  # type: ignore[method-assign]
    async with asking(fake) as client:
        asked = Detours(client, Snaps(client), winding, (), Deadline.after(5))
        window = await asked._window(winding.length_m / 2)
    assert window.end_m - window.begin_m >= 2 * WINDOW_M and window.by_m is None


# -- while it is computed -------------------------------------------------------------------------------------------------


class Meanwhile(FakeValhalla):
    """Something happens while a way is computed."""

    def __init__(self, happens: Any) -> None:
        super().__init__()
        self.happens = happens

    def _route(self, asked: Mapping[str, Any]) -> Any:
        if len(asked["locations"]) == 3:
            self.happens()
        return super()._route(asked)


async def test_a_status_that_changed_meanwhile_counts() -> None:
    world = world_of([(48.0, 7.2), (48.0, 7.3)])
    taken = packed([State(1, 0, 7, Status.CHARGING, START_MS, START_MS)])
    fake = Meanwhile(lambda: world.put_states(taken, START_MS))
    assert nums(world, await answer(world, fake, beside(wanted=Filter(available=1)))) == [2]


async def test_a_station_that_was_removed_meanwhile_is_not_told() -> None:
    world = world_of([(48.0, 7.2), (48.0, 7.3)])
    fake = Meanwhile(lambda: world.put([tombstone(1, 9)], packed([]), START_MS))
    assert nums(world, await answer(world, fake, beside())) == [2]


async def test_a_station_that_was_moved_meanwhile_is_not_told_with_the_detour_to_where_it_was() -> None:
    world = world_of([(48.0, 7.2), (48.0, 7.3)])
    fake = Meanwhile(lambda: put(world, 1, 5, (10.0, 20.0)))
    assert nums(world, await answer(world, fake, beside())) == [2]


async def test_all_numbers_of_an_answer_are_of_one_graph() -> None:
    """The new one has other roads: everything takes twice as long, and the swap happens between two ways."""

    class Slower(FakeValhalla):
        def seconds(self, a: Mapping[str, float], b: Mapping[str, float]) -> float | None:
            return 2 * (super().seconds(a, b) or 0.0)

    world = world_of([(48.02, 7.1), (48.02, 7.4)])
    old, new = FakeValhalla(), Slower()
    of_old, of_new = [(await answer(world, fake, beside())).detour_s.tolist() for fake in (FakeValhalla(), Slower())]
    async with asking(old) as client, asking(new) as other:
        there, here = client.served(), other.served()
        assert there is not None and here is not None
        now = [Served(there.url, "1", there.bbox)]
        client.served = lambda: now[0]  # type: ignore[method-assign]

        def swap() -> None:
            now[0] = Served(here.url, "2", here.bbox)

        real = old._route

        def route(asked: Mapping[str, Any]) -> Any:
            swap()
            return real(asked)

        old._route = route  # type: ignore[method-assign]
        found = await along_in(world, client).find(beside())
    assert found.degraded or found.detour_s.tolist() in (of_old, of_new)


# -- when there is no answer ----------------------------------------------------------------------------------------------


async def test_without_roads_a_line_has_its_stations_by_offset_and_waypoints_have_none() -> None:
    world, client = world_of([(48.02, 7.4), (48.0, 7.2), (48.01, 7.1)]), no_roads()
    found = await along_in(world, client).find(beside(sort=BY_DETOUR, max_detour_s=600))
    assert nums(world, found) == [3, 2, 1]
    assert found.degraded == "no_roads" and np.isnan(found.detour_s).all() and np.isnan(found.detour_m).all()
    with pytest.raises(Unavailable) as failure:
        await along_in(world, client).find(by_way_of(WEST, EAST))
    assert failure.value.retry_after_s == 60


@pytest.mark.parametrize(
    ("fails", "why"),
    [("silent", "deadline"), ("closes", "unreachable"), ("nonsense", "unreachable"), ("500", "unreachable")],
)
@pytest.mark.parametrize("after", ["the beginning", "the snapping", "the first way"])
async def test_an_engine_that_fails_on_the_way_leaves_the_stations_by_offset(
    fails: str, why: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(along, "ALONG_S", 0.15)
    world, fake = world_of([(48.02, 7.4), (48.0, 7.2)]), FakeValhalla()
    async with asking(fake) as client:
        real, ways = client.ask, 0

        async def ask(action: str, body: Mapping[str, Any], deadline: Deadline) -> Any:
            nonlocal ways
            is_way = body.get("directions_type") == "none"
            if after == "the beginning" or (is_way and (after == "the snapping" or ways)):
                fake.fails = fails
            ways += is_way
            return await real(action, body, deadline)

        client.ask = ask  # type: ignore[method-assign]
        found = await along_in(world, client).find(beside())
        assert (nums(world, found), found.degraded) == ([2, 1], why)
        fake.fails, ways = "", 0
        with pytest.raises(Unavailable):
            await along_in(world, client).find(by_way_of(WEST, EAST))
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("fails", ["171", "442"])
async def test_waypoints_that_cannot_be_driven_are_the_clients_fault(fails: str) -> None:
    fake = FakeValhalla()
    fake.fails = fails
    with pytest.raises(Unprocessable) as failure:
        await answer(world_of([(48.0, 7.2)]), fake, by_way_of(WEST, EAST))
    assert all(fault.where.startswith("/waypoints") for fault in failure.value.faults)


async def test_a_route_from_a_place_to_itself_is_no_line() -> None:
    with pytest.raises(Unprocessable) as failure:
        await answer(world_of([(48.0, 7.2)]), FakeValhalla(), by_way_of(WEST, WEST))
    assert [fault.where for fault in failure.value.faults] == ["/waypoints"]


@pytest.mark.parametrize("told", [{}, {"trip": None}, {"trip": {"summary": {"time": None, "length": None}}}, [], None])
async def test_an_answer_that_is_none_is_no_failure_of_ours(told: Any) -> None:
    fake = FakeValhalla()
    fake._route = lambda asked: told  # type: ignore[method-assign]
    found = await answer(world_of([(48.0, 7.2)]), fake, beside())
    assert found.degraded == "unreachable"


async def test_who_is_cancelled_leaves_nothing_behind() -> None:
    fake = FakeValhalla()
    fake.slow_s = 0.05
    async with asking(fake) as client:
        asked = asyncio.create_task(
            along_in(world_of([(48.0, 7.0 + k / 100) for k in range(40)]), client).find(beside())
        )
        for _ in range(100):
            if fake.asked["route"] < 3:
                await asyncio.sleep(0.01)
        assert fake.asked["route"] in (3, 4)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        fake.slow_s = 0.0
        before = fake.asked.total()
        await asyncio.sleep(0.1)
        assert fake.asked.total() == before
        for _ in range(2 * clients.RUNNING):  # no place with the engine is lost
            await client.ask("status", {}, Deadline.after(1))


async def test_a_line_that_takes_long_to_measure_holds_up_others_until_their_deadline_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A line of 1 KB (packed) that goes back and forth 200,000 times takes 2 ms a station."""

    def slow(line: Line, xyz: Floats, max_distance_m: float) -> Beside:
        if max_distance_m == 50_000:
            time.sleep(0.6)
        return beside_vectors(line, xyz, max_distance_m)

    monkeypatch.setattr(along, "beside_vectors", slow)
    monkeypatch.setattr(along, "MEASURE_S", 0.2)
    async with asking(FakeValhalla()) as client:
        asked = along_in(world_of([(48.0, 7.2)]), client)
        slow_ones = [
            asyncio.create_task(asked.find(beside(max_distance_m=50_000))) for _ in range(along.MEASURED_AT_ONCE)
        ]
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await asyncio.gather(asked.find(beside()), return_exceptions=True)
        took_s = time.monotonic() - began
        await asyncio.gather(*slow_ones, return_exceptions=True)
    assert took_s < 0.4


# -- where stations meet the roads ----------------------------------------------------------------------------------------

STATIONS = [LatLon(48.0, 7.0 + k / 1000) for k in range(40)]


async def test_a_station_is_looked_up_once() -> None:
    fake = FakeValhalla()
    fake.detour_of = lambda lat, lon: None if lon > 7.03 else 0.0
    async with asking(fake) as client:
        snaps = Snaps(client)
        found = await snaps.find("1", [*STATIONS, *STATIONS], Deadline.after(1))
        asked = fake.asked["locate"]
        assert await snaps.find("1", STATIONS, Deadline.after(1)) == found[:40] == found[40:]
    assert fake.asked["locate"] == asked
    assert [snap is None for snap in found[:40]] == [at.lon > 7.03 for at in STATIONS]


async def test_what_is_known_is_known_to_a_request_that_fills_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapping, "MAX_KNOWN", 30)
    async with asking(FakeValhalla()) as client:
        snaps = Snaps(client)
        await snaps.find("1", STATIONS[:25], Deadline.after(1))
        assert None not in await snaps.find("1", STATIONS, Deadline.after(1))


async def test_a_request_under_way_at_a_swap_does_not_lose_its_stations() -> None:
    fake = FakeValhalla()
    fake.slow_s = 0.02
    async with asking(fake) as client:
        snaps = Snaps(client)
        under_way = asyncio.create_task(snaps.find("1", STATIONS, Deadline.after(1)))
        await asyncio.sleep(0.01)
        await snaps.find("2", [WEST], Deadline.after(1))
        assert None not in await under_way


async def test_a_driver_on_an_island_cuts_nobody_off() -> None:
    """Thirty stations on the driver's island and twenty across the strait: these are the mainland's."""
    rng = random.Random(1)
    island, mainland = (
        [(48 + rng.gauss(0, 0.005), lon + rng.gauss(0, 0.005)) for _ in range(count)]
        for lon, count in ((7, 30), (7.1, 20))
    )
    world, fake = world_of([*island, *mainland]), FakeValhalla()
    real = fake.seconds
    fake.seconds = lambda a, b: real(a, b) if (a["lon"] < 7.05) == (b["lon"] < 7.05) else None  # type: ignore[method-assign]
    async with asking(fake) as client:
        times = DriveTimes(world, lambda: START_MS, client, Snaps(client))
        for lon in (7.0, 7.1):
            found = await times.nearest(NearbyQuery(LatLon(48.0, lon), 30_000.0, 10, NO_FILTER, PLAIN, True))
            await times.settled()
            assert (len(found.rows), found.degraded) == (10, ""), lon
