"""Which stations a filter keeps, and the counts that follow it."""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo.columns import Rows
from geo.filters import FACILITY_BIT, MASK_SLOTS, Filter
from geo.hours import OpenState
from geo.nearby import SPARE, Subset
from geo.point import Floats, LatLon
from geo.station import Availability
from geo.world import World

Counts = NDArray[np.uint16]

MAX_NAMED = 64  # lists of operators whose tables are kept


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
    verdicts: list[_Verdict] = []

    def choose(rows: Rows) -> NDArray[np.bool_]:
        verdicts[:] = [_judge(world, rows, wanted, True)]
        return verdicts[0].keep

    of_records = _of_records(wanted)
    subset = Subset(of_records, lambda rows: could_match(world, rows, of_records)) if of_records else None
    spare = SPARE if wanted.available or wanted.open_now else 1
    hits = world.nearby.nearest(at, radius_m, limit, subset, choose, spare)
    verdict = verdicts[0]
    unknown_hours = int(verdict.unknown_hours[: len(hits.searched)].sum()) if wanted.open_now else 0
    max_kw = verdict.max_kw[hits.places]
    if len(verdict.unsure_kw):
        _correct_kw(world, hits.rows, wanted, max_kw, np.isin(hits.places, verdict.unsure_kw).nonzero()[0])
    return Nearest(hits.rows, hits.metres, verdict.counts[hits.places], max_kw, unknown_hours)


_of_records = lru_cache(1024)(attrgetter("of_records"))


def select(world: World, rows: Rows, wanted: Filter) -> Selected:
    """Evaluates a filter over rows. Cost: a few vector operations; stations that masks do not tell go one by one."""
    verdict = _judge(world, rows, wanted, False)
    _correct_kw(world, rows, wanted, verdict.max_kw, verdict.unsure_kw)
    return Selected(verdict.keep, verdict.counts, verdict.max_kw, verdict.unknown_hours)


class _Verdict(NamedTuple):
    keep: NDArray[np.bool_]
    counts: Counts
    max_kw: NDArray[np.float32]
    unknown_hours: NDArray[np.bool_]
    unsure_kw: NDArray[np.intp]  # where max_kw may be that of an EVSE which is gone: looking costs some 10 µs each


_NONE = np.zeros(0, np.intp)


def _judge(world: World, rows: Rows, wanted: Filter, could: bool) -> _Verdict:
    """`could`: `could_match` holds for all of them."""
    s = world.stations
    keep = np.ones(len(rows), np.bool_)
    unsure_kw = _NONE
    if wanted.connector:
        table = world.profiles.matches(wanted.connector)
        profile = s.profile[rows]
        fitting = table.mask[profile]
        masks = s.masks[rows] & fitting[:, None]
        counts: Counts = np.bitwise_count(masks).astype(np.uint16)
        max_kw = table.kw[profile]
        unsure_kw = world.untold_by_masks(rows, masks, fitting)
        for i in unsure_kw.tolist():
            if s.slots[rows[i]] > MASK_SLOTS:
                counts[i], max_kw[i] = world.matching(int(rows[i]), wanted.connector)
        keep &= counts.any(axis=1)
    else:
        counts, max_kw = s.counts[rows], s.max_kw[rows]
    if wanted.available:
        keep &= counts[:, Availability.FREE] >= wanted.available
    if not could:
        keep &= _attributes_match(world, rows, wanted)
    unknown_hours = np.zeros(len(rows), np.bool_)
    if wanted.open_now:
        state = world.schedules.state[s.schedule[rows]]
        unknown_hours = keep & (state == OpenState.UNKNOWN)
        keep &= state == OpenState.OPEN
    return _Verdict(keep, counts, max_kw, unknown_hours, unsure_kw)


def _correct_kw(world: World, rows: Rows, wanted: Filter, max_kw: NDArray[np.float32], which: NDArray[np.intp]) -> None:
    for i in which.tolist():
        max_kw[i] = world.matching(int(rows[i]), wanted.connector)[1]


def could_match(world: World, rows: Rows, wanted: Filter) -> NDArray[np.bool_]:
    """Which stations may match at some time as long as their records stay as they are: statuses (REMOVED among them) and
    clocks decide about these alone."""
    could = _attributes_match(world, rows, wanted)
    if wanted.connector:
        s = world.stations
        could &= (world.profiles.matches(wanted.connector).mask[s.profile[rows]] != 0) | (s.slots[rows] > MASK_SLOTS)
    return could


def _attributes_match(world: World, rows: Rows, wanted: Filter) -> NDArray[np.bool_]:
    """Operator and facilities."""
    match = np.ones(len(rows), np.bool_)
    if wanted.operators:
        match &= _operated_by(world, rows, wanted.operators)
    if wanted.exclude_operators:
        match &= ~_operated_by(world, rows, wanted.exclude_operators)
    if wanted.facilities:
        bits = np.uint64(sum(FACILITY_BIT[name] for name in wanted.facilities))
        match &= (world.stations.facilities[rows] & bits) != 0
    return match


def _operated_by(world: World, rows: Rows, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Party id or operator name, case-folded, equal to one of the names."""
    operators, parties = _tables(world, names)
    found: NDArray[np.bool_] = operators[world.stations.operator[rows]] | parties[world.stations.party[rows]]
    return found


def _tables(world: World, names: tuple[str, ...]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which operators, and which parties, have one of the names; kept, as a country has a thousand operators."""
    known = world.named.get(names)
    if known is not None and (len(known[0]), len(known[1])) == (len(world.operators), len(world.parties)):
        return known
    wanted = set(names)
    operators = np.array([name.casefold() in wanted for name in world.operators], np.bool_)
    parties = np.array([party.casefold() in wanted for party in world.parties], np.bool_)
    if len(world.named) >= MAX_NAMED:
        del world.named[next(iter(world.named))]
    world.named[names] = operators, parties
    return operators, parties
