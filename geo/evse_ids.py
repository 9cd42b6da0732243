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
MERGE_FRACTION = 8  # a scan looks at no more than an eighth of the entries: 0.2 ms of 3 million

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
        self._read: set[int] = set()  # rows of the new part, those without ids included
        self._unread: dict[int, None] = dict.fromkeys(world.shown_rows().tolist())  # in order
        world.observe(self)

    @property
    def nbytes(self) -> int:
        return self._hashes.nbytes + self._rows.nbytes + 12 * len(self._new_hashes)

    def changed(self, rows: Rows) -> None:
        """A status changes no id; whether an EVSE is REMOVED is asked at a hit."""

    def confirmed(self, rows: Rows) -> None:
        """Nor does a confirmation."""

    def reshaped(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        self._unread.update(dict.fromkeys(rows.tolist()))

    def catch_up(self, most: int) -> bool:
        """Reads up to so many documents; whether all have been read."""
        for _ in range(min(most, len(self._unread))):
            row = next(iter(self._unread))
            del self._unread[row]
            self._take(row)
        if len(self._new_hashes) > max(MERGE_AT_LEAST, len(self._hashes) // MERGE_FRACTION):
            self._merge()
        return not self._unread

    def rows(self, wanted: str) -> list[int]:
        """Stations that have an EVSE of this normal id which is not REMOVED, of those read so far; in rising order."""
        key = hash(wanted)
        low, high = np.searchsorted(self._hashes, key, "left"), np.searchsorted(self._hashes, key, "right")
        found = set(self._rows[low:high].tolist())
        if self._new_hashes:
            hits = np.flatnonzero(np.frombuffer(self._new_hashes, np.int64) == key)
            found.update(self._new_rows[at] for at in hits.tolist())
        return sorted(row for row in found if self._has(row, wanted))

    def _has(self, row: int, wanted: str) -> bool:
        if not self._world.stations.shown[row]:
            return False
        slots = {one.slot for one in self._ids_of(self._world.docs[row]) if normal(one.evse_id) == wanted}
        return bool(slots) and any(state.slot in slots for state in self._world.evse_states(row))

    def _take(self, row: int) -> None:
        self._read.add(row)
        if not self._world.stations.shown[row]:
            return  # it went; what is known of it goes at the next merge
        hashes = {hash(text) for one in self._ids_of(self._world.docs[row]) if (text := normal(one.evse_id))}
        self._new_hashes.extend(hashes)
        self._new_rows.extend([row] * len(hashes))

    def _merge(self) -> None:
        read = np.zeros(self._world.stations.size, np.bool_)
        read[np.fromiter(self._read, np.int64, len(self._read))] = True
        kept = ~read[self._rows]
        hashes = np.concatenate((self._hashes[kept], np.frombuffer(self._new_hashes, np.int64)))
        rows = np.concatenate((self._rows[kept], np.frombuffer(self._new_rows, np.int32)))
        order = np.argsort(hashes, kind="stable")  # finds sorted stretches, so this is linear but for the new part
        self._hashes, self._rows = hashes[order], rows[order]
        self._new_hashes, self._new_rows = array("q"), array("i")
        self._read.clear()
