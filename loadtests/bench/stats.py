"""The few statistics that the benchmark publishes. Rounds of contenders are taken in turns, so ratios are taken round by
round: what slows the machine down for a while slows both sides of a pair."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """Several measurements of one thing."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{readable(self.median)} ({readable(self.low)} to {readable(self.high)})"


def spread(values: Sequence[float]) -> Spread:
    """ValueError without values."""
    if not values:
        raise ValueError("nothing was measured")
    return Spread(statistics.median(values), min(values), max(values))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours / theirs, round by round. ValueError if the rounds do not pair up."""
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} rounds cannot be paired with {len(theirs)}")
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])


def percentile(values: Sequence[float], p: float) -> float:
    """The smallest value that at least p percent of the values do not exceed (nearest rank). ValueError without values."""
    if not values or not 0 <= p <= 100:
        raise ValueError(f"no percentile {p} of {len(values)} values")
    ordered = sorted(values)
    rank = -(-len(ordered) * p // 100)  # rounded up
    return ordered[max(0, int(rank) - 1)]


def readable(value: float) -> str:
    """Three significant digits, thousands set apart; whole numbers from 100 on."""
    if value != value:  # NaN
        return "–"
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    if abs(value) >= 9.995:
        return f"{value:.1f}"
    if abs(value) >= 0.9995 or value == 0:
        return f"{value:.2f}".rstrip("0").rstrip(".") if value == 0 else f"{value:.2f}"
    return f"{value:.3f}"
