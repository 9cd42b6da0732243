"""Medians, ratios round by round, percentiles, and how numbers are written."""

from __future__ import annotations

import pytest

from loadtests.bench.stats import Spread, percentile, ratio, readable, spread


def test_a_spread_is_median_and_range() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert spread([4.0, 1.0]) == Spread(2.5, 1.0, 4.0)
    with pytest.raises(ValueError, match="nothing"):
        spread([])


def test_ratios_are_taken_round_by_round_so_a_slow_moment_hits_both() -> None:
    assert ratio([100.0, 10.0, 100.0], [50.0, 5.0, 50.0]) == Spread(2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="paired"):
        ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize(("p", "expected"), [(0, 1), (1, 1), (50, 50), (99, 99), (100, 100)])
def test_percentiles_by_nearest_rank(p: float, expected: float) -> None:
    assert percentile([float(k) for k in range(100, 0, -1)], p) == expected


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 99) == percentile([7.0], 0) == 7.0
    with pytest.raises(ValueError, match="percentile"):
        percentile([], 50)


@pytest.mark.parametrize(
    ("value", "text"),
    [(36_123.4, "36,123"), (100, "100"), (99.96, "100"), (28.64, "28.6"), (1.234, "1.23"), (0.0864, "0.086"), (0, "0"),
     (-1.5, "-1.50"), (float("nan"), "–"), (9.996, "10.0")],
)  # fmt: skip
def test_numbers_are_written_with_three_digits(value: float, text: str) -> None:
    assert readable(value) == text
