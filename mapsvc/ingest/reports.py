"""What a client posts to /v1/status: the envelope and its rows. Pure.

The envelope is a JSON array or NDJSON of at most 1,000 objects; if it is bad, nothing is stored. A row that is bad is
`malformed`, says why, and does not hold up the others.

Two readers: one decodes straight into typed rows and knows only bodies without a fault; whatever it refuses, the other
one reads again, row by row, and says what is wrong. They agree (a property test), but the first costs a third.
"""

from __future__ import annotations

from collections.abc import Sized
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, TypeGuard

import msgspec
import orjson

from geo.station import Status
from mapsvc.problems import Fault, Problem, Unprocessable

MAX_ROWS = 1000
MAX_TEXT = 128  # characters of an id: OCPI says 36, real feeds go further
FIELDS = {"evse_uid", "location_id", "status", "source_ts", "source_epoch", "source_seq"}
MAX_SEQ = 2**53 - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATUSES = {status.name: status for status in Status}


class Report(msgspec.Struct, frozen=True, gc=False):
    """A well-formed row. Ids are case-folded. `ts_ms`, `seq`: whichever the row has. Not a tuple, so that the collector
    need not walk what waits for its commit."""

    uid_key: str
    location_key: str | None
    status: Status
    ts_ms: int | None
    seq: tuple[int, int] | None

    def key(self, order_by: str) -> tuple[int, int] | None:
        """The ordering key (geo.ordering.OrderKey) of a party that orders by `ts` or `seq`; None: this row lacks it."""
        if order_by == "seq":
            return self.seq
        return (self.ts_ms, 0) if self.ts_ms is not None else None


class Malformed(NamedTuple):
    message: str


class _Told(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A row as it stands in the body. The numbers may be floats, or msgspec would take 1.0 for a whole number."""

    evse_uid: str
    status: str
    location_id: str | None = None
    source_ts: str | None = None
    source_epoch: int | float | None = 0
    source_seq: int | float | None = None


_ARRAY = msgspec.json.Decoder(list[_Told])
_LINE = msgspec.json.Decoder(_Told)


def parse(body: bytes) -> list[Report | Malformed]:
    """Rows in order. Raises Problem when the envelope is bad."""
    text = body.strip(b" \t\r\n")
    if not text:
        raise Problem("The body is empty.", [Fault("", "a JSON array or NDJSON of status updates")], in_body=True)
    is_array = text[:1] == b"["
    try:
        told = _ARRAY.decode(text) if is_array else [_LINE.decode(line) for line in _lines(text)]
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors, and so is foreign UTF-8
        return [_row(row) for row in _loaded(text, is_array)]
    _check_count(told)
    return [_report(row.evse_uid, row.location_id, row.status, row.source_ts, row.source_epoch, row.source_seq)
            for row in told]  # fmt: skip


def _loaded(text: bytes, is_array: bool) -> list[Any]:
    try:
        rows: list[Any] = orjson.loads(text) if is_array else [orjson.loads(line) for line in _lines(text)]
    except orjson.JSONDecodeError as error:
        raise Problem(
            "The body is not JSON.", [Fault("", "a JSON array or NDJSON of status updates")], in_body=True
        ) from error
    _check_count(rows)
    return rows


def _lines(text: bytes) -> list[bytes]:
    lines = [line for line in text.split(b"\n") if line.strip()]
    _check_count(lines)
    return lines


def _check_count(rows: Sized) -> None:
    if len(rows) > MAX_ROWS:
        raise Unprocessable(
            "Too many updates.", [Fault("", f"at most {MAX_ROWS} updates in one request")], in_body=True
        )


def _row(row: Any) -> Report | Malformed:
    if not isinstance(row, dict):
        return Malformed("an update is an object")
    unknown = row.keys() - FIELDS
    if unknown:
        return Malformed(f"unknown field; allowed: {', '.join(sorted(FIELDS))}")
    get = row.get
    return _report(get("evse_uid"), get("location_id"), get("status"), get("source_ts"), get("source_epoch", 0),
                   get("source_seq"))  # fmt: skip


def _report(uid: Any, location: Any, status_name: Any, source_ts: Any, epoch: Any, number: Any) -> Report | Malformed:
    if not _is_id(uid):
        return Malformed(f"evse_uid: a text of 1 to {MAX_TEXT} characters")
    if location is not None:
        if not _is_id(location):
            return Malformed(f"location_id: a text of 1 to {MAX_TEXT} characters, or absent")
        location = location.casefold()
    status = _STATUSES.get(status_name) if isinstance(status_name, str) else None
    if status is None:
        return Malformed(f"status: one of {', '.join(_STATUSES)}")
    ts_ms = None
    if source_ts is not None:
        ts_ms = instant_ms(source_ts)
        if ts_ms is None:
            return Malformed("source_ts: an RFC 3339 instant such as 2026-01-31T12:00:00Z")
    seq = None
    if number is not None:
        if not (_is_count(epoch) and _is_count(number)):
            return Malformed("source_epoch, source_seq: whole numbers from 0 to 2^53 - 1")
        seq = (epoch, number)
    return Report(uid.casefold(), location, status, ts_ms, seq)


def _is_id(value: Any) -> TypeGuard[str]:
    # PostgreSQL's text holds no NUL, and UTF-8 no lone surrogate: neither is printable, and neither anybody's id.
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable()


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SEQ


def instant_ms(value: Any) -> int | None:
    """Milliseconds of an RFC 3339 instant from 1970 on; zone-less counts as UTC, as OCPI has it. None: not one."""
    if not isinstance(value, str) or len(value) > 40 or len(value) < 19 or value[10] not in "Tt ":
        return None
    return _instant_ms(value)


@lru_cache(maxsize=4096)  # a gateway's report gives hundreds of rows one instant
def _instant_ms(value: str) -> int | None:
    try:
        at = datetime.fromisoformat(value.upper())  # RFC 3339 allows t and z
    except ValueError:
        return None
    # In whole numbers: a float of seconds is a millisecond off now and then.
    ms = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
    return ms if ms >= 0 else None
