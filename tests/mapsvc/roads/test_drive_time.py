"""The soonest stations: equal to the matrix over all, whatever the shortlist; by air line when there is no engine."""

from __future__ import annotations

import random

import numpy as np
import pytest

from geo.filters import NO_FILTER, Filter
from geo.point import LatLon, haversine_m
from geo.station import Status
from geo.world import World
from mapsvc.deadline import Deadline
from mapsvc.params import NearbyQuery, parse_nearby
from mapsvc.problems import Problem
from mapsvc.roads import drive_time
from mapsvc.roads.drive_time import Driven, DriveTimes
from mapsvc.roads.snapping import Snaps
from mapsvc.shape import PLAIN
from tests.geo.model_world import State, Told
from tests.geo.worlds import START_MS, make_evse, make_station, packed
from tests.mapsvc.roads.fake_valhalla import FakeValhalla, asking
from tests.mapsvc.test_bodies import packed_record

HERE = LatLon(48.0, 7.0)
SEEDS = (1, 2, 3, 4, 5)


def world_around(rng: random.Random, stations: int, spread_deg: float) -> World:
    world = World()
    told = [
        Told(
            num,
            1,
            make_station(num, HERE.lat + rng.gauss(0, spread_deg), HERE.lon + rng.gauss(0, spread_deg), [make_evse(0)]),
        )
        for num in range(1, stations + 1)
    ]
    states = [
        State(num, 0, 2, rng.choice((Status.AVAILABLE, Status.CHARGING)), START_MS, START_MS)
        for num in range(1, stations + 1)
    ]
    world.put([packed_record(one) for one in told], packed(states), START_MS)
    return world


def ask(limit: int = 10, radius_m: float = 200_000.0, wanted: Filter = NO_FILTER) -> NearbyQuery:
    return NearbyQuery(HERE, radius_m, limit, wanted, PLAIN, True)


async def answer(world: World, fake: FakeValhalla, query: NearbyQuery) -> tuple[Driven, DriveTimes]:
    async with asking(fake) as client:
        times = DriveTimes(world, lambda: START_MS, client, Snaps(client))
        return await times.nearest(query), times


def exhaustive(world: World, fake: FakeValhalla, query: NearbyQuery) -> list[float]:
    """The seconds of the soonest, from all stations there are."""
    found = []
    for row in world.shown_rows().tolist():
        at = LatLon(float(world.stations.lat[row]), float(world.stations.lon[row]))
        free = int(world.stations.counts[row][1])
        seconds = fake.seconds({"lat": HERE.lat, "lon": HERE.lon}, {"lat": at.lat, "lon": at.lon})
        if seconds is not None and haversine_m(HERE, at) <= query.radius_m and free >= query.wanted.available:
            found.append(seconds)
    return sorted(found)[: query.limit]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("wanted", [NO_FILTER, Filter(available=1)])
async def test_it_equals_the_matrix_over_all(seed: int, wanted: Filter) -> None:
    """Roads are anything but straight: some of the nearest take long, and some of the far ones are soon reached."""
    rng = random.Random(seed)
    world, fake = world_around(rng, 400, 0.05), FakeValhalla()
    extra = {
        round(float(lat), 6): rng.choice((0.0, 300.0, 900.0, None)) for lat in world.stations.lat[world.shown_rows()]
    }
    fake.detour_of = lambda lat, lon: extra.get(round(lat, 6), 0.0)
    query = ask(wanted=wanted)
    found, times = await answer(world, fake, query)
    assert found.seconds.tolist() == exhaustive(world, fake, query)
    assert found.is_proven and not found.degraded
    assert times.grown == 1
    assert (np.diff(found.seconds) >= 0).all()
    if wanted.available:
        assert (found.counts[:, 1] >= 1).all()


async def test_a_shortlist_that_reaches_far_enough_need_not_grow() -> None:
    """Everybody near is reached at once, and the others are farther than any car could drive meanwhile."""
    rng, fake = random.Random(9), FakeValhalla()
    world = world_around(rng, 300, 0.5)
    fake.seconds = lambda a, b: 1.0  # type: ignore[method-assign]
    found, times = await answer(world, fake, ask(limit=3))
    assert (times.grown, found.is_proven) == (0, True)


async def test_all_within_the_radius_are_all_there_is() -> None:
    rng, fake = random.Random(10), FakeValhalla()
    world = world_around(rng, 200, 0.3)
    query = ask(limit=10, radius_m=15_000.0)
    found, times = await answer(world, fake, query)
    assert found.seconds.tolist() == exhaustive(world, fake, query)
    assert (times.grown, found.is_proven) == (0, True)


async def test_ties_are_in_order_of_id() -> None:
    world, fake = world_around(random.Random(11), 60, 0.01), FakeValhalla()
    fake.seconds = lambda a, b: 60.0  # type: ignore[method-assign]
    found, _ = await answer(world, fake, ask(limit=60))
    keys = [world.key(row) for row in found.rows.tolist()]
    assert len(keys) == 60 and keys == sorted(keys)


async def test_more_than_a_shortlist_may_hold_is_told_as_not_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive_time, "MOST", 80)
    world, fake = world_around(random.Random(12), 300, 0.02), FakeValhalla()
    found, _ = await answer(world, fake, ask())
    assert not found.is_proven and not found.degraded and len(found.rows) == 10


@pytest.mark.parametrize(
    ("fails", "why"), [("silent", "deadline"), ("closes", "unreachable"), ("nonsense", "unreachable"), ("500", "unreachable"),
                       ("171", "no_road"), ("nulls", "no_road")],
)  # fmt: skip
async def test_without_drive_times_it_is_the_air_line_and_says_so(
    fails: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive_time, "ANSWER_S", 0.2)
    world, fake = world_around(random.Random(13), 300, 0.05), FakeValhalla()
    fake.fails = fails
    found, _ = await answer(world, fake, ask())
    assert found.degraded == why
    near = world.nearby.nearest(HERE, 200_000.0, 10)
    assert found.rows.tolist() == near.rows.tolist()
    assert np.isnan(found.seconds).all() and not found.is_proven


async def test_a_shortlist_that_cannot_grow_in_time_is_an_answer_though_not_proven() -> None:
    world, fake = world_around(random.Random(14), 400, 0.05), FakeValhalla()
    async with asking(fake) as client:
        times = DriveTimes(world, lambda: START_MS, client, Snaps(client))
        asked = 0
        real = fake.seconds

        def seconds(a: dict[str, float], b: dict[str, float]) -> float | None:
            nonlocal asked
            asked += 1
            if asked > drive_time.SHORTLIST:
                raise RuntimeError  # the second matrix
            return real(a, b)

        fake.seconds = seconds  # type: ignore[assignment]
        found = await times.nearest(ask())
    assert len(found.rows) == 10 and not found.degraded and not found.is_proven


async def test_a_station_is_snapped_once_and_again_when_the_graph_is_another() -> None:
    world, fake = world_around(random.Random(15), 40, 0.01), FakeValhalla()
    async with asking(fake) as client:
        snaps = Snaps(client)
        times = DriveTimes(world, lambda: START_MS, client, snaps)
        await times.nearest(ask())
        before = fake.asked["locate"]
        await times.nearest(ask())
        assert fake.asked["locate"] == before + 1  # where the driver is
        places = [LatLon(float(world.stations.lat[row]), float(world.stations.lon[row])) for row in world.shown_rows()]
        await snaps.find("another graph", places, Deadline.after(1))
        assert fake.asked["locate"] == before + 3


async def test_a_status_that_changed_while_the_engine_computed_counts() -> None:
    world, fake = world_around(random.Random(16), 30, 0.01), FakeValhalla()
    real = fake.seconds

    def seconds(a: dict[str, float], b: dict[str, float]) -> float | None:
        world.put_states(
            packed([State(num, 0, 3, Status.CHARGING, START_MS, START_MS) for num in range(1, 31)]), START_MS
        )
        return real(a, b)

    fake.seconds = seconds  # type: ignore[assignment]
    found, _ = await answer(world, fake, ask(wanted=Filter(available=1)))
    assert len(found.rows) == 0


def test_the_query_says_how_many_may_be_asked_for() -> None:
    assert parse_nearby("lat=1&lon=2&sort=drive_time&limit=100").by_drive
    assert not parse_nearby("lat=1&lon=2&limit=101").by_drive
    with pytest.raises(Problem) as failure:
        parse_nearby("lat=1&lon=2&sort=drive_time&limit=101")
    assert [fault.where for fault in failure.value.faults] == ["limit"]


@pytest.mark.parametrize(("local_m", "asked_again"), [(0.0, 35), (5_000.0, 40)])
async def test_a_station_that_no_way_leads_to_is_left_out_of_later_questions_from_elsewhere(
    local_m: float, asked_again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive_time, "LOCAL_M", local_m)
    world, fake = world_around(random.Random(17), 40, 0.01), FakeValhalla()
    cut_off = {round(float(lat), 6) for lat in world.stations.lat[world.shown_rows()][:5]}
    real = fake.seconds
    fake.seconds = lambda a, b: None if round(b["lat"], 6) in cut_off else real(a, b)  # type: ignore[method-assign]
    async with asking(fake) as client:
        times = DriveTimes(world, lambda: START_MS, client, Snaps(client))
        first = await times.nearest(ask(limit=40))
        await times.settled()
        again = await times.nearest(ask(limit=40))
    asked = [len(body["targets"]) for body in fake.bodies if len(body.get("targets", ())) > 1]
    assert asked == [40, asked_again]
    assert (first.unreachable, again.unreachable) == (5, 5)
    assert first.seconds.tolist() == again.seconds.tolist()


async def test_the_next_question_from_there_need_not_grow() -> None:
    rng, fake = random.Random(19), FakeValhalla()
    world = world_around(rng, 400, 0.05)
    extra = {round(float(lat), 6): rng.choice((0.0, 300.0, 900.0)) for lat in world.stations.lat[world.shown_rows()]}
    fake.detour_of = lambda lat, lon: extra.get(round(lat, 6), 0.0)
    async with asking(fake) as client:
        times = DriveTimes(world, lambda: START_MS, client, Snaps(client))
        for grown in (1, 1, 1):
            found = await times.nearest(ask())
            assert found.seconds.tolist() == exhaustive(world, fake, ask())
            assert (times.grown, found.is_proven) == (grown, True)
        other = Filter(available=1)
        assert (await times.nearest(ask(wanted=other))).seconds.tolist() == exhaustive(world, fake, ask(wanted=other))
    assert [len(body["targets"]) > drive_time.SHORTLIST for body in fake.bodies if "targets" in body][:4] == [
        False,
        True,
        True,
        True,
    ]
