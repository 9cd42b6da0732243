"""The French charging sessions, one JSON object a line, as steps: a car comes, CHARGING; it goes, AVAILABLE. Pure.

    {"id_pdc_itinerance": "FRXYZE001", "start": 1733848096000, "end": 1733850582000, "energy": 46.572}

A point serves one car at a time, so sessions of one point that overlap or touch are one stay. Before a point's first
session nothing is known of it: UNKNOWN. There are no polls here that could be missed, so nothing ever falls silent.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from geo.station import Status
from mapsvc.importers.report import Outcome, Reason, Report, UnreadableFile
from mapsvc.importers.values import FIRST_MS, LAST_MS
from mapsvc.replay.step import Step, Update

POINT_ID = "id_pdc_itinerance"


class Stay(NamedTuple):
    start_ms: int
    end_ms: int


class Place(NamedTuple):
    """Where the store has a point."""

    location_id: str
    uid: str


def read(lines: Iterable[bytes], report: Report) -> dict[str, list[Stay]]:
    """The stays at each point (by case-folded id) in order, none touching the next.

    Raises UnreadableFile when no line is a session.
    """
    told: dict[str, list[tuple[Stay, int]]] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            session = _session(line, number, report)
            if session is not None:
                told.setdefault(session[0], []).append((session[1], number))
    if not told:
        raise UnreadableFile("no line of the file is a session")
    return {point: _stays(point, sorted(sessions), report) for point, sessions in told.items()}


def _session(line: bytes, number: int, report: Report) -> tuple[str, Stay] | None:
    """None, with a row of the report, for what is no session."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        report.add("", None, "", Reason.NOT_JSON, Outcome.SKIPPED, str(error), number)
        return None
    if not isinstance(row, dict):
        report.add("", None, "", Reason.NOT_AN_OBJECT, Outcome.SKIPPED, type(row).__name__, number)
        return None
    told = row.get(POINT_ID)
    if not isinstance(told, str) or not told.strip():
        report.add(f"/{POINT_ID}", None, POINT_ID, Reason.NO_ID, Outcome.SKIPPED, "", number)
        return None
    id = told.strip().casefold()
    instants: list[int] = []
    for field in ("start", "end"):
        value: Any = row.get(field)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not FIRST_MS <= value < LAST_MS:
            reason = Reason.IMPOSSIBLE_TIMESTAMP if whole else Reason.BAD_TIMESTAMP
            report.add(f"/{field}", id, field, reason, Outcome.SKIPPED, repr(value), number)
            return None
        instants.append(value)
    start, end = instants
    if end <= start:
        detail = f"{(start - end) / 1000} s before its start"
        report.add("/end", id, "end", Reason.IMPOSSIBLE_TIMESTAMP, Outcome.SKIPPED, detail, number)
        return None
    return id, Stay(start, end)


def _stays(point: str, sessions: list[tuple[Stay, int]], report: Report) -> list[Stay]:
    stays: list[Stay] = []
    before: Stay | None = None
    for session, line in sessions:
        if session == before:
            report.add("", point, "", Reason.DUPLICATE_POINT, Outcome.SKIPPED, "the same session again", line)
        elif stays and session.start_ms < stays[-1].end_ms:
            overlap_s = (stays[-1].end_ms - session.start_ms) / 1000
            detail = f"begins {overlap_s} s before the one before has ended: taken together"
            report.add("/start", point, "start", Reason.CONFLICT, Outcome.KEPT, detail, line)
        before = session
        if stays and session.start_ms <= stays[-1].end_ms:
            stays[-1] = Stay(stays[-1].start_ms, max(session.end_ms, stays[-1].end_ms))
        else:
            stays.append(session)
    return stays


def span_ms(stays: Mapping[str, list[Stay]]) -> tuple[int, int]:
    """The first start and the last end."""
    return min(s[0].start_ms for s in stays.values()), max(s[-1].end_ms for s in stays.values())


def steps(
    stays: Mapping[str, list[Stay]],
    places: Mapping[str, Place],
    *,
    from_ms: int,
    until_ms: int,
    window_ms: int,
    beat_ms: int,
) -> Iterator[Step]:
    """What happens within a window goes out together when it is over, each point's last word; `places` leaves out points.

    The first step says how things stand at `from_ms`; one at least every `beat_ms` vouches for the rest.
    """
    events = heapq.merge(*(_events(stays[point], place) for point, place in sorted(places.items())))
    now: dict[Place, Status] = {}
    pending = next(events, None)
    while pending is not None and pending[0] <= from_ms:
        now[pending[1]] = pending[2]
        pending = next(events, None)
    yield Step(from_ms, _updates(now), confirms=True)
    beat_at_ms = from_ms + beat_ms
    while pending is not None and pending[0] <= until_ms:
        while beat_at_ms < pending[0]:
            yield Step(beat_at_ms, (), confirms=True)
            beat_at_ms += beat_ms
        over_ms = min(pending[0] + window_ms, until_ms)
        now = {}
        while pending is not None and pending[0] <= over_ms:
            now[pending[1]] = pending[2]
            pending = next(events, None)
        yield Step(over_ms, _updates(now), confirms=False)
    while beat_at_ms < until_ms:
        yield Step(beat_at_ms, (), confirms=True)
        beat_at_ms += beat_ms
    yield Step(until_ms, (), confirms=True)


def _events(stays: list[Stay], place: Place) -> Iterator[tuple[int, Place, Status]]:
    for stay in stays:
        yield stay.start_ms, place, Status.CHARGING
        yield stay.end_ms, place, Status.AVAILABLE


def _updates(now: Mapping[Place, Status]) -> tuple[Update, ...]:
    return tuple(Update(place.location_id, place.uid, status) for place, status in now.items())
