"""What the live mix needs besides connections: the EVSEs that may be reported, and the wait from an acknowledgement until a
subscriber of the same process has been told. Neither knows of Locust or the network.

Only an EVSE that is alone at its station can be followed: the event tells the station's counts, which then are the EVSE's.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from loadtests.recorder import Row

HALF_DEG = 0.05  # half a subscriber's viewport: some 7 × 11 km
GIVE_UP_S = 10.0
WELL = frozenset({"applied", "confirmed"})


class Evse(NamedTuple):
    """One that the key's party may report. `alone`: the only one of its station."""

    station: str
    location_id: str
    uid: str
    alone: bool
    lat: float
    lon: float


def box_around(lat: float, lon: float) -> str:
    """A subscriber's viewport as west,south,east,north; west > east where it crosses the antimeridian."""
    west, east = ((side + 180.0) % 360.0 - 180.0 for side in (lon - HALF_DEG, lon + HALF_DEG))
    return f"{west:.4f},{max(-90.0, lat - HALF_DEG):.4f},{east:.4f},{min(90.0, lat + HALF_DEG):.4f}"


class Update(NamedTuple):
    evse: Evse
    available: bool

    def told(self, source_ts: str) -> dict[str, str]:
        return {
            "evse_uid": self.evse.uid,
            "location_id": self.evse.location_id,
            "status": "AVAILABLE" if self.available else "CHARGING",
            "source_ts": source_ts,
        }


class Reporter:
    """Statuses of its own EVSEs, one after the other, so that no two requests under way report the same one; each turn
    another status than the last."""

    def __init__(self, evses: Sequence[Evse], seed: int) -> None:
        """`evses`: at least one."""
        self._evses = list(evses)
        random.Random(seed).shuffle(self._evses)  # noqa: S311 (a repeatable load, not a secret)
        self._next = 0
        self._available = True  # so the first turn tells CHARGING: most are free, and a confirmation changes nothing

    def batch(self, size: int) -> list[Update]:
        """At most as many as there are EVSEs."""
        updates = []
        for _ in range(min(size, len(self._evses))):
            if self._next == 0:
                self._available = not self._available
            updates.append(Update(self._evses[self._next], self._available))
            self._next = (self._next + 1) % len(self._evses)
        return updates


def now_rfc3339() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def outcomes_of(body: bytes, count: int) -> list[str]:
    """Of an answer to so many updates. Raises ValueError."""
    try:
        told = [one["outcome"] for one in json.loads(body)["outcomes"]]
    except (ValueError, LookupError, TypeError):
        raise ValueError("the answer tells no outcomes") from None
    if len(told) != count:
        raise ValueError("the answer tells too few or too many outcomes")
    return told


class _Awaited:
    __slots__ = ("acked_at", "available", "sent_at", "told_at")

    def __init__(self, available: bool, now: float) -> None:
        self.available, self.sent_at = available, now
        self.acked_at: float | None = None
        self.told_at: float | None = None


class Watch:
    """Pairs acknowledged updates with the events that tell of them. `row`: gets the times."""

    def __init__(self, row: Row, clock: Callable[[], float] = time.perf_counter) -> None:
        self._row, self._clock = row, clock
        self._boxes: list[tuple[float, float]] = []
        self._awaited: dict[str, _Awaited] = {}

    def over(self, lat: float, lon: float) -> None:
        """There is a subscriber with a viewport around this point that reads closely."""
        self._boxes.append((lat, lon))

    def sent(self, update: Update) -> None:
        evse = update.evse
        if evse.alone and any(
            abs(evse.lat - lat) < HALF_DEG and abs(evse.lon - lon) < HALF_DEG for lat, lon in self._boxes
        ):
            self._awaited[evse.station] = _Awaited(update.available, self._clock())

    def acked(self, update: Update, outcome: str) -> None:
        awaited = self._awaited.get(update.evse.station)
        if awaited is None or awaited.available != update.available:
            return
        if outcome != "applied":
            del self._awaited[update.evse.station]  # nothing changed, so nobody is told
            return
        awaited.acked_at = self._clock()
        self._pair(update.evse.station, awaited)

    def told(self, data: bytes) -> None:
        """The data of a `change` event."""
        for station in json.loads(data)["stations"]:
            awaited = self._awaited.get(station["id"])
            if awaited is not None and awaited.told_at is None and _available(station) == awaited.available:
                awaited.told_at = self._clock()
                self._pair(station["id"], awaited)

    def give_up(self) -> None:
        """Counts as failed what should have been told long ago. To be called once a second."""
        now = self._clock()
        for station, awaited in list(self._awaited.items()):
            if awaited.acked_at is not None and now - awaited.acked_at > GIVE_UP_S:
                self._row.fail(f"no event within {GIVE_UP_S:g} s of the acknowledgement")
                del self._awaited[station]

    def _pair(self, station: str, awaited: _Awaited) -> None:
        if awaited.acked_at is not None and awaited.told_at is not None:
            self._row.times.append(
                max(0.0, awaited.told_at - awaited.acked_at)
            )  # the event may be faster than the answer
            del self._awaited[station]


def _available(station: dict[str, Any]) -> bool:
    return bool(station["evses"]["available"])
