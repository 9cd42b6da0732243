"""The replica's memory: one row per station, one row per EVSE, as numpy columns.

A million stations as Python objects would cost gigabytes and make every scan a crawl; as columns they cost about
130 bytes a station and 35 an EVSE, and a batch of updates is a handful of vector operations.
A row number is stable while its station exists; a removed station's row is reused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int32]
NEVER_MS = np.iinfo(np.int64).max


class Table:
    """Named columns of one capacity that doubles when full. Columns are attributes; new cells are zero."""

    def __init__(self, capacity: int, columns: dict[str, Any]) -> None:
        self.size = 0
        self.capacity = capacity
        self._dtypes = columns
        for name, dtype in columns.items():
            setattr(self, name, np.zeros(capacity, dtype))

    def reserve(self, rows: int) -> None:
        """Makes room for `rows` rows in all."""
        if rows <= self.capacity:
            return
        capacity = max(rows, self.capacity + self.capacity // 2)
        for name, dtype in self._dtypes.items():
            grown = np.zeros(capacity, dtype)
            old = getattr(self, name)
            grown[: len(old)] = old
            setattr(self, name, grown)
        self.capacity = capacity

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, name).nbytes for name in self._dtypes)


class StationTable(Table):
    num: NDArray[np.int64]
    n: NDArray[np.int64]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    xyz: NDArray[np.float64]  # unit vector, (capacity, 3)
    grid_x: NDArray[np.uint32]  # geo.tilemath.grid_position
    grid_y: NDArray[np.uint32]
    cell: NDArray[np.uint64]  # H3, of geo.spatial.FINE_RES
    shard: NDArray[np.uint8]
    party: NDArray[np.int32]
    operator: NDArray[np.int32]
    facilities: NDArray[np.uint64]
    profile: NDArray[np.int32]
    schedule: NDArray[np.int32]
    first: NDArray[np.int32]  # first EVSE row
    slots: NDArray[np.int32]  # EVSE rows, one a slot
    shown: NDArray[np.bool_]  # a station stands here
    masks: NDArray[np.uint32]  # (capacity, 4): slots by Availability (UNKNOWN, FREE, BUSY, OUT_OF_SERVICE)
    counts: NDArray[np.uint16]  # (capacity, 4): the same counted, slots beyond those of a mask included
    max_kw: NDArray[np.float32]
    changed_ms: NDArray[np.int64]  # the latest of its EVSEs that ever reported; 0: none did
    seen_ms: NDArray[np.int64]  # likewise

    def __init__(self, capacity: int = 1024) -> None:
        super().__init__(
            capacity,
            {
                "num": np.int64, "n": np.int64, "lat": np.float64, "lon": np.float64, "xyz": (np.float64, 3),
                "grid_x": np.uint32, "grid_y": np.uint32, "cell": np.uint64, "shard": np.uint8, "party": np.int32,
                "operator": np.int32, "facilities": np.uint64, "profile": np.int32, "schedule": np.int32, "first": np.int32,
                "slots": np.int32, "shown": np.bool_,
                "masks": (np.uint32, 4), "counts": (np.uint16, 4), "max_kw": np.float32,
                "changed_ms": np.int64,
                "seen_ms": np.int64,
            },
        )  # fmt: skip


class EvseTable(Table):
    station: NDArray[np.int32]  # row of its station; -1: a hole
    n: NDArray[np.int64]
    changed_ms: NDArray[np.int64]
    seen_ms: NDArray[np.int64]
    expires_ms: NDArray[np.int64]  # NEVER_MS: no TTL applies
    status: NDArray[np.uint8]  # as reported
    live: NDArray[np.bool_]  # within its TTL; else shown as UNKNOWN

    def __init__(self, capacity: int = 4096) -> None:
        super().__init__(
            capacity,
            {
                "station": np.int32, "n": np.int64, "changed_ms": np.int64, "seen_ms": np.int64,
                "expires_ms": np.int64, "status": np.uint8, "live": np.bool_,
            },
        )  # fmt: skip


def runs(first: NDArray[np.int32], length: NDArray[np.int32]) -> NDArray[np.int64]:
    """The concatenated ranges [first_i, first_i + length_i), without a Python loop."""
    total = int(length.sum())
    if total == 0:
        return np.zeros(0, np.int64)
    ends = np.cumsum(length)
    starts = np.repeat(first.astype(np.int64) - (ends - length), length)
    return starts + np.arange(total)
