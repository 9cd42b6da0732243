"""Rows by hash against a dictionary, with hashes that collide in every way."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from geo.hash_rows import HashRows
from tests.geo.worlds import TORTURE


@pytest.mark.parametrize("spread", [40, 10**19])
@pytest.mark.parametrize("seed", range(50 if TORTURE else 5))
def test_a_hash_has_the_row_that_it_got_last(seed: int, spread: int) -> None:
    random, table = Random(seed), HashRows()
    # Many share their low bits, which are where the search begins.
    hashes = [random.randrange(spread) * 1024 + random.randrange(2) for _ in range(600)]
    hashes = [hashed % 2**64 for hashed in hashes]
    expected: dict[int, int] = {}
    for step in range(400):
        some = random.sample(hashes, random.randint(1, 30 if step % 50 else 500))
        rows = [random.randrange(10**6) for _ in some]
        if random.random() < 0.5:
            table.put(np.array(some, np.uint64), np.array(rows, np.int32))
            expected |= dict(zip(some, rows, strict=True))
        else:
            for hashed in some:
                row = random.choice((expected.get(hashed, 5), 7))
                table.remove(hashed, row)
                if expected.get(hashed) == row:
                    del expected[hashed]
        for hashed in random.sample(hashes, 50):
            assert table.find(hashed) == expected.get(hashed, -1)


def test_a_row_that_another_took_over_is_not_removed() -> None:
    table = HashRows()
    table.put(np.array([5, 5], np.uint64), np.array([1, 2], np.int32))
    table.remove(5, 1)
    assert table.find(5) == 2
    table.remove(5, 2)
    assert table.find(5) == -1


def test_it_grows_by_what_comes_at_once_and_forgets_what_went() -> None:
    table = HashRows()
    for turn in range(20):
        hashes = np.arange(50_000, dtype=np.uint64) * np.uint64(7919) + np.uint64(turn)
        table.put(hashes, np.arange(50_000, dtype=np.int32))
        for hashed in hashes.tolist():
            table.remove(hashed, table.find(hashed))
    assert len(table._rows) <= 1 << 18
