"""Rows by a key, for finding all between two keys: two sorted arrays, 12 bytes a row, where buckets would take a hundred.

Data      two parts, each sorted: a large one, and a small one that takes in what comes. When the small one outgrows a fraction
          of the large one they are merged, so that adding costs in proportion to what is added.
Invariant each row that was added and not removed stands in exactly one place; who was removed leaves a hole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from geo.columns import Rows, runs

HOLE = -1
SMALL_AT_LEAST, SMALL_FRACTION = 2048, 64

Key = TypeVar("Key", np.float64, np.int64, np.uint64)


class Part(NamedTuple):
    keys: NDArray[Any]  # rising
    rows: Rows  # or HOLE


class SortedRows(Generic[Key]):
    """Keys may repeat. A pair of key and row is there once at most."""

    def __init__(self, key_type: DTypeLike) -> None:
        self._nothing: Part = Part(np.zeros(0, key_type), np.zeros(0, np.int32))
        self._large: Part = self._nothing
        self._small: Part = self._nothing
        self._coming: list[Part] = []

    def __len__(self) -> int:
        """Rows and holes."""
        return sum(len(part.rows) for part in (self._large, self._small, *self._coming))

    def parts(self) -> tuple[Part, Part]:
        """The large one, the same object until it is made anew, and the small one. For reading, until the next change."""
        if self._coming:
            self._small = _merged([self._small, *self._coming])
            self._coming.clear()
            if len(self._small.rows) > max(SMALL_AT_LEAST, len(self._large.rows) // SMALL_FRACTION):
                self._large, self._small = _merged([self._large, self._small]), self._nothing
        return self._large, self._small

    def add(self, keys: NDArray[Key], rows: Rows) -> None:
        self._coming.append(Part(keys, rows))

    def remove(self, key: float, row: int) -> None:
        """Raises KeyError for one that is not there."""
        for part in self.parts():
            exact = part.keys.dtype.type(key)
            for place in range(int(part.keys.searchsorted(exact)), len(part.keys)):
                if part.keys[place] != exact:
                    break
                if part.rows[place] == row:
                    part.rows[place] = HOLE
                    return
        raise KeyError(row)

    def between(self, low: NDArray[Key], high: NDArray[Key]) -> Rows:
        """Those whose key is in any of the ranges [low_i, high_i), which do not overlap; in no particular order."""
        found = []
        for keys, rows in self.parts():
            if len(keys):
                first = np.searchsorted(keys, low).astype(np.int32)
                places = runs(first, np.searchsorted(keys, high).astype(np.int32) - first)
                found.append(rows[places])
        together: Rows = np.concatenate(found) if found else self._nothing.rows
        there: Rows = together[together != HOLE]
        return there

    def those(self, belong: Callable[[Rows], NDArray[np.bool_]]) -> SortedRows[Key]:
        """The same of some of the rows."""
        chosen: SortedRows[Key] = SortedRows(self._nothing.keys.dtype)
        for keys, rows in self.parts():
            there = np.flatnonzero(rows != HOLE)
            some = there[belong(rows[there])]
            if len(some):
                chosen.add(keys[some], rows[some])
        return chosen


def _merged(parts: list[Part]) -> Part:
    keys, rows = np.concatenate([part.keys for part in parts]), np.concatenate([part.rows for part in parts])
    there = np.flatnonzero(rows != HOLE)
    order = there[np.argsort(keys[there], kind="stable")]  # finds sorted stretches, so merging two of them is linear
    return Part(keys[order], rows[order])
