"""The oracle of geo.world and of what is made of it: a dictionary of stations, plain loops, textbook formulas.

Written independently of geo.*: from there come only the words (Station, Status, EvseState, Filter), the numbers of the tile
dictionary, and H3 by its own library. Slow and obvious on purpose.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import h3.api.basic_int as h3

from geo.filters import NO_FILTER, ConnectorFilter, Filter
from geo.mvt import NUMBERS
from geo.station import Connector, Evse, Station, Status
from geo.world import EvseState

R_M = 6371008.8
CLASSES = ("unknown", "free", "busy", "out_of_service")
REMOVED = 7
_CLASS = {0: "unknown", 1: "free", 2: "busy", 3: "busy", 4: "out_of_service", 5: "out_of_service",
          6: "out_of_service", 8: "busy"}  # fmt: skip
RES_OF_ZOOM = (0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7)


class State(NamedTuple):
    """One EVSE's state as it travels."""

    num: int
    slot: int
    n: int
    status: int
    changed_ms: int
    seen_ms: int


class Told(NamedTuple):
    """One station as it travels; `station` None: a tombstone."""

    num: int
    n: int
    station: Station | None


@dataclass
class ModelEvse:
    n: int = 0
    status: int = 0
    changed_ms: int = 0
    seen_ms: int = 0


@dataclass
class ModelStation:
    num: int
    n: int
    station: Station
    evses: dict[int, ModelEvse]  # every slot from 0 up to the highest that the document names

    def evse_at(self, slot: int) -> Evse | None:
        return next((evse for evse in self.station.evses if evse.slot == slot), None)


class Found(NamedTuple):
    metres: float
    key: str
    num: int


@dataclass
class ModelWorld:
    now_ms: int = 0
    stations: dict[int, ModelStation] = field(default_factory=dict)
    removed: dict[int, int] = field(default_factory=dict)
    clocks: dict[str, tuple[int | None, int]] = field(default_factory=dict)  # party -> (ttl_s, heartbeat_ms)

    # -- changes ------------------------------------------------------------------------------------------------------

    def put(self, told: Iterable[Told], states: Iterable[State]) -> None:
        highest = {t.num: t for t in sorted(told, key=lambda t: t.n)}
        for num, n, station in highest.values():
            old = self.stations.get(num)
            if n <= (old.n if old else self.removed.get(num, -1)):
                continue
            if station is None:
                self.removed[num] = n
                self.stations.pop(num, None)
                continue
            slots = range(max((evse.slot for evse in station.evses), default=-1) + 1)
            known = old.evses if old else {}
            self.stations[num] = ModelStation(num, n, station, {s: known.get(s, ModelEvse()) for s in slots})
            self._hear(station.party)
        self.put_states(states)

    def put_states(self, states: Iterable[State]) -> None:
        """One after the other by rising n, however they are cut into batches; what was seen is never taken back, unless
        nothing was reported."""
        parties: set[str] = set()
        for state in sorted(states, key=lambda s: (s.n, s.seen_ms)):
            at = self.stations.get(state.num)
            evse = at.evses.get(state.slot) if at else None
            if at is None or evse is None or (state.n, state.seen_ms) <= (evse.n, evse.seen_ms) or state.n < evse.n:
                continue
            before = evse.seen_ms if evse.n >= 0 and state.seen_ms else 0
            at.evses[state.slot] = ModelEvse(state.n, state.status, state.changed_ms, max(before, state.seen_ms))
            parties.add(at.station.party)
        for party in parties:
            self._hear(party)

    def confirm(self, seen: Iterable[tuple[int, int, int]]) -> None:
        for num, slot, seen_ms in seen:
            at = self.stations.get(num)
            evse = at.evses.get(slot) if at else None
            if evse is not None and evse.seen_ms:
                evse.seen_ms = max(evse.seen_ms, seen_ms)

    def set_parties(self, clocks: dict[str, tuple[int | None, int]]) -> None:
        self.clocks.update(clocks)
        for party in clocks:
            self._hear(party)

    def _hear(self, party: str) -> None:
        """A heartbeat confirms whatever the party reported."""
        heartbeat_ms = self.clocks.get(party, (900, 0))[1]
        for at in self.stations.values():
            for evse in at.evses.values() if at.station.party == party else ():
                if evse.seen_ms:
                    evse.seen_ms = max(evse.seen_ms, heartbeat_ms)

    def keep_only(self, shard: int, nums: set[int], n: int) -> None:
        for num, at in list(self.stations.items()):
            if shard_of(at.station) == shard and num not in nums and at.n <= n:
                del self.stations[num]
                self.removed[num] = n

    def forget_versions(self, shard: int) -> None:
        for at in self.stations.values():
            if shard_of(at.station) == shard:
                at.n = -1
                for evse in at.evses.values():
                    evse.n = -1
        self.removed.clear()

    # -- one station --------------------------------------------------------------------------------------------------

    def evse_states(self, num: int) -> list[EvseState]:
        at = self.stations[num]
        ttl_s = self.clocks.get(at.station.party, (900, 0))[0]
        shown = []
        for slot, evse in sorted(at.evses.items()):
            if evse.status == REMOVED:
                continue
            expires = None if ttl_s is None or not evse.seen_ms else evse.seen_ms + 1000 * ttl_s
            live = expires is not None and expires > self.now_ms
            status = Status(evse.status)
            instants = evse.changed_ms or None, evse.seen_ms or None, expires
            shown.append(EvseState(slot, status if live else Status.UNKNOWN, status, *instants))
        return shown

    def fitting(self, num: int, connector: ConnectorFilter) -> list[EvseState]:
        """The EVSEs that have a connector of the filter; all, when it asks for none."""
        at = self.stations[num]
        return [
            s for s in self.evse_states(num) if not connector or any(map(fits(connector), plugs(at.evse_at(s.slot))))
        ]

    def counts(self, num: int, connector: ConnectorFilter | None = None) -> dict[str, int]:
        classes = [_CLASS[s.status] for s in self.fitting(num, connector or ConnectorFilter())]
        return {name: classes.count(name) for name in CLASSES}

    def max_kw(self, num: int, connector: ConnectorFilter | None = None) -> float:
        """The largest power of a connector that can be had there; 0: none is known."""
        wanted, at = connector or ConnectorFilter(), self.stations[num]
        there = [plug for s in self.evse_states(num) for plug in plugs(at.evse_at(s.slot)) if fits(wanted)(plug)]
        return max((plug.power_kw or 0.0 for plug in there), default=0.0)

    def latest(self, num: int) -> tuple[int, int]:
        """(changed_ms, seen_ms) of the station's EVSEs that ever reported, 0 if none did."""
        reported = [s for s in self.evse_states(num) if s.seen_ms]
        return max((s.changed_ms or 0 for s in reported), default=0), max((s.seen_ms or 0 for s in reported), default=0)

    def is_open(self, num: int) -> bool | None:
        return is_open(self.stations[num].station, self.now_ms)

    def passes(self, num: int, wanted: Filter) -> bool | None:
        """None: it would, but nobody knows its hours."""
        station, counts = self.stations[num].station, self.counts(num, wanted.connector)
        names = {station.party.casefold(), (station.operator or "").casefold()}
        kept = (
            (not wanted.connector or sum(counts.values()) > 0)
            and counts["free"] >= wanted.available
            and (not wanted.operators or bool(names & set(wanted.operators)))
            and not names & set(wanted.exclude_operators)
            and (not wanted.facilities or bool(set(wanted.facilities) & set(station.facilities)))
        )
        return self.is_open(num) if kept and wanted.open_now else kept

    # -- many ---------------------------------------------------------------------------------------------------------

    def within(self, lat: float, lon: float, radius_m: float) -> list[Found]:
        found = []
        for num, at in self.stations.items():
            metres = haversine_m(lat, lon, at.station.lat, at.station.lon)
            if metres <= radius_m:
                found.append(Found(metres, key_of(at.station), num))
        return sorted(found)

    def totals(self, wanted: Filter = NO_FILTER) -> dict[str, int]:
        """What an aggregate layer must add up to, at every zoom."""
        passing = [num for num in self.stations if self.passes(num, wanted)]
        counts = [self.counts(num, wanted.connector) for num in passing]
        return {"count": len(passing), **{name: sum(c[name] for c in counts) for name in CLASSES}}

    def tiles(self, z: int, wanted: Filter = NO_FILTER) -> Tiles:
        """Every tile of the zoom that holds anything: (x, y) -> feature id -> feature."""
        return self._aggregate_tiles(z, wanted) if z < len(RES_OF_ZOOM) else self._station_tiles(z, wanted)

    def _station_tiles(self, z: int, wanted: Filter) -> Tiles:
        tiles: Tiles = {}
        for num, at in self.stations.items():
            if self.passes(num, wanted):
                counts = self.counts(num, wanted.connector)
                status = next((i for i in (1, 2, 3) if counts[CLASSES[i]]), 0)
                shown = {**counts, "total": sum(counts.values()), "kw": int(self.max_kw(num, wanted.connector))}
                place = mercator(at.station.lat, at.station.lon, z)
                tiles.setdefault((place.x, place.y), {})[num] = Feature(
                    place, {"status": status, **{name: step(value) for name, value in shown.items()}}
                )
        return tiles

    def _aggregate_tiles(self, z: int, wanted: Filter) -> Tiles:
        cells: dict[int, list[int]] = {}
        for num, at in self.stations.items():
            if self.passes(num, wanted):
                fine = h3.latlng_to_cell(at.station.lat, at.station.lon, 7)
                cells.setdefault(h3.cell_to_parent(fine, RES_OF_ZOOM[z]), []).append(num)
        tiles: Tiles = {}
        for cell, nums in cells.items():
            counts = {num: self.counts(num, wanted.connector) for num in nums}
            kw = {num: self.max_kw(num, wanted.connector) for num in nums}
            shown = {"count": len(nums), **{name: sum(c[name] for c in counts.values()) for name in CLASSES}}
            shown["max_kw"] = int(max(kw.values()))
            best = min(((-kw[num], num) for num in nums if counts[num]["free"]), default=None)
            if best is not None:
                shown |= {"best_id": best[1], "best_kw": int(-best[0])}
            lat, lon = h3.cell_to_latlng(cell)
            place = mercator(lat, lon, z)
            tiles.setdefault((place.x, place.y), {})[cell & (1 << 52) - 1] = Feature(place, shown)
        return tiles


# -- textbook formulas ------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """A tile, and the position in it in pixels of 4096, not rounded."""

    x: int
    y: int
    px: float
    py: float

    def shows_at(self, px: int, py: int) -> bool:
        """Whether the rounded position is this one; a last half pixel belongs to its own tile (geo.tilemath)."""
        return all(abs(min(told, 4095.0) - got) <= 0.5 + 1e-4 for told, got in ((self.px, px), (self.py, py)))


class Feature(NamedTuple):
    place: Place
    properties: dict[str, int]


Tiles = dict[tuple[int, int], dict[int, Feature]]


def mercator(lat: float, lon: float, z: int) -> Place:
    """Spherical Mercator by way of the sine; beyond its edge the first and last row, 180° is -180°."""
    size = 1 << z
    s = math.sin(math.radians(max(-85.0511287798, min(85.0511287798, lat))))
    u = (((lon + 180.0) / 360.0) % 1.0) * size
    v = min(max(0.5 - math.log((1 + s) / (1 - s)) / (4 * math.pi), 0.0), 1.0 - 1e-15) * size
    if abs(lat) > 85.0511287798:
        v = 0.0 if lat > 0 else size - 1e-9
    x, y = int(u), min(int(v), size - 1)
    return Place(x, y, (u - x) * 4096, (v - y) * 4096)


def haversine_m(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """By atan2, which is accurate at every distance."""
    p1, p2 = math.radians(lat1), math.radians(lat2)
    h = math.sin((p1 - p2) / 2) ** 2 + math.cos(p1) * math.cos(p2) * math.sin(math.radians(lon1 - lon2) / 2) ** 2
    return 2 * R_M * math.atan2(math.sqrt(h), math.sqrt(max(0.0, 1 - h)))


def step(value: int) -> int:
    """Station tiles round numbers down to one of the dictionary."""
    return max(number for number in NUMBERS if number <= value)


def key_of(station: Station) -> str:
    return f"{station.party}~{station.location_id}".casefold()


def shard_of(station: Station) -> int:
    return zlib.crc32(key_of(station).encode()) % 16


def plugs(evse: Evse | None) -> Sequence[Connector]:
    return evse.connectors if evse else ()


def fits(wanted: ConnectorFilter) -> Callable[[Connector], bool]:
    low, high = wanted.min_power_kw, wanted.max_power_kw

    def holds(plug: Connector) -> bool:
        if wanted.connectors and plug.standard not in wanted.connectors:
            return False
        if low is None and high is None:
            return True
        kw = plug.power_kw
        return kw is not None and (low is None or kw >= low) and (high is None or kw <= high)

    return holds


def is_open(station: Station, now_ms: int) -> bool | None:
    """OCPI Hours, a station's own zone told."""
    hours = station.opening_times
    if hours is None:
        return None
    if any(p.begin_ms <= now_ms < p.end_ms for p in hours.exceptional_closings):
        return False
    if hours.twentyfourseven or any(p.begin_ms <= now_ms < p.end_ms for p in hours.exceptional_openings):
        return True
    if not hours.regular_hours:
        return None
    local = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(ZoneInfo(station.time_zone or "UTC"))
    minute, today, yesterday = local.hour * 60 + local.minute, local.isoweekday(), (local.isoweekday() + 5) % 7 + 1
    for period in hours.regular_hours:
        begin, end = (int(t[:2]) * 60 + int(t[3:]) for t in (period.period_begin, period.period_end))
        if period.weekday == today and minute >= begin and (minute < end or end <= begin):
            return True
        if period.weekday == yesterday and end <= begin and minute < end:
            return True
    return False
