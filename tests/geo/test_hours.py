"""Opening hours against a reader of the wall clock who walks minute by minute and knows nothing of offsets or weeks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from geo.hours import OpenState, compile_schedule, next_transition, open_state
from geo.station import ExceptionalPeriod, Hours, RegularHours

CLOSED, OPEN, UNKNOWN = OpenState.CLOSED, OpenState.OPEN, OpenState.UNKNOWN
MINUTE_MS = 60_000
WALK_MIN = 3 * 24 * 60

CLOCK_CHANGES = [  # zone, UTC instant of a change (or an instant of a zone that has none)
    ("Europe/Berlin", "2025-03-30T01:00"),
    ("Europe/Berlin", "2025-10-26T01:00"),
    ("Europe/Dublin", "2025-10-26T01:00"),  # tzdata calls winter the daylight-saving time here
    ("America/New_York", "2025-11-02T06:00"),
    ("America/St_Johns", "2025-03-09T05:30"),
    ("Australia/Lord_Howe", "2025-04-05T15:00"),  # half an hour
    ("Antarctica/Troll", "2025-03-30T01:00"),  # two hours
    ("America/Santiago", "2025-09-07T04:00"),  # midnight itself does not happen
    ("Africa/Cairo", "2025-10-30T21:00"),  # midnight happens twice
    ("Africa/Casablanca", "2025-02-23T02:00"),
    ("Asia/Gaza", "2025-04-12T00:00"),
    ("America/Scoresbysund", "2024-03-31T01:00"),
    ("Pacific/Apia", "2011-12-30T10:00"),  # a whole Friday was skipped
    ("Asia/Kathmandu", "2025-06-01T12:00"),
    ("UTC", "2025-12-31T23:00"),
]


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def days(begin: str, end: str, *weekdays: int) -> tuple[RegularHours, ...]:
    return tuple(RegularHours(day, begin, end) for day in weekdays or range(1, 8))


def exception(begin: str, end: str) -> ExceptionalPeriod:
    return ExceptionalPeriod(ms(begin), ms(end))


# ------------------------------------------------------- the independent reader


@lru_cache(maxsize=64)
def wall_clock(zone: str, start_ms: int) -> list[tuple[int, str]]:
    """(ISO weekday, "HH:MM") shown on the wall at each minute of the walk."""
    at = datetime.fromtimestamp(start_ms / 1000, UTC)
    shown = [(at + timedelta(minutes=k)).astimezone(ZoneInfo(zone)) for k in range(WALK_MIN)]
    return [(there.isoweekday(), there.strftime("%H:%M")) for there in shown]


def read(hours: Hours, zone: str, start_ms: int, minute: int) -> OpenState:
    instant = start_ms + minute * MINUTE_MS
    if any(p.begin_ms <= instant < p.end_ms for p in hours.exceptional_closings):
        return CLOSED
    if hours.twentyfourseven or any(p.begin_ms <= instant < p.end_ms for p in hours.exceptional_openings):
        return OPEN
    if not hours.regular_hours:
        return UNKNOWN
    weekday, clock = wall_clock(zone, start_ms)[minute]
    yesterday = weekday - 1 or 7
    for period in hours.regular_hours:
        begin, end = period.period_begin, "24:00" if period.period_end == "23:59" else period.period_end
        if begin < end:
            if period.weekday == weekday and begin <= clock < end:
                return OPEN
        elif (period.weekday == weekday and clock >= begin) or (period.weekday == yesterday and clock < end):
            return OPEN
    return CLOSED


CLOCK = st.one_of(
    st.sampled_from(["00:00", "01:00", "01:30", "02:00", "02:30", "03:00", "23:30", "23:59"]),
    st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59)),
)
REGULAR = st.builds(RegularHours, st.integers(1, 7), CLOCK, CLOCK | st.just("24:00"))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Hours, str, int]:
    zone, change = draw(st.sampled_from(CLOCK_CHANGES))
    start = ms(change) - draw(st.sampled_from([0, 90, 24 * 60])) * MINUTE_MS
    begins = st.integers(-WALK_MIN, WALK_MIN).map(lambda k: start + k * MINUTE_MS)
    periods = st.lists(
        st.builds(lambda b, n: ExceptionalPeriod(b, b + n * MINUTE_MS), begins, st.integers(-60, WALK_MIN)), max_size=3
    ).map(tuple)
    hours = Hours(
        draw(st.integers(0, 9)) == 0, draw(st.lists(REGULAR, max_size=6).map(tuple)), draw(periods), draw(periods)
    )
    return hours, zone, start


@settings(max_examples=400, deadline=None)
@given(cases())
@example((Hours(regular_hours=days("02:00", "03:00")), "Europe/Berlin", ms("2025-03-30T00:00")))
@example((Hours(regular_hours=days("02:30", "00:00", 7)), "Europe/Berlin", ms("2025-10-26T00:00")))
def test_state_and_next_transition_agree_with_a_walk_minute_by_minute(case: tuple[Hours, str, int]) -> None:
    hours, zone, start = case
    walk = [read(hours, zone, start, k) for k in range(WALK_MIN)]
    schedule = compile_schedule(hours, zone)
    if schedule is None:
        assert set(walk) == {UNKNOWN}
        return
    minute = 0
    while True:  # from change to change, as the timer wheel goes
        upcoming = schedule.next_after(start + minute * MINUTE_MS)
        until = WALK_MIN if upcoming is None else min(WALK_MIN, (upcoming - start) // MINUTE_MS)
        assert set(walk[minute:until]) == {schedule.state_at(start + minute * MINUTE_MS)}
        if until == WALK_MIN:
            break
        assert walk[until] != walk[until - 1]
        assert (upcoming or 0) % MINUTE_MS == 0
        minute = until


@settings(max_examples=150, deadline=None)
@given(cases(), st.lists(st.integers(0, WALK_MIN * MINUTE_MS - 1), min_size=1, max_size=30))
def test_any_instant_lies_in_the_span_that_next_transition_closes(case: tuple[Hours, str, int], at: list[int]) -> None:
    hours, zone, start = case
    for offset in at:
        now = start + offset
        assert open_state(hours, zone, now) == read(hours, zone, start, offset // MINUTE_MS)
        upcoming = next_transition(hours, zone, now)
        if upcoming is not None:
            assert upcoming > now
            assert open_state(hours, zone, upcoming - 1) == open_state(hours, zone, now)
            assert open_state(hours, zone, upcoming) != open_state(hours, zone, now)


# ---------------------------------------------------------------- the rules told


def test_round_the_clock_needs_no_zone_and_never_changes() -> None:
    assert open_state(Hours(True), None, 0) is OPEN
    assert next_transition(Hours(True), None, 0) is None
    assert open_state(Hours(True, days("08:00", "09:00")), "Europe/Berlin", 0) is OPEN
    assert compile_schedule(Hours(True), None) is compile_schedule(Hours(regular_hours=days("00:00", "24:00")), "UTC")


def test_a_closing_interrupts_round_the_clock_as_in_the_specs_example() -> None:
    hours = Hours(True, exceptional_closings=(exception("2018-12-25T03:00", "2018-12-25T05:00"),))
    assert next_transition(hours, None, 0) == ms("2018-12-25T03:00")
    assert open_state(hours, None, ms("2018-12-25T03:00")) is CLOSED
    assert next_transition(hours, None, ms("2018-12-25T03:00")) == ms("2018-12-25T05:00")
    assert open_state(hours, None, ms("2018-12-25T05:00")) is OPEN
    assert next_transition(hours, None, ms("2018-12-25T05:00")) is None


def test_closings_win_over_openings_and_openings_over_regular_hours() -> None:
    hours = Hours(
        regular_hours=days("08:00", "20:00", 1, 2, 3, 4, 5),
        exceptional_openings=(exception("2014-06-21T09:00", "2014-06-21T12:00"),),  # a Saturday
        exceptional_closings=(
            exception("2014-06-21T10:00", "2014-06-21T11:00"),
            exception("2014-06-24T00:00", "2014-06-25T00:00"),
        ),
    )
    seen = []
    now: int | None = ms("2014-06-20T12:00")
    while now is not None and now < ms("2014-06-25T12:00"):
        seen.append((datetime.fromtimestamp(now / 1000, UTC).strftime("%d %H"), open_state(hours, "UTC", now).name))
        now = next_transition(hours, "UTC", now)
    assert seen == [
        ("20 12", "OPEN"),
        ("20 20", "CLOSED"),
        ("21 09", "OPEN"),
        ("21 10", "CLOSED"),
        ("21 11", "OPEN"),
        ("21 12", "CLOSED"),
        ("23 08", "OPEN"),
        ("23 20", "CLOSED"),
        ("25 08", "OPEN"),
    ]


def test_an_hour_that_the_clock_repeats_is_open_twice_and_one_that_it_skips_never() -> None:
    hours = Hours(regular_hours=days("02:00", "02:30"))
    fold, gap = ms("2025-10-26T00:00"), ms("2025-03-30T00:00")  # Berlin, at 02:00 and 01:00 local
    changes = [fold]
    for _ in range(3):
        changes.append(next_transition(hours, "Europe/Berlin", changes[-1]) or 0)
    assert [(at - fold) // MINUTE_MS for at in changes] == [0, 30, 60, 90]
    assert next_transition(hours, "Europe/Berlin", gap) == ms("2025-03-31T00:00")


@pytest.mark.parametrize("end", ["24:00", "00:00", "23:59"])
def test_all_spellings_of_the_end_of_the_day_join_with_the_next(end: str) -> None:
    assert next_transition(Hours(regular_hours=days("00:00", end)), "Europe/Berlin", 0) is None
    weekend = Hours(regular_hours=days("00:00", end, 6, 7))
    assert next_transition(weekend, "UTC", ms("2025-01-04T12:00")) == ms("2025-01-06T00:00")


@pytest.mark.parametrize(
    "period",
    [
        RegularHours(1, "25:00", "26:00"),
        RegularHours(1, "08:60", "10:00"),
        RegularHours(1, "8", "10:00"),
        RegularHours(1, "", ""),
        RegularHours(1, "24:00", "08:00"),
        RegularHours(1, "٠٨:00", "10:00"),
        RegularHours(1, "08:00\n", "10:00"),
        RegularHours(0, "08:00", "10:00"),
        RegularHours(8, "08:00", "10:00"),
    ],
)
def test_malformed_periods_are_ignored_and_unknown_if_none_is_left(period: RegularHours) -> None:
    assert compile_schedule(Hours(regular_hours=(period,)), "UTC") is None
    beside = Hours(regular_hours=(period, *days("08:00", "10:00", 2)))
    assert compile_schedule(beside, "UTC") is compile_schedule(Hours(regular_hours=days("08:00", "10:00", 2)), "UTC")


@pytest.mark.parametrize("hours", [None, Hours(), Hours(exceptional_openings=(ExceptionalPeriod(5, 5),))])
def test_unknown_hours_stay_unknown(hours: Hours | None) -> None:
    assert open_state(hours, "UTC", 0) is UNKNOWN
    assert next_transition(hours, "UTC", 0) is None


def test_exceptions_hold_even_where_the_rest_is_unknown() -> None:
    hours = Hours(
        regular_hours=days("08:00", "10:00"),  # of no use without a zone
        exceptional_openings=(ExceptionalPeriod(1000, 3000),),
        exceptional_closings=(ExceptionalPeriod(2000, 2500), ExceptionalPeriod(9, 1)),
    )
    for zone in (None, "Germany"):
        states = [open_state(hours, zone, at) for at in (999, 1000, 2000, 2500, 3000)]
        assert states == [UNKNOWN, OPEN, CLOSED, OPEN, UNKNOWN]
        assert next_transition(hours, zone, 0) == 1000
        assert next_transition(hours, zone, 3000) is None


def test_equal_schedules_are_one_object() -> None:
    forth = compile_schedule(Hours(regular_hours=days("08:00", "20:00")), "Europe/Paris")
    back = compile_schedule(Hours(regular_hours=days("08:00", "20:00")[::-1]), "Europe/Paris")
    assert forth is back
    assert forth is not compile_schedule(Hours(regular_hours=days("08:00", "20:00")), "Europe/Madrid")
