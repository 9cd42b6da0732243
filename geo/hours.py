"""Opening hours in time: is a station open at an instant, and when does that change next?

OCPI 2.2.1 Hours (8.4.14). Its rules, and ours where it is silent or feeds do not follow it:
- exceptional_closings override exceptional_openings, which override the rest; both are instants (UTC).
- `twentyfourseven` wins over regular_hours ("only to be used if twentyfourseven=false").
- Regular hours are wall-clock time: open is what the clock at the door says. When a clock change repeats an hour,
  the hour is open twice; when it skips one, the periods inside it do not happen.
- OCPI's pattern for "HH:MM" admits no 24:00, so feeds write the end of a day as 24:00, 00:00 or 23:59: all three
  mean midnight. An end not after its begin runs past midnight (00:00-00:00: the whole day).
- A malformed period is ignored. What is left unsaid is UNKNOWN, never a guess: no hours, no usable period, no zone.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from typing import Protocol

from geo.station import ExceptionalPeriod, Hours, RegularHours
from geo.zones import ZoneOffsets, find_offsets
from geo.zones import zone_for as zone_for

_DAY_MIN = 24 * 60
_WEEK_S = 7 * 86_400
_MONDAY_SHIFT_S = 3 * 86_400  # 1970-01-01 was a Thursday: three days after a Monday


class OpenState(IntEnum):
    CLOSED = 0
    OPEN = 1
    UNKNOWN = 2


class Schedule(Protocol):
    """Compiled hours. Interned: stations of equal hours and zone share one, so identity may serve as a key."""

    def state_at(self, ms: int) -> OpenState: ...

    def next_after(self, ms: int) -> int | None:
        """The first instant after `ms` at which the state is another one; None when it stays for ever."""
        ...


def open_state(hours: Hours | None, tz: str | None, now_ms: int) -> OpenState:
    schedule = compile_schedule(hours, tz)
    return OpenState.UNKNOWN if schedule is None else schedule.state_at(now_ms)


def next_transition(hours: Hours | None, tz: str | None, now_ms: int) -> int | None:
    """When `open_state` changes next: it is constant in [now_ms, next). None: it never changes."""
    schedule = compile_schedule(hours, tz)
    return None if schedule is None else schedule.next_after(now_ms)


def compile_schedule(hours: Hours | None, tz: str | None) -> Schedule | None:
    """None: nothing is known at any time. `tz` is only needed for regular hours; see `zone_for`."""
    if hours is None:
        return None
    if hours.twentyfourseven and not hours.exceptional_closings:
        return _ALWAYS_OPEN  # two in three stations: no cache, no hash
    return _compile(hours, tz)


# ----------------------------------------------------------------- schedules


class _Constant:
    __slots__ = ("_state",)

    def __init__(self, state: OpenState) -> None:
        self._state = state

    def state_at(self, ms: int) -> OpenState:
        return self._state

    def next_after(self, ms: int) -> int | None:
        return None


_ALWAYS_OPEN = _Constant(OpenState.OPEN)
_NEVER_KNOWN = _Constant(OpenState.UNKNOWN)
_BY_PARITY = (OpenState.CLOSED, OpenState.OPEN)


class _Weekly:
    """Wall-clock hours: `flips` are the seconds of the local week at which open and closed alternate (never empty)."""

    __slots__ = ("_flips", "_offsets", "_open_first")

    def __init__(self, offsets: ZoneOffsets, flips: tuple[int, ...], open_first: bool) -> None:
        self._offsets, self._flips, self._open_first = offsets, flips, open_first

    def state_at(self, ms: int) -> OpenState:
        s = ms // 1000
        local = (s + self._offsets.span(s)[2] + _MONDAY_SHIFT_S) % _WEEK_S
        return _BY_PARITY[(bisect_right(self._flips, local) + self._open_first) & 1]

    def next_after(self, ms: int) -> int:
        s, flips = ms // 1000, self._flips
        _, end, offset = self._offsets.span(s)
        while True:
            local = (s + offset + _MONDAY_SHIFT_S) % _WEEK_S
            i = bisect_right(flips, local)
            flip = s - local + (flips[i] if i < len(flips) else flips[0] + _WEEK_S)
            if flip < end:
                return flip * 1000
            # The clock changes first: that alone may open or close, else go on by the new clock.
            was_open = (i + self._open_first) & 1
            s = end
            _, end, offset = self._offsets.span(s)
            i = bisect_right(flips, (s + offset + _MONDAY_SHIFT_S) % _WEEK_S)
            if (i + self._open_first) & 1 != was_open:
                return s * 1000


class _Overridden:
    """A base schedule with exceptions: from `at_ms[i]` on `states[i]` holds; None: the base shows through."""

    __slots__ = ("_at_ms", "_base", "_states")

    def __init__(self, base: Schedule, at_ms: list[int], states: list[OpenState | None]) -> None:
        self._base, self._at_ms, self._states = base, at_ms, states

    def state_at(self, ms: int) -> OpenState:
        i = bisect_right(self._at_ms, ms)
        state = self._states[i - 1] if i else None
        return self._base.state_at(ms) if state is None else state

    def next_after(self, ms: int) -> int | None:
        now = self.state_at(ms)
        while True:
            i = bisect_right(self._at_ms, ms)
            then = self._at_ms[i] if i < len(self._at_ms) else None
            if i == 0 or self._states[i - 1] is None:  # else the base cannot be seen: a year's closing is one step
                base = self._base.next_after(ms)
                then = base if then is None or (base is not None and base < then) else then
            if then is None or self.state_at(then) != now:
                return then
            ms = then


# ----------------------------------------------------------------- compiling


@lru_cache(maxsize=16_384)  # exceptions make schedules distinct; an evicted one lives on with its stations
def _compile(hours: Hours, tz: str | None) -> Schedule | None:
    base: Schedule = _ALWAYS_OPEN if hours.twentyfourseven else _regular(hours.regular_hours, tz)
    at_ms, states = _exceptions(hours)
    if at_ms:
        return _Overridden(base, at_ms, states)
    return None if base is _NEVER_KNOWN else base


def _regular(periods: Iterable[RegularHours], tz: str | None) -> Schedule:
    spans: list[tuple[int, int]] = []
    for period in periods:
        begin, end = _minutes(period.period_begin), _minutes(period.period_end)
        if not 1 <= period.weekday <= 7 or begin is None or end is None or begin == _DAY_MIN:
            continue
        if end == _DAY_MIN - 1:
            end = _DAY_MIN
        begin, end = (period.weekday - 1) * _DAY_MIN + begin, (period.weekday - 1) * _DAY_MIN + end
        spans.append((begin, end if end > begin else end + _DAY_MIN))
    if not spans:
        return _NEVER_KNOWN
    # Three weeks side by side, of which the middle one is cut out: Sunday night wraps into Monday by itself.
    week = 7 * _DAY_MIN
    flips: list[int] = []
    for begin, end in sorted((b + k * week, e + k * week) for b, e in spans for k in (0, 1, 2)):
        if flips and begin <= flips[-1]:
            flips[-1] = max(flips[-1], end)
        else:
            flips += (begin, end)
    inside = tuple((flip - week) * 60 for flip in flips if week <= flip < 2 * week)
    if not inside:
        return _ALWAYS_OPEN
    return _weekly(tz, inside, bool(bisect_right(flips, week - 1) & 1)) if tz is not None else _NEVER_KNOWN


@lru_cache(maxsize=16_384)
def _weekly(tz: str, flips: tuple[int, ...], open_first: bool) -> Schedule:
    offsets = find_offsets(tz)
    return _NEVER_KNOWN if offsets is None else _Weekly(offsets, flips, open_first)


def _minutes(text: str) -> int | None:
    """Minutes since midnight of "HH:MM", 00:00 to 24:00."""
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00", text):
        return None
    return int(text[:2]) * 60 + int(text[3:])


def _exceptions(hours: Hours) -> tuple[list[int], list[OpenState | None]]:
    """Both kinds of exceptions as one sequence of states. Of several at one instant the last has counted all edges."""
    edges: list[tuple[int, int, int]] = []

    def add(periods: Iterable[ExceptionalPeriod], closing: int) -> None:
        for period in periods:
            if period.begin_ms < period.end_ms:
                edges.extend(((period.begin_ms, closing, 1), (period.end_ms, closing, -1)))

    add(hours.exceptional_openings, 0)
    add(hours.exceptional_closings, 1)
    at_ms: list[int] = []
    states: list[OpenState | None] = []
    covering = [0, 0]
    for ms, closing, step in sorted(edges):
        covering[closing] += step
        state = OpenState.CLOSED if covering[1] else OpenState.OPEN if covering[0] else None
        if state != (states[-1] if states else None):
            at_ms.append(ms)
            states.append(state)
    return at_ms, states
