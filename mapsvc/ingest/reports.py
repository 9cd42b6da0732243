"""What a client posts to /v1/status: the envelope and its rows. Pure.

The envelope is a JSON array or NDJSON of at most 1,000 objects; if it is bad, nothing is stored. A row that is bad is
`malformed`, says why, and does not hold up the others.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeGuard

import orjson

from geo.ordering import OrderKey
from geo.station import Status
from mapsvc.problems import Fault, Problem, Unprocessable

MAX_ROWS = 1000
MAX_TEXT = 128  # characters of an id: OCPI says 36, real feeds go further
FIELDS = {"evse_uid", "location_id", "status", "source_ts", "source_epoch", "source_seq"}
MAX_SEQ = 2**53 - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATUSES = {status.name: status for status in Status}


class Report(NamedTuple):
    """A well-formed row. Ids are case-folded. `ts_ms`, `seq`: whichever the row has."""

    uid_key: str
    location_key: str | None
    status: Status
    ts_ms: int | None
    seq: tuple[int, int] | None

    def key(self, order_by: str) -> OrderKey | None:
        """The ordering key of a party that orders by `ts` or `seq`; None: this row lacks it."""
        if order_by == "seq":
            return OrderKey(*self.seq) if self.seq is not None else None
        return OrderKey(self.ts_ms) if self.ts_ms is not None else None


class Malformed(NamedTuple):
    message: str


def parse(body: bytes) -> list[Report | Malformed]:
    """Rows in order. Raises Problem when the envelope is bad."""
    text = body.strip(b" \t\r\n")
    if not text:
        raise Problem("The body is empty.", [Fault("", "a JSON array or NDJSON of status updates")], in_body=True)
    try:
        rows: list[Any] = orjson.loads(text) if text[:1] == b"[" else [orjson.loads(line) for line in _lines(text)]
    except orjson.JSONDecodeError as error:
        raise Problem(
            "The body is not JSON.", [Fault("", "a JSON array or NDJSON of status updates")], in_body=True
        ) from error
    if len(rows) > MAX_ROWS:
        raise Unprocessable(
            "Too many updates.", [Fault("", f"at most {MAX_ROWS} updates in one request")], in_body=True
        )
    return [_row(row) for row in rows]


def _lines(text: bytes) -> list[bytes]:
    lines = [line for line in text.split(b"\n") if line.strip()]
    if len(lines) > MAX_ROWS:
        raise Unprocessable(
            "Too many updates.", [Fault("", f"at most {MAX_ROWS} updates in one request")], in_body=True
        )
    return lines


def _row(row: Any) -> Report | Malformed:
    if not isinstance(row, dict):
        return Malformed("an update is an object")
    unknown = row.keys() - FIELDS
    if unknown:
        return Malformed(f"unknown field; allowed: {', '.join(sorted(FIELDS))}")
    uid, location = row.get("evse_uid"), row.get("location_id")
    if not _is_id(uid):
        return Malformed(f"evse_uid: a text of 1 to {MAX_TEXT} characters")
    if location is not None and not _is_id(location):
        return Malformed(f"location_id: a text of 1 to {MAX_TEXT} characters, or absent")
    told = row.get("status")
    status = _STATUSES.get(told) if isinstance(told, str) else None
    if status is None:
        return Malformed(f"status: one of {', '.join(_STATUSES)}")
    ts_ms = None
    if row.get("source_ts") is not None:
        ts_ms = instant_ms(row["source_ts"])
        if ts_ms is None:
            return Malformed("source_ts: an RFC 3339 instant such as 2026-01-31T12:00:00Z")
    seq = None
    if row.get("source_seq") is not None:
        epoch = row.get("source_epoch", 0)
        if not (_is_count(epoch) and _is_count(row["source_seq"])):
            return Malformed("source_epoch, source_seq: whole numbers from 0 to 2^53 - 1")
        seq = (epoch, row["source_seq"])
    return Report(uid.casefold(), None if location is None else location.casefold(), status, ts_ms, seq)


def _is_id(value: Any) -> TypeGuard[str]:
    # PostgreSQL's text holds no NUL, and UTF-8 no lone surrogate: neither can be anybody's id.
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT and "\0" not in value and value.isprintable()


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SEQ


def instant_ms(value: Any) -> int | None:
    """Milliseconds of an RFC 3339 instant from 1970 on; zone-less counts as UTC, as OCPI has it. None: not one."""
    if not isinstance(value, str) or len(value) > 40 or len(value) < 19 or value[10] not in "Tt ":
        return None
    try:
        at = datetime.fromisoformat(value.upper())  # RFC 3339 allows t and z
    except ValueError:
        return None
    # In whole numbers: a float of seconds is a millisecond off now and then.
    ms = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
    return ms if ms >= 0 else None
