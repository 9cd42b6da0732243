"""Profiles: which EVSE slot of a station has which connectors, interned, and what a filter's connector part says of each.

A filter is evaluated once per profile into a bit mask of slots; one station then costs an AND and a bit count.
"""

from __future__ import annotations

from array import array
from math import inf, nan

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo.filters import ConnectorFilter, Profile

MASK_SLOTS = 32  # EVSE slots that fit a station's bit mask; stations with higher slots are counted EVSE by EVSE

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
