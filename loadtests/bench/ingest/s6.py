"""S6: from the acknowledgement of an update until nearby, the tile and the stream show it: when nothing else happens; at half
of what S4's drivers can do with 2,000 updates a second; and while 50,000 stations are imported."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import Thread
from typing import Any

from loadtests.bench import machine
from loadtests.bench.ingest.probing import KINDS
from loadtests.bench.ingest.series import by_second, quantiles
from loadtests.bench.ingest.stand import Stand
from loadtests.bench.ingest.watch import Watch, series, told_cores
from loadtests.bench.processes import Program, ProgramError, run, tail
from loadtests.bench.results import RESULTS_DIR, Result, WrongAnswerError
from loadtests.bench.service import BENCH_DIR
from loadtests.bench.stats import percentile, spread

UPDATES_PER_S = 2000
ROWS = 100  # in a request: twenty requests a second, as operators' gateways would send them
IDLE_P50_MS = {"nearby": 20.0, "tile": 100.0, "stream": 20.0}
BUSY_P99_MS = 250.0
HALF = 0.5
TOO_MANY = 12_000  # sessions a second: nobody serves so many here
LOCUST_S = 300.0
MISSED = 1  # Locust's exit code when more was offered than achieved
AHEAD_S = 3.0  # what runs beside is at work when the probes begin
LABELS = {
    "nearby": "nearby",
    "tile": "a tile (coalesced: published at most every 100 ms)",
    "stream": "the stream (SSE)",
}


def measure(stand: Stand) -> list[Result]:
    result = Result("S6", "from the acknowledgement of an update until it is seen")
    result.conditions |= {
        "stations": f"{max(stand.service.metric('mapsvc_replica_stations').values()):,.0f}",
        "updates beside": f"{UPDATES_PER_S:,}/s",
        "workers": stand.scale.workers,
    }
    machine.pin(stand.service.pid, range(len(machine.core_times())))
    stand.wait_until_carried()
    idle = _condition(stand, result, "idle", [])
    for kind, at_most in IDLE_P50_MS.items():
        result.goal(f"idle: {kind}, p50", _p(idle, kind, 50.0), at_most=at_most, unit="ms")
    knee, whence = _knee(stand)
    result.conditions["S4's knee"] = f"{knee:,.0f} sessions/s ({whence})"
    busy = _condition(
        stand, result, f"{HALF:.0%} of S4's knee, {UPDATES_PER_S:,} updates/s",
        [_updates, lambda stand, result, seconds: _drivers(stand, result, HALF * knee, seconds)],
    )  # fmt: skip
    importing = _condition(
        stand, result, f"an import of {stand.scale.import_stations:,} stations, {UPDATES_PER_S:,} updates/s",
        [_updates, _import],
    )  # fmt: skip
    for name, told in (("at half of the knee", busy), ("during the import", importing)):
        for kind in KINDS:
            result.goal(f"{name}: {kind}, p99", _p(told, kind, 99.0), at_most=BUSY_P99_MS, unit="ms")
    lost = sum(ms is None for told in (idle, busy, importing) for kind in KINDS for _, ms in told["seen"][kind])
    result.goal("updates that never showed", lost, at_most=0)
    stand.forget_history()
    return [result]


Beside = Callable[[Stand, Result, float], Any]
"""A context manager: what runs while the probes do. Its value, if any, is how many updates it applied, once it has ended."""


def _condition(stand: Stand, result: Result, name: str, beside: Sequence[Beside]) -> dict[str, Any]:
    """What the probes saw, as rows, a plot and a dictionary."""
    seconds = stand.scale.probe_s
    if beside:
        stand.visit_all()
        stand.wait_until_carried()
    stand.say(f"probing for {seconds:.0f} s: {name}")
    before = stand.history_rows()
    applied: list[int] = []
    with Watch(stand.service) as watch, ExitStack() as stack:
        for start in beside:
            stack.enter_context(_counted(start(stand, result, seconds + 2 * AHEAD_S), applied))
        if beside:
            time.sleep(AHEAD_S)
        told = stand.probe(name.split(",")[0].replace(" ", "-").replace("%", ""), seconds, in_turn=not beside).told(
            seconds
        )
    stand.wait_until_carried()
    if _import not in beside:  # a document carries statuses, too
        stand.check_history(before, told["applied"] + sum(applied), f"S6, {name}")
        result.check(
            f"{told['applied'] + sum(applied):,} updates acknowledged as applied in the history ({name})", stand.say
        )
    for kind in KINDS:
        seen = [ms for _, ms in told["seen"][kind] if ms is not None]
        figures: dict[str, Any] = {
            "probes": len(told["seen"][kind]),
            **{f"{p} ms": v for p, v in quantiles(seen).items()},
        }
        figures["not seen"] = len(told["seen"][kind]) - len(seen)
        result.row(f"{name}: {LABELS[kind]}", figures)
    result.row(f"{name}: the acknowledgement itself", {f"{p} ms": v for p, v in quantiles(told["ack_ms"]).items()})
    result.notes.append(f"{name}: cores: {told_cores(watch.cores())}.")
    zero = told["zero_epoch_s"]
    waits = {
        LABELS[kind]: by_second([(at, ms) for at, ms in told["seen"][kind] if ms is not None], max) for kind in KINDS
    }
    result.plot(f"S6: {name}: the longest wait of each second", "ms", series=waits, x_label="s")
    if beside:
        result.plot(
            f"S6: {name}: backlogs", "rows", x_label="s",
            series={
                "waiting in ingest": series(watch.samples, "waiting_rows", zero),
                "committed, not yet in Redis": series(watch.samples, "carrying_rows", zero),
            },
        )  # fmt: skip
        result.plot(
            f"S6: {name}: lag of the workers", "ms", series={"the furthest behind": series(watch.samples, "lag_ms", zero)},
            x_label="s",
        )  # fmt: skip
    return told


@contextmanager
def _counted(manager: Any, applied: list[int]) -> Iterator[None]:
    with manager as counts:  # filled when it ends
        yield
    applied += counts


def _p(told: Mapping[str, Any], kind: str, p: float) -> float | None:
    seen = [ms for _, ms in told["seen"][kind] if ms is not None]
    return percentile(seen, p) if seen else None


# -- what runs beside -----------------------------------------------------------------------------------------------------


@contextmanager
def _updates(stand: Stand, result: Result, seconds: float) -> Iterator[list[int]]:
    counts: list[int] = []
    with stand.produce("beside", UPDATES_PER_S, seconds, ROWS) as job:
        yield counts
        told = job.told(seconds)
    outcomes, refused = told["outcomes"], told["refused"]
    if outcomes.get("applied", 0) != told["sent"]:
        raise WrongAnswerError(f"updates beside: {told['sent']} sent, outcomes {outcomes}, refused {refused}")
    counts.append(outcomes["applied"])
    waits = quantiles([ms for _, ms, _ in told["acks"]])
    result.notes.append(f"Beside: {told['sent'] / seconds:,.0f} updates/s, all applied; acknowledged after {waits} ms.")


@contextmanager
def _drivers(stand: Stand, result: Result, rate: float, seconds: float) -> Iterator[list[int]]:
    told: list[dict[str, Any]] = []
    failure: list[BaseException] = []

    def drive() -> None:
        try:
            told.append(_locust(stand, rate, seconds))
        except BaseException as error:  # told by who waits
            failure.append(error)

    thread = Thread(target=drive, name="drivers")
    thread.start()
    yield []
    thread.join()
    if failure:
        raise failure[0]
    sessions = told[0]["sessions"]
    if sessions["failed"]:
        raise WrongAnswerError(f"driver sessions beside: {sessions}")
    result.notes.append(
        f"Beside: {sessions['achieved_per_s']:,.0f} driver sessions/s of {sessions['offered_per_s']:,.0f} offered, "
        f"p99 of a request {told[0]['requests']['p99_ms']} ms."
    )


@contextmanager
def _import(stand: Stand, result: Result, seconds: float) -> Iterator[list[int]]:
    """Of new stations beside those that are there. It may outlast the probes, or end before them: the notes say it."""
    stations = stand.scale.import_stations
    log = stand.folder / "import.log"
    seed, prefix = str(int(time.time()) % 100_000), f"I{int(time.time())}-"
    words = ["generate", "--stations", str(stations), "--seed", seed, "--prefix", prefix]
    program = Program("import", [sys.executable, "-m", "mapsvc", *words], log, environment=stand.service.environment)
    began = time.monotonic()
    with program:
        yield []
        outlasted = program.running
        while program.running:
            time.sleep(0.2)
    if program.returncode != 0:
        raise ProgramError(f"the import failed:\n{tail(log)}")
    took = time.monotonic() - began
    result.notes.append(
        f"The import of {stations:,} stations took {took:.0f} s: "
        + ("longer than the probes." if outlasted else f"at most {stations / seconds:,.0f} stations/s.")
    )


# -- driver sessions ------------------------------------------------------------------------------------------------------


def _knee(stand: Stand) -> tuple[float, str]:
    """Sessions a second on kept connections, as S4 found them on this machine; measured here where there is no such result."""
    path = RESULTS_DIR / stand.scale.name / "S4.json"
    if path.exists():
        for row in Result.read(path).rows:
            if row.name == "ours, connections kept" and "sessions/s" in row.figures:
                return float(row.figures["sessions/s"]["median"]), "of S4"
    stand.say("S4's knee is not known here: measuring it")
    told = [_locust(stand, TOO_MANY, stand.scale.knee_s) for _ in range(2)]
    return spread([float(one["sessions"]["achieved_per_s"]) for one in told]).median, "measured here"


def _locust(stand: Stand, rate: float, seconds: float) -> dict[str, Any]:
    folder = BENCH_DIR / "locust-ingest"
    shutil.rmtree(folder, ignore_errors=True)
    argv = [
        *(sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless", "--only-summary"),
        *("--host", stand.service.url, "--mix", "drivers", "--rate", f"{rate:.0f}", "--shape", "steady"),
        *("--duration", f"{seconds:.0f}", "--warm-up", "2", "--report", str(folder)),
    ]
    run(argv, stand.folder / "locust.log", timeout_s=LOCUST_S, allowed=(0, MISSED))
    told: dict[str, Any] = json.loads(next(folder.glob("*.json")).read_text())
    return told
