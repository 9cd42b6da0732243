"""The opening_hours syntax: what is read exactly becomes Hours, the rest is not guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.hours import OpenState, open_state
from geo.station import Hours, RegularHours
from mapsvc.importers import opening_hours

ALWAYS = Hours(twentyfourseven=True)


def hours(*periods: tuple[int, str, str]) -> Hours:
    return Hours(regular_hours=tuple(RegularHours(*period) for period in periods))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24/7", ALWAYS),
        (" 24/7 ", ALWAYS),
        ("Mo-Su 00:00-24:00", ALWAYS),
        ("00:00-24:00", ALWAYS),
        (
            "Mo-Fr 08:00-19:00,Sa 08:00-12:00",
            hours(*((d, "08:00", "19:00") for d in range(1, 6)), (6, "08:00", "12:00")),
        ),
        ("Mo-Tu 08:00-19:00; Tu 10:00-12:00", hours((1, "08:00", "19:00"), (2, "10:00", "12:00"))),
        ("Mo-Tu 08:00-19:00; Tu off;", hours((1, "08:00", "19:00"))),
        ("Mo 08:00-12:00,14:00-18:30", hours((1, "08:00", "12:00"), (1, "14:00", "18:30"))),
        ("Mo 14:00-18:30, Mo 08:00-12:00", hours((1, "08:00", "12:00"), (1, "14:00", "18:30"))),
        ("Mo,We,Fr-Sa 9:00-10:00", hours(*((d, "09:00", "10:00") for d in (1, 3, 5, 6)))),
        ("Mo 08:00-19:30, Mo 08:00-23:00", hours((1, "08:00", "23:00"))),
        ("Sa-Mo 10:00-11:00", hours((1, "10:00", "11:00"), (6, "10:00", "11:00"), (7, "10:00", "11:00"))),
        ("Su 22:00-02:00", hours((1, "00:00", "02:00"), (7, "22:00", "24:00"))),
        ("Mo 22:00-26:00", hours((1, "22:00", "24:00"), (2, "00:00", "02:00"))),
        ("Mo 07:00-00:00", hours((1, "07:00", "24:00"))),
        ("Mo 00:00-00:00", hours((1, "00:00", "24:00"))),
        ("08:30-20:30", hours(*((d, "08:30", "20:30") for d in range(1, 8)))),
        ("mo-fr: 08:30 - 20:30", hours(*((d, "08:30", "20:30") for d in range(1, 6)))),
        ("Mo 00:00-00:01", hours((1, "00:00", "00:01"))),
    ],
)
def test_what_is_read_exactly(text: str, expected: Hours) -> None:
    assert opening_hours.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ouvert",
        "24h/24",
        "Mo-Fr",
        "Mo-Fr 08:00-19:00, PH off",
        "Mo-Fr 08:00-19:00; Su",
        "Apr-Oct Mo-Fr 08:00-19:00",
        "Mo 08:00+",
        "Mo sunrise-sunset",
        "Mo 08:60-19:00",
        "Mo 24:00-25:00",
        "Mo 08:00-49:00",
        "Mo 08:00-34:00",
        "Lu-Ve 08:00-19:00",
        "Mo 08h00-19h00",
        "Mo-Fr 08:00-19:00,,Sa 08:00-12:00",
        "-Fr 08:00-19:00",
        "Mo off",
        'Mo 08:00-19:00 "on demand"',
        "24/7; Su off",
    ],
)
def test_what_is_not(text: str) -> None:
    assert opening_hours.parse(text) is None


@given(st.text(alphabet="MoTuWeThFrSaSu0123456789:-,;/ off", max_size=40))
def test_any_text_is_read_tidily_or_not_at_all(text: str) -> None:
    found = opening_hours.parse(text)
    if found and not found.twentyfourseven:
        keys = [(each.weekday, each.period_begin, each.period_end) for each in found.regular_hours]
        assert keys == sorted(set(keys))
        assert all(begin < end for _, begin, end in keys)


MONDAY_MS = 1_736_121_600_000  # 2025-01-06T00:00Z


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 1439), st.integers(0, 1440)).filter(
            # geo.hours takes 23:59 as an end for midnight, as feeds mean it
            lambda p: p[2] % 1440 != 1439
        ),
        max_size=6,
    ),
    st.integers(0, 7 * 1440 - 1),
)
def test_the_tidy_week_is_open_exactly_when_a_period_says_so(periods: list[tuple[int, int, int]], minute: int) -> None:
    spans = [opening_hours.span(*period) for period in periods]
    told = any(begin <= minute + shift < end for begin, end in spans for shift in (0, opening_hours.WEEK_MIN))
    week = opening_hours.week(spans)
    state = open_state(week, "UTC", MONDAY_MS + minute * 60_000)
    assert state == (OpenState.UNKNOWN if week is None else OpenState.OPEN if told else OpenState.CLOSED)
