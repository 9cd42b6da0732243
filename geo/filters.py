"""Filters: one typed, canonical query and how it is evaluated over stations.

Parameters AND, commas OR. `connector` and the two power bounds hold on the *same connector*; `available=n` counts the
EVSEs that have such a connector and are AVAILABLE within their TTL. Counts follow the filters.

What plugs a station has changes rarely and repeats widely, so it is interned as a *profile* (which EVSE slot has which
connectors). A filter's connector part is evaluated once per profile into a bit mask of slots; one station then costs an
AND and a bit count.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from math import inf, nan
from typing import NamedTuple

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo.station import Station

MASK_SLOTS = 32  # EVSE slots that fit a station's bit mask; stations with higher slots are counted EVSE by EVSE

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
        return self._hash != NO_FILTER._hash or self != NO_FILTER

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


_PROFILE_DECODER = msgspec.msgpack.Decoder(Profile)


ANY_CONNECTOR = ConnectorFilter()


class Matches:
    """The verdict of one ConnectorFilter on every profile: which of the low MASK_SLOTS slots have a fitting connector, and
    the best power of those in any slot (0: none, or not known); and on every plug of `Profiles.plugs`."""

    __slots__ = ("connector", "fits", "kw", "mask", "size")

    def __init__(self, connector: ConnectorFilter) -> None:
        self.connector = connector
        self.size = 0
        self.mask: NDArray[np.uint32] = np.zeros(64, np.uint32)
        self.kw: NDArray[np.float32] = np.zeros(64, np.float32)
        self.fits: NDArray[np.bool_] = np.zeros(0, np.bool_)


class Plugs:
    """The plugs of all profiles, end to end, those of profile p from begin[p] up to begin[p + 1], by rising slot: a filter that
    nobody used before looks at some ten thousand of them."""

    def __init__(self) -> None:
        self._begin, self._slot, self._standard, self._is_wide = array("q", [0]), array("i"), array("i"), array("b")
        self._kw = array("d")
        self._standards: dict[str, int] = {}
        self._bring_up()

    def append(self, profile: Profile) -> None:
        for slot, plugs in enumerate(profile):
            for plug in plugs:
                self._slot.append(slot)
                self._standard.append(self._standards.setdefault(plug.standard, len(self._standards)))
                self._kw.append(nan if plug.power_kw is None else plug.power_kw)
        self._begin.append(len(self._slot))
        self._is_wide.append(len(profile) > MASK_SLOTS)

    def _bring_up(self) -> None:
        """Copies, for arrays that a view looks at cannot grow."""
        self.begin, self.slot = np.array(self._begin, np.int64), np.array(self._slot, np.int32)
        self.standard = np.array(self._standard, np.int32)
        self.kw = np.array(self._kw, np.float64)  # NaN: not known
        self.is_wide = np.array(self._is_wide, np.bool_)  # by profile: it has more slots than a mask holds

    def match(self, table: Matches, end: int) -> None:
        """Completes the table for the profiles up to `end`."""
        if len(self.begin) != len(self._begin):
            self._bring_up()
        connector = table.connector
        known = [self._standards[name] for name in connector.connectors if name in self._standards]
        standards = np.zeros(len(self._standards), np.bool_)
        standards[known if connector.connectors else slice(None)] = True
        low, high = connector.min_power_kw, connector.max_power_kw
        table.fits = np.concatenate((table.fits, np.zeros(len(self.slot) - len(table.fits), np.bool_)))
        _match(
            self.begin,
            self.slot,
            self.standard,
            self.kw,
            standards,
            low is not None or high is not None,
            0.0 if low is None else float(low),
            inf if high is None else float(high),
            table.mask,
            table.kw,
            table.fits,
            table.size,
            end,
        )


@njit(cache=True)
def _match(
    begin: NDArray[np.int64], slots: NDArray[np.int32], standard: NDArray[np.int32], powers: NDArray[np.float64],
    standards: NDArray[np.bool_], is_bounded: bool, low: float, high: float, mask: NDArray[np.uint32], kw: NDArray[np.float32],
    fits: NDArray[np.bool_], start: int, end: int,
) -> None:  # fmt: skip
    for profile in range(start, end):
        fitting, best = np.uint32(0), 0.0
        for i in range(begin[profile], begin[profile + 1]):
            fits[i] = standards[standard[i]] and (not is_bounded or low <= powers[i] <= high)  # a NaN is in no range
            if fits[i]:
                if slots[i] < MASK_SLOTS:
                    fitting |= np.uint32(1) << np.uint32(slots[i])
                best = powers[i] if powers[i] > best else best
        mask[profile], kw[profile] = fitting, best


class Profiles:
    """The interned profiles, and the match tables of recently used connector filters."""

    MAX_TABLES = 256  # distinct connector filters kept; a table costs 8 bytes a profile and 1 a plug

    def __init__(self) -> None:
        self.profiles: list[Profile] = []
        self.plugs = Plugs()
        self._ids: dict[bytes, int] = {}
        self._tables: dict[ConnectorFilter, Matches] = {}
        self._any = Matches(ANY_CONNECTOR)  # needed at every change, so never the one that is dropped

    def intern(self, encoded: bytes) -> int:
        found = self._ids.get(encoded)
        if found is None:
            self.profiles.append(_PROFILE_DECODER.decode(encoded))
            self.plugs.append(self.profiles[-1])
            found = self._ids[encoded] = len(self.profiles) - 1
        return found

    def matches(self, connector: ConnectorFilter) -> Matches:
        """The table of this filter, complete for every profile known now."""
        table = self._tables.get(connector) if connector else self._any
        if table is None:
            if len(self._tables) >= self.MAX_TABLES:
                del self._tables[next(iter(self._tables))]
            table = self._tables[connector] = Matches(connector)
        if table.size < len(self.profiles):
            self._extend(table)
        return table

    def _extend(self, table: Matches) -> None:
        need = len(self.profiles)
        if need > len(table.mask):
            room = max(need, 2 * len(table.mask))
            table.mask = np.concatenate((table.mask, np.zeros(room - len(table.mask), np.uint32)))
            table.kw = np.concatenate((table.kw, np.zeros(room - len(table.kw), np.float32)))
        self.plugs.match(table, need)
        table.size = need
