"""How chargers are used through a day: cars come by the hour of the place's local day, stay a while, and go. Pure.

Arrivals are a Poisson process whose rate follows the hour, drawn by thinning (Lewis and Shedler 1979): candidates come at
the day's highest rate, and one of hour h is kept with the probability that h bears to it. A car that finds its charger
taken drives on, so nobody arrives twice. Everything is an event on one heap: a turn costs what happens in it, however
many chargers stand idle.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from math import log
from typing import NamedTuple

from geo.station import Status

FAST_SHARES = (4, 3, 2, 1, 1, 3, 8, 22, 48, 58, 67, 76, 88, 83, 80, 86, 80, 87, 77, 55, 33, 20, 12, 7)
SLOW_SHARES = (2, 3, 1, 1, 2, 12, 10, 37, 99, 100, 81, 89, 94, 91, 82, 76, 64, 52, 43, 30, 15, 8, 5, 3)
"""Arrivals of each local hour from 0 to 23, in thousandths of a day's. Rounded from 66,479 public sessions of Perth and
Kinross, 2016-2019 (council open data, sessions/perth_* in ../shared/data): rapid chargers, and 7 to 22 kW posts."""


class Use(NamedTuple):
    """How one kind of charger is used. Stays are lognormal, as charging times are; medians and spreads as in Perth."""

    shares: tuple[int, ...]
    visits_per_day: float
    median_stay_s: float
    spread: float  # of the logarithm
    shortest_s: float
    longest_s: float


FAST = Use(
    FAST_SHARES, 10.0, 27 * 60.0, 0.6, 3 * 60.0, 3 * 3600.0
)  # a quarter of the day taken, at noon and at six a third
SLOW = Use(SLOW_SHARES, 2.4, 130 * 60.0, 1.0, 10 * 60.0, 12 * 3600.0)

WARM_UP_S = SLOW.longest_s  # nobody who is there now came earlier
FAULT_EVERY_S = 40 * 86_400.0  # of one charger
REPAIR_S = 86_400.0  # on average: at any time one in forty is out of order
INOPERATIVE_SHARE = 0.1  # of the faults
RESERVED_SHARE, RESERVED_S, SHOW_UP_SHARE = 0.03, 15 * 60.0, 0.8  # of the arrivals; a wait; who comes after all
BLOCKED_SHARE, BLOCKED_S = 0.01, 40 * 60.0  # a car that does not charge

_OUT = (Status.OUTOFORDER, Status.INOPERATIVE)


class Charger(NamedTuple):
    use: Use
    zone: tzinfo


class Change(NamedTuple):
    charger: int
    status: Status


class _Group(NamedTuple):
    """Chargers whose arrivals follow one rate."""

    use: Use
    zone: tzinfo
    members: list[int]
    gap_s: float  # mean time between candidates


class Day:
    """The chargers and what is going to happen to them. Instants are seconds since 1970."""

    def __init__(self, chargers: Sequence[Charger], now_s: float, rng: random.Random) -> None:
        """As it is at `now_s`, after as long a past as matters."""
        self._rng = rng
        self._chargers = chargers
        self.statuses = [Status.AVAILABLE] * len(chargers)
        self._ends_s = [0.0] * len(chargers)  # of what is going on; an end at another instant was overtaken by a fault
        self._groups = _groups(chargers)
        self._heap: list[tuple[float, int, int]] = []  # instant, group or -1, charger or -1 (the next fault)
        began_s = now_s - WARM_UP_S
        for number, group in enumerate(self._groups):
            self._push(began_s + rng.expovariate(1 / group.gap_s), number, -1)
        for charger in range(len(chargers)):
            if rng.random() < REPAIR_S / (REPAIR_S + FAULT_EVERY_S):
                self._break(charger, began_s)
        if chargers:
            self._push(began_s + self._next_fault_s(), -1, -1)
        for _ in self.advance(now_s):
            pass

    def advance(self, until_s: float) -> Iterator[Change]:
        """What happens until then, in order."""
        while self._heap and self._heap[0][0] <= until_s:
            at_s, number, charger = heapq.heappop(self._heap)
            if number >= 0:
                change = self._arrival(self._groups[number], at_s)
                self._push(at_s + self._rng.expovariate(1 / self._groups[number].gap_s), number, -1)
            elif charger >= 0:
                change = self._end(charger, at_s)
            else:
                change = self._fault(at_s)
                self._push(at_s + self._next_fault_s(), -1, -1)
            if change is not None:
                yield change

    # -- what can happen ----------------------------------------------------------------------------------------------

    def _arrival(self, group: _Group, at_s: float) -> Change | None:
        shares = group.use.shares
        if self._rng.random() * max(shares) >= shares[datetime.fromtimestamp(at_s, group.zone).hour]:
            return None
        charger = self._rng.choice(group.members)
        if self.statuses[charger] is not Status.AVAILABLE:
            return None  # taken, or broken: drives on
        luck = self._rng.random()
        if luck < RESERVED_SHARE:
            return self._begin(charger, Status.RESERVED, at_s + RESERVED_S)
        if luck < RESERVED_SHARE + BLOCKED_SHARE:
            return self._begin(charger, Status.BLOCKED, at_s + self._rng.expovariate(1 / BLOCKED_S))
        return self._begin(charger, Status.CHARGING, at_s + self.stay_s(group.use))

    def _end(self, charger: int, at_s: float) -> Change | None:
        if self._ends_s[charger] != at_s:
            return None
        if self.statuses[charger] is Status.RESERVED and self._rng.random() < SHOW_UP_SHARE:
            return self._begin(charger, Status.CHARGING, at_s + self.stay_s(self._chargers[charger].use))
        self.statuses[charger] = Status.AVAILABLE
        return Change(charger, Status.AVAILABLE)

    def _fault(self, at_s: float) -> Change | None:
        charger = self._rng.randrange(len(self._chargers))
        return None if self.statuses[charger] in _OUT else self._break(charger, at_s)

    def _break(self, charger: int, at_s: float) -> Change:
        status = Status.INOPERATIVE if self._rng.random() < INOPERATIVE_SHARE else Status.OUTOFORDER
        return self._begin(charger, status, at_s + self._rng.expovariate(1 / REPAIR_S))

    # -- how long, and when -------------------------------------------------------------------------------------------

    def stay_s(self, use: Use) -> float:
        stay_s = self._rng.lognormvariate(log(use.median_stay_s), use.spread)
        return min(max(stay_s, use.shortest_s), use.longest_s)

    def _next_fault_s(self) -> float:
        return self._rng.expovariate(len(self._chargers) / FAULT_EVERY_S)

    def _begin(self, charger: int, status: Status, end_s: float) -> Change:
        self.statuses[charger], self._ends_s[charger] = status, end_s
        self._push(end_s, -1, charger)
        return Change(charger, status)

    def _push(self, at_s: float, group: int, charger: int) -> None:
        heapq.heappush(self._heap, (at_s, group, charger))


def _groups(chargers: Sequence[Charger]) -> list[_Group]:
    members: dict[Charger, list[int]] = {}
    for index, charger in enumerate(chargers):
        members.setdefault(charger, []).append(index)
    return [
        _Group(use, zone, indexes, 3600 / (len(indexes) * use.visits_per_day * max(use.shares) / sum(use.shares)))
        for (use, zone), indexes in members.items()
    ]
