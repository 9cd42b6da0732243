"""A filter's verdict on stations, one after the other, compiled: for lists of candidates, and for sums over much of the world.

`judge` tells each station's verdict; `sum_up` adds up those that are kept. What the masks of a station do not tell (an EVSE is
REMOVED, or there are more slots than bits) is counted EVSE by EVSE.
Oracle    tests/geo/model_world.py, by way of geo.select.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo.columns import Rows
from geo.hours import OpenState
from geo.sorted_rows import HOLE
from geo.station import AVAILABILITY, Availability, Status

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Counts = NDArray[np.uint16]
Kilowatts = NDArray[np.float32]

NO, YES, UNKNOWN_HOURS = 0, 1, 2
"""`UNKNOWN_HOURS`: it would be kept but for hours that nobody knows."""


class Columns(NamedTuple):
    """What the verdict rests on, by row: geo.columns has the shapes."""

    masks: NDArray[np.uint32]
    counts: Counts
    max_kw: Kilowatts
    profile: NDArray[np.int32]
    schedule: NDArray[np.int32]
    operator: NDArray[np.int32]
    party: NDArray[np.int32]
    facilities: NDArray[np.uint64]
    first: NDArray[np.int32]
    evse_status: NDArray[np.uint8]  # by EVSE row
    evse_live: Bools


class Sieve(NamedTuple):
    """A filter as tables. An empty table filters nothing."""

    fitting: NDArray[np.uint32]  # by profile: slots that have such a connector
    kw: Kilowatts  # by profile: the best of these
    is_wide: Bools  # by profile: it has more slots than a mask has bits
    plugs: NDArray[np.int64]  # by profile: where its plugs begin
    plug_slot: NDArray[np.int32]
    plug_kw: NDArray[np.float64]
    plug_fits: Bools
    available: int
    operators: Bools  # by operator; …
    parties: Bools  # … and by party: one of the two must hold
    without_operators: Bools  # likewise, and none of the two may
    without_parties: Bools
    facilities: int  # bits, one of which must be there; 0: any
    open_states: NDArray[np.uint8]  # OpenState by schedule


class Judged(NamedTuple):
    """Shape (n,), `counts` (n, 4) by Availability: of the EVSEs that have such a connector, as is `max_kw`."""

    verdict: NDArray[np.uint8]
    counts: Counts
    max_kw: Kilowatts


class Sums(NamedTuple):
    """One row per cell; geo.cell_rows.CellRows has the meanings."""

    counts: Ints  # (5, m)
    max_kw: Kilowatts
    best_num: Ints
    best_kw: Kilowatts


_UNKNOWN, _FREE, _BUSY, _BROKEN = (
    int(Availability.UNKNOWN), int(Availability.FREE), int(Availability.BUSY), int(Availability.OUT_OF_SERVICE),
)  # fmt: skip
_OPEN, _HOURS_UNKNOWN = int(OpenState.OPEN), int(OpenState.UNKNOWN)


def judge(columns: Columns, sieve: Sieve, rows: Rows) -> Judged:
    judged = Judged(
        np.empty(len(rows), np.uint8),
        np.empty((len(rows), 4), np.uint16),
        np.empty(len(rows), np.float32),
    )
    _judge(columns, sieve, rows, judged)
    return judged


def could(columns: Columns, sieve: Sieve, rows: Rows) -> Bools:
    """Which of the stations pass but for their statuses, (n,). Of a sieve without `available` and `open_states`."""
    found = np.empty(len(rows), np.bool_)
    _could(columns, sieve, rows, found)
    return found


def no_sums(count: int) -> Sums:
    return Sums(
        np.zeros((5, count), np.int64),
        np.zeros(count, np.float32),
        np.full(count, -1, np.int64),
        np.full(count, -1, np.float32),
    )


# -- compiled ---------------------------------------------------------------------------------------------------------------


_CLASS_OF = np.array(AVAILABILITY, np.uint8)
_REMOVED = int(Status.REMOVED)


@njit(cache=True)
def _ones(mask: np.uint32) -> np.uint16:
    """How many bits are set (H. S. Warren, Hacker's Delight, 5-1). In 64 bits, as LLVM knows this form for one instruction
    of the processor; the form for 32 bits, written with these types, it does not."""
    bits = np.uint64(mask)
    bits = bits - ((bits >> np.uint64(1)) & np.uint64(0x5555555555555555))
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.uint16(bits * np.uint64(0x0101010101010101) >> np.uint64(56))


@njit(cache=True)
def _count_one_by_one(columns: Columns, sieve: Sieve, row: int, counts: Counts) -> np.float32:
    """Counts the EVSEs that have such a connector, by Availability; their best power, -1 where there is none."""
    counts[:] = 0
    profile = columns.profile[row]
    best, counted = -1.0, -1
    for plug in range(sieve.plugs[profile], sieve.plugs[profile + 1]):
        slot = sieve.plug_slot[plug]
        evse = columns.first[row] + slot
        status = columns.evse_status[evse]
        if not sieve.plug_fits[plug] or status == _REMOVED:
            continue
        if slot != counted:
            counts[_CLASS_OF[status] if columns.evse_live[evse] else _UNKNOWN] += 1
            counted = slot
        best = max(best, sieve.plug_kw[plug] if sieve.plug_kw[plug] > 0 else 0.0)  # a NaN is not
    return np.float32(best)


@njit(cache=True)
def _admits(columns: Columns, sieve: Sieve, row: int) -> int:
    """By what records and clocks say besides connectors: a verdict."""
    operator, party = columns.operator[row], columns.party[row]
    if len(sieve.operators) > 0 and not (sieve.operators[operator] or sieve.parties[party]):
        return NO
    if len(sieve.without_operators) > 0 and (sieve.without_operators[operator] or sieve.without_parties[party]):
        return NO
    if sieve.facilities != 0 and np.int64(columns.facilities[row]) & sieve.facilities == 0:
        return NO
    if len(sieve.open_states) > 0:
        state = sieve.open_states[columns.schedule[row]]
        return YES if state == _OPEN else UNKNOWN_HOURS if state == _HOURS_UNKNOWN else NO
    return YES


@njit(cache=True)
def _could(columns: Columns, sieve: Sieve, rows: Rows, found: Bools) -> None:
    for i in range(len(rows)):
        row = rows[i]
        profile = columns.profile[row]
        has_plug = len(sieve.fitting) == 0 or sieve.fitting[profile] != 0 or sieve.is_wide[profile]
        found[i] = has_plug and _admits(columns, sieve, row) == YES


@njit(cache=True)
def _asks_more(sieve: Sieve) -> bool:
    """Whether `_admits` has anything to say."""
    tables = len(sieve.operators) + len(sieve.without_operators) + len(sieve.open_states)
    return tables > 0 or sieve.facilities != 0


# Both loops hold the arrays of their tuples in variables, and call functions that take such a tuple only where they must:
# handing over twenty arrays costs 0.1 µs, ten times what is done for a station. `sum_up` says `_admits` once more for that
# reason, and adds up what it finds without asking first whether there is any: a branch that half of the stations take costs
# more than eight additions of zero. Its indices are unsigned, as negative ones would be looked for at each.


@njit(cache=True)
def _judge(columns: Columns, sieve: Sieve, rows: Rows, judged: Judged) -> None:
    masks, all_counts, all_kw, profile_of = columns.masks, columns.counts, columns.max_kw, columns.profile
    fitting_of, kw_of, is_wide, counts = sieve.fitting, sieve.kw, sieve.is_wide, judged.counts
    has_connector, asks_more = len(fitting_of) > 0, _asks_more(sieve)
    for i in range(len(rows)):
        row = rows[i]
        if has_connector:
            profile = profile_of[row]
            fitting, there = fitting_of[profile], np.uint32(0)
            for k in range(4):
                mask = masks[row, k] & fitting
                there |= mask
                counts[i, k] = _ones(mask)
            kw = kw_of[profile] if there != 0 else np.float32(-1)
            if is_wide[profile] or (there != fitting and there != 0):
                kw = _count_one_by_one(columns, sieve, row, counts[i])
        else:
            for k in range(4):
                counts[i, k] = all_counts[row, k]
            kw = all_kw[row]
        judged.max_kw[i] = max(kw, np.float32(0))
        keeps = kw >= 0 and counts[i, _FREE] >= sieve.available
        judged.verdict[i] = NO if not keeps else _admits(columns, sieve, row) if asks_more else YES


@njit(cache=True)
def sum_up(
    columns: Columns, sieve: Sieve, nums: Ints, rows: Rows, first: Ints, end: Ints, sums: Sums, start: int
) -> None:
    """Adds the stations rows[first_i : end_i] that are kept to sum start + i; holes among them do not count."""
    masks, all_counts, all_kw, profile_of = columns.masks, columns.counts, columns.max_kw, columns.profile
    fitting_of, kw_of, is_wide, available = sieve.fitting, sieve.kw, sieve.is_wide, sieve.available
    has_connector, asks_more = len(fitting_of) > 0, _asks_more(sieve)
    counts = np.zeros(4, np.uint16)
    operator_of, party_of, schedule_of, facilities_of = (
        columns.operator, columns.party, columns.schedule, columns.facilities,
    )  # fmt: skip
    operators, parties, open_states, facilities = sieve.operators, sieve.parties, sieve.open_states, sieve.facilities
    without_operators, without_parties = sieve.without_operators, sieve.without_parties
    asks_in, asks_out, asks_hours = len(operators) > 0, len(without_operators) > 0, len(open_states) > 0
    for i in range(len(first)):
        stations = all_free = all_busy = all_broken = all_unknown = np.int64(0)
        most_kw, best_kw, best_num = sums.max_kw[start + i], sums.best_kw[start + i], sums.best_num[start + i]
        for place in range(first[i], end[i]):
            signed = rows[np.uintp(place)]
            if signed == HOLE:
                continue
            row = np.uintp(signed)
            if asks_more:
                operator, party = np.uintp(operator_of[row]), np.uintp(party_of[row])
                if asks_in and not (operators[operator] | parties[party]):
                    continue
                if asks_out and (without_operators[operator] | without_parties[party]):
                    continue
                if facilities != 0 and (np.int64(facilities_of[row]) & facilities) == 0:
                    continue
                if asks_hours and open_states[np.uintp(schedule_of[row])] != _OPEN:
                    continue
            if has_connector:
                profile = np.uintp(profile_of[row])
                fitting = fitting_of[profile]
                unknown_mask, free_mask = masks[row, _UNKNOWN] & fitting, masks[row, _FREE] & fitting
                busy_mask, broken_mask = masks[row, _BUSY] & fitting, masks[row, _BROKEN] & fitting
                there = unknown_mask | free_mask | busy_mask | broken_mask
                kw, fits = kw_of[profile], there != 0
                free, busy = _ones(free_mask), _ones(busy_mask)
                broken, unknown = _ones(broken_mask), _ones(unknown_mask)
                if there != fitting or is_wide[profile]:
                    if there == 0 and not is_wide[profile]:
                        continue
                    kw = _count_one_by_one(columns, sieve, signed, counts)
                    free, busy, broken, unknown = counts[_FREE], counts[_BUSY], counts[_BROKEN], counts[_UNKNOWN]
                    if kw < 0:
                        continue
                    fits = True
            else:
                free, busy = all_counts[row, _FREE], all_counts[row, _BUSY]
                broken, unknown = all_counts[row, _BROKEN], all_counts[row, _UNKNOWN]
                kw, fits = all_kw[row], True
            if free < available:
                continue
            stations += np.int64(fits)
            all_free += free
            all_busy += busy
            all_broken += broken
            all_unknown += unknown
            most_kw = max(most_kw, kw if fits else np.float32(0))
            if kw >= best_kw and free > 0 and (kw > best_kw or nums[row] < best_num):
                best_kw, best_num = kw, nums[row]
        sums.counts[0, start + i] += stations
        sums.counts[1, start + i] += all_free
        sums.counts[2, start + i] += all_busy
        sums.counts[3, start + i] += all_broken
        sums.counts[4, start + i] += all_unknown
        sums.max_kw[start + i], sums.best_kw[start + i], sums.best_num[start + i] = most_kw, best_kw, best_num
