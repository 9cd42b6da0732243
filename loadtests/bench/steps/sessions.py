"""S4: driver sessions by Locust (loadtests/locustfile.py), beside eight hello-worlds by the very same client.

Server and load generator share the machine's cores as the kernel likes: two worker processes, as `mapsvc up` has them, and
one of Locust; so do two processes of bare aiohttp and its load.
Arrivals are open-loop: more sessions are offered than can be served, and what is achieved is what counts. Then 70 % of that
is offered, to see how long answers take when nobody has to queue.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from loadtests.bench import machine, yardsticks
from loadtests.bench.load import ALL_CORES
from loadtests.bench.processes import run
from loadtests.bench.results import Result, WrongAnswerError
from loadtests.bench.service import BENCH_DIR, Service
from loadtests.bench.stage import Client, Stage
from loadtests.bench.stats import ratio, spread
from loadtests.bench.updates import Producer, targets
from loadtests.bench.yardsticks import Peer

FIRST_OFFER, BRIEF_OFFER = (
    6_000,
    4_500,
)  # sessions a second: more than is served here, but the rest is served after the end
OVER = 1.4  # then so many times what was achieved
CALM = 0.7  # of what was achieved
WARM_UP_S = 2
FIRST_WARM_UP_S, BRIEF_WARM_UP_S = 5, 3  # of a service that nobody asked for sessions yet
LOCUST_S = 300.0
UPDATES_PER_S = 2000
WITH_UPDATES = f"ours, a connection a session, {UPDATES_PER_S:,} updates/s"
PROCESSES = 2  # of the service's workers, and of bare aiohttp
MISSED = 1  # Locust's exit code when more was offered than achieved, which is the point here
HELLO_BYTES = 13
TILES = "/v1/tiles/stations/{z}/{x}/{y}.mvt"


@dataclass
class Side:
    """A contender of Locust's."""

    name: str
    url: str
    mix: str
    admin_url: str = ""  # where a service of ours shows what it used
    told: list[dict[str, Any]] = field(default_factory=list)

    def achieved(self) -> list[float]:
        return [float(one["sessions"]["achieved_per_s"]) for one in self.told]


def measure(stage: Stage) -> Result:
    seconds, rounds = stage.scale.session_s, stage.scale.session_rounds
    result = Result("S4", "driver sessions of eight requests, Locust on the same cores")
    result.conditions |= {"connections": stage.scale.connections, "seconds": seconds, "rounds": rounds}
    result.conditions |= {"worker processes": PROCESSES, "processes of bare aiohttp": PROCESSES}
    with (
        Service(stage.scale.stations, workers=PROCESSES, name="second", beside=stage.service, say=stage.say) as service,
        yardsticks.hello(stage, b"x" * HELLO_BYTES, processes=PROCESSES) as hello,
    ):
        _check(stage, service, result)
        for one in (stage.service, service):  # PostgreSQL and Redis are the former's
            machine.pin(one.pid, ALL_CORES)
        ours = [
            Side("ours, connections kept", service.url, "drivers", service.admin_url),
            Side("ours, a connection a session", service.url, "drivers-fresh", service.admin_url),
            Side(WITH_UPDATES, service.url, "drivers-fresh", service.admin_url),
        ]
        theirs = [
            Side("eight hello-worlds, connections kept", hello.url, "hello"),
            Side("eight hello-worlds, a connection each eight", hello.url, "hello-fresh"),
        ]
        sides = [ours[0], theirs[0], ours[1], theirs[1], ours[2]]
        _pin_peer(hello)
        for number in range(rounds):
            for side in sides:
                _turn(stage, result, side, seconds)
                told = side.told[-1]["sessions"]
                stage.say(f"round {number + 1} of {rounds}: {side.name}: {told['achieved_per_s']:,.0f} sessions/s")
        for side in sides:
            result.row(side.name, _figures(side))
        calm = None if stage.scale.brief else _calm(stage, result, ours[0], seconds)
    _goals(result, ours, theirs, calm)
    result.plot("S4: sessions per second", "sessions/s")
    return result


def _goals(result: Result, ours: Sequence[Side], theirs: Sequence[Side], calm: Side | None) -> None:
    for part, side, peer, at_least, aim in (
        ("a", ours[0], theirs[0], 1.0, 4000), ("b", ours[1], theirs[1], 0.8, 2000), ("c", ours[2], theirs[1], 0.6, 1500),
    ):  # fmt: skip
        beside = ratio(side.achieved(), peer.achieved()).median
        result.goal(f"{part}: {side.name} / {peer.name}", beside, at_least=at_least)
        result.goal(f"{part}: {side.name}, the aim", spread(side.achieved()).median, at_least=aim, unit="sessions/s")
    failed = sum(told["sessions"]["failed"] for side in (*ours, *([calm] if calm else [])) for told in side.told)
    result.goal("sessions that failed", failed, at_most=0)
    p99_ms = calm.told[0]["requests"]["p99_ms"] if calm else None
    why = "only in the long run"
    result.goal(f"p99 of a request at {CALM:.0%} of the most", p99_ms, at_most=25.0, unit="ms", why=why)


def _check(stage: Stage, service: Service, result: Result) -> None:
    """The endpoints of a session that no other step compares: TileJSON and one station."""
    client = Client(service.url)
    described = json.loads(client.get("/v1/tiles/stations.json"))
    if described["tilejson"] != "3.0.0" or described["tiles"] != [
        f"{service.url}/v1/tiles/stations/{{z}}/{{x}}/{{y}}.mvt"
    ]:
        raise WrongAnswerError(f"TileJSON says {described['tilejson']!r} and {described['tiles']!r}")
    rows = range(0, len(stage.snapshot), max(1, len(stage.snapshot) // stage.scale.sample))
    for row in rows:
        wanted = stage.oracle.summary(row)
        told = json.loads(client.get(f"/v1/stations/{quote(stage.snapshot.ids[row], safe='*~%')}"))
        told["evses"] = told["evse_counts"]
        for name in ("id", "name", "address", "city", "operator", "lat", "lon", "evses"):
            if told.get(name) != wanted[name]:
                raise WrongAnswerError(
                    f"station {wanted['id']}: {name} is {told.get(name)!r} instead of {wanted[name]!r}"
                )
    result.check(
        f"TileJSON, and {len(rows)} stations equal to the oracle's; tiles and nearby: see S1 and S2", stage.say
    )


def _pin_peer(peer: Peer) -> None:
    for pid in peer.pids():
        machine.pin(pid, ALL_CORES)


def _turn(stage: Stage, result: Result, side: Side, seconds: int) -> None:
    """More is offered than can be served, but not so much more that its end takes longer than the measurement."""
    first = BRIEF_OFFER if stage.scale.brief else FIRST_OFFER
    rate = OVER * max(side.achieved()) if side.told else first
    if side.name != WITH_UPDATES:
        side.told.append(_locust(stage, side, rate, seconds))
        return
    with Producer(side.url, targets(stage.service), UPDATES_PER_S) as producer:
        side.told.append(_locust(stage, side, rate, seconds))
    result.notes.append(f"Beside: {producer.per_s:,.0f} updates/s of {UPDATES_PER_S:,} offered, all of them applied.")


def _locust(stage: Stage, side: Side, rate: float, seconds: int) -> dict[str, Any]:
    """What one run of Locust says of itself."""
    first_warm_up_s = BRIEF_WARM_UP_S if stage.scale.brief else FIRST_WARM_UP_S
    folder = BENCH_DIR / "locust"
    shutil.rmtree(folder, ignore_errors=True)
    argv = [
        *(sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless", "--only-summary"),
        *("--host", side.url, "--mix", side.mix, "--rate", f"{rate:.0f}", "--shape", "steady"),
        *("--duration", str(seconds), "--warm-up", str(WARM_UP_S if side.told else first_warm_up_s)),
        *("--connections", str(stage.scale.connections)),
        *("--points", str(stage.scale.places), "--report", str(folder)),
    ]
    if side.mix.startswith("hello"):
        argv += ["--hello-path", "/hello", "--hello-bytes", str(HELLO_BYTES)]
    if side.admin_url:
        argv += ["--admin-url", side.admin_url]
    run(argv, stage.logs / "locust.log", timeout_s=LOCUST_S, allowed=(0, MISSED))
    told: dict[str, Any] = json.loads(next(folder.glob("*.json")).read_text())
    return told


def _calm(stage: Stage, result: Result, side: Side, seconds: int) -> Side:
    rate = CALM * spread(side.achieved()).median
    calm = Side(f"{side.name}, {CALM:.0%} of that offered", side.url, side.mix, side.admin_url)
    calm.told.append(_locust(stage, calm, rate, 2 * seconds))
    result.row(calm.name, _figures(calm))
    return calm


def _figures(side: Side) -> dict[str, Any]:
    last = side.told[-1]
    session: dict[str, Any] = next((row for row in last["rows"] if row["name"] == "session"), {})
    server = last.get("server") or {}
    cpu = server.get("asked_cpu_us_per_session")
    return {
        "sessions/s": spread(side.achieved()),
        "offered /s": round(last["sessions"]["offered_per_s"]),
        "failed": sum(one["sessions"]["failed"] for one in side.told),
        **{f"request {p} ms": last["requests"][f"{p}_ms"] for p in ("p50", "p95", "p99", "max")},
        **({"session p99 ms": session["p99_ms"]} if session else {}),
        **({"CPU-µs a session": cpu} if cpu is not None else {}),
        "load cores": last["client_cores"],
        "bottleneck": "load" if last["client_was_busy"] else "server, or both on two cores",
    }
