"""Which row of the world's columns is whose: stations by key and by `num`, and the rows that can be used again.

Invariants
  * A row is in the book of nums exactly while a station stands in it, and in the book of keys too, unless another `num` has
    taken its key since (another lineage of the database): then the key is the later one's.
  * Keys are found by their hash of 64 bits and then compared: of two that share one (3 in 10^8 that any of a million do)
    only the later would be found.
  * An EVSE hole is used again only by a station of just as many slots, so that a station's EVSE rows stay together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from geo.columns import EvseTable, Rows
from geo.hash_rows import HashRows
from geo.texts import Texts


class RowBook:
    def __init__(self) -> None:
        self._keys = Texts()
        self._by_hash = HashRows()
        self._by_num: NDArray[np.int32] = np.full(1024, -1, np.int32)
        self._free: list[int] = []
        self._holes: dict[int, list[int]] = {}  # EVSE rows left by stations, by length

    # -- reading ------------------------------------------------------------------------------------------------------

    @property
    def num_limit(self) -> int:
        """Every station's num is below this."""
        return len(self._by_num)

    def find(self, key: str) -> int | None:
        """The row of a station by its case-folded key."""
        row = self._by_hash.find(xxhash.xxh3_64_intdigest(key.encode("utf-8", "surrogatepass")))
        return row if row >= 0 and self.key(row) == key else None

    def key(self, row: int) -> str:
        """Of the station that stands, or stood last, in this row."""
        return self._keys[row].decode()

    def row_of(self, num: int) -> int:
        """-1 where there is none."""
        return int(self._by_num[num]) if num < len(self._by_num) else -1

    def rows_of(self, nums: NDArray[np.int64]) -> Rows:
        """Rows by `num`; -1 where there is none."""
        known = nums < len(self._by_num)
        return np.where(known, self._by_num[np.where(known, nums, 0)], -1).astype(np.int32)

    def rows_between(self, start: int, stop: int) -> Rows:
        """Rows of the stations with start <= num < stop, in order of num."""
        rows = self._by_num[start:stop]
        return rows[rows >= 0]

    # -- writing ------------------------------------------------------------------------------------------------------

    def enter(self, keys: Sequence[str], nums: Sequence[int], rows: Rows) -> None:
        """Stations with different keys."""
        most = max(nums, default=-1)
        if most >= len(self._by_num):
            grown = np.full(max(most + 1, 2 * len(self._by_num)), -1, np.int32)
            grown[: len(self._by_num)] = self._by_num
            self._by_num = grown
        self._by_num[list(nums)] = rows
        texts = [key.encode() for key in keys]
        self._keys.put(rows, texts)
        self._by_hash.put(np.array([xxhash.xxh3_64_intdigest(text) for text in texts], np.uint64), rows)

    def leave(self, num: int, row: int, first: int, slots: int) -> None:
        """The station leaves `row` and the EVSE rows from `first` on."""
        self._by_num[num] = -1
        self._by_hash.remove(xxhash.xxh3_64_intdigest(self._keys[row]), row)
        self._free.append(row)
        self._holes.setdefault(slots, []).append(first)

    def reuse(self, count: int) -> list[int]:
        """At most so many rows that stand empty."""
        return [self._free.pop() for _ in range(min(count, len(self._free)))]

    def claim_evses(self, evses: EvseTable, slots: list[int]) -> NDArray[np.int32]:
        """The first EVSE row for each station: a hole of just that size, else new rows at the end."""
        first = []
        for count in slots:
            hole = self._holes.get(count)
            if hole:
                first.append(hole.pop())
            else:
                first.append(evses.size)
                evses.size += count
        evses.reserve(evses.size)
        return np.array(first, np.int32)
