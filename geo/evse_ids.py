"""Stations by the EVSE id that stands on the charger: `DE*ABC*E1234*5`, with or without separators, in any case.

Ids live in the stations' packed documents only. Reading a million documents takes many seconds, so they are read in
slices, when there is time (`catch_up`), and what is kept of an id is a 64-bit hash beside the row of its station: 12 bytes.
A hit is checked against the document, hence a hash that two ids share, or one left by an older document, costs time and
never a wrong answer.

Two parts: a large sorted one, and the entries of rows read since the last merge, which are scanned. A merge drops what
the large part knew of those rows, so the index does not grow with the number of changes.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo.columns import Rows
from geo.point import Floats
from geo.world import World

MERGE_AT_LEAST = 4096  # entries
WINDOW = 1 << 16  # rows looked through at one time for unread ones: 10 µs
MERGE_FRACTION = 8  # a scan looks at no more than an eighth of the entries: 0.2 ms of 3 million

GONE = -1  # the row of an entry that a later one of the same station replaces

# "+" because DIN 91286 ids begin with one, and a query string turns it into a blank unless it is encoded.
_SEPARATORS = dict.fromkeys(ord(c) for c in map(chr, range(sys.maxunicode + 1)) if c in "*-+" or c.isspace())


class SlotId(NamedTuple):
    slot: int
    evse_id: str


IdsOf = Callable[[bytes], Iterable[SlotId]]
"""The EVSE ids of a packed document."""


def normal(evse_id: str) -> str:
    """The id without what people leave out or add (eMI3 and ISO 15118-2 H.1: separators are optional, case is none)."""
    return evse_id.translate(_SEPARATORS).casefold()


class EvseIds:
    """Observes a world. `ids_of` reads a document, which is packed by a layer above."""

    def __init__(self, world: World, ids_of: IdsOf) -> None:
        self._world = world
        self._ids_of = ids_of
        self._hashes: NDArray[np.int64] = np.zeros(0, np.int64)
        self._rows: Rows = np.zeros(0, np.int32)
        self._new_hashes = array("q")
        self._new_rows = array("i")
        self._is_new: NDArray[np.bool_] = np.zeros(0, np.bool_)  # by row: in the new part, if only to say: no ids
        self._is_unread: NDArray[np.bool_] = np.zeros(0, np.bool_)  # by row
        self._next = 0  # no row below this is unread
        self._note_unread(world.shown_rows())
        world.observe(self)

    @property
    def nbytes(self) -> int:
        by_row = self._is_new.nbytes + self._is_unread.nbytes
        return self._hashes.nbytes + self._rows.nbytes + 12 * len(self._new_hashes) + by_row

    def changed(self, rows: Rows) -> None:
        """A status changes no id; whether an EVSE is REMOVED is asked at a hit."""

    def confirmed(self, rows: Rows) -> None:
        """Nor does a confirmation."""

    def reshaped(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        self._note_unread(rows)

    def catch_up(self, most: int) -> bool:
        """Reads up to so many documents; whether all have been read."""
        while most > 0 and self._next < len(self._is_unread):
            window = self._is_unread[self._next : self._next + WINDOW]
            found = np.flatnonzero(window)[:most]
            self._blank(self._next + found)
            for offset in found.tolist():
                self._take(self._next + offset)
            window[found] = False
            if len(found) < most:
                self._next += len(window)
            most -= len(found)
        if len(self._new_hashes) > max(MERGE_AT_LEAST, len(self._hashes) // MERGE_FRACTION):
            self._merge()
        return self._next >= len(self._is_unread)

    def rows(self, wanted: str) -> list[int]:
        """Stations that have an EVSE of this normal id which is not REMOVED, of those read so far; in rising order."""
        key = hash(wanted)
        low, high = np.searchsorted(self._hashes, key, "left"), np.searchsorted(self._hashes, key, "right")
        found = set(self._rows[low:high].tolist())
        if self._new_hashes:
            hits = np.flatnonzero(np.frombuffer(self._new_hashes, np.int64) == key)
            found.update(self._new_rows[at] for at in hits.tolist())
        found.discard(GONE)
        return sorted(row for row in found if self._has(row, wanted))

    def _has(self, row: int, wanted: str) -> bool:
        if not self._world.stations.shown[row]:
            return False
        slots = {one.slot for one in self._ids_of(self._world.docs[row]) if normal(one.evse_id) == wanted}
        return bool(slots) and any(state.slot in slots for state in self._world.evse_states(row))

    def _note_unread(self, rows: Rows) -> None:
        if len(rows) == 0:
            return
        lacking = self._world.stations.capacity - len(self._is_unread)
        if lacking > 0:
            self._is_unread = np.concatenate((self._is_unread, np.zeros(lacking, np.bool_)))
            self._is_new = np.concatenate((self._is_new, np.zeros(lacking, np.bool_)))
        self._is_unread[rows] = True
        self._next = min(self._next, int(rows.min()))

    def _blank(self, rows: NDArray[np.int64]) -> None:
        """Entries of rows that were read since the last merge already, and are about to be read again."""
        again = rows[self._is_new[rows]]
        if len(again) and self._new_rows:
            known = np.frombuffer(self._new_rows, np.int32)
            known[np.isin(known, again)] = GONE
            del known  # or the array could not grow

    def _take(self, row: int) -> None:
        self._is_new[row] = True
        if not self._world.stations.shown[row]:
            return  # it went; what is known of it goes at the next merge
        hashes = {hash(text) for one in self._ids_of(self._world.docs[row]) if (text := normal(one.evse_id))}
        self._new_hashes.extend(hashes)
        self._new_rows.extend([row] * len(hashes))

    def _merge(self) -> None:
        kept = ~self._is_new[self._rows]
        new_rows = np.frombuffer(self._new_rows, np.int32)
        there = new_rows != GONE
        hashes, rows = self._hashes[kept], self._rows[kept]
        new_hashes, new_rows = np.frombuffer(self._new_hashes, np.int64)[there], new_rows[there]
        order = np.argsort(new_hashes)
        # Only the new part is sorted; sorting all took half a second of 3 million entries.
        places = np.searchsorted(hashes, new_hashes[order])
        self._hashes = np.insert(hashes, places, new_hashes[order])
        self._rows = np.insert(rows, places, new_rows[order])
        self._new_hashes, self._new_rows = array("q"), array("i")
        self._is_new[:] = False
