"""The figures of S5 and S6: seconds, backlogs, growth, and who was the bottleneck."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.bench.ingest.s5 import bottleneck
from loadtests.bench.ingest.series import by_second, growth, outstanding, p99, per_second, quantiles
from loadtests.bench.ingest.watch import Sample, cores, parse, series, told_cores, within


def test_seconds_without_a_value_are_left_out_of_figures_and_are_zero_in_sums() -> None:
    points = [(0.2, 1.0), (0.9, 3.0), (2.0, 5.0), (7.5, 1.0)]
    assert by_second(points, max) == [[0, 3.0], [2, 5.0], [7, 1.0]]
    assert per_second(points, 4.0) == [[0, 4.0], [1, 0.0], [2, 5.0], [3, 0.0]]


def test_quantiles_have_their_names_and_the_largest() -> None:
    values = [float(k) for k in range(1, 1001)]
    random.Random(1).shuffle(values)
    assert quantiles(values, ("p50", "p99", "p99.9")) == {"p50": 500, "p99": 990, "p99.9": 999, "max": 1000}
    assert p99([5.0]) == 5.0
    with pytest.raises(ValueError, match="no percentile"):
        quantiles([])


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 5000), st.integers(1, 1000)), max_size=50))
def test_what_is_outstanding_is_what_is_due_less_what_is_acknowledged(acks: list[tuple[float, float, int]]) -> None:
    for second, left in outstanding(acks, 60.0):
        due = sum(size for at, _, size in acks if math.ceil(at) <= second)
        done = sum(size for at, ms, size in acks if math.ceil(at + ms / 1000) <= second)
        assert left == due - done


def test_a_flat_backlog_does_not_grow_whatever_its_last_value_is() -> None:
    flat = [(float(k), 100.0 if k % 2 else 0.0) for k in range(101)]
    assert abs(growth(flat)) < 2
    assert growth([*flat[:-1], (100.0, 3000.0)]) < 200
    assert growth([(float(k), 50.0 * k) for k in range(11)]) == pytest.approx(500.0)
    assert growth([(1.0, 5.0)]) == growth([]) == growth([(1.0, 5.0), (1.0, 9.0)]) == 0.0


def test_metrics_are_summed_over_processes_and_the_worst_lag_counts() -> None:
    page = (
        "# HELP x y\n"
        'mapsvc_ingest_waiting_rows{process="ingest"} 12.0\n'
        'mapsvc_relay_backlog_rows{process="relay"} 3.0\n'
        'mapsvc_relay_backlog_rows{process="relay-2"} 4.0\n'
        'mapsvc_replica_lag_seconds{process="serve-1"} 0.012\n'
        'mapsvc_replica_lag_seconds{process="serve-2"} 0.25\n'
    )
    assert parse(page) == (12.0, 7.0, 250.0)
    assert parse("") == (0.0, 0.0, 0.0)


def test_cores_are_what_a_role_used_over_the_time_that_passed() -> None:
    samples = [Sample(100.0 + k, 10.0 * k, 0.0, 1.0, {"ingest": 5.0 + 0.2 * k, "relay": 0.1 * k}) for k in range(11)]
    assert cores(samples) == pytest.approx({"ingest": 0.2, "relay": 0.1})
    assert cores(samples[:1]) == {}
    assert told_cores(cores(samples)) == "ingest 0.20, relay 0.10"
    assert [one.epoch_s for one in within(samples, 102.5, 105.0)] == [103.0, 104.0, 105.0]
    assert series(samples[:2], "waiting_rows", 99.0) == [[1.0, 0.0], [2.0, 10.0]]


def test_the_bottleneck_is_who_was_busy_to_the_limit() -> None:
    used = {"ingest": 0.3, "postgres": 0.5, "producer": 0.1}
    assert bottleneck(used, [1.0] * 100, 0.5) == "none (cores 50 % busy)"
    assert bottleneck(used, [1.0] * 100, 0.97) == "all cores"
    assert bottleneck({**used, "ingest": 0.95}, [1.0], 0.7) == "ingest"
    assert bottleneck({**used, "producer": 0.95}, [1.0], 0.97) == "the producer"
    assert bottleneck(used, [1.0] * 90 + [90.0] * 10, 0.5) == "the producer", "late though the cores were free"
    assert bottleneck(used, [1.0] * 90 + [90.0] * 10, 0.97) == "all cores", "late like everybody else"
