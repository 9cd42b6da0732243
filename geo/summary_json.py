"""Summaries of stations as JSON, straight from the world's columns.

The members that only a record changes stand ready as text (geo.station.summary_members), so do the connectors of each profile;
the rest is numbers and instants, written digit by digit. Compiled (docs/decisions/0015): a list of twenty costs 7 µs whichever
stations of a million it holds, so nothing is kept that a status could make stale.
Oracle    tests/geo/test_summary_json.py renders the same with the json module.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo.columns import Rows
from geo.hours import OpenState
from geo.point import Floats
from geo.station import Availability
from geo.texts import Texts
from geo.world import World

Counts = NDArray[np.uint16]
Kilowatts = NDArray[np.float32]

_ROOM = 400  # bytes of a summary besides its texts
_DONE, _NO_ROOM, _NO_PLUGS = 0, 1, 2
_NONE = np.zeros(0, np.int32)
_NO_COUNTS, _NO_KW, _NO_METRES = np.zeros((0, 4), np.uint16), np.zeros(0, np.float32), np.zeros(0)


class Summaries(NamedTuple):
    """JSON objects joined by commas; `ends` (n,): where each of them ends."""

    joined: bytes
    ends: NDArray[np.int64]

    def split(self) -> list[bytes]:
        begin, found = 0, []
        for end in self.ends.tolist():
            found.append(self.joined[begin:end])
            begin = end + 1
        return found


class SummaryWriter:
    """Of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._plugs = Texts()  # lists of connectors, by a number of their own
        self._plug_ids: dict[bytes, int] = {}
        self._of_profile: NDArray[np.int32] = np.full(64, -1, np.int32)
        self._out = np.zeros(1 << 16, np.uint8)

    def write(
        self, rows: Rows, counts: Counts = _NO_COUNTS, max_kw: Kilowatts = _NO_KW, metres: Floats = _NO_METRES
    ) -> Summaries:
        """Stations with the counts (n, 4, by Availability) and powers (n,) that follow a filter; without them those of all
        EVSEs. `metres` (n,) adds `distance_m`."""
        w, s = self._world, self._world.stations
        ends, present = np.empty(len(rows), np.int64), _NONE
        while True:
            state, size, _ = _write(
                rows, counts, max_kw, metres, present, s.counts, s.max_kw, s.slots, s.profile, s.schedule, w.schedules.state,
                s.changed_ms, s.seen_ms, w.texts.data, w.texts.begin, w.texts.length, self._of_profile,
                self._plugs.data, self._plugs.begin, self._plugs.length, self._out, ends,
            )  # fmt: skip
            if state == _DONE:
                return Summaries(self._out[:size].tobytes(), ends)
            if state == _NO_ROOM:
                self._out = np.zeros(2 * size, np.uint8)
            else:
                present = self._find_plugs(rows)

    def _find_plugs(self, rows: Rows) -> NDArray[np.int32]:
        """Makes the lists of all profiles of these stations; and for those that lack an EVSE, which is REMOVED, the list of
        what is there (-1: it lacks none)."""
        w, s = self._world, self._world.stations
        known = len(self._of_profile)
        if len(w.profiles.profiles) > known:
            self._of_profile = np.concatenate((self._of_profile, np.full(len(w.profiles.profiles), -1, np.int32)))
        present = np.full(len(rows), -1, np.int32)
        for i, row in enumerate(rows.tolist()):
            profile = int(s.profile[row])
            slots = w.profiles.profiles[profile]
            if self._of_profile[profile] < 0:
                self._of_profile[profile] = self._plug_id({plug.standard for plugs in slots for plug in plugs})
            if s.counts[row].sum() < s.slots[row]:
                there = (slots[state.slot] for state in w.evse_states(row))
                present[i] = self._plug_id({plug.standard for plugs in there for plug in plugs})
        return present

    def _plug_id(self, standards: set[str]) -> int:
        text = msgspec.json.encode(sorted(standards))
        found = self._plug_ids.get(text)
        if found is None:
            found = self._plug_ids[text] = len(self._plug_ids)
            self._plugs.put(np.array([found], np.int32), [text])
        return found


# -- compiled ---------------------------------------------------------------------------------------------------------------


def _literal(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


_CONNECTORS, _MAX_KW = _literal(',"connectors":'), _literal(',"max_power_kw":')
_TOTAL, _AVAILABLE, _BUSY = _literal(',"evses":{"total":'), _literal(',"available":'), _literal(',"busy":')
_OUT_OF_SERVICE, _UNKNOWN, _OPEN_NOW = (
    _literal(',"out_of_service":'),
    _literal(',"unknown":'),
    _literal('},"open_now":'),
)
_CHANGED, _SEEN, _DISTANCE = _literal(',"changed_at":'), _literal(',"seen_at":'), _literal(',"distance_m":')
_ANY_INSTANT = _literal('"YYYY-MM-DDThh:mm:ss')
_TRUE, _FALSE, _NULL = _literal("true"), _literal("false"), _literal("null")
_OPEN, _CLOSED = int(OpenState.OPEN), int(OpenState.CLOSED)
_C_UNKNOWN, _C_FREE, _C_BUSY, _C_BROKEN = (
    int(Availability.UNKNOWN), int(Availability.FREE), int(Availability.BUSY), int(Availability.OUT_OF_SERVICE),
)  # fmt: skip
_COMMA, _OPENING, _CLOSING, _QUOTE, _POINT = b',{}".'
_DIGIT, _DASH, _Z = b"0-Z"
_DAY_MS = 86_400_000


@njit(cache=True)
def _copy(out: NDArray[np.uint8], at: int, text: NDArray[np.uint8], begin: int, length: int) -> int:
    """Unsigned indices: what cannot be negative needs no test for it, and becomes moves of 16 bytes; half of all the time."""
    a, b = np.uintp(at), np.uintp(begin)
    for i in range(np.uintp(length)):
        out[a + i] = text[b + i]
    return at + length


@njit(cache=True)
def _literally(out: NDArray[np.uint8], at: int, text: NDArray[np.uint8]) -> int:
    return _copy(out, at, text, 0, len(text))


@njit(cache=True)
def _digits(out: NDArray[np.uint8], at: int, number: int) -> int:
    if number < 10:
        out[np.uintp(at)] = _DIGIT + number
        return at + 1
    count, rest = 1, number // 10
    while rest > 0:
        count, rest = count + 1, rest // 10
    for i in range(at + count - 1, at - 1, -1):
        out[np.uintp(i)] = _DIGIT + number % 10
        number //= 10
    return at + count


@njit(cache=True)
def _two(out: NDArray[np.uint8], at: int, number: int) -> None:
    out[np.uintp(at)], out[np.uintp(at + 1)] = _DIGIT + number // 10, _DIGIT + number % 10


@njit(cache=True)
def _tenths(out: NDArray[np.uint8], at: int, tenths: int, always: bool) -> int:
    at = _digits(out, at, tenths // 10)
    if always or tenths % 10 > 0:
        out[np.uintp(at)], out[np.uintp(at + 1)] = _POINT, _DIGIT + tenths % 10
        at += 2
    return at


@njit(cache=True)
def _date(out: NDArray[np.uint8], at: int, days: int) -> None:
    """Ten bytes. By H. Hinnant, chrono-compatible low-level date algorithms, civil_from_days."""
    shifted = days + 719_468
    era, of_era = shifted // 146_097, shifted % 146_097
    year_of_era = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    day_of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    year = year_of_era + 400 * era + (1 if month <= 2 else 0)
    _two(out, at, year // 100)
    _two(out, at + 2, year % 100)
    out[at + 4] = _DASH
    _two(out, at + 5, month)
    out[at + 7] = _DASH
    _two(out, at + 8, day_of_year - (153 * month_from_march + 2) // 5 + 1)


@njit(cache=True)
def _instant(out: NDArray[np.uint8], at: int, ms: int, date: NDArray[np.int64]) -> int:
    """RFC 3339, UTC, milliseconds only where there are any. `date`: the day that was told last and where it stands in `out`;
    most instants of a list are of one day."""
    if ms <= 0:
        return _literally(out, at, _NULL)
    days, seconds, thousandths = ms // _DAY_MS, ms % _DAY_MS // 1000, ms % 1000
    minutes = seconds // 60
    _literally(out, at, _ANY_INSTANT)
    if days == date[0]:
        for i in range(10):
            out[np.uintp(at + 1 + i)] = out[np.uintp(date[1] + i)]
    else:
        _date(out, at + 1, days)
        date[0], date[1] = days, at + 1
    _two(out, at + 12, minutes // 60)
    _two(out, at + 15, minutes % 60)
    _two(out, at + 18, seconds % 60)
    at += 20
    if thousandths > 0:
        out[at], out[at + 1] = _POINT, _DIGIT + thousandths // 100
        _two(out, at + 2, thousandths % 100)
        at += 4
    out[at], out[at + 1] = _Z, _QUOTE
    return at + 2


@njit(cache=True)
def _write(
    rows: Rows, counts: Counts, max_kw: Kilowatts, metres: Floats, present: NDArray[np.int32],
    all_counts: Counts, all_max_kw: Kilowatts, slots: NDArray[np.int32], profile: NDArray[np.int32],
    schedule: NDArray[np.int32], schedule_state: NDArray[np.uint8], changed_ms: NDArray[np.int64],
    seen_ms: NDArray[np.int64], texts: NDArray[np.uint8], text_begin: NDArray[np.int64], text_length: NDArray[np.int32],
    plugs_of: NDArray[np.int32], plugs: NDArray[np.uint8], plugs_begin: NDArray[np.int64], plugs_length: NDArray[np.int32],
    out: NDArray[np.uint8], ends: NDArray[np.int64],
) -> tuple[int, int, int]:  # fmt: skip
    """_DONE and the bytes written; _NO_ROOM and about how many are needed; or _NO_PLUGS. The third number means nothing."""
    # All that will be read is touched first: these loads do not wait for one another, as those between the writing would,
    # and most of them miss the processor's caches.
    touched = 0
    for i in range(len(rows)):
        row = rows[i]
        touched += all_counts[row, 0] + slots[row] + profile[row] + schedule[row] + changed_ms[row] + seen_ms[row]
        touched += int(all_max_kw[row])
        for line in range(0, text_length[row], 64):
            touched += texts[text_begin[row] + line]
    at, date = 0, np.full(2, -1)
    for i in range(len(rows)):
        row = rows[i]
        there = all_counts[row]
        which = plugs_of[profile[row]] if profile[row] < len(plugs_of) else -1
        if int(there[0]) + there[1] + there[2] + there[3] < slots[row]:
            which = present[i] if len(present) > 0 else -1
        if which < 0:
            return _NO_PLUGS, 0, touched
        if at + text_length[row] + plugs_length[which] + _ROOM > len(out):
            return _NO_ROOM, len(out) + text_length[row] + plugs_length[which] + _ROOM, touched
        if i > 0:
            out[at] = _COMMA
            at += 1
        out[at] = _OPENING
        at = _copy(out, at + 1, texts, text_begin[row], text_length[row])
        at = _literally(out, at, _CONNECTORS)
        at = _copy(out, at, plugs, plugs_begin[which], plugs_length[which])
        at = _literally(out, at, _MAX_KW)
        kw = max_kw[i] if len(max_kw) > 0 else all_max_kw[row]
        at = _tenths(out, at, int(np.rint(10.0 * kw)), False) if kw > 0 else _literally(out, at, _NULL)
        shown = counts[i] if len(counts) > 0 else there
        free, busy = int(shown[_C_FREE]), int(shown[_C_BUSY])
        broken, unknown = int(shown[_C_BROKEN]), int(shown[_C_UNKNOWN])
        at = _digits(out, _literally(out, at, _TOTAL), free + busy + broken + unknown)
        at = _digits(out, _literally(out, at, _AVAILABLE), free)
        at = _digits(out, _literally(out, at, _BUSY), busy)
        at = _digits(out, _literally(out, at, _OUT_OF_SERVICE), broken)
        at = _digits(out, _literally(out, at, _UNKNOWN), unknown)
        at = _literally(out, at, _OPEN_NOW)
        state = schedule_state[schedule[row]]
        at = _literally(out, at, _TRUE if state == _OPEN else _FALSE if state == _CLOSED else _NULL)
        at = _instant(out, _literally(out, at, _CHANGED), changed_ms[row], date)
        at = _instant(out, _literally(out, at, _SEEN), seen_ms[row], date)
        if len(metres) > 0:
            at = _tenths(out, _literally(out, at, _DISTANCE), int(np.rint(10.0 * metres[i])), True)
        out[at] = _CLOSING
        at += 1
        ends[i] = at
    return _DONE, at, touched
