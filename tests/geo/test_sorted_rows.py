"""Sorted rows against a list of pairs, while they come and go."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

import geo.sorted_rows
from geo.sorted_rows import HOLE, SortedRows
from tests.geo.worlds import TORTURE

DEEP = 1 << 62  # keys beyond what a float tells apart


@pytest.mark.parametrize("small", [1, 20, 10_000])
@pytest.mark.parametrize("key_type", [np.uint64, np.int64])
@pytest.mark.parametrize("seed", range(30 if TORTURE else 3))
def test_ranges_hold_what_was_added_and_not_removed(
    seed: int, key_type: type, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geo.sorted_rows, "SMALL_AT_LEAST", small)
    random = Random(seed)
    index: SortedRows[np.int64] = SortedRows(key_type)
    there: dict[int, int] = {}  # row -> key
    for first in range(0, 600, 6):
        new = {first + i: DEEP + random.randrange(40) for i in range(random.randrange(7))}
        index.add(np.array(list(new.values()), key_type), np.array(list(new), np.int32))
        there |= new
        for row in random.sample(sorted(there), min(len(there), random.randrange(4))):
            index.remove(there.pop(row), row)
        edges = sorted(random.sample(range(-1, 42), 4))
        low, high = np.array(edges[0::2]) + DEEP, np.array(edges[1::2]) + DEEP
        inside = [row for row, key in there.items() if any(a <= key < b for a, b in zip(low, high, strict=True))]
        assert sorted(index.between(low.astype(key_type), high.astype(key_type)).tolist()) == sorted(inside)
        for keys, rows in index.parts():
            assert (keys[1:] >= keys[:-1]).all()
            assert all(there[row] == key for key, row in zip(keys.tolist(), rows.tolist(), strict=True) if row != HOLE)
        assert sum(np.count_nonzero(part.rows != HOLE) for part in index.parts()) == len(there)
        even = index.those(lambda rows: rows % 2 == 0)
        assert len(even) == sum(row % 2 == 0 for row in there)
    for key, row in ((DEEP + 50, 1), (next(iter(there.values())), 10**6)):
        with pytest.raises(KeyError):
            index.remove(key, row)
