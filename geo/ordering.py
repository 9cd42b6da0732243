"""The ordering rule of status updates: which of two reports of one EVSE stands.

One pure function, run against tests/vectors/ordering.json; sql/functions/apply_statuses.sql follows the same vectors.
Promise R2: per-EVSE order holds under duplicates, retries, late, reordered and skewed input.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from geo.station import Status


class OrderKey(NamedTuple):
    """`order_by = ts`: (source_ts_ms, 0). `order_by = seq`: (source_epoch, source_seq). Compared lexicographically."""

    k1: int
    k2: int = 0


class Verdict(StrEnum):
    APPLIED = "applied"
    CONFIRMED = "confirmed"
    LATE = "late"


class Reported(NamedTuple):
    key: OrderKey
    status: Status


def supersedes(new: Reported, old: Reported | None) -> Verdict:
    """What becomes of `new` when `old` is the last accepted report (None: there was none).

    A lower key is late. The same status with a key not lower confirms. Equal keys with another status: the later
    receipt (`new`) wins. A confirmation advances the key too, so the caller stores `new.key` unless the verdict is LATE.
    """
    if old is None:
        return Verdict.APPLIED
    if new.key < old.key:
        return Verdict.LATE
    return Verdict.CONFIRMED if new.status == old.status else Verdict.APPLIED
