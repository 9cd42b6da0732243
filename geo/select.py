"""Which stations a filter keeps, and the counts that follow it."""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo.columns import Rows
from geo.filters import FACILITY_BIT, Filter
from geo.judge import UNKNOWN_HOURS, YES, Columns, Judged, Sieve, could, judge
from geo.nearby import SPARE, Subset
from geo.point import Floats, LatLon
from geo.world import World

Counts = NDArray[np.uint16]


class Nearest(NamedTuple):
    """Stations by distance. `counts` (n, 4) by Availability and `max_kw` (n,) follow the filter; `unknown_hours`: as many as
    near would have been kept but for hours that nobody knows."""

    rows: Rows
    metres: Floats
    counts: Counts
    max_kw: NDArray[np.float32]
    unknown_hours: int


class Selected(NamedTuple):
    """`keep` (n,); `counts` (n, 4) by Availability and `max_kw` (n,) are of matching EVSEs, for all n rows asked about.

    `unknown_hours` (n,): would be kept but for hours that nobody knows; all False without `open_now`.
    """

    keep: NDArray[np.bool_]
    counts: Counts
    max_kw: NDArray[np.float32]
    unknown_hours: NDArray[np.bool_]


def nearest(world: World, at: LatLon, radius_m: float, limit: int, wanted: Filter) -> Nearest:
    """The `limit` nearest stations within `radius_m` that match."""
    columns, sieve = columns_of(world), sieve_of(world, wanted)
    judged: list[Judged] = []

    def choose(rows: Rows) -> NDArray[np.bool_]:
        judged[:] = [judge(columns, sieve, rows)]
        yes: NDArray[np.bool_] = judged[0].verdict == YES
        return yes

    of_records = _of_records(wanted)
    subset = Subset(of_records, lambda rows: could_match(world, rows, of_records)) if of_records else None
    spare = SPARE if wanted.available or wanted.open_now else 1
    (rows, metres), searched, places = world.nearby.chosen(at, radius_m, limit, subset, choose, spare)
    verdict, counts, max_kw = judged[0]
    unknown_hours = np.count_nonzero(verdict[: len(searched)] == UNKNOWN_HOURS) if wanted.open_now else 0
    return Nearest(rows, metres, counts[places], max_kw[places], int(unknown_hours))


_of_records = lru_cache(1024)(attrgetter("of_records"))


def select(world: World, rows: Rows, wanted: Filter) -> Selected:
    """Evaluates a filter over rows."""
    verdict, counts, max_kw = judge(columns_of(world), sieve_of(world, wanted), rows)
    return Selected(verdict == YES, counts, max_kw, verdict == UNKNOWN_HOURS)


def columns_of(world: World) -> Columns:
    """Until the world changes next."""
    s, e = world.stations, world.evses
    return Columns(
        s.masks, s.counts, s.max_kw, s.profile, s.schedule, s.operator, s.party, s.facilities, s.first, e.status, e.live
    )


_NO_BITS, _NO_KW = np.zeros(0, np.uint32), np.zeros(0, np.float32)
_NO_BOOLS, _NO_STATES = np.zeros(0, np.bool_), np.zeros(0, np.uint8)


def sieve_of(world: World, wanted: Filter) -> Sieve:
    """Until the world changes next."""
    table, plugs = world.profiles.matches(wanted.connector) if wanted.connector else None, world.profiles.plugs
    operators, parties = _named(world, wanted.operators)
    without_operators, without_parties = _named(world, wanted.exclude_operators)
    return Sieve(
        _NO_BITS if table is None else table.mask,
        _NO_KW if table is None else table.kw,
        plugs.is_wide,
        plugs.begin,
        plugs.slot,
        plugs.kw,
        _NO_BOOLS if table is None else table.fits,
        wanted.available,
        operators,
        parties,
        without_operators,
        without_parties,
        sum(FACILITY_BIT[name] for name in wanted.facilities),
        world.schedules.state if wanted.open_now else _NO_STATES,
    )


def could_match(world: World, rows: Rows, wanted: Filter) -> NDArray[np.bool_]:
    """Which stations may match at some time as long as their records stay as they are: statuses (REMOVED among them) and
    clocks decide about these alone."""
    return could(columns_of(world), sieve_of(world, _of_records(wanted)), rows)


def _named(world: World, names: tuple[str, ...]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which operators, and which parties, have one of the names (case-folded); without names two empty tables."""
    if not names:
        return _NO_BOOLS, _NO_BOOLS
    return world.operators.are_among(names), world.parties.are_among(names)
