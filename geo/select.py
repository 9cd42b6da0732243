"""Which stations a filter keeps, and the counts that follow it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo.columns import Rows
from geo.filters import FACILITY_BIT, MASK_SLOTS, Filter
from geo.hours import OpenState
from geo.station import Availability
from geo.world import World

Counts = NDArray[np.uint16]


class Selected(NamedTuple):
    """`keep` (n,); `counts` (n, 4) by Availability and `max_kw` (n,) are of matching EVSEs, for all n rows asked about.

    `unknown_hours` (n,): would be kept but for hours that nobody knows; all False without `open_now`.
    """

    keep: NDArray[np.bool_]
    counts: Counts
    max_kw: NDArray[np.float32]
    unknown_hours: NDArray[np.bool_]


def select(world: World, rows: Rows, wanted: Filter) -> Selected:
    """Evaluates a filter over rows. Cost: a few vector operations; stations that masks do not tell go one by one."""
    s = world.stations
    keep = np.ones(len(rows), np.bool_)
    if wanted.connector:
        table = world.profiles.matches(wanted.connector)
        profile = s.profile[rows]
        fitting = table.mask[profile]
        masks = s.masks[rows] & fitting[:, None]
        counts: Counts = np.bitwise_count(masks).astype(np.uint16)
        max_kw = table.kw[profile]
        for i in world.untold_by_masks(rows, masks, fitting).tolist():
            counts[i], max_kw[i] = world.matching(int(rows[i]), wanted.connector)
        keep &= counts.any(axis=1)
    else:
        counts, max_kw = s.counts[rows], s.max_kw[rows]
    if wanted.available:
        keep &= counts[:, Availability.FREE] >= wanted.available
    keep &= _attributes_match(world, rows, wanted)
    unknown_hours = np.zeros(len(rows), np.bool_)
    if wanted.open_now:
        state = world.schedules.state[s.schedule[rows]]
        unknown_hours = keep & (state == OpenState.UNKNOWN)
        keep &= state == OpenState.OPEN
    return Selected(keep, counts, max_kw, unknown_hours)


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
    wanted = set(names)
    operators = np.array([name.casefold() in wanted for name in world.operators] or [False])
    parties = np.array([party.casefold() in wanted for party in world.parties] or [False])
    found: NDArray[np.bool_] = operators[world.stations.operator[rows]] | parties[world.stations.party[rows]]
    return found
