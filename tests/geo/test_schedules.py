"""All schedules at one glance against hours looked at one by one. Promise R7."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from geo.columns import NEVER_MS
from geo.hours import OpenState, zone_for
from geo.record import ALWAYS_OPEN, HOURS_UNKNOWN, schedule_of
from geo.schedules import Schedules
from geo.station import ExceptionalPeriod, Hours, RegularHours, Station
from tests.geo.model_world import is_open
from tests.geo.worlds import HOURS, START_MS, TORTURE, make_station

STATES = {True: OpenState.OPEN, False: OpenState.CLOSED, None: OpenState.UNKNOWN}
MINUTES = (0, 1, 29, 60, 59 * 60, 3600, 8 * 3600, 86_400, 5 * 86_400)


def some_hours(random: Random) -> Hours:
    def period() -> ExceptionalPeriod:
        begin = START_MS + random.randint(-86_400, 5 * 86_400) * 1000
        return ExceptionalPeriod(begin, begin + random.choice((1, 1000, 3_600_000, 90_000_000)))

    def clock() -> str:
        return f"{random.randint(0, 23):02d}:{random.choice((0, 15, 30)):02d}"

    return Hours(
        twentyfourseven=random.random() < 0.2,
        regular_hours=tuple(RegularHours(random.randint(1, 7), clock(), clock()) for _ in range(random.randint(0, 9))),
        exceptional_openings=tuple(period() for _ in range(random.choice((0, 0, 1, 2)))),
        exceptional_closings=tuple(period() for _ in range(random.choice((0, 0, 1, 2)))),
    )


@pytest.mark.parametrize("seed", range(100 if TORTURE else 5))
def test_states_and_turns_are_those_of_every_schedule_looked_at_alone(seed: int) -> None:
    random = Random(seed)
    schedules, now_ms = Schedules(), START_MS
    stations: dict[int, Station] = {}
    for _ in range(120):
        if len(stations) < 90:
            station = make_station(1, 48.0, 2.0, opening_times=some_hours(random))
            stations[schedules.intern(schedule_of(station, zone_for), now_ms)] = station
        before = {index: is_open(station, now_ms) for index, station in stations.items()}
        now_ms += 1000 * random.choice(MINUTES)
        turned = schedules.advance(now_ms)
        after = {index: is_open(station, now_ms) for index, station in stations.items()}
        assert {index: schedules.state[index] for index in stations} == {i: STATES[s] for i, s in after.items()}
        assert sorted(turned) == [index for index in stations if before[index] != after[index]]
        assert now_ms < schedules.next_ms
        assert schedules.advance(schedules.next_ms - 1) == []
        assert schedules.advance(now_ms) == []


def test_a_schedule_turns_at_the_very_millisecond() -> None:
    schedules = Schedules()
    station = make_station(1, 48.0, 2.0, opening_times=HOURS["closing"])
    index = schedules.intern(schedule_of(station, zone_for), START_MS)
    for due_ms, before, after in (
        (START_MS + 600_000, OpenState.OPEN, OpenState.CLOSED),
        (START_MS + 4_000_000, OpenState.CLOSED, OpenState.OPEN),
    ):
        assert schedules.next_ms == due_ms
        assert (schedules.advance(due_ms - 1), schedules.state[index]) == ([], before)
        assert (schedules.advance(due_ms), schedules.state[index]) == ([index], after)
    assert schedules.next_ms == NEVER_MS


def test_equal_schedules_are_one_and_the_two_common_ones_are_there_from_the_start() -> None:
    schedules = Schedules()
    assert (schedules.intern(HOURS_UNKNOWN, START_MS), schedules.intern(ALWAYS_OPEN, START_MS)) == (0, 1)
    assert schedules.state[:2].tolist() == [OpenState.UNKNOWN, OpenState.OPEN]
    here, there = (
        make_station(1, 48.0, 2.0, opening_times=HOURS["day"]),
        make_station(2, 48.1, 2.1, opening_times=HOURS["day"]),
    )
    first = schedules.intern(schedule_of(here, zone_for), START_MS)
    assert schedules.intern(schedule_of(there, zone_for), START_MS) == first == 2
    elsewhere = msgspec.structs.replace(here, time_zone="America/New_York")
    assert schedules.intern(schedule_of(elsewhere, zone_for), START_MS) == 3


@pytest.mark.parametrize("told", [None, "Germany", "Europe/Paris"])
def test_a_zone_that_is_none_is_derived_from_the_position(told: str | None) -> None:
    station = msgspec.structs.replace(make_station(1, 48.8566, 2.3522, opening_times=HOURS["day"]), time_zone=told)
    paris = make_station(1, 0.0, 0.0, opening_times=HOURS["day"])
    assert schedule_of(station, zone_for) == schedule_of(paris, zone_for)


def test_foreign_bytes_are_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        Schedules().intern(b"\xff\xff", START_MS)
