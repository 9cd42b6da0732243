"""Histograms: right to a hundredth, and sums of many lose nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.histogram import Histogram

durations = st.lists(st.floats(2e-6, 60.0), min_size=1, max_size=200)
shares = st.sampled_from((0.0, 0.5, 0.95, 0.99, 1.0))


@given(durations, shares)
def test_a_quantile_is_right_to_a_hundredth(values: list[float], share: float) -> None:
    histogram = Histogram()
    histogram.add(values)
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert histogram.quantile_s(share) == pytest.approx(exact, rel=0.0101)


@given(durations, durations, shares)
def test_merging_packed_histograms_is_as_if_all_had_gone_into_one(
    some: list[float], others: list[float], share: float
) -> None:
    together, merged, part = Histogram(), Histogram(), Histogram()
    together.add(some)
    together.add(others)
    part.add(others)
    merged.add(some)
    merged.merge(part.pack())
    assert merged.quantile_s(share) == together.quantile_s(share)
    assert (merged.count, merged.max_s) == (len(some) + len(others), max(*some, *others))
    assert merged.total_s == pytest.approx(math.fsum(some) + math.fsum(others))


def test_of_nothing_there_is_no_quantile() -> None:
    histogram = Histogram()
    histogram.add([])
    histogram.merge(Histogram().pack())
    assert histogram.quantile_s(0.5) is None
    assert histogram.count == 0
