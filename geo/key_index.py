"""Row numbers by a 64-bit key, kept in sorted arrays: 12 bytes an entry, where a dictionary would take a hundred.

Two sorted parts: a large one, and a small one that takes in new keys. When the small part outgrows a fraction of the
large one they are merged, so that adding costs amortised time in proportion to what is added, not to what is there.
"""

from __future__ import annotations

from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from geo.columns import runs

Key = TypeVar("Key", np.int64, np.uint64)
Slots = NDArray[np.int32]
Part: TypeAlias = tuple[NDArray[Key], Slots]

MERGE_AT_LEAST = 1024  # keys; below this a merge costs less than the overhead of numpy calls
MERGE_FRACTION = 16  # so a key is moved about 16 times while an index grows e-fold


class KeyIndex(Generic[Key]):
    """Keys may repeat, except where `find` is used. Entries are never removed: rows stay in place when they empty."""

    def __init__(self, keys: NDArray[Key]) -> None:
        """Row i has keys[i]."""
        self._size = len(keys)
        self._large: Part[Key] = _sorted(keys, np.arange(len(keys), dtype=np.int32))
        self._small: Part[Key] = (keys[:0], np.zeros(0, np.int32))

    def append(self, keys: NDArray[Key]) -> None:
        """The next rows have these keys."""
        rows = np.arange(self._size, self._size + len(keys), dtype=np.int32)
        self._size += len(keys)
        self._small = _merged(self._small, (keys, rows))
        if len(self._small[0]) > max(MERGE_AT_LEAST, len(self._large[0]) // MERGE_FRACTION):
            self._large, self._small = _merged(self._large, self._small), (keys[:0], rows[:0])

    def find(self, keys: NDArray[Key]) -> Slots:
        """The row of each key, -1 where there is none."""
        found = np.full(len(keys), -1, np.int32)
        for part_keys, part_rows in (self._large, self._small):
            if len(part_keys):
                at = np.searchsorted(part_keys, keys)
                at[at == len(part_keys)] = 0
                hit = part_keys[at] == keys
                found[hit] = part_rows[at[hit]]
        return found

    def between(self, low: NDArray[Key], high: NDArray[Key]) -> Slots:
        """Rows whose key is in any of the ranges [low_i, high_i), in no particular order."""
        found = []
        for part_keys, part_rows in (self._large, self._small):
            first = np.searchsorted(part_keys, low).astype(np.int32)
            length = np.searchsorted(part_keys, high).astype(np.int32) - first
            found.append(part_rows[runs(first, length)])
        return np.concatenate(found)


def _sorted(keys: NDArray[Key], rows: Slots) -> Part[Key]:
    order = np.argsort(keys, kind="stable")  # finds sorted stretches, so merging two of them is linear
    return keys[order], rows[order]


def _merged(one: Part[Key], other: Part[Key]) -> Part[Key]:
    return _sorted(np.concatenate((one[0], other[0])), np.concatenate((one[1], other[1])))
