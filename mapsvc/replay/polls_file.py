"""The Irish status recording: tab-separated rows, one point of one poll each. Pure.

    20181101  1009  CP:C65QJ  StandardType2  Occ  -6.923077,52.841045  Railway Road, Carlow  -6.923077  52.841045

A poll is all rows of one date and minute (Irish local time; the minute's leading zeros may be missing). Rows are in any
order: the file is several collectors' files one after the other, so a poll's rows may stand in two places, repeated.
Of a poll that reached nobody stands one row of `NA`: it has an instant and no rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from geo.point import LatLon
from mapsvc.importers.report import Outcome, Reason, Report, UnreadableFile
from mapsvc.importers.values import FIRST_MS, LAST_MS, clean_text, parse_number

ZONE = ZoneInfo("Europe/Dublin")
COLUMNS = 9
ID_LIMIT = 36  # OCPI's CiString(36)
NO_ID = "N/A"  # a point that has no id: its position tells it from others
NOTHING = "NA"  # in every column: the poll brought nothing


class Word(IntEnum):
    """The feed's statuses. A point that a poll does not list is free: the feed lists what is not."""

    OCC = 0
    PART = 1  # of two sockets one is taken
    OOS = 2
    OOC = 3


_WORDS = {"Occ": Word.OCC, "Part": Word.PART, "OOS": Word.OOS, "OOC": Word.OOC}


class Point(NamedTuple):
    """What the feed gives one status to: the plugs of one kind at one place."""

    id: str
    plug: str
    position: LatLon


class Poll(NamedTuple):
    at_ms: int
    rows: dict[int, Word]  # by index of the point


class Recording(NamedTuple):
    points: list[Point]
    addresses: list[str | None]  # by point
    polls: list[Poll]  # in order of time


class _Row(NamedTuple):
    point: int
    word: Word


def read(lines: Iterable[bytes], report: Report) -> Recording:
    """Raises UnreadableFile when no line is a row of a poll."""
    reader = _Reader(report)
    for number, line in enumerate(lines, 1):
        reader.line(number, line)
    if not reader.polls:
        raise UnreadableFile("no line of the file is a row of a poll")
    polls = [Poll(at_ms, rows) for at_ms, rows in sorted(reader.polls.items())]
    return Recording(reader.points, reader.addresses, polls)


class _Reader:
    def __init__(self, report: Report) -> None:
        self._report = report
        self._instants: dict[tuple[bytes, bytes], int | None] = {}
        self._rows: dict[bytes, _Row] = {}  # a line without its instant comes again in hundreds of polls
        self._positions: dict[str, LatLon] = {}
        self._indexes: dict[Point, int] = {}
        self.points: list[Point] = []
        self.addresses: list[str | None] = []
        self.polls: dict[int, dict[int, Word]] = {}

    def line(self, number: int, line: bytes) -> None:
        line = line.rstrip(b"\r\n")
        if not line:
            return
        columns = line.split(b"\t", 2)
        if len(columns) < 3:
            self._fault(number, "", Reason.NOT_CSV, f"{COLUMNS} columns separated by tabs")
            return
        date, minute, rest = columns
        at_ms = self._instants.get((date, minute), -1)
        if at_ms == -1:
            at_ms = self._instants[date, minute] = instant_ms(date, minute)
        if at_ms is None:
            self._fault(number, "time", Reason.BAD_TIMESTAMP, repr(b" ".join((date, minute))))
            return
        rows = self.polls.setdefault(at_ms, {})  # it was a poll, whatever became of its rows
        row = self._rows.get(rest) or self._row(number, rest)
        if row is None:
            return
        before = rows.get(row.point)
        if before is row.word:
            self._fault(number, "", Reason.DUPLICATE_POINT, "an exact repeat", self.points[row.point].id)
        elif before is not None:
            detail = f"{before.name} before; kept {row.word.name}"
            self._fault(number, "status", Reason.CONFLICT, detail, self.points[row.point].id, Outcome.KEPT)
        rows[row.point] = row.word

    def _row(self, number: int, rest: bytes) -> _Row | None:
        """Reads a row and, if it is sound, remembers it. Faults are told for each line that has them."""
        try:
            text, sound = rest.decode(), True
        except UnicodeDecodeError as error:
            self._fault(number, "", Reason.ENCODING, f"at byte {error.start} of the row", outcome=Outcome.KEPT)
            text, sound = rest.decode("utf-8", "replace"), False
        columns = text.split("\t")
        if len(columns) != COLUMNS - 2:
            self._fault(number, "", Reason.NOT_CSV, f"{len(columns) + 2} columns for {COLUMNS}")
            return None
        id, plug, told, place, address, _, _ = (column.strip() for column in columns)
        if id == plug == told == NOTHING:
            self._fault(number, "id", Reason.NO_ID, "the poll brought nothing")
            return None
        for field, value, reason in (("id", id, Reason.NO_ID), ("connector type", plug, Reason.MISSING)):
            if not value or not value.isprintable() or "\ufffd" in value:
                self._fault(number, field, reason, repr(value))
                return None
            if len(value) > ID_LIMIT:
                self._fault(number, field, Reason.ID_TOO_LONG, value)
                return None
        word = _WORDS.get(told)
        if word is None:
            self._fault(number, "status", Reason.UNKNOWN_VALUE, told, id)
            return None
        position = self._position(number, place, id)
        if position is None:
            return None
        point = Point(id, plug, position)
        index = self._indexes.setdefault(point, len(self.points))
        if index == len(self.points):
            self.points.append(point)
            self.addresses.append(None)
        if self.addresses[index] is None and sound:
            self.addresses[index] = clean_text(address)[0]
        row = _Row(index, word)
        if sound:
            self._rows[rest] = row
        return row

    def _position(self, number: int, told: str, id: str) -> LatLon | None:
        known = self._positions.get(told)
        if known is not None:
            return known
        numbers = [parse_number(part) for part in told.split(",")]
        if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
            self._fault(number, "position", Reason.BAD_COORDINATES, told, id)
            return None
        lon, lat = numbers[0], numbers[1]
        if not (abs(lat) <= 90 and abs(lon) <= 180):
            self._fault(number, "position", Reason.OUT_OF_RANGE, told, id)
            return None
        if lat == 0 and lon == 0:
            self._fault(number, "position", Reason.ZERO_COORDINATES, told, id)
            return None
        return self._positions.setdefault(told, LatLon.of(lat, lon))

    def _fault(
        self,
        number: int,
        field: str,
        reason: Reason,
        detail: str,
        id: str | None = None,
        outcome: Outcome = Outcome.SKIPPED,
    ) -> None:
        self._report.add("", id, field, reason, outcome, detail, number)


def instant_ms(date: bytes, minute: bytes) -> int | None:
    """Of a date YYYYMMDD and a time HHMM that may lack leading zeros, local."""
    if len(date) != 8 or not date.isdigit() or not 1 <= len(minute) <= 4 or not minute.isdigit():
        return None
    year, month, day = int(date[:4]), int(date[4:6]), int(date[6:])
    try:
        at = datetime(year, month, day, *divmod(int(minute), 100), tzinfo=ZONE)
        ms = int(at.timestamp()) * 1000
    except (ValueError, OverflowError):
        return None
    return ms if FIRST_MS <= ms < LAST_MS else None
