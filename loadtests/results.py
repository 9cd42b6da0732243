"""From what was seen to figures: one dictionary, which is the JSON file and what the report is drawn from. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from typing import Any, NamedTuple

from loadtests.histogram import Histogram
from loadtests.options import Options
from loadtests.plan import Piece, Plan
from loadtests.recorder import BESIDE, SESSION, STREAM
from loadtests.server_metrics import Sample
from loadtests.thresholds import Reached, Verdict, judge
from loadtests.timeline import RowTotal, Second, Timeline

FORMAT = 1
QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
SERVING = "serve"  # the processes that answer reads; others write, relay, simulate
CLIENT_BUSY = 0.9  # of a core: a load generator above that measures itself


class Step(NamedTuple):
    """One tread of a ramp, in whole seconds. `verdicts`: whether the target held there what was asked of it."""

    rate: float
    from_s: int
    to_s: int
    offered_per_s: float
    achieved_per_s: float
    reached: Reached
    verdicts: list[Verdict]

    @property
    def holds(self) -> bool:
        return all(verdict.holds for verdict in self.verdicts)


class Run(NamedTuple):
    """All that is known of a run. `until_s`: when it was ended, if before its end; `facts`: of machine and versions."""

    options: Options
    target: str
    plan: Plan
    offered: list[int]
    timeline: Timeline
    samples: Sequence[Sample]
    generators: int
    started_at: str
    until_s: int | None
    facts: dict[str, str]


def steps(options: Options, plan: Plan, offered: Sequence[int], timeline: Timeline, until_s: int) -> list[Step]:
    """The treads of the ramp that were over at `until_s`."""
    return [
        _step(options, piece, offered, timeline) for piece in plan.steps if ceil(piece.start_s) < piece.end_s <= until_s
    ]


def _step(options: Options, piece: Piece, offered: Sequence[int], timeline: Timeline) -> Step:
    first, last = ceil(piece.start_s), int(piece.end_s)
    seen, due = timeline.between(first, last), sum(offered[first:last])
    reached = _reached(seen, due, seen.done, seen.failed)
    length = max(1, last - first)
    return Step(piece.rate_from, first, last, due / length, seen.done / length, reached, judge(options, reached))


def knee(found: Sequence[Step]) -> Step | None:
    """The last tread before the first that does not hold."""
    held = None
    for step in found:
        if not step.holds:
            break
        held = step
    return held


def _reached(times: Second, offered: int, done: int, failed: int) -> Reached:
    return Reached(
        _ms(times.requests.quantile_s(0.5)),
        _ms(times.requests.quantile_s(0.99)),
        _ms(times.sessions.quantile_s(0.99)),
        failed / offered if offered else None,
        done / offered if offered else None,
    )


def compile_results(run: Run) -> dict[str, Any]:
    options, timeline = run.options, run.timeline
    until = len(run.offered) if run.until_s is None else min(run.until_s, len(run.offered))
    seen, due = timeline.between(0, until), sum(run.offered[:until])
    length = min(until, options.duration_s) or 1
    never_served = max(0, due - timeline.completed - timeline.total.failed) if run.until_s is None else 0
    # Part of no session that the plan offers.
    stray = sum(row.failed for row in timeline.rows.values() if row.method in (STREAM, BESIDE))
    found = steps(options, run.plan, run.offered, timeline, until) if options.shape == "ramp" else []
    if found:  # up to the knee; without one, the first tread says why
        verdicts = (knee(found) or found[0]).verdicts
    else:
        # The times of all that was asked: what came in after the end may have waited longest.
        failed = timeline.total.failed + never_served + stray
        verdicts = judge(options, _reached(timeline.total, due, seen.done, failed))
    return {
        "format": FORMAT,
        "target": run.target,
        "started_at": run.started_at,
        "mix": options.mix,
        "units": ["batch", "batches"] if options.mix == "live" else ["session", "sessions"],
        "client": options.client,
        "shape": options.shape,
        "rate": options.rate,
        "duration_s": options.duration_s,
        "measured_s": length,
        "warm_up_s": options.warm_up,
        "connections": options.connections,
        "load_generators": run.generators,
        "seed": options.seed,
        "facts": run.facts,
        "passed": all(verdict.holds for verdict in verdicts),
        "thresholds": [
            {"name": v.name, "limit": v.limit, "reached": _short(v.reached), "holds": v.holds} for v in verdicts
        ],
        "sessions": {
            "offered": due,
            "completed": timeline.completed,
            "failed": timeline.total.failed,
            "never_served": never_served,
            "late": timeline.total.late,
            "offered_per_s": _short(due / length),
            "achieved_per_s": _short(seen.done / length),
        },
        "counts": dict(timeline.counts),
        "reconnects": timeline.reconnects,
        "lag": _quantiles(timeline.lag),
        "requests": _quantiles(timeline.total.requests),
        "rows": [
            _row(name, row) for name, row in sorted(timeline.rows.items(), key=lambda one: one[1].method != SESSION)
        ],
        "errors": _errors(timeline.rows),
        "ramp": {"steps": [_step_told(step) for step in found], "knee": _knee_told(found)} if found else None,
        "seconds": _seconds(run, until),
        "client_cpu_us_per_session": _per(sum(timeline.client_cpu_s[:until]), seen.done),
        "client_cores": _short(sum(timeline.client_cpu_s[:until]) / length),
        "client_was_busy": sum(timeline.client_cpu_s[:until]) / length / run.generators > CLIENT_BUSY,
        "server": _server(run.samples, until, seen.done, everything=options.mix == "live"),
    }


def _row(name: str, row: RowTotal) -> dict[str, Any]:
    answered = row.times.count
    with_body = answered - row.not_modified - row.failed
    return {
        "name": name,
        "method": row.method,
        "count": answered,
        "failed": row.failed,
        "not_modified": row.not_modified,
        "mean_bytes": _short(row.bytes / with_body) if with_body > 0 and row.bytes else None,
        **_quantiles(row.times),
    }


def _errors(rows: dict[str, RowTotal]) -> list[dict[str, Any]]:
    every = Counter({(name, text): count for name, row in rows.items() for text, count in row.failures.items()})
    return [{"row": name, "message": text, "count": count} for (name, text), count in every.most_common()]


def _seconds(run: Run, until: int) -> dict[str, list[Any]]:
    seconds = run.timeline.seconds[:until]
    told: dict[str, list[Any]] = {
        "offered": run.offered[:until],
        "achieved": [second.done for second in seconds],
        "failed": [second.failed for second in seconds],
        "late": [second.late for second in seconds],
        "client_cores": [_short(cores) for cores in run.timeline.client_cpu_s[:until]],
    }
    for name, share in QUANTILES.items():
        told[f"request_{name}"] = [_short(_ms(second.requests.quantile_s(share))) for second in seconds]
        told[f"session_{name}"] = [_short(_ms(second.sessions.quantile_s(share))) for second in seconds]
    return told


def _step_told(step: Step) -> dict[str, Any]:
    return {
        "rate": _short(step.rate),
        "from_s": step.from_s,
        "to_s": step.to_s,
        "offered_per_s": _short(step.offered_per_s),
        "achieved_per_s": _short(step.achieved_per_s),
        "p99_ms": _short(step.reached.p99_ms),
        "session_p99_ms": _short(step.reached.session_p99_ms),
        "errors": _short(step.reached.errors),
        "holds": step.holds,
    }


def _knee_told(found: Sequence[Step]) -> dict[str, Any] | None:
    held = knee(found)
    return None if held is None else _step_told(held)


# -- the server ---------------------------------------------------------------------------------------------------------------


def _server(samples: Sequence[Sample], until: int, completed: int, *, everything: bool) -> dict[str, Any] | None:
    """Cores in use between two samples, memory and lag, by group of processes (serve-1 and serve-2 are `serve`).
    `everything`: a session costs all of them, not only those that answer reads."""
    inside = [sample for sample in samples if -1.5 <= sample.at_s <= until + 1.5]
    if len(inside) < 2:
        return None
    groups = sorted({_group(process) for sample in inside for process in (*sample.cpu_s, *sample.memory)})
    cores: dict[str, list[float | None]] = {group: [None] for group in groups}
    for before, after in pairwise(inside):
        used, length = _used(before, after), max(1e-6, after.at_s - before.at_s)
        for group in groups:
            cores[group].append(_short(used.get(group, 0.0) / length))
    memory = {group: [_sum_of(sample.memory, group) for sample in inside] for group in groups}
    whole = _used(inside[0], inside[-1])
    asked = sum(whole.values()) if everything or SERVING not in whole else whole[SERVING]
    return {
        "at_s": [_short(sample.at_s) for sample in inside],
        "cores": cores,
        "memory_mb": {group: [_short(value / 1e6) for value in values] for group, values in memory.items()},
        "lag_ms": [_ms(sample.lag_s) for sample in inside],
        "cpu_us_per_session": {group: _per(used, completed) for group, used in whole.items()},
        "asked_cpu_us_per_session": _per(asked, completed),
        "memory_growth_mb_per_h": {group: _growth(inside, values) for group, values in memory.items()},
    }


def _group(process: str) -> str:
    return re.sub(r"-\d+$", "", process)


def _sum_of(values: dict[str, float], group: str) -> float:
    return sum(value for process, value in values.items() if _group(process) == group)


def _used(before: Sample, after: Sample) -> dict[str, float]:
    """CPU seconds by group. A process that began or ended in between counts from or up to nothing."""
    used: dict[str, float] = defaultdict(float)
    for process in before.cpu_s.keys() | after.cpu_s.keys():
        spent = after.cpu_s.get(process, 0.0) - before.cpu_s.get(process, 0.0)
        used[_group(process)] += max(0.0, spent)
    return dict(used)


def _growth(samples: Sequence[Sample], values: Sequence[float]) -> float | None:
    """From the mean of the second quarter to that of the last: what is allocated at the beginning is not growth."""
    quarter = len(values) // 4
    if quarter < 5:
        return None
    early, late = (slice(quarter, 2 * quarter), slice(-quarter, None))
    hours = (_mean([s.at_s for s in samples[late]]) - _mean([s.at_s for s in samples[early]])) / 3600
    return _short((_mean(values[late]) - _mean(values[early])) / 1e6 / hours)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


# -- numbers ------------------------------------------------------------------------------------------------------------------


def _quantiles(times: Histogram) -> dict[str, float | None]:
    told = {name: _short(_ms(times.quantile_s(share))) for name, share in QUANTILES.items()}
    return told | {"max_ms": _short(1000 * times.max_s) if times.count else None}


def _per(seconds: float, sessions: int) -> float | None:
    """Microseconds each."""
    return _short(1e6 * seconds / sessions) if sessions else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds


def _short(value: float | None) -> float | None:
    """Four significant digits: more would be noise."""
    return None if value is None else float(f"{value:.4g}") if abs(value) < 1000 else round(value, 1)
