"""S7: how soon a worker answers, what it holds, and how long the cache and the world take to make."""

from __future__ import annotations

import time

from loadtests.bench import machine
from loadtests.bench.results import Result
from loadtests.bench.stage import Stage
from loadtests.bench.stats import spread

TURNS = 3
READY_S = 180.0
SETTLE_S = 2.0
REBUILD_S = 900.0


def measure(stage: Stage) -> Result:
    service = stage.service
    result = Result("S7", f"starting with {stage.scale.stations:,} stations")
    machine.pin(service.pid, range(machine.describe()["cores"]))
    ready, resident, peak = [], [], []
    for turn in range(TURNS):
        ready.append(_replaced_worker_s(stage))
        time.sleep(SETTLE_S)
        (pid,) = service.worker_pids()
        resident.append(machine.resident_mb(pid) / 1024)
        peak.append(machine.peak_mb(pid) / 1024)
        stage.say(f"worker {turn + 1} of {TURNS}: ready after {ready[-1]:.1f} s, {resident[-1]:.2f} GB")
    result.row("a worker, from its start until it is ready, from Redis", {"s": spread(ready)})
    result.row("a worker, ready", {"GB": spread(resident), "peak GB": spread(peak)})
    stage.say("rebuilding the cache")
    rebuilt_s = service.timed_command("rebuild-cache", timeout_s=REBUILD_S)
    result.row("Redis rebuilt from PostGIS", {"s": rebuilt_s})
    world = service.world
    made_s: float | None = world["visible_s"]
    if made_s is not None:
        result.row("the world generated, committed and visible, when it was made", {"s": made_s})
    result.row("`mapsvc up` on the full store, at the beginning of this run", {"s": service.ready_after_s})
    result.notes.append(f"The world was made {world['made_at']}; the other figures are of this run.")
    result.goal("a worker is ready after", spread(ready).median, at_most=20.0, unit="s")
    result.goal("resident memory of a worker", spread(resident).median, at_most=1.2, unit="GB")
    result.goal("Redis rebuilt from PostGIS in", rebuilt_s, at_most=90.0, unit="s")
    made_min = None if made_s is None else made_s / 60
    result.goal(
        "the world generated and loaded in", made_min, at_most=15.0, unit="min", why="it was not made in one go"
    )
    return result


def _replaced_worker_s(stage: Stage) -> float:
    """Kills the worker; from the start of its successor until that one is ready."""
    service = stage.service
    old = service.kill_worker()
    deadline = time.monotonic() + READY_S
    while True:
        pids = [pid for pid in service.worker_pids() if pid != old]
        if pids and service.ready_workers() == 1:
            return time.clock_gettime(time.CLOCK_BOOTTIME) - machine.started_s(pids[0])
        if time.monotonic() > deadline:
            raise TimeoutError(f"no new worker was ready after {READY_S:.0f} s")
        time.sleep(0.05)
