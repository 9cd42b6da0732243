"""From changes of the world to the streams of those who watch the place.

Data       subscribers by the squares that cover their areas (geo.areas), rows that changed since the last tick, and what can be
           told later to those who were away (mapsvc.live.history).
A tick     at most every 100 ms, at once after a quiet time: what changed meanwhile is told once, as it is now (the latest
           wins). Its events are encoded once per square, filter and zoom, and shared by all who watch the whole square.
Invariant  whoever has taken the snapshot and every event since holds exactly what the list of the same area and filters
           answers. Oracle: tests/mapsvc/live_push/, tests/e2e/test_live.py.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from geo.areas import Area, CellsArea
from geo.columns import Rows
from geo.point import Floats
from geo.tilemath import pixels, tile_keys
from geo.world import World
from mapsvc.bodies import Bodies
from mapsvc.live.history import History, Mark, Positions
from mapsvc.live.tick import Departure, Events, Tick, View, joined
from mapsvc.tiles import MAX_ZOOM, Tiles

log = logging.getLogger(__name__)

TICK_S = 0.1
AT_ONCE = 2000  # stations told in one go, some 30 ms; requests come between
SETTLE_S = 0.004  # after a quiet time: one entry of the stream brings its changes shard by shard
HEARTBEAT_S = 15.0
RETRY_S = (0.5, 5.0)  # when to come back after the worker has ended: spread, as all are told at once

Name = TypeVar("Name", int, str)


def retry_ms() -> int:
    return int(random.uniform(*RETRY_S) * 1000)  # noqa: S311 (spreads load, guards nothing)


class Subscriber(Protocol):
    @property
    def area(self) -> Area: ...

    @property
    def view(self) -> View: ...

    def tell(self, events: bytes, mark: Mark, now_s: float) -> None:
        """Events to be sent now, the mark's line at their end, and how far they lead. Never waits."""

    def beat(self, line: bytes, mark: Mark, now_s: float) -> None:
        """Called about once a second."""

    def finish(self, line: bytes, retry_ms: int) -> None:
        """The worker ends: come back with this cursor, to another one, after so long."""


class _Group(NamedTuple):
    """Who watches one square (whether all of it), or one station; and what changed in it: positions in the tick."""

    watchers: dict[Subscriber, bool]
    members: list[int]


class Hub:
    def __init__(
        self,
        world: World,
        bodies: Bodies,
        tiles: Tiles,
        positions: Callable[[], Positions],
        now_ms: Callable[[], int],
    ) -> None:
        self.history = History(world, positions, now_ms)
        self.messages = 0  # since the start
        self.finished = False
        self._world, self._bodies, self._tiles, self._now_ms = world, bodies, tiles, now_ms
        self._by_square: dict[int, dict[Subscriber, bool]] = {}
        self._by_key: dict[str, dict[Subscriber, bool]] = {}
        self._levels: dict[int, int] = {}  # in use, by how many
        self._subscribers: dict[Subscriber, None] = {}
        self._dirty: set[int] = set()
        self._untold: list[Departure] = []
        self._fresh: set[int] = set()  # those of them whose record is new
        self._told = self.history.mark()  # as of the last tick
        self._more = False  # of the last tick is left to tell
        self._woken = asyncio.Event()
        world.observe(self)

    # -- observing the world ------------------------------------------------------------------------------------------

    def changed(self, rows: Rows) -> None:
        self.history.stamp(rows)
        if self._subscribers:
            self._dirty.update(rows.tolist())
            self._woken.set()

    def confirmed(self, rows: Rows) -> None:
        """Nothing looks different: no event. Whose TTL was over comes as `changed` too."""

    def reshaped(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        if self._world.stations.shown[rows[0]]:  # they came
            self.history.stamp(rows)
            if self._subscribers:
                self._dirty.update(rows.tolist())
                self._fresh.update(rows.tolist())
        else:
            self.history.took_out(rows, lat, lon)
        self._woken.set()

    # -- subscribers --------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        return len(self._subscribers)

    def attach(self, subscriber: Subscriber) -> None:
        """From the next tick on it is told of everything. What it has not got until now: ask `history.since` in the same
        breath."""
        self._subscribers[subscriber] = None
        for square, whole in subscriber.area.squares.items():
            self._by_square.setdefault(square, {})[subscriber] = whole
        for key in subscriber.area.keys:
            self._by_key.setdefault(key, {})[subscriber] = False
        if subscriber.area.squares:
            level = subscriber.area.level
            self._levels[level] = self._levels.get(level, 0) + 1
        if self.finished:  # it was still taking its snapshot when the others were sent away
            subscriber.finish(self.history.mark().line(), retry_ms())

    def detach(self, subscriber: Subscriber) -> None:
        if subscriber not in self._subscribers:
            return
        del self._subscribers[subscriber]
        _drop(self._by_square, subscriber.area.squares, subscriber)
        _drop(self._by_key, subscriber.area.keys, subscriber)
        if subscriber.area.squares:
            level = subscriber.area.level
            self._levels[level] -= 1
            if not self._levels[level]:
                del self._levels[level]

    # -- ticks --------------------------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], bool]) -> None:
        """For ever: a tick when something changed, a beat each second."""
        while not ready():  # noqa: ASYNC110 (the replica says it by a property)
            await asyncio.sleep(0.02)
        self._told = self.history.begin()
        last_tick = last_beat = 0.0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.01, last_beat + 1.0 - time.monotonic())):
                    await self._woken.wait()
            if self._woken.is_set():
                await asyncio.sleep(0 if self._more else max(SETTLE_S, last_tick + TICK_S - time.monotonic()))
                self._woken.clear()
                last_tick = time.monotonic()
                self._flush_or_begin_anew()
            if time.monotonic() - last_beat >= 1.0:
                last_beat = time.monotonic()
                self._guarded(lambda: self.beat(time.monotonic()))

    def _flush_or_begin_anew(self) -> None:
        before = self._told
        if not self._guarded(self.flush):
            self._told = before  # what this tick did not tell must not be claimed
            self._send_away()

    def _guarded(self, work: Callable[[], None]) -> bool:
        """One record that cannot be shown must not end live push for all."""
        try:
            work()
        except Exception:
            log.exception("a tick failed; subscribers come back and resume")
            return False
        return True

    def beat(self, now_s: float) -> None:
        # What waits for the next tick must not be claimed.
        mark = self._told if self._woken.is_set() else self.history.mark()
        line = mark.line()
        for subscriber in list(self._subscribers):
            subscriber.beat(line, mark, now_s)

    def finish(self) -> None:
        """Every subscriber is told to come back, each at a moment of its own, so that they do not come all at once."""
        self.finished = True
        self._flush_or_begin_anew()
        while self._subscribers and self._more:
            self._flush_or_begin_anew()
        self._send_away()

    def _send_away(self) -> None:
        # The newest cursor: a worker that has just begun can resume that one, but not one from before it was there.
        line = self._told.line()
        for subscriber in list(self._subscribers):
            subscriber.finish(line, retry_ms())

    def flush(self) -> None:
        """The tick."""
        self._world.advance(self._now_ms())
        told = self.history.mark()
        self._untold += self.history.departures()
        if not self._subscribers:  # who comes next is told what is then
            self._dirty.clear()
            self._fresh.clear()
            self._untold.clear()
            self._more, self._told = False, told
            return
        departures, self._untold = self._untold[:AT_ONCE], self._untold[AT_ONCE:]
        for departure in departures:  # another station may have its id by now
            if (row := self._world.find(departure.key)) is not None:
                self._dirty.add(row)
        room = AT_ONCE - len(departures)  # leaves come first: a change must not be undone by an older leave
        dirty = self._dirty if len(self._dirty) <= room else set(islice(self._dirty, room))
        self._dirty = self._dirty - dirty
        fresh = self._fresh & dirty
        self._fresh -= fresh
        self._more = bool(self._dirty or self._untold)
        if self._more:
            self._woken.set()  # what is left follows, and the cursor stays where it was
        else:
            self._told = told
        if not (dirty or departures):
            return
        s = self._world.stations
        rows = np.fromiter(dirty, np.int32, len(dirty))
        rows = np.sort(rows[s.shown[rows]])
        lat = np.concatenate((s.lat[rows], [d.lat for d in departures]))
        lon = np.concatenate((s.lon[rows], [d.lon for d in departures]))
        keys = [self._world.key(row) for row in rows.tolist()] + [d.key for d in departures]
        groups = list(self._watched(lat, lon, keys))
        if not groups:
            return
        # Only what somebody watches is rendered: positions are numbered anew.
        seen = sorted({i for group in groups for i in group.members})
        place = {i: k for k, i in enumerate(seen)}
        groups = [_Group(group.watchers, [place[i] for i in group.members]) for group in groups]
        of_rows = [i for i in seen if i < len(rows)]
        watched = rows[of_rows]
        is_fresh = np.fromiter((row in fresh for row in watched.tolist()), np.bool_, len(watched))
        left = [departures[i - len(rows)] for i in seen[len(of_rows) :]]
        self._tell(self.tick(watched, is_fresh, left), groups)

    def tick(self, rows: Rows, fresh: NDArray[np.bool_], departures: Sequence[Departure]) -> Tick:
        return Tick(self._world, self._bodies, self._tiles, rows, fresh, departures, self._now_ms())

    def _watched(self, lat: Floats, lon: Floats, keys: Sequence[str]) -> Iterator[_Group]:
        if self._levels:
            at = pixels(lat, lon, MAX_ZOOM)
            deepest = tile_keys(MAX_ZOOM, at.x, at.y)
        for level in self._levels:
            members: dict[int, list[int]] = {}
            for i, key in enumerate((deepest >> 2 * (MAX_ZOOM - level)).tolist()):
                if key in self._by_square:
                    members.setdefault(key, []).append(i)
            for key, which in members.items():
                yield _Group(self._by_square[key], which)
        if self._by_key:
            for i, name in enumerate(keys):
                if name in self._by_key:
                    yield _Group(self._by_key[name], [i])

    def _tell(self, tick: Tick, groups: Sequence[_Group]) -> None:
        out: dict[Subscriber, list[Events]] = {}
        for watchers, members in groups:
            shared: dict[View, Events] = {}  # by all who watch the whole square, or all that changed in it
            for subscriber, whole in watchers.items():
                which = members if whole else _inside(tick, members, subscriber.area)
                if which is members:
                    events = shared.get(subscriber.view)
                    if events is None:
                        events = shared[subscriber.view] = tick.events(members, subscriber.view)
                elif which:
                    events = tick.events(which, subscriber.view)
                else:
                    continue
                out.setdefault(subscriber, []).append(events)
        line, now_s = self._told.line(), time.monotonic()
        for subscriber, parts in out.items():
            told = joined(parts)
            if told:
                self.messages += 1
                subscriber.tell(told + line, self._told, now_s)


def _inside(tick: Tick, members: list[int], area: Area) -> list[int]:
    """Those in the area; the very list if all are."""
    if isinstance(area, CellsArea):
        inside = area.holds(len(members), lambda res: tick.cells(res)[members])
        return members if inside.all() else [i for i, within in zip(members, inside.tolist(), strict=True) if within]
    inside = area.contains(tick.lat[members], tick.lon[members], [tick.keys[i] for i in members])
    if inside.all():
        return members
    return [i for i, within in zip(members, inside.tolist(), strict=True) if within]


def _drop(watchers: dict[Name, dict[Subscriber, bool]], names: Iterable[Name], subscriber: Subscriber) -> None:
    for name in names:
        del watchers[name][subscriber]
        if not watchers[name]:
            del watchers[name]
