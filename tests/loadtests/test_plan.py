"""The plan of arrivals: open loop, seeded, a Poisson process of the shape's rate, shared out without loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.plan import RAMP_STEPS, SHAPES, SPIKE_BASE, Piece, Plan, parse_duration

shapes = st.sampled_from(sorted(SHAPES))


@given(shapes, st.floats(1, 400), st.floats(1, 30), st.integers(0, 2**31), st.integers(1, 5))
@settings(max_examples=40)
def test_the_parts_of_all_load_generators_are_the_plan(
    shape: str, rate: float, duration_s: float, seed: int, of: int
) -> None:
    plan = Plan(shape, rate, duration_s, warm_up_s=2.0, seed=seed)
    whole = list(plan.instants())
    parts = [list(plan.instants(position, of)) for position in range(of)]
    assert sorted(arrival for part in parts for arrival in part) == whole
    assert all(abs(len(part) - len(whole) / of) <= 1 for part in parts)
    assert [number for number, _ in whole] == list(range(len(whole)))


def test_a_long_plan_is_one_sequence() -> None:
    """It is drawn in chunks, which nobody may notice: neither in the instants nor in who serves which."""
    plan = Plan("steady", 2000.0, 8.0, seed=11)
    whole = list(plan.instants())
    drawn = np.cumsum(np.random.default_rng(11).exponential(size=20_000)) / 2000.0
    assert [at for _, at in whole] == pytest.approx(drawn[drawn < 8.0].tolist())
    assert list(plan.instants(1, 3)) == whole[1::3]


@given(shapes, st.floats(1, 400), st.floats(1, 30), st.integers(0, 2**31))
@settings(max_examples=40)
def test_arrivals_are_in_order_and_within_the_run(shape: str, rate: float, duration_s: float, seed: int) -> None:
    plan = Plan(shape, rate, duration_s, warm_up_s=1.5, seed=seed)
    instants = [at for _, at in plan.instants()]
    assert instants == sorted(instants)
    assert all(-1.5 <= at < duration_s for at in instants)
    assert sum(plan.offered()) == sum(at >= 0 for at in instants)
    assert len(plan.offered()) == math.ceil(duration_s)


@pytest.mark.parametrize("shape", SHAPES)
def test_as_many_arrive_as_the_rate_promises_in_every_part_of_the_run(shape: str) -> None:
    """Of 40,000 or more arrivals, each tenth of the run has its share within five standard deviations."""
    plan = Plan(shape, 2000.0, 40.0, seed=7)
    counts = np.array(plan.offered()).reshape(10, -1).sum(axis=1)
    for index, count in enumerate(counts.tolist()):
        expected = sum(
            overlap * (piece.rate_from + piece.rate_to) / 2
            for piece in plan.steps
            if (overlap := min(piece.end_s, 4.0 * index + 4) - max(piece.start_s, 4.0 * index)) > 0
        )
        assert abs(count - expected) < 5 * math.sqrt(expected)


def test_a_sloping_rate_is_followed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """No shape has a slope yet; the inverse of its integral is there all the same: 0 to 1,000/s over 20 s."""
    slope = SHAPES["steady"]._replace(pieces=lambda rate, duration_s: [Piece(0.0, duration_s, 0.0, rate)])
    monkeypatch.setitem(SHAPES, "slope", slope)
    counts = Plan("slope", 1000.0, 20.0, seed=3).offered()
    assert abs(sum(counts) - 10_000) < 5 * math.sqrt(10_000)
    assert abs(sum(counts[:10]) - 2_500) < 5 * math.sqrt(2_500)


def test_gaps_are_those_of_drivers_who_do_not_know_of_one_another() -> None:
    """Exponential gaps: the standard deviation is the mean, and one in e is longer than it."""
    instants = np.array([at for _, at in Plan("steady", 1000.0, 20.0, seed=5).instants()])
    gaps = np.diff(instants)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert (gaps > gaps.mean()).mean() == pytest.approx(1 / math.e, abs=0.02)


def test_equal_seeds_make_equal_plans_and_others_do_not() -> None:
    plans = [list(Plan("spike", 50.0, 10.0, seed=seed).instants()) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


def test_the_shapes_are_what_they_are_called() -> None:
    ramp = Plan("ramp", 800.0, 80.0).steps
    assert [piece.rate_from for piece in ramp] == [100.0 * (i + 1) for i in range(RAMP_STEPS)]
    assert all(piece.end_s - piece.start_s == 10.0 for piece in ramp)
    assert [piece.rate_from for piece in Plan("spike", 100.0, 10.0).steps] == [100 * SPIKE_BASE, 100, 100 * SPIKE_BASE]
    assert [(p.rate_from, p.rate_to) for p in Plan("soak", 9.0, 10.0).steps] == [(9.0, 9.0)]


def test_the_warm_up_has_the_rate_of_the_beginning() -> None:
    early = [at for _, at in Plan("ramp", 8000.0, 8.0, warm_up_s=4.0).instants() if at < 0]
    assert abs(len(early) - 4000) < 5 * math.sqrt(4000)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5", 1.5), ("5m", 300), ("1h30m", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "five", "-3", "3d", "m"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"a duration"):
        parse_duration(text)


def test_a_rate_is_above_zero() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Plan("steady", 0.0, 1.0)
