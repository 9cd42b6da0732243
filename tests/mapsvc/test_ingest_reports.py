"""The envelope and the rows of POST /v1/status, before anybody knows what they mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.ordering import OrderKey
from geo.station import Status
from mapsvc.ingest import reports
from mapsvc.ingest.reports import MAX_ROWS, MAX_SEQ, MAX_TEXT, Malformed, Report, instant_ms, parse
from mapsvc.problems import Problem, Unprocessable

GOOD = {"evse_uid": "A1", "status": "CHARGING", "source_ts": "2026-01-31T12:00:00Z"}


def one(**changes: Any) -> Report | Malformed:
    (row,) = parse(orjson.dumps([{**GOOD, **changes}]))
    return row


def test_a_row_is_taken_with_its_ids_folded() -> None:
    row = one(location_id="LOC-É", source_epoch=2, source_seq=7)
    assert row == Report("a1", "loc-é", Status.CHARGING, 1_769_860_800_000, (2, 7))
    assert isinstance(row, Report)
    assert row.key("ts") == OrderKey(1_769_860_800_000)
    assert row.key("seq") == OrderKey(2, 7)


def test_a_row_may_lack_either_key_but_not_be_asked_for_it() -> None:
    row = one(source_ts=None)
    assert isinstance(row, Report)
    assert (row.key("ts"), row.key("seq")) == (None, None)
    seq = one(source_ts=None, source_seq=3)
    assert isinstance(seq, Report)
    assert seq.key("seq") == OrderKey(0, 3)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"evse_uid": None}, "evse_uid"),
        ({"evse_uid": ""}, "evse_uid"),
        ({"evse_uid": 5}, "evse_uid"),
        ({"evse_uid": "x" * (MAX_TEXT + 1)}, "evse_uid"),
        ({"evse_uid": "a\0b"}, "evse_uid"),
        ({"evse_uid": "a\nb"}, "evse_uid"),
        ({"location_id": ""}, "location_id"),
        ({"location_id": []}, "location_id"),
        ({"status": "charging"}, "status"),
        ({"status": 3}, "status"),
        ({"status": None}, "status"),
        ({"status": {"a": 1}}, "status"),
        ({"source_ts": "yesterday"}, "source_ts"),
        ({"source_ts": 1_700_000_000}, "source_ts"),
        ({"source_ts": "2026-13-01T00:00:00Z"}, "source_ts"),
        ({"source_ts": "1969-12-31T23:59:59Z"}, "source_ts"),
        ({"source_ts": "0001-01-01T00:00:00+14:00"}, "source_ts"),
        ({"source_seq": -1}, "source_seq"),
        ({"source_seq": 1.5}, "source_seq"),
        ({"source_seq": True}, "source_seq"),
        ({"source_seq": MAX_SEQ + 1}, "source_seq"),
        ({"source_seq": 1, "source_epoch": "1"}, "source_epoch"),
        ({"colour": "red"}, "unknown field"),
    ],
)
def test_a_bad_row_says_which_field_and_what_is_allowed(changes: dict[str, Any], field: str) -> None:
    row = one(**changes)
    assert isinstance(row, Malformed)
    assert field in row.message


def test_a_row_that_is_no_object_does_not_hold_up_the_others() -> None:
    rows = parse(orjson.dumps([1, None, "x", [GOOD], GOOD]))
    assert [type(row) for row in rows] == [Malformed] * 4 + [Report]


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\n\n", b" \n\t"])
def test_lines_are_taken_like_an_array(separator: bytes) -> None:
    rows = [orjson.dumps({**GOOD, "evse_uid": str(k)}) for k in range(5)]
    assert parse(separator.join(rows) + separator) == parse(b"[" + b",".join(rows) + b"]")


@pytest.mark.parametrize("body", [b"", b"  \n ", b"{", b"[1,", b"nonsense", b"\xff", b"[" * 5000, b'{"a":1}\n{'])
def test_a_bad_envelope_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        parse(body)
    assert caught.value.faults[0].allowed


@pytest.mark.parametrize("joined", [True, False], ids=["array", "lines"])
def test_a_thousand_rows_are_taken_and_one_more_is_not(joined: bool) -> None:
    def body(count: int) -> bytes:
        rows = [orjson.dumps(GOOD)] * count
        return b"[" + b",".join(rows) + b"]" if joined else b"\n".join(rows)

    assert len(parse(body(MAX_ROWS))) == MAX_ROWS
    with pytest.raises(Unprocessable):
        parse(body(MAX_ROWS + 1))


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-01-31T12:00:00Z", 1_769_860_800_000),
        ("2026-01-31T12:00:00", 1_769_860_800_000),  # zone-less is UTC, as OCPI has it
        ("2026-01-31t12:00:00z", 1_769_860_800_000),
        ("2026-01-31T13:00:00+01:00", 1_769_860_800_000),
        ("2026-01-31T12:00:00.123Z", 1_769_860_800_123),
        ("2026-01-31T12:00:00.1239Z", 1_769_860_800_123),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_instants(text: str, ms: int) -> None:
    assert instant_ms(text) == ms


@given(st.integers(0, 253_402_300_799_999))
def test_every_millisecond_is_read_as_it_was_written(ms: int) -> None:
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")
    assert instant_ms(text.replace("+00:00", "Z")) == ms


@given(st.binary(max_size=60))
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    try:
        rows = parse(body)
    except Problem as problem:
        assert 400 <= problem.status < 500
    else:
        assert all(isinstance(row, Report | Malformed) for row in rows)


_NAMES = st.sampled_from([*GOOD, "source_seq", "location_id"])
_VALUES = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text()


@given(st.recursive(_VALUES, lambda inner: st.lists(inner) | st.dictionaries(_NAMES, inner)))
def test_any_json_is_parsed_or_refused(value: object) -> None:
    try:
        parse(orjson.dumps(value))
    except Problem as problem:
        assert 400 <= problem.status < 500


_TEXTS = st.sampled_from(["A1", "a\0", "", "x" * (MAX_TEXT + 1), "2026-01-31T12:00:00Z", "CHARGING", "\u00c9"])
_FIELD: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.sampled_from([0, 7, -1, 1.0, 1.5, 2**53, MAX_SEQ]) | _TEXTS | st.just([])
)
_ROW = st.dictionaries(st.sampled_from([*sorted(reports.FIELDS), "colour"]), _FIELD).map(
    lambda changes: {**GOOD, **changes}
) | st.sampled_from([GOOD, {**GOOD, "source_seq": 5}, 7, {}])


@given(st.lists(_ROW, max_size=4), st.booleans())
def test_the_fast_reader_and_the_one_that_explains_agree(rows: list[Any], joined: bool) -> None:
    told = [orjson.dumps(row) for row in rows if joined or isinstance(row, dict)]
    if told:
        body = b"[" + b",".join(told) + b"]" if joined else b"\n".join(told)
        assert parse(body) == [reports._row(orjson.loads(row)) for row in told]
