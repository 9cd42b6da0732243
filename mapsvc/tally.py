"""How many stations and EVSEs there are, by party and by the status shown: kept up to date, never counted anew.

Counting three million EVSEs takes tens of milliseconds, and nobody may wait for that. So the tally remembers under what
it counted each EVSE, is told which stations changed, and counts those again: when it is asked, in slices that let requests
through. A slice is exact as it is taken, and the whole is exact once no changed station is left.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from geo.columns import Rows, runs
from geo.point import Floats
from geo.station import Status
from geo.world import World

KINDS = len(Status)  # columns of a party's counts; REMOVED is counted as well, and told by nobody
ROWS_AT_ONCE = 20_000  # stations of a slice: with three EVSEs each about 2 ms
UNCOUNTED = -1

Column = TypeVar("Column", bound=NDArray[Any])


class Counts(NamedTuple):
    """By party index, as `World.parties` names them. `evses`: (parties, KINDS), columns by Status."""

    stations: NDArray[np.int64]
    evses: NDArray[np.int64]


class Tally:
    """An observer of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stations: NDArray[np.int64] = np.zeros(0, np.int64)
        self._evses: NDArray[np.int64] = np.zeros(0, np.int64)  # party * KINDS + status
        self._party: NDArray[np.int32] = np.zeros(0, np.int32)  # by station row: counted for which, or UNCOUNTED
        self._place: NDArray[np.int32] = np.zeros(0, np.int32)  # by EVSE row: counted where in _evses, or UNCOUNTED
        self._due: NDArray[np.bool_] = np.zeros(0, np.bool_)  # by station row
        self._make_room()
        self._due[world.shown_rows()] = True
        world.observe(self)

    # -- what the world tells -----------------------------------------------------------------------------------------

    def changed(self, rows: Rows) -> None:
        self._make_room()
        self._due[rows] = True

    def confirmed(self, rows: Rows) -> None:
        """Whatever looks different by it is told as changed."""

    def reshaped(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        """Those that go are taken out here and now: later their EVSE rows may be another station's."""
        self._make_room()
        counted = rows[self._party[rows] != UNCOUNTED]
        if len(counted):
            self._take_out(counted)
        self._due[rows] = True

    # -- counting -----------------------------------------------------------------------------------------------------

    def catch_up(self) -> bool:
        """Counts a slice of what changed; True once nothing is left, and `counts` is exact."""
        rows = np.flatnonzero(self._due)[:ROWS_AT_ONCE].astype(np.int32)
        self._due[rows] = False
        self._take_out(rows[self._party[rows] != UNCOUNTED])
        self._put_in(rows[self._world.stations.shown[rows]])
        return len(rows) < ROWS_AT_ONCE

    def counts(self) -> Counts:
        return Counts(self._stations, self._evses.reshape(-1, KINDS))

    def _take_out(self, rows: Rows) -> None:
        s = self._world.stations
        evses = runs(s.first[rows], s.slots[rows])
        self._stations -= np.bincount(self._party[rows], minlength=len(self._stations))
        self._evses -= np.bincount(self._place[evses], minlength=len(self._evses))
        self._party[rows] = self._place[evses] = UNCOUNTED

    def _put_in(self, rows: Rows) -> None:
        s, e = self._world.stations, self._world.evses
        first, slots, party = s.first[rows], s.slots[rows], s.party[rows]
        evses = runs(first, slots)
        status = e.status[evses]
        shown = np.where(e.live[evses] | (status == Status.REMOVED), status, np.uint8(Status.UNKNOWN))
        place = np.repeat(party * np.int32(KINDS), slots) + shown
        self._stations += np.bincount(party, minlength=len(self._stations))
        self._evses += np.bincount(place, minlength=len(self._evses))
        self._party[rows], self._place[evses] = party, place

    def _make_room(self) -> None:
        world = self._world
        if len(self._party) < world.stations.capacity:
            self._party = _grown(self._party, world.stations.capacity, UNCOUNTED)
            self._due = _grown(self._due, world.stations.capacity, 0)
        if len(self._place) < world.evses.capacity:
            self._place = _grown(self._place, world.evses.capacity, UNCOUNTED)
        if len(self._stations) < len(world.parties):
            self._stations = _grown(self._stations, len(world.parties), 0)
            self._evses = _grown(self._evses, len(world.parties) * KINDS, 0)


def _grown(column: Column, size: int, fill: int) -> Column:
    more: Column = np.full(size - len(column), fill, column.dtype)  # type: ignore[assignment]
    return np.concatenate((column, more))  # type: ignore[return-value]
