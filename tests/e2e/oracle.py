"""What the service has to answer about nearby stations, lists and details, computed once more in plain Python.

Nothing here uses the service's code: stations and EVSE states come from PostgreSQL by SQL of its own, filters are written
down from DESIGN.md, distances are the haversine's. Only the answers' format is shared, as a reader of the API knows it.

Time changes answers: statuses expire, stations close. A `Moment` is what holds at one instant; an answer is right if it
is that of some moment while it was asked for, or shortly before (a replica hears late, a tile is kept for a second).
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from math import asin, cos, radians, sin, sqrt
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import asyncpg
import tzfpy

EARTH_RADIUS_M = 6371008.8
STALE_MS, SKEW_MS = 2500, 500  # how far behind an answer may be; how far clocks may be apart

# docs/architecture.md: the storage codes of OCPI's nine statuses, and what a driver makes of them
STATUSES = (
    "UNKNOWN", "AVAILABLE", "BLOCKED", "CHARGING", "INOPERATIVE", "OUTOFORDER", "PLANNED", "REMOVED", "RESERVED",
)  # fmt: skip
CLASS_OF = {
    "UNKNOWN": "unknown",
    "AVAILABLE": "available",
    "BLOCKED": "busy",
    "CHARGING": "busy",
    "RESERVED": "busy",
    "INOPERATIVE": "out_of_service",
    "OUTOFORDER": "out_of_service",
    "PLANNED": "out_of_service",
}

Json = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """A filter as a client thinks of it. Empty: everything."""

    connector: tuple[str, ...] = ()
    min_power_kw: float | None = None
    max_power_kw: float | None = None
    available: int = 0
    operator: tuple[str, ...] = ()
    exclude_operator: tuple[str, ...] = ()
    facility: tuple[str, ...] = ()
    open_now: bool = False

    @property
    def query(self) -> str:
        """Parameters in the order of DESIGN; `available` alone means one."""
        words = {name: getattr(self, name) for name in ("connector", "operator", "exclude_operator", "facility")}
        powers = {"min_power_kw": self.min_power_kw, "max_power_kw": self.max_power_kw}
        pairs = [(name, ",".join(some)) for name, some in words.items() if some]
        pairs += [(name, f"{power:g}") for name, power in powers.items() if power is not None]
        if self.available > 1:
            pairs.append(("available", str(self.available)))
        if self.open_now:
            pairs.append(("open_now", "true"))
        text = urlencode(pairs, safe=",*")
        return "&".join(part for part in (text, "available" if self.available == 1 else "") if part)

    @property
    def asks_for_a_connector(self) -> bool:
        return bool(self.connector) or self.min_power_kw is not None or self.max_power_kw is not None

    def fits(self, connector: Json) -> bool:
        """All that is asked of a connector holds on this very one; no bound holds on an unknown power."""
        if self.connector and connector["standard"] not in self.connector:
            return False
        power = connector.get("power_kw")
        if self.min_power_kw is not None and not (power is not None and power >= self.min_power_kw):
            return False
        return self.max_power_kw is None or (power is not None and power <= self.max_power_kw)


EVERYTHING = Wanted()


@dataclass(frozen=True)
class Point:
    """An EVSE: its document and what was last reported of it."""

    doc: Json
    reported: str
    changed_ms: int | None
    seen_ms: int | None
    expires_ms: int | None

    def status(self, now_ms: int) -> str:
        return self.reported if self.expires_ms is not None and now_ms < self.expires_ms else "UNKNOWN"


@dataclass(frozen=True)
class Place:
    """A station."""

    num: int
    key: str
    id: str
    party: str
    location_id: str
    lat: float
    lon: float
    publish: bool
    doc: Json
    points: tuple[Point, ...]  # without those that are REMOVED
    schedule: int

    @cached_property
    def operators(self) -> frozenset[str]:
        return frozenset({self.party.casefold(), self.doc.get("operator", self.party).casefold()})

    @cached_property
    def facilities(self) -> frozenset[str]:
        return frozenset(self.doc.get("facilities", ()))

    @cached_property
    def fixed(self) -> Json:
        """The part of a summary that time and filters leave alone."""
        told: Json = {name: self.doc.get(name) for name in ("name", "address", "city", "operator")}
        reported = [point for point in self.points if point.seen_ms]
        return told | {
            "id": self.id,
            "lat": self.lat,
            "lon": self.lon,
            "connectors": sorted({c["standard"] for p in self.points for c in p.doc.get("connectors", ())}),
            "changed_at": rfc3339(max((p.changed_ms or 0 for p in reported), default=None)),
            "seen_at": rfc3339(max((p.seen_ms or 0 for p in reported), default=None)),
        }


class Shown(NamedTuple):
    """A station as a filter shows it: counts and power are of the EVSEs that match."""

    place: Place
    counts: Counter[str]
    max_kw: float  # 0: not known
    summary: Json


class View(NamedTuple):
    """What a filter keeps of the published stations, by num, and whom only unknown hours keep out."""

    shown: dict[int, Shown]
    unknown_hours: frozenset[int]


@dataclass(eq=False)
class Moment:
    now_ms: int
    opened: tuple[bool | None, ...]  # by schedule
    views: dict[Wanted, View] = field(default_factory=dict)


class Near(NamedTuple):
    metres: float
    key: str
    num: int


class Oracle:
    def __init__(self, places: list[Place], schedules: list[tuple[Json | None, str | None]]) -> None:
        self.places = {place.num: place for place in places}
        self.published = {place.num: place for place in places if place.publish}
        self._schedules = schedules
        self._expiries = sorted({p.expires_ms for place in places for p in place.points if p.expires_ms})
        self._moments: dict[tuple[int, tuple[bool | None, ...]], Moment] = {}
        self._by_second: dict[int, tuple[bool | None, ...]] = {}

    @classmethod
    async def read(cls, database_url: str) -> Oracle:
        """The truth as it stands in PostGIS now."""
        connection = await asyncpg.connect(database_url)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                stations = await connection.fetch(
                    "SELECT s.num, s.key, s.party, s.location_id, s.publish, s.doc::text AS doc, ST_Y(s.geom) AS lat,"
                    " ST_X(s.geom) AS lon, p.ttl_s FROM station s JOIN party p ON p.id = s.party WHERE NOT s.removed"
                )
                evses = await connection.fetch("SELECT num, slot, status, changed_ms, seen_ms FROM evse WHERE NOT gone")
        finally:
            await connection.close()
        states = {(row["num"], row["slot"]): row for row in evses}
        schedules: dict[str, int] = {}
        described: list[tuple[Json | None, str | None]] = []
        places = []
        for row in stations:
            doc = json.loads(row["doc"])
            hours = doc.get("opening_times")
            zone = doc.get("time_zone") or tzfpy.get_tz(row["lon"], row["lat"]) or None
            schedule = schedules.setdefault(json.dumps([hours, zone if hours else None]), len(schedules))
            if schedule == len(described):
                described.append((hours, zone))
            points = tuple(
                _point(evse, states[row["num"], evse["slot"]], row["ttl_s"])
                for evse in doc.get("evses", ())
                if STATUSES[states[row["num"], evse["slot"]]["status"]] != "REMOVED"
            )
            places.append(
                Place(
                    num=row["num"],
                    key=row["key"],
                    id=quote(f"{row['party']}~{row['location_id']}", safe="*~"),
                    party=row["party"],
                    location_id=row["location_id"],
                    lat=row["lat"],
                    lon=row["lon"],
                    publish=row["publish"],
                    doc=doc,
                    points=points,
                    schedule=schedule,
                )
            )
        return cls(places, described)

    # -- time ---------------------------------------------------------------------------------------------------------

    def moments(self, asked_ms: int, answered_ms: int) -> list[Moment]:
        """All that an answer of that time may show, the latest first."""
        first, last = asked_ms - STALE_MS, answered_ms + SKEW_MS
        inside = self._expiries[bisect_right(self._expiries, first) : bisect_right(self._expiries, last)]
        found = {id(moment): moment for moment in map(self._moment, (last, *inside, first))}
        return list(found.values())

    def _moment(self, now_ms: int) -> Moment:
        second = now_ms // 1000
        opened = self._by_second.get(second)
        if opened is None:
            opened = tuple(is_open(hours, zone, now_ms) for hours, zone in self._schedules)
            self._by_second[second] = opened
        key = (bisect_right(self._expiries, now_ms), opened)
        moment = self._moments.get(key)
        if moment is None:
            moment = self._moments[key] = Moment(now_ms, opened)
        return moment

    # -- filters ------------------------------------------------------------------------------------------------------

    def view(self, wanted: Wanted, moment: Moment) -> View:
        view = moment.views.get(wanted)
        if view is None:
            shown: dict[int, Shown] = {}
            unknown = set()
            for place in self.published.values():
                seen = _filtered(place, wanted, moment)
                if seen is None:
                    continue
                if not wanted.open_now or moment.opened[place.schedule]:
                    shown[place.num] = seen
                elif moment.opened[place.schedule] is None:
                    unknown.add(place.num)
            view = moment.views[wanted] = View(shown, frozenset(unknown))
        return view

    # -- questions ----------------------------------------------------------------------------------------------------

    def near(self, lat: float, lon: float, radius_m: float) -> list[Near]:
        """Every published station within the radius, nearest first, ties by id."""
        reach = radius_m / EARTH_RADIUS_M * 57.3 + 1e-6  # degrees of latitude, a little too many
        found = [
            Near(metres, place.key, place.num)
            for place in self.published.values()
            if abs(place.lat - lat) <= reach and (metres := haversine_m(lat, lon, place.lat, place.lon)) <= radius_m
        ]
        return sorted(found)

    def within(self, west: float, south: float, east: float, north: float) -> set[int]:
        """Published stations in a box, its edges included; ±180 are one meridian."""

        def contains(place: Place) -> bool:
            lons = {place.lon, -place.lon} if abs(place.lon) == 180 else {place.lon}
            across = west > east
            return south <= place.lat <= north and any(
                (lon >= west or lon <= east) if across else west <= lon <= east for lon in lons
            )

        return {place.num for place in self.published.values() if contains(place)}

    def details(self, place: Place, moment: Moment) -> Json:
        """All about one station: its document with instants as text, and every EVSE with its status."""
        told: Json = {"id": place.id, **_on_the_wire(place.doc)}
        told.pop("publish", None)
        counts: Counter[str] = Counter(total=len(place.points))
        told["evses"] = []
        for point in place.points:
            status = point.status(moment.now_ms)
            counts[CLASS_OF[status]] += 1
            evse = {"connectors": [], **_on_the_wire(point.doc)}
            del evse["slot"]
            told["evses"].append(
                evse
                | {
                    "status": status,
                    "reported_status": point.reported,
                    "changed_at": rfc3339(point.changed_ms),
                    "seen_at": rfc3339(point.seen_ms),
                    "expires_at": rfc3339(point.expires_ms),
                }
            )
        told["evse_counts"] = {name: counts[name] for name in ("total", *dict.fromkeys(CLASS_OF.values()))}
        told["open_now"] = moment.opened[place.schedule]
        return told


def _point(doc: Json, row: Any, ttl_s: int | None) -> Point:
    seen_ms = row["seen_ms"]
    expires_ms = None if ttl_s is None or not seen_ms else seen_ms + 1000 * ttl_s
    return Point(doc, STATUSES[row["status"]], row["changed_ms"], seen_ms, expires_ms)


def _filtered(place: Place, wanted: Wanted, moment: Moment) -> Shown | None:
    """The station with the counts that follow the filter; None if it fails other than by its hours."""
    if wanted.operator and not place.operators & {name.casefold() for name in wanted.operator}:
        return None
    if wanted.exclude_operator and place.operators & {name.casefold() for name in wanted.exclude_operator}:
        return None
    if wanted.facility and not place.facilities & set(wanted.facility):
        return None
    counts: Counter[str] = Counter()
    max_kw = 0.0
    for point in place.points:
        connectors = point.doc.get("connectors", ())
        fitting = [c for c in connectors if wanted.fits(c)] if wanted.asks_for_a_connector else connectors
        if fitting or not wanted.asks_for_a_connector:
            counts["total"] += 1
            counts[CLASS_OF[point.status(moment.now_ms)]] += 1
            max_kw = max([max_kw, *(c.get("power_kw") or 0.0 for c in fitting)])
    if counts["available"] < wanted.available or (wanted.asks_for_a_connector and not counts["total"]):
        return None
    summary = place.fixed | {
        "max_power_kw": max_kw or None,
        "evses": {name: counts[name] for name in ("total", *dict.fromkeys(CLASS_OF.values()))},
        "open_now": moment.opened[place.schedule],
    }
    return Shown(place, counts, max_kw, summary)


def _on_the_wire(value: Any) -> Any:
    """A part of a stored document as the API tells it: instants are text, under OCPI's names."""
    if isinstance(value, list):
        return [_on_the_wire(item) for item in value]
    if not isinstance(value, dict):
        return value
    names = {"last_updated_ms": "last_updated", "begin_ms": "period_begin", "end_ms": "period_end"}
    return {
        names.get(name, name): rfc3339(part) if name in names else _on_the_wire(part) for name, part in value.items()
    }


def haversine_m(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    phi1, phi2 = radians(lat1), radians(lat2)
    a = sin((phi2 - phi1) / 2) ** 2 + cos(phi1) * cos(phi2) * sin(radians(lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_M * asin(min(1.0, sqrt(a)))


def rfc3339(ms: int | None) -> str | None:
    if ms is None:
        return None
    text = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{ms % 1000:03d}Z" if ms % 1000 else f"{text}Z"


def is_open(hours: Json | None, zone: str | None, now_ms: int) -> bool | None:
    """OCPI's opening hours at an instant, read off a clock in that zone. None: nobody knows."""
    if hours is None:
        return None
    for name, opened in (("exceptional_closings", False), ("exceptional_openings", True)):
        if any(period["begin_ms"] <= now_ms < period["end_ms"] for period in hours.get(name, ())):
            return opened
    if hours.get("twentyfourseven"):
        return True
    periods = list(_minutes_of_week(hours.get("regular_hours", ())))
    if not periods or zone is None:
        return None
    clock = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(zone))
    minute = (clock.weekday() * 24 + clock.hour) * 60 + clock.minute
    week = 7 * 24 * 60
    return any(begin <= at < end for begin, end in periods for at in (minute, minute + week))


def _minutes_of_week(regular_hours: Any) -> Iterator[tuple[int, int]]:
    for period in regular_hours:
        begin, end = (60 * int(period[name][:2]) + int(period[name][3:]) for name in ("period_begin", "period_end"))
        end = 24 * 60 if end == 24 * 60 - 1 else end  # 23:59 is how feeds write midnight
        midnight = (period["weekday"] - 1) * 24 * 60
        yield midnight + begin, midnight + end + (0 if end > begin else 24 * 60)
