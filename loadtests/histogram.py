"""Durations as counts in buckets that grow by 2 %: a percentile is right to 1 %, whatever it is, and sums of many are exact.

Locust's own statistics round to whole milliseconds, which is too coarse for answers that take a tenth of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

SMALLEST_S = 1e-6
GROWTH = 1.02
BUCKETS = 1024  # up to ten minutes

_LOG_GROWTH = np.log(GROWTH)


class Packed(TypedDict):
    """A histogram as it goes from a load generator to the controller."""

    buckets: list[int]
    counts: list[int]
    total_s: float
    max_s: float


class Histogram:
    def __init__(self) -> None:
        self.counts = np.zeros(BUCKETS, np.int64)
        self.total_s = 0.0
        self.max_s = 0.0

    def add(self, seconds: Sequence[float]) -> None:
        if not seconds:
            return
        values = np.array(seconds, np.float64)
        self.total_s += float(values.sum())
        self.max_s = max(self.max_s, float(values.max()))
        at = np.floor(np.log(np.maximum(values, SMALLEST_S) / SMALLEST_S) / _LOG_GROWTH).astype(np.int64)
        self.counts += np.bincount(np.minimum(at, BUCKETS - 1), minlength=BUCKETS)

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    def merge(self, packed: Packed) -> None:
        self.counts[np.array(packed["buckets"], np.intp)] += np.array(packed["counts"], np.int64)
        self.total_s += packed["total_s"]
        self.max_s = max(self.max_s, packed["max_s"])

    def pack(self) -> Packed:
        buckets = np.flatnonzero(self.counts)
        return {
            "buckets": buckets.tolist(),
            "counts": self.counts[buckets].tolist(),
            "total_s": self.total_s,
            "max_s": self.max_s,
        }

    def quantile_s(self, share: float) -> float | None:
        """The least duration that this share of all does not exceed, in seconds; None of nothing."""
        upto = np.cumsum(self.counts)
        if not upto[-1]:
            return None
        bucket = int(np.searchsorted(upto, max(1, np.ceil(share * upto[-1]))))
        return min(float(SMALLEST_S * GROWTH ** (bucket + 0.5)), self.max_s)
