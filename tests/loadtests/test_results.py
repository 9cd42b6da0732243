"""From frames to figures and verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from loadtests.options import Options
from loadtests.server_metrics import Sample
from loadtests.thresholds import Reached, judge
from tests.loadtests.results_of import frame, results, run_of, served_in_full, session_row

STEADY = Options(rate=50.0, duration="10")


def verdicts(told: dict[str, Any]) -> dict[str, bool]:
    return {one["name"]: one["holds"] for one in told["thresholds"]}


# -- thresholds ---------------------------------------------------------------------------------------------------------------

EVERY = Options(max_p50_ms=5.0, max_p99_ms=25.0, max_session_p99_ms=100.0, max_errors=0.01, min_achieved=0.98)
GOOD = Reached(5.0, 25.0, 100.0, 0.01, 0.98)


def test_a_limit_that_is_just_met_holds() -> None:
    assert [one.holds for one in judge(EVERY, GOOD)] == [True] * 5


@pytest.mark.parametrize(
    ("name", "value"),
    [("p50_ms", 5.01), ("p99_ms", 25.01), ("session_p99_ms", 100.1), ("errors", 0.011), ("achieved", 0.979)],
)
def test_each_limit_that_is_missed_fails_alone(name: str, value: float) -> None:
    failed = [one for one in judge(EVERY, GOOD._replace(**{name: value})) if not one.holds]
    assert [one.reached for one in failed] == [value]


def test_what_was_not_measured_does_not_hold() -> None:
    assert not any(one.holds for one in judge(EVERY, Reached(None, None, None, None, None)))


def test_only_thresholds_that_are_set_are_judged() -> None:
    assert [one.name for one in judge(Options(), GOOD)] == ["--max-errors", "--min-achieved"]


# -- a run as a whole ---------------------------------------------------------------------------------------------------------


def test_a_run_that_was_served_passes() -> None:
    told = results(STEADY, served_in_full(STEADY))
    sessions = told["sessions"]
    assert told["passed"]
    assert sessions["completed"] == sessions["offered"] == sum(told["seconds"]["offered"])
    assert (sessions["failed"], sessions["never_served"]) == (0, 0)
    assert sessions["achieved_per_s"] == sessions["offered_per_s"]
    assert told["requests"]["p99_ms"] == pytest.approx(4.0, rel=0.01)
    assert session_row(told)["p50_ms"] == pytest.approx(12.0, rel=0.01)
    assert told["rows"][0]["method"] == "SESSION"
    assert told["rows"][1]["mean_bytes"] == 100.0


def test_sessions_that_failed_count_as_errors() -> None:
    frames = [*served_in_full(STEADY)[:-1], frame(9, 40, failed=10)]
    told = results(STEADY, frames)
    assert not verdicts(told)["--max-errors"]
    assert told["errors"] == [{"row": "nearby", "message": "answered 500", "count": 10}]


def test_sessions_that_were_never_served_count_as_errors() -> None:
    told = results(STEADY, served_in_full(STEADY)[:-1])
    assert told["sessions"]["never_served"] == told["seconds"]["offered"][-1] > 0
    assert verdicts(told) == {"--max-errors": False, "--min-achieved": False}


def test_an_event_that_nobody_was_told_counts_as_an_error() -> None:
    frames = served_in_full(STEADY)
    frames[3] = frame(3, frames[3]["done"], lost_events=1)
    assert verdicts(results(STEADY, frames)) == {"--max-errors": False, "--min-achieved": True}


def test_what_was_served_after_the_end_was_not_achieved_but_its_times_count() -> None:
    options = Options(rate=50.0, duration="10", max_p99_ms=100.0)
    frames = served_in_full(options)
    frames[-1]["second"] = 12
    late = results(options, [*frames[:-1], frame(12, frames[-1]["done"], ms=5000.0)])
    assert verdicts(late) == {"--max-p99-ms": False, "--max-errors": True, "--min-achieved": False}


def test_a_run_that_somebody_ended_is_judged_up_to_there() -> None:
    told = results(STEADY, served_in_full(STEADY)[:6], until_s=6)
    assert told["passed"]
    assert told["measured_s"] == 6
    assert len(told["seconds"]["offered"]) == 6


def test_a_run_without_an_answer_fails() -> None:
    told = results(STEADY, [])
    assert not told["passed"]
    assert told["requests"]["p99_ms"] is None


def test_a_busy_load_generator_is_told() -> None:
    frames = served_in_full(STEADY)
    for one in frames:
        one["cpu_s"] = 0.95
    assert results(STEADY, frames)["client_was_busy"]
    assert not results(STEADY, frames, generators=2)["client_was_busy"]


# -- the knee -----------------------------------------------------------------------------------------------------------------

RAMP = Options(shape="ramp", rate=800.0, duration="16", max_session_p99_ms=50.0)


def test_the_knee_is_the_last_step_that_holds() -> None:
    frames = [one if one["second"] < 10 else frame(one["second"], one["done"] // 2) for one in served_in_full(RAMP)]
    told = results(RAMP, frames, until_s=12)
    assert [step["holds"] for step in told["ramp"]["steps"]] == [True] * 5 + [False]
    assert told["ramp"]["knee"]["rate"] == 500.0
    assert told["passed"]


def test_what_holds_again_behind_the_knee_does_not_count() -> None:
    told = results(RAMP, [one for one in served_in_full(RAMP) if one["second"] not in (6, 7)])
    assert [step["holds"] for step in told["ramp"]["steps"]] == [True] * 3 + [False] + [True] * 4
    assert told["ramp"]["knee"]["rate"] == 300.0


def test_times_make_a_knee_as_well() -> None:
    frames = [frame(s, one["done"], ms=40.0 if s >= 4 else 4.0) for s, one in enumerate(served_in_full(RAMP))]
    told = results(RAMP, frames, until_s=6)
    assert told["ramp"]["knee"]["rate"] == 200.0


def test_a_ramp_whose_first_step_does_not_hold_fails() -> None:
    told = results(RAMP, served_in_full(RAMP, ms=40.0), until_s=2)
    assert told["ramp"]["knee"] is None
    assert not told["passed"]
    assert not verdicts(told)["--max-session-p99-ms"]


# -- the server ---------------------------------------------------------------------------------------------------------------


def sample(at_s: float, busy_s: float, memory: float = 1e8) -> Sample:
    cpu = {"serve-1": 5 + busy_s, "serve-2": 7 + busy_s, "ingest": 1.0}
    return Sample(at_s, cpu, {"serve-1": memory, "serve-2": memory}, 0.02)


def test_cpu_is_by_kind_of_process_and_by_session() -> None:
    samples = [sample(-5.0, 0.0), *(sample(float(s), 0.25 * s) for s in range(11)), sample(30.0, 99.0)]
    told = results(STEADY, served_in_full(STEADY), samples=samples)
    server = told["server"]
    assert server["cores"]["serve"] == [None] + [0.5] * 10
    assert server["cores"]["ingest"] == [None] + [0.0] * 10
    assert server["memory_mb"]["serve"] == [200.0] * 11
    assert server["lag_ms"] == [20.0] * 11
    assert server["asked_cpu_us_per_session"] == pytest.approx(5e6 / told["sessions"]["completed"], rel=1e-3)


def test_a_worker_that_was_replaced_does_not_count_backwards() -> None:
    fresh = Sample(1.0, {"serve-1": 5.0, "serve-3": 0.1}, {}, None)
    told = results(STEADY, served_in_full(STEADY), samples=[sample(0.0, 0.0), fresh])
    assert told["server"]["cores"]["serve"] == [None, 0.1]


def test_growth_is_told_by_the_hour() -> None:
    options = Options(shape="soak", rate=1.0, duration="60")
    samples = [sample(float(s), 0.0, 1e8 + 1e6 * s) for s in range(61)]
    told = results(options, [], samples=samples)
    assert told["server"]["memory_growth_mb_per_h"]["serve"] == pytest.approx(7200.0, rel=0.01)


def test_frames_of_all_load_generators_add_up() -> None:
    timeline = run_of(STEADY, [frame(2, 30), frame(2, 20, late=3)]).timeline
    assert (timeline.seconds[2].done, timeline.seconds[2].late, timeline.seconds[2].reported) == (50, 3, 2)
    assert timeline.rows["nearby"].times.count == 100
    assert timeline.between(0, 3).requests.count == 100
    assert timeline.between(3, 9).requests.count == 0
