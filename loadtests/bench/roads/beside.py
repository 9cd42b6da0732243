"""What routing does to everybody else: nearby by air line and tiles of stations, by themselves and while 32 clients keep every
routing endpoint as busy as it gets. Without, with, without, with: what slows the machine down for a while slows both.

Between them a control, which tells the machine's share from the service's: nobody routes, but Valhalla's cores are as busy with
something as low in rank, and the worker has as many other requests as the crowd makes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

from loadtests.bench.ingest.series import quantiles
from loadtests.bench.jobs import Job
from loadtests.bench.processes import Program
from loadtests.bench.questions import nearby_paths, nudged
from loadtests.bench.results import Result
from loadtests.bench.roads.asking import VALHALLA, WORKER, Question, post
from loadtests.bench.roads.stand import Stand
from loadtests.bench.roads.ways import ASIDE_M, DETOUR_S, MINUTES
from loadtests.bench.stats import percentile
from loadtests.places import Spot, viewports

CLIENTS = 32
RATE = 100.0  # questions a second, of each kind
NUDGES = 25  # points about each place: none is asked about twice in a phase, or in two
LEAD_S, TAIL_S = 1.5, 2.0  # that the crowd is there before and behind; a process takes half a second to begin
P99_MS = 25.0  # what S4 allows a request to take
NEARBY, TILES = "nearby by air line", "tiles of stations"
ALONE, CONTROL, CROWDED = "nobody routes", "nobody routes on busy cores", f"{CLIENTS} clients route"
CONTROL_PATH = "/v1/stations/of-nobody"  # hardly any work
CONTROL_RATE = 300.0  # about as many as the crowd asks, most of which are refused


def measure(stand: Stand, result: Result) -> None:
    waits: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    failed: Counter[tuple[str, str]] = Counter()
    crowd, seconds, tiles = _Crowd(stand), stand.scale.beside_s, _tiles(stand)
    meanwhile: dict[str, AbstractContextManager[object]] = {
        ALONE: nullcontext(), CONTROL: _Control(stand), CROWDED: crowd,
    }  # fmt: skip
    for path in [*tiles, *nearby_paths(stand.origins)]:  # neither phase is to be the first to touch a place
        stand.ours.ask(Question(path))
    for number in range(stand.scale.beside_rounds):
        for k, condition in enumerate(meanwhile):
            stand.say(f"nearby and tiles while {condition}, {number + 1} of {stand.scale.beside_rounds}")
            points = nudged(stand.origins, NUDGES, seed=10 + 3 * number + k)
            with meanwhile[condition]:
                for kind, told in _probe(stand, {NEARBY: nearby_paths(points), TILES: tiles}, seconds).items():
                    waits[kind, condition] += [ms for _, ms in told["waits"]]
                    failed[kind, condition] += sum(told["failed"].values())
    for kind in (NEARBY, TILES):
        for condition in meanwhile:
            ms = waits[kind, condition]
            figures: dict[str, Any] = {
                f"{name} ms": value for name, value in quantiles(ms, ("p50", "p95", "p99")).items()
            }
            result.row(f"{kind}, {condition}", {"asked": len(ms), **figures, "failed": failed[kind, condition]})
    result.conditions |= {
        "asked": f"{RATE:g}/s of each kind, open loop, {seconds * stand.scale.beside_rounds:g} s each with and without",
        "the crowd's answers": crowd.told(),
    }
    for kind in (NEARBY, TILES):
        p99 = percentile(waits[kind, CROWDED], 99)
        result.goal(f"{kind} while {CROWDED}, p99", p99, at_most=P99_MS, unit="ms")
    result.goal("questions that failed", sum(failed.values()), at_most=0)
    result.plot("Nearby and tiles beside routing: p99", "p99 ms")


class _Control:
    """`with control:` Valhalla's cores are busy, and the worker with questions as many as the crowd's."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._running = ExitStack()

    def __enter__(self) -> None:
        stand, valhalla = self._stand, self._stand.service.valhalla_pid()
        length_s = LEAD_S + stand.scale.beside_s + TAIL_S
        rank = os.getpriority(os.PRIO_PROCESS, valhalla)
        for core in os.sched_getaffinity(valhalla):
            loop = ["taskset", "--cpu-list", str(core), "nice", f"-n{rank}", sys.executable, "-c", "while True: pass"]
            burner = Program(f"busy core {core}", loop, stand.folder / f"busy-{core}.log")
            burner.start()
            self._running.callback(burner.stop)
        self._running.enter_context(_job(stand, "others", [CONTROL_PATH], length_s, CONTROL_RATE))
        time.sleep(LEAD_S)

    def __exit__(self, *_: object) -> None:
        self._running.close()


class _Crowd:
    """`with crowd:` it is there."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._counts: Counter[str] = Counter()
        self._seconds = 0.0
        self._cores: list[dict[str, float]] = []
        self._asked = _write(
            stand.folder / "crowd.asked", json.dumps([(q.path, q.body.decode()) for q in _questions(stand)])
        )

    def __enter__(self) -> None:
        stand = self._stand
        length_s = LEAD_S + stand.scale.beside_s + TAIL_S
        self._length_s = length_s
        self._job = Job("loadtests.bench.roads.crowd", stand.folder, "crowd", [
            "--url", stand.service.url, "--asked", str(self._asked), "--clients", str(CLIENTS), "--seconds", str(length_s),
        ])  # fmt: skip
        time.sleep(LEAD_S)
        self._before, self._began = stand.meter.cpu_s(), time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._job:
            if kind is not None:
                return
            told = self._job.told(self._length_s)
        self._counts.update(told["counts"])
        self._seconds += told["seconds"]
        used, passed_s = self._stand.meter.cpu_s(), time.monotonic() - self._began
        self._cores.append({who: (used[who] - self._before[who]) / passed_s for who in (WORKER, VALHALLA)})

    def told(self) -> str:
        per_s = ", ".join(f"{count / self._seconds:.1f}/s {name}" for name, count in self._counts.most_common())
        cores = ", ".join(f"{who} {max(one[who] for one in self._cores):.2f}" for who in (WORKER, VALHALLA))
        return f"{per_s}; cores: {cores}"


def _questions(stand: Stand) -> list[Question]:
    """As many of each kind: what an app asks one after the other."""
    asked = []
    for k, (lat, lon) in enumerate(nudged(stand.origins, 1, seed=5)):
        elsewhere = stand.origins[(k + len(stand.origins) // 2) % len(stand.origins)]
        way = [{"lat": lat, "lon": lon}, {"lat": elsewhere[0], "lon": elsewhere[1]}]
        asked += [
            Question(f"/v1/nearby?lat={lat}&lon={lon}&limit=10&sort=drive_time"),
            post("/v1/route", waypoints=way),
            post("/v1/along-route", waypoints=way, max_distance_m=ASIDE_M, max_detour_s=DETOUR_S, limit=10),
            Question(f"/v1/reachable?lat={lat}&lon={lon}&minutes={MINUTES}"),
        ]
    return asked


def _tiles(stand: Stand) -> list[str]:
    views = viewports([Spot(lat, lon, "") for lat, lon in stand.origins])
    return list(dict.fromkeys(f"/v1/tiles/stations/{one.z}/{one.x}/{one.y}.mvt" for view in views for one in view))


def _probe(stand: Stand, paths: Mapping[str, Sequence[str]], seconds: float) -> Mapping[str, dict[str, Any]]:
    with ExitStack() as running:
        jobs = {
            kind: running.enter_context(_job(stand, kind.split()[0], some, seconds)) for kind, some in paths.items()
        }
        return {kind: job.told(seconds) for kind, job in jobs.items()}


def _job(stand: Stand, name: str, paths: Sequence[str], seconds: float, rate: float = RATE) -> Job:
    listed = _write(stand.folder / f"{name}.paths", "\n".join(paths))
    return Job("loadtests.bench.roads.probing", stand.folder, f"probe-{name}", [
        "--url", stand.service.url, "--paths", str(listed), "--rate", str(rate), "--seconds", str(seconds),
    ])  # fmt: skip


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
