"""Single values."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsvc.importers.values import (
    FIRST_MS,
    LAST_MS,
    clean_text,
    number_text,
    parse_boolean,
    parse_date_ms,
    parse_instant_ms,
    parse_number,
)


@given(st.integers(FIRST_MS + 86_400_000, LAST_MS - 86_400_001), st.integers(-14 * 60, 14 * 60))
def test_instants_agree_with_datetime(value_ms: int, offset_min: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value_ms)
    text = moment.astimezone(timezone(timedelta(minutes=offset_min))).isoformat(timespec="milliseconds")
    assert parse_instant_ms(text)[0] == value_ms


def test_a_leap_second_counts_as_the_second_before_it() -> None:
    assert parse_instant_ms("2016-12-31T23:59:60Z")[0] == parse_instant_ms("2016-12-31T23:59:59Z")[0]
    assert parse_instant_ms("2016-12-31T23:59:61Z")[0] is None


@given(st.text(max_size=40))
def test_any_text_as_an_instant_or_number_is_in_range_or_none(text: str) -> None:
    value_ms, reasons = parse_instant_ms(text)
    assert reasons if value_ms is None else FIRST_MS <= value_ms < LAST_MS
    number = parse_number(text)
    assert number is None or math.isfinite(number)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("1.5", 1.5),
        (" -2,5 ", -2.5),
        ("1e3", 1000.0),
        (7, 7.0),
        ("1_000", None),
        ("nan", None),
        ("", None),
        (True, None),
        (math.inf, None),
        (10**400, None),
        ("1.2.3", None),
        (None, None),
        ([], None),
        ("٣", None),
        ("1e999", None),
    ],
)
def test_numbers(raw: object, expected: float | None) -> None:
    assert parse_number(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("True", True),
        (" FALSE ", False),
        ("oui", True),
        (1, True),
        (0.0, False),
        (2, None),
        ("maybe", None),
        (None, None),
        ([], None),
        (math.nan, None),
    ],
)
def test_booleans(raw: object, expected: bool | None) -> None:
    assert parse_boolean(raw) is expected


def test_numbers_as_texts() -> None:
    assert [number_text(raw) for raw in (17, -1.0, 2.5, True, math.nan, math.inf, 10**30)] == [
        "17",
        "-1",
        "2.5",
        None,
        None,
        None,
        None,
    ]


def test_dates() -> None:
    assert parse_date_ms(" 2025-03-28 ") == 1_743_120_000_000
    assert parse_date_ms("2025-03-28T10:00:00+02:00") == 1_743_148_800_000
    assert parse_date_ms("28/03/2025") is None


@given(st.text(), st.booleans())
def test_clean_text_is_stable_encodable_and_short(raw: str, multiline: bool) -> None:
    text, _ = clean_text(raw, limit=20, multiline=multiline)
    if text is not None:
        assert clean_text(text, limit=20, multiline=multiline)[0] == text
        text.encode()
        assert 0 < len(text) <= 20
        assert "\x00" not in text
