"""Rows by a 64-bit hash, in two flat arrays: 24 bytes a row where a dictionary and its objects take 130.

Open addressing with linear probing (Knuth, TAOCP 3, 6.4, algorithm L); what is removed leaves a mark, as those behind it must
still be found. Compiled.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_EMPTY, _REMOVED = -1, -2


class HashRows:
    def __init__(self) -> None:
        self._hashes: NDArray[np.uint64] = np.zeros(1024, np.uint64)
        self._rows: NDArray[np.int32] = np.full(1024, _EMPTY, np.int32)
        self._taken = 0  # with those that were removed

    def find(self, hashed: int) -> int:
        """The row, or -1."""
        place = _place_of(self._hashes, self._rows, np.uint64(hashed))
        return int(self._rows[place]) if place >= 0 else -1

    def put(self, hashes: NDArray[np.uint64], rows: NDArray[np.int32]) -> None:
        """A hash that is there already gets the new row."""
        if 2 * (self._taken + len(hashes)) > len(self._rows):
            self._make_room(len(hashes))
        self._taken += _put(self._hashes, self._rows, hashes, rows)

    def remove(self, hashed: int, row: int) -> None:
        """Unless the hash has got another row since."""
        place = _place_of(self._hashes, self._rows, np.uint64(hashed))
        if place >= 0 and self._rows[place] == row:
            self._rows[place] = _REMOVED

    def _make_room(self, more: int) -> None:
        there = np.flatnonzero(self._rows >= 0)
        hashes, rows = self._hashes[there], self._rows[there]
        size = len(self._rows)
        while 3 * (len(there) + more) > size:
            size *= 2
        self._hashes, self._rows = np.zeros(size, np.uint64), np.full(size, _EMPTY, np.int32)
        self._taken = _put(self._hashes, self._rows, hashes, rows)


# -- compiled; sizes are powers of two --------------------------------------------------------------------------------------


@njit(cache=True)
def _place_of(hashes: NDArray[np.uint64], rows: NDArray[np.int32], hashed: np.uint64) -> np.int64:
    """-1 where it is not."""
    mask = np.uint64(len(rows) - 1)
    place = hashed & mask
    while rows[place] != _EMPTY:
        if rows[place] != _REMOVED and hashes[place] == hashed:
            return np.int64(place)
        place = (place + np.uint64(1)) & mask
    return np.int64(-1)


@njit(cache=True)
def _put(
    hashes: NDArray[np.uint64], rows: NDArray[np.int32], new_hashes: NDArray[np.uint64], new_rows: NDArray[np.int32]
) -> int:
    """How many places that were empty are taken now."""
    mask, taken = np.uint64(len(rows) - 1), 0
    for i in range(len(new_hashes)):
        hashed = new_hashes[i]
        known = _place_of(hashes, rows, hashed)
        if known >= 0:
            rows[known] = new_rows[i]
            continue
        place = hashed & mask
        while rows[place] >= 0:
            place = (place + np.uint64(1)) & mask
        if rows[place] == _EMPTY:
            taken += 1
        hashes[place], rows[place] = hashed, new_rows[i]
    return taken
