"""Made-up runs, for tests of what is computed and drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loadtests.generator import plan_of
from loadtests.options import Options
from loadtests.recorder import SESSION, STREAM, Frame, Recorder, Row
from loadtests.results import Run, compile_results
from loadtests.server_metrics import Sample
from loadtests.timeline import Timeline


def frame(second: int, served: int, *, ms: float = 4.0, failed: int = 0, late: int = 0, lost_events: int = 0) -> Frame:
    """`served` sessions of two requests of so many milliseconds each."""
    recorder = Recorder("session")
    row = recorder.row(Row("nearby"))
    row.times = [ms / 1000] * 2 * (served + failed)
    row.bytes = 100 * 2 * served
    row.failures.update({"answered 500": failed} if failed else {})
    event = recorder.row(Row("live event", STREAM))
    event.failures.update({"no event": lost_events} if lost_events else {})
    recorder.session.times = [3 * ms / 1000] * (served + failed)
    recorder.done = recorder.completed = served
    recorder.failed, recorder.late = failed, late
    return recorder.cut(second)


def run_of(
    options: Options,
    frames: Sequence[Frame],
    *,
    samples: Sequence[Sample] = (),
    until_s: int | None = None,
    generators: int = 1,
) -> Run:
    plan = plan_of(options)
    offered = plan.offered()
    timeline = Timeline(len(offered))
    for one in frames:
        timeline.add(one)
    return Run(
        options, "http://x", plan, offered, timeline, samples, generators, "2026-01-31T12:00:00+00:00", until_s, {}
    )


def served_in_full(options: Options, *, ms: float = 4.0) -> list[Frame]:
    return [frame(second, count, ms=ms) for second, count in enumerate(plan_of(options).offered())]


def results(options: Options, frames: Sequence[Frame], **more: Any) -> dict[str, Any]:
    return compile_results(run_of(options, frames, **more))


def session_row(told: dict[str, Any]) -> dict[str, Any]:
    found: list[dict[str, Any]] = [row for row in told["rows"] if row["method"] == SESSION]
    assert len(found) == 1
    return found[0]
