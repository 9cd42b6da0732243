"""S9: what an answer and an update cost in worlds of 10,000, 100,000 and 1,000,000 stations of the same local density.

`mapsvc generate` grows by regions that are all drawn alike, so a larger world is wider and not denser; the density that was
found about the query points is told beside. Updates go to ingest itself: what a worker spends on them is then the work of
its replica and nothing of HTTP. What it spends when nothing happens is taken off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

from loadtests.bench import machine
from loadtests.bench import snapshot as snapshots
from loadtests.bench.load import Contender
from loadtests.bench.oracle import Oracle
from loadtests.bench.questions import Point, local_density, nearby_paths, nudged, query_points
from loadtests.bench.results import Result
from loadtests.bench.service import Service
from loadtests.bench.snapshot import Snapshot
from loadtests.bench.stage import NUDGES, Client, Stage
from loadtests.bench.stats import spread
from loadtests.bench.updates import Producer, targets

SMALLER = (10_000, 100_000)
DENSITY_POINTS = 200
RATE = 2000  # updates a second
SETTLE_S = 0.5
WITHIN = 1.5


class World(NamedTuple):
    name: str
    service: Service
    idle: list[tuple[float, float]]  # CPU seconds a second when nothing happens: of the worker, of everything
    busy: list[tuple[float, float]]  # CPU-µs an update, likewise


def measure(stage: Stage) -> Result:
    result = Result("S9", "cost grows with the answer, not with the world")
    with ExitStack() as stack:
        services = [stack.enter_context(Service(stations, say=stage.say)) for stations in SMALLER]
        services.append(stage.service)
        _nearby(stage, result, services)
        _updates(stage, result, services)
    result.plot("S9: CPU of a worker", "CPU-µs")
    return result


def _nearby(stage: Stage, result: Result, services: Sequence[Service]) -> None:
    contenders = []
    for service in services:
        stage.say(f"reading the world of {service.stations:,}")
        folder = service.data_dir / "snapshot-alone"  # statuses may have changed since peers were loaded
        asyncio.run(snapshots.save(service.database_url, folder))
        world = snapshots.load(folder)
        places = query_points(world, stage.scale.places)
        _check(stage, result, service, world, places)
        service.pin([0], [1])
        stage.warm_up(service, places)
        density = local_density(world, places[:DENSITY_POINTS])
        contender = Contender(
            f"nearby, {service.stations:,} stations", service.url, nearby_paths(nudged(places, NUDGES, seed=1)),
            service.worker_pids,
            remark=f"{density:.0f} stations within 10 km",
        )  # fmt: skip
        contenders.append(contender)
    stage.measure(result, contenders)
    costs = [spread(one.cpu_us()).median for one in contenders]
    result.goal("nearby, the dearest world / the cheapest", max(costs) / min(costs), at_most=WITHIN)


def _check(stage: Stage, result: Result, service: Service, world: Snapshot, places: Sequence[Point]) -> None:
    oracle, client = Oracle(world), Client(service.url)
    sample = places[: stage.scale.sample]
    for at, path in zip(sample, nearby_paths(sample), strict=True):
        oracle.check_nearby("nearby", client.get(path), at)
    result.check(f"{service.stations:,} stations: {len(sample)} answers equal to brute force", stage.say)


def _updates(stage: Stage, result: Result, services: Sequence[Service]) -> None:
    worlds = [World(f"one update, {service.stations:,} stations", service, [], []) for service in services]
    seconds = 2 * stage.scale.seconds
    for turn in range(stage.scale.rounds):
        for world in worlds:
            before = _used(world.service)
            time.sleep(seconds)
            world.idle.append(_per(before, _used(world.service), seconds))
            found = targets(world.service)
            before, began = _used(world.service), time.monotonic()
            with Producer(world.service.ingest_url, found, RATE) as producer:
                time.sleep(seconds)
            time.sleep(SETTLE_S)  # the last are on their way to the worker
            took = time.monotonic() - began
            worker, all_of_it = _per(before, _used(world.service), 1.0)
            idle, applied = world.idle[-1], producer.applied
            world.busy.append((1e6 * (worker - idle[0] * took) / applied, 1e6 * (all_of_it - idle[1] * took) / applied))
        stage.say(f"updates, round {turn + 1} of {stage.scale.rounds}")
    for world in worlds:
        result.row(
            world.name,
            {
                "CPU-µs": spread([one[0] for one in world.busy]),
                "CPU-µs with ingest, relay, engines": spread([one[1] for one in world.busy]),
                "offered /s": RATE,
                "idle worker, % of a core": round(100 * spread([one[0] for one in world.idle]).median, 1),
            },
        )
    for label, part in (("a worker's share of one update", 0), ("one update, all of it", 1)):
        costs = [spread([one[part] for one in world.busy]).median for world in worlds]
        result.goal(f"{label}, the dearest world / the cheapest", max(costs) / min(costs), at_most=WITHIN)


def _used(service: Service) -> tuple[float, float]:
    return machine.cpu_s(service.worker_pids()), machine.cpu_s([service.pid])


def _per(before: tuple[float, float], after: tuple[float, float], seconds: float) -> tuple[float, float]:
    return (after[0] - before[0]) / seconds, (after[1] - before[1]) / seconds
