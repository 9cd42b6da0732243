"""A text for each row, end to end in one array of bytes: compiled code may copy them (geo.summary_json), and a million cost
50 MB less than as objects.

A text that is replaced or dropped leaves dead bytes behind; when these are the larger part, the living ones move together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

COMPACT_FROM = 1 << 20  # dead bytes
GROWTH = 32  # room is made for so small a part more


class Texts:
    """Rows that have none are empty. `data`, `begin` and `length` are for reading, until the next `put`."""

    def __init__(self) -> None:
        self.data: NDArray[np.uint8] = np.zeros(1024, np.uint8)
        self.begin: NDArray[np.int64] = np.zeros(64, np.int64)
        self.length: NDArray[np.int32] = np.zeros(64, np.int32)
        self._used = 0
        self._dead = 0

    def put(self, rows: NDArray[np.int32], texts: Sequence[bytes]) -> None:
        """Each row at most once."""
        if len(rows) == 0:
            return
        joined = np.frombuffer(b"".join(texts), np.uint8)
        self._reserve(int(rows.max()) + 1, len(joined))
        length = np.array([len(text) for text in texts], np.int32)
        self._dead += int(self.length[rows].sum())
        self.begin[rows], self.length[rows] = self._used + np.cumsum(length) - length, length
        self.data[self._used : self._used + len(joined)] = joined
        self._used += len(joined)
        if self._dead > max(COMPACT_FROM, self._used // 2):
            self.compact()

    def drop(self, rows: NDArray[np.int32]) -> None:
        rows = rows[rows < len(self.length)]
        self._dead += int(self.length[rows].sum())
        self.length[rows] = 0

    def __getitem__(self, row: int) -> bytes:
        begin = int(self.begin[row])
        return self.data[begin : begin + int(self.length[row])].tobytes()

    def _reserve(self, rows: int, more: int) -> None:
        if rows > len(self.begin):
            # In place, as the system remaps large blocks: no second copy stands beside the first while it grows.
            self.begin.resize(rows + rows // GROWTH, refcheck=False)
            self.length.resize(len(self.begin), refcheck=False)
        if self._used + more > len(self.data):
            need = self._used + more
            self.data.resize(need + need // GROWTH, refcheck=False)

    def compact(self) -> None:
        """In place, as a second copy might not fit beside the first."""
        rows = np.flatnonzero(self.length)
        rows = rows[np.argsort(self.begin[rows])]
        self._used, self._dead = _move_together(self.data, self.begin, self.length, rows), 0
        self.data.resize(self._used + self._used // GROWTH + 1024, refcheck=False)


@njit(cache=True)
def _move_together(
    data: NDArray[np.uint8], begin: NDArray[np.int64], length: NDArray[np.int32], rows: NDArray[np.int64]
) -> int:
    """`rows` by rising `begin`, so that every text moves to the front or stays. Returns how many bytes there are."""
    used = 0
    for row in rows:
        for i in range(length[row]):
            data[used + i] = data[begin[row] + i]
        begin[row] = used
        used += length[row]
    return used
