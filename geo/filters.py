"""Filters: one typed, canonical query and how it is evaluated over stations.

Parameters AND, commas OR. `connector` and the two power bounds hold on the *same connector*; `available=n` counts the
EVSEs that have such a connector and are AVAILABLE within their TTL. Counts follow the filters.

What plugs a station has changes rarely and repeats widely, so it is interned as a *profile*, see geo.profiles.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from geo.station import Station

# OCPI 2.2.1 Facility (8.4.12), in the specification's order: the bit is the position.
FACILITIES: tuple[str, ...] = (
    "HOTEL", "RESTAURANT", "CAFE", "MALL", "SUPERMARKET", "SPORT", "RECREATION_AREA", "NATURE", "MUSEUM",
    "BIKE_SHARING", "BUS_STOP", "TAXI_STAND", "TRAM_STOP", "METRO_STATION", "TRAIN_STATION", "AIRPORT", "PARKING_LOT",
    "CARPOOL_PARKING", "FUEL_STATION", "WIFI",
)  # fmt: skip
FACILITY_BIT = {name: 1 << bit for bit, name in enumerate(FACILITIES)}


class Plug(NamedTuple):
    """A connector as filters see it; power in kW, None when unknown (then no power bound holds)."""

    standard: str
    power_kw: float | None


Profile = tuple[tuple[Plug, ...], ...]
"""The distinct plugs of each EVSE, by slot; an empty tuple for a slot that is gone or has no connector told."""


@dataclass(frozen=True, slots=True)
class ConnectorFilter:
    """The part of a filter that is about one connector. Hashable: it keys the match tables."""

    connectors: tuple[str, ...] = ()  # sorted OCPI ConnectorType names; empty: any
    min_power_kw: float | None = None
    max_power_kw: float | None = None

    def __bool__(self) -> bool:
        return bool(self.connectors) or self.min_power_kw is not None or self.max_power_kw is not None


@dataclass(frozen=True, slots=True)
class Filter:
    """All filters of a request, canonical: equal meaning, equal value. Falsy when it filters nothing."""

    connector: ConnectorFilter = field(default_factory=ConnectorFilter)
    available: int = 0
    operators: tuple[str, ...] = ()  # case-folded party ids or operator names
    exclude_operators: tuple[str, ...] = ()
    facilities: tuple[str, ...] = ()  # any of these
    open_now: bool = False
    _hash: int = field(init=False, compare=False, repr=False)  # filters key caches, and hashing one takes 2 µs

    def __post_init__(self) -> None:
        parts = (self.connector, self.available, self.operators, self.exclude_operators, self.facilities, self.open_now)
        object.__setattr__(self, "_hash", hash(parts))

    def __hash__(self) -> int:
        return self._hash

    def __bool__(self) -> bool:
        return self is not NO_FILTER and (self._hash != NO_FILTER._hash or self != NO_FILTER)

    @property
    def of_records(self) -> Filter:
        """The part that only a new record of a station can change the verdict of, EVSEs that are REMOVED aside."""
        return Filter(self.connector, 0, self.operators, self.exclude_operators, self.facilities)


NO_FILTER = Filter()


def profile_of(station: Station) -> Profile:
    """The plugs by slot. Raises ValueError on an EVSE without a slot: slots are given at the database's door."""
    size = max((evse.slot for evse in station.evses), default=-1) + 1
    slots: list[tuple[Plug, ...]] = [()] * size
    for evse in station.evses:
        if evse.slot < 0:
            raise ValueError(f"EVSE {evse.uid!r} has no slot")
        plugs = {Plug(c.standard, c.power_kw) for c in evse.connectors}
        slots[evse.slot] = tuple(sorted(plugs, key=lambda p: (p.standard, p.power_kw or -1.0)))
    return tuple(slots)


def facility_bits(station: Station) -> int:
    """Known facilities as bits; unknown ones (OCPI 2.3 opens the enum) are shown in details but not filtered by."""
    bits = 0
    for name in station.facilities:
        bits |= FACILITY_BIT.get(name, 0)
    return bits


def encode_profile(profile: Profile) -> bytes:
    return msgspec.msgpack.encode(profile)
