"""S5: 20,000 updates a second for ten minutes, every one committed with fsync before it is acknowledged.

Producer, hot tile, yardstick and the whole service share the machine's cores. Bare update loop, ours, bare update loop again:
the yardstick is of the same minutes. Nothing is told unless every update that was acknowledged as applied is in the history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from loadtests.bench import machine
from loadtests.bench.ingest import yardstick
from loadtests.bench.ingest.series import by_second, growth, outstanding, p99, per_second, quantiles
from loadtests.bench.ingest.stand import Job, Stand
from loadtests.bench.ingest.watch import Sample, Watch, cores, series, within
from loadtests.bench.results import Result, WrongAnswerError
from loadtests.bench.stats import percentile, spread

HELD = 0.99  # of what was offered, or it was not held
COMMIT_P99_MS = 250.0
MOST_S = 20.0
FLAT_S = 0.25  # a backlog is flat if it has not grown by the updates of so many seconds from beginning to end
LATE_MS = 20.0  # p99 of the producer's own delay; beyond it the producer is what was measured
BUSY = 0.9  # of a core, or of all of them
IDLE_S = 10.0
SETTLE_S = 5.0  # at the beginning, when nothing is warm yet: left out of the growth


def measure(stand: Stand) -> list[Result]:
    """Updates; the hot tile meanwhile; who used how much of the cores."""
    scale = stand.scale
    tile = Result("S5-tile", "a hot tile while updates go in")
    costs = Result("S5-cores", "who uses how much of the cores")
    result = Result("S5", f"{scale.rate:,.0f} updates a second for {scale.seconds:,.0f} s")
    result.conditions |= {
        "stations": f"{max(stand.service.metric('mapsvc_replica_stations').values()):,.0f}",
        "EVSEs reported in turn": f"{len(stand.found.evses):,}",
        "updates in a request": scale.rows,
        "arrivals": "Poisson, open loop, seeded",
        "workers": scale.workers,
    }
    stand.visit_all()
    stand.wait_until_carried()
    asyncio.run(yardstick.prepare(stand.service.database_url))
    bare = [_bare(stand, 1)]
    stand.say("a hot tile while nothing goes in")
    idle = stand.ask_hot_tile("hot-idle", min(IDLE_S, scale.seconds)).told(IDLE_S)
    _ours(stand, result, tile, costs, idle)
    bare.append(_bare(stand, 2))
    asyncio.run(yardstick.drop(stand.service.database_url))
    most = _most(stand)
    yard = spread(bare)
    result.row(
        "ours, as much as it takes", {"updates/s": round(most), "of the yardstick": round(most / yard.median, 2)}
    )
    result.row("bare guarded updates, 2 connections, 1,000 rows each", {"updates/s": yard})
    stand.forget_history()
    return [result, tile, costs]


def _bare(stand: Stand, number: int) -> float:
    stand.say("the yardstick: bare guarded updates")
    told = Job(stand, "yardstick", f"bare-{number}", "--seconds", str(stand.scale.yardstick_s)).told(60.0)
    return float(told["sent"] / told["took_s"])


def _ours(stand: Stand, result: Result, tile: Result, costs: Result, idle: dict[str, Any]) -> None:
    scale = stand.scale
    stand.say(f"{scale.rate:,.0f} updates/s for {scale.seconds:,.0f} s")
    before = stand.history_rows()
    with Watch(stand.service) as watch:
        producer = stand.produce("updates", scale.rate, scale.seconds, scale.rows)
        hot_tile = stand.ask_hot_tile("hot-busy", scale.seconds)
        machine_before = machine.core_times()
        told = producer.told(scale.seconds + 30.0)
        machine_after = machine.core_times()
        busy = hot_tile.told(30.0)
        stand.wait_until_carried()
    applied = told["outcomes"].get("applied", 0)
    acknowledged = sum(told["outcomes"].values())
    if applied != acknowledged:
        raise WrongAnswerError(f"{acknowledged} updates acknowledged, outcomes {told['outcomes']}")
    if acknowledged + sum(told["refused"].values()) != told["sent"]:
        raise WrongAnswerError(f"{told['sent']} updates sent, {acknowledged} acknowledged, {told['refused']}")
    stand.check_history(before, applied, "S5")
    result.check(f"{applied:,} updates sent, acknowledged as applied and found in the history", stand.say)
    samples = within(watch.samples, told["zero_epoch_s"], told["zero_epoch_s"] + scale.seconds)
    waits = [ms for _, ms, _ in told["acks"]]
    used = cores(samples)
    used["producer"] = told["cpu_s"] / told["took_s"]
    busy_s = sum(sum(b) - sum(a) for a, b in zip(machine_before, machine_after, strict=True))
    result.row(
        f"ours, {scale.rate:,.0f}/s offered",
        {
            "updates/s": round(applied / max(told["took_s"], scale.seconds)),
            **{f"commit {name} ms": value for name, value in quantiles(waits).items()},
            "most waiting in ingest": round(max(one.waiting_rows for one in samples)),
            "lag p99 ms": round(percentile([one.lag_ms for one in samples], 99.0), 1),
            "refused": sum(told["refused"].values()),
            "bottleneck": bottleneck(used, told["late_ms"], busy_s / told["took_s"] / len(machine_after)),
        },
    )
    for name, answers in (("nothing goes in", idle), (f"{scale.rate:,.0f} updates/s go in", busy)):
        ms = [wait for _, wait in answers["waits"]]
        figures: dict[str, Any] = {f"{p} ms": v for p, v in quantiles(ms, ("p50", "p99", "p99.9")).items()}
        figures |= {"asked /s": scale.hot_rate, "failed": sum(answers["failed"].values())}
        tile.row(name, figures)
    tile.goal("questions that failed while updates went in", sum(busy["failed"].values()), at_most=0)
    tile.plot(
        "S5: a hot tile, p99 of each second", "ms", x_label="s",
        series={"while updates go in": by_second(busy["waits"], p99), "while nothing goes in": by_second(idle["waits"], p99)},
    )  # fmt: skip
    _costs(costs, used, applied / scale.seconds)
    _goals(result, told, samples, scale.seconds)
    _plots(result, told, samples, scale.seconds)


def _costs(result: Result, used: dict[str, float], per_s: float) -> None:
    for role, share in sorted(used.items(), key=lambda item: -item[1]):
        result.row(role, {"cores": round(share, 3), "CPU-µs an update": round(1e6 * share / per_s, 1)})
    total = sum(used.values())
    result.row("all of it", {"cores": round(total, 3), "CPU-µs an update": round(1e6 * total / per_s, 1)})


def _goals(result: Result, told: dict[str, Any], samples: Sequence[Sample], seconds: float) -> None:
    committed = sum(told["outcomes"].values()) / max(told["took_s"], seconds)
    offered = told["sent"] / seconds  # the plan's arrivals are Poisson's: a little more or less than the rate
    result.goal("updates committed and acknowledged", committed, at_least=round(HELD * offered), unit="/s")
    result.goal("commit p99", percentile([ms for _, ms, _ in told["acks"]], 99.0), at_most=COMMIT_P99_MS, unit="ms")
    zero = told["zero_epoch_s"]
    backlogs = {
        "due and not yet acknowledged": outstanding(told["acks"], seconds),
        "committed and not yet in Redis": series(samples, "carrying_rows", zero),
    }
    for name, points in backlogs.items():
        rise = growth([point for point in points if point[0] >= min(SETTLE_S, seconds / 3)])
        result.goal(f"growth of the updates {name}", max(0.0, rise), at_most=round(FLAT_S * offered))
    result.goal("updates refused", sum(told["refused"].values()), at_most=0)
    result.plot("S5: backlogs", "updates", series=backlogs, x_label="s")


def bottleneck(used: dict[str, float], late_ms: Sequence[float], machine_share: float) -> str:
    """Who was busy to the limit. `machine_share`: of all cores, whoever used them; `late_ms`: the producer's own delays."""
    if used["producer"] >= BUSY or (late_ms and percentile(late_ms, 99.0) > LATE_MS and machine_share < BUSY):
        return "the producer"
    single = [role for role, share in used.items() if role != "postgres" and share >= BUSY]
    if single:
        return ", ".join(single)
    if machine_share >= BUSY:
        return "all cores"
    return f"none (cores {100 * machine_share:.0f} % busy)"


def _plots(result: Result, told: dict[str, Any], samples: Sequence[Sample], seconds: float) -> None:
    zero = told["zero_epoch_s"]
    acked = [(at + ms / 1000, float(size)) for at, ms, size in told["acks"]]
    waits = [(at, ms) for at, ms, _ in told["acks"]]
    result.plot(
        "S5: updates acknowledged", "updates/s", series={"acknowledged": per_second(acked, seconds)}, x_label="s"
    )
    result.plot(
        "S5: from due to committed", "ms", x_label="s",
        series={"p50": by_second(waits, lambda ms: percentile(ms, 50.0)), "p99": by_second(waits, p99)},
    )  # fmt: skip
    result.plot(
        "S5: lag of the workers", "ms", series={"the furthest behind": series(samples, "lag_ms", zero)}, x_label="s"
    )


def _most(stand: Stand) -> float:
    """Updates a second in a closed loop."""
    seconds = min(MOST_S, stand.scale.seconds)
    stand.visit_all()
    stand.say("as many updates as it takes")
    before = stand.history_rows()
    told = stand.produce("most", 0.0, seconds, stand.scale.rows).told(seconds)
    stand.wait_until_carried()
    applied = int(told["outcomes"].get("applied", 0))
    if applied != sum(told["outcomes"].values()):
        raise WrongAnswerError(f"as many as it takes: outcomes {told['outcomes']}")
    stand.check_history(before, applied, "as many as it takes")
    return applied / float(told["took_s"])
