"""What looked different when, so that whoever was away can be told what they missed.

Resuming needs no memory of the subscriber: a cursor tells which numbers and which instant were told, the world tells which
stations are newer, a bounded log which ones went from where. A cursor from before this worker's world, from another epoch, or
from before the log cannot be resumed (promise R5): the subscriber is told to begin anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cache.codec import CodecError, id_of
from geo.areas import Area
from geo.columns import Rows, runs
from geo.point import Floats
from geo.world import World
from mapsvc.live.cursor import Cursor, parse_cursor
from mapsvc.live.tick import Departure

DEPARTURES = 20_000  # remembered for those who resume
SKEW_MS = 5_000  # how far the clocks of two workers, and their lags, may be apart


class Positions(NamedTuple):
    """The epoch (-1 while it changes) and the `n` of every shard that the world has; `heard_ms`: all that has no number,
    confirmations and heartbeats, was heard up to then."""

    epoch: int
    ns: tuple[int, ...]
    heard_ms: int


class Mark(NamedTuple):
    """How far this worker has told: `turn` counts its own changes, the cursor says the same to other workers."""

    cursor: Cursor
    turn: int

    def line(self) -> bytes:
        """An event without data moves only the subscriber's `Last-Event-ID`."""
        return b"id: %b\n\n" % self.cursor.text().encode()


class _Gone(NamedTuple):
    """Where a station stood when it was taken out."""

    lat: float
    lon: float
    shard: int
    key: str
    summary: bytes


def _name(summary: bytes) -> str | None:
    """The public id; None for foreign bytes, which nobody was ever shown."""
    try:
        return id_of(summary)
    except CodecError:
        return None


class History:
    """It is told what an observer of the world is told."""

    def __init__(self, world: World, positions: Callable[[], Positions], now_ms: Callable[[], int]) -> None:
        self._world, self._positions, self._now_ms = world, positions, now_ms
        self._turn = 0
        self._told_ms: NDArray[np.int64] = np.zeros(1024, np.int64)  # by row: when it last looked different
        self._told_turn: NDArray[np.int64] = np.zeros(1024, np.int64)  # likewise, by our own count
        self._gone: dict[tuple[int, float, float], _Gone] = {}  # by num and place: one may move twice in a tick
        self._departed: deque[Departure] = deque()
        self._untold: list[Departure] = []  # those of them that wait for the next tick
        self._forgotten_turn = 0  # of the last departure that is no longer remembered
        self._since: Cursor | None = None  # cursors before this one are not resumed; None: the world is not whole yet

    def begin(self) -> Mark:
        """From now on the world is whole, and what goes from it is remembered."""
        mark = self.mark()
        # Whatever stands was stamped when it was loaded, so that an older instant only means that more is told again.
        self._since = mark.cursor._replace(at_ms=0)
        return mark

    @property
    def begun(self) -> bool:
        return self._since is not None

    # -- what happens -------------------------------------------------------------------------------------------------

    def stamp(self, rows: Rows) -> None:
        """These look different."""
        more = self._world.stations.capacity - len(self._told_ms)
        if more > 0:
            self._told_ms = np.concatenate((self._told_ms, np.zeros(more, np.int64)))
            self._told_turn = np.concatenate((self._told_turn, np.zeros(more, np.int64)))
        self._turn += 1
        self._told_ms[rows] = self._now_ms()
        self._told_turn[rows] = self._turn

    def took_out(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        if self._since is None:
            return
        s = self._world.stations
        for row, a, b in zip(rows.tolist(), lat.tolist(), lon.tolist(), strict=True):
            gone = _Gone(a, b, int(s.shard[row]), self._world.key(row), self._world.texts[row])
            self._gone[int(s.num[row]), a, b] = gone

    def departures(self) -> list[Departure]:
        """Those since the last call."""
        self._log_departures()
        untold, self._untold = self._untold, []
        return untold

    def _log_departures(self) -> None:
        """A station that stands again where it stood has not departed."""
        if not self._gone:
            return
        s, now_ms = self._world.stations, self._now_ms()
        self._turn += 1
        for (num, _, _), was in self._gone.items():
            row = int(self._world.rows_of_nums(np.array([num]))[0])
            stays = row >= 0 and (s.lat[row], s.lon[row]) == (was.lat, was.lon) and self._world.key(row) == was.key
            if stays and self._world.texts[row] == was.summary:
                continue
            name = _name(was.summary)
            if name is None or (stays and name == _name(self._world.texts[row])):
                continue
            n = int(s.n[row]) if row >= 0 else self._world.removed_n(num)
            departure = Departure(name, was.key, was.shard, n, self._turn, now_ms, was.lat, was.lon)
            self._departed.append(departure)
            self._untold.append(departure)
        self._gone.clear()
        while len(self._departed) > DEPARTURES:
            self._forget(self._departed.popleft())

    def _forget(self, departure: Departure) -> None:
        """Who was not told of this one can no longer resume."""
        assert self._since is not None
        self._forgotten_turn = departure.turn
        ns = list(self._since.ns)
        ns[departure.shard] = max(ns[departure.shard], departure.n)
        at_ms = self._since.at_ms if departure.n >= 0 else max(self._since.at_ms, departure.at_ms + SKEW_MS)
        self._since = self._since._replace(ns=tuple(ns), at_ms=at_ms)

    # -- who was away -------------------------------------------------------------------------------------------------

    def mark(self) -> Mark:
        """What the world has now."""
        self._log_departures()
        epoch, ns, heard_ms = self._positions()
        return Mark(Cursor(epoch, min(heard_ms, self._now_ms()), ns), self._turn)

    def resumable(self, text: str) -> Cursor | None:
        """The cursor of this text; None if what came after it is not known here."""
        cursor, since = parse_cursor(text), self._since
        if (
            cursor is not None
            and since is not None
            and cursor.epoch == self._positions().epoch
            and since.at_ms <= cursor.at_ms <= self._now_ms() + SKEW_MS
            and all(n >= floor for n, floor in zip(cursor.ns, since.ns, strict=True))
        ):
            return cursor
        return None

    def remembers(self, told: Mark | Cursor) -> bool:
        """Whether `since` can tell everything; departures that nobody told it may have been forgotten meanwhile."""
        self._log_departures()
        if isinstance(told, Mark):
            return told.turn >= self._forgotten_turn
        return self.resumable(told.text()) is not None

    def since(self, told: Mark | Cursor, area: Area, rows: Rows) -> tuple[Rows, list[Departure]]:
        """What a mark of this worker, or a cursor of whichever, has not told. Of the area's stations (`rows`) those that may
        look different now; and the stations that left a place in it (leaves are told before changes, so one that moved
        within the area is there again)."""
        self._log_departures()
        if isinstance(told, Mark):
            newer = self._told_turn[rows] > told.turn
            went = [d for d in self._departed if d.turn > told.turn]
        else:
            newer = self._newer(told, rows)
            went = [d for d in self._departed if d.n > told.ns[d.shard] or d.at_ms > told.at_ms - SKEW_MS]
        if went:
            lat, lon = np.array([d.lat for d in went]), np.array([d.lon for d in went])
            inside = area.contains(lat, lon, [d.key for d in went])
            went = [d for d, was in zip(went, inside.tolist(), strict=True) if was]
            back = [row for d in went if (row := self._world.find(d.key)) is not None]
            newer |= np.isin(rows, back)
        return rows[newer], went

    def _newer(self, told: Cursor, rows: Rows) -> NDArray[np.bool_]:
        """By number, what other workers' streams brought; by time, what time did."""
        s, e = self._world.stations, self._world.evses
        limit = np.array(told.ns, np.int64)[s.shard[rows]]
        newer: NDArray[np.bool_] = (s.n[rows] > limit) | (self._told_ms[rows] > told.at_ms - SKEW_MS)
        slots = s.slots[rows]
        which = np.repeat(np.arange(len(rows)), slots)
        newer[which[e.n[runs(s.first[rows], slots)] > limit[which]]] = True
        return newer
