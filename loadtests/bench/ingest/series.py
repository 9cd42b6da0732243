"""Figures over time: what a second held, and whether something grows. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from loadtests.bench.stats import percentile

Point = Sequence[float]
"""(seconds since the beginning, value)."""

PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9}


def by_second(points: Iterable[Point], reduce: Callable[[list[float]], float]) -> list[list[float]]:
    """[[second, figure of the values in it], …], seconds without a value left out."""
    seconds: dict[int, list[float]] = {}
    for at_s, value in points:
        seconds.setdefault(int(at_s // 1), []).append(value)
    return [[second, reduce(values)] for second, values in sorted(seconds.items())]


def per_second(points: Iterable[Point], until_s: float) -> list[list[float]]:
    """[[second, sum of the values in it], …] for every whole second of the run; 0 where there was none."""
    sums = dict.fromkeys(range(int(until_s)), 0.0)
    for at_s, value in points:
        if int(at_s // 1) in sums:
            sums[int(at_s // 1)] += value
    return [[second, value] for second, value in sums.items()]


def outstanding(acks: Iterable[Sequence[float]], until_s: float) -> list[list[float]]:
    """[[second, updates due by then and not yet acknowledged], …] of (due at, ms until the acknowledgement, updates)."""
    change: dict[int, float] = dict.fromkeys(range(int(until_s) + 1), 0.0)
    for due_s, ms, updates in acks:
        for at_s, sign in ((due_s, 1), (due_s + ms / 1000, -1)):
            second = max(0, math.ceil(at_s))
            if second in change:
                change[second] += sign * updates
    return [[second, left] for second, left in zip(change, accumulate(change.values()), strict=True)]


def p99(values: list[float]) -> float:
    return percentile(values, 99.0)


def quantiles(values: Sequence[float], names: Iterable[str] = ("p50", "p95", "p99")) -> dict[str, float]:
    """By name, and `max`. ValueError without values."""
    told = {name: round(percentile(values, PERCENTILES[name]), 2) for name in names}
    return {**told, "max": round(max(values), 2)}


def growth(points: Sequence[Point]) -> float:
    """By how much a straight line through the points (least squares) rises from the first to the last; 0 of fewer than two.

    A backlog that is flat has ups and downs and no growth; one that grows has it whatever its last value happens to be."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread == 0:
        return 0.0
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return slope * (points[-1][0] - points[0][0])
