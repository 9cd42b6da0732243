"""What a run must have reached; whatever does not hold makes the exit code."""

from __future__ import annotations

from typing import NamedTuple

from loadtests.options import Options, flag


class Reached(NamedTuple):
    """Figures of a run, or of one step of it. None: nothing was measured."""

    p50_ms: float | None
    p99_ms: float | None
    session_p99_ms: float | None
    errors: float | None
    achieved: float | None


class Verdict(NamedTuple):
    name: str
    limit: float
    reached: float | None
    holds: bool


def judge(options: Options, reached: Reached) -> list[Verdict]:
    """One verdict for each threshold that is set. What was not measured does not hold."""
    verdicts = []
    for name, value, most in (
        ("max_p50_ms", reached.p50_ms, True),
        ("max_p99_ms", reached.p99_ms, True),
        ("max_session_p99_ms", reached.session_p99_ms, True),
        ("max_errors", reached.errors, True),
        ("min_achieved", reached.achieved, False),
    ):
        limit = getattr(options, name)
        if limit is not None:
            holds = value is not None and (value <= limit if most else value >= limit)
            verdicts.append(Verdict(flag(name), limit, value, holds))
    return verdicts
