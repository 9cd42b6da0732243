"""S2: the twenty nearest of a million, against bare aiohttp with a body of that size, Node.js on geokdbush, PostGIS KNN,
Redis GEOSEARCH + MGET and Tile38; and what filters cost."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from loadtests.bench import yardsticks
from loadtests.bench.load import Contender
from loadtests.bench.oracle import NOTHING_WANTED, Wanted
from loadtests.bench.questions import LIMIT, RADIUS_M, nearby_paths, query_points
from loadtests.bench.results import Result
from loadtests.bench.stage import Client, Stage
from loadtests.bench.stats import percentile, ratio
from loadtests.bench.yardsticks import Peer

REDIS_TOLERANCE_M = 4.5  # it keeps positions to 0.6 m, on a sphere that is 0.03 % larger (2.8 m in 10 km)
FAR_M = 200_000.0  # the largest radius that the API allows
CHECKED_FAR = 10
ELSEWHERE = 100_000
HELLO, NODE, POSTGIS, REDIS, TILE38 = (
    "bare aiohttp, same body size", "Node.js geokdbush", "PostGIS KNN behind aiohttp", "Redis GEOSEARCH + MGET behind aiohttp",
    "Tile38 + MGET behind aiohttp",
)  # fmt: skip


def measure(stage: Stage) -> Result:
    result = Result("S2", f"nearby, {LIMIT} of {stage.scale.stations:,}")
    result.conditions |= {
        "places": len(stage.places), "distinct query points": len(stage.points), "radius": f"{RADIUS_M:.0f} m", "limit": LIMIT,
        "rarest connector": stage.snapshot.rarest_standard(),
    }  # fmt: skip
    _against_peers(stage, result)
    _filters(stage, result)
    if not stage.scale.brief:  # by itself and last: it pushes out what was prepared for the other places
        elsewhere = query_points(stage.snapshot, ELSEWHERE, seed=3)
        stage.measure(result, [stage.ours("ours, at places never asked about before", nearby_paths(elsewhere))])
    result.plot("S2: nearby, requests per second", "req/s", logarithmic=True)
    result.plot("S2: nearby, CPU of the server (databases included)", "CPU-µs", logarithmic=True)
    return result


def check(
    stage: Stage, result: Result, name: str, url: str, paths: Sequence[str], wanted: Wanted, **how: float
) -> None:
    """A sample of a contender's answers; `paths` are those of `stage.sample()`."""
    client = Client(url)
    for path, at in zip(paths, stage.sample(len(paths)), strict=True):
        stage.oracle.check_nearby(name, client.get(path), at, wanted, **how)
    result.check(f"{name}: {len(paths)} answers equal to brute force", stage.say)


def _against_peers(stage: Stage, result: Result) -> None:
    sample = stage.sample()
    paths, sample_paths = nearby_paths(stage.points), nearby_paths(sample)
    ours = stage.ours("ours, no filter", paths)
    check(stage, result, ours.name, ours.url, sample_paths, NOTHING_WANTED)
    client = Client(ours.url)
    sizes = sorted(len(client.get(path)) for path in sample_paths)
    body = b"x" * sizes[len(sizes) // 2]

    with ExitStack() as stack:
        peers: list[tuple[str, Peer | None, float]] = []

        def invite(name: str, peer: yardsticks.PeerContext, tolerance_m: float = 0.1) -> None:
            peers.append((name, stack.enter_context(yardsticks.invited(result, name, peer)), tolerance_m))

        invite(NODE, yardsticks.node(stage, "nearby.mjs"))
        invite(POSTGIS, yardsticks.postgis(stage))
        server = yardsticks.RedisServer(stage)
        stack.callback(server.stop)
        invite(REDIS, yardsticks.redis_geo(stage, server), REDIS_TOLERANCE_M)
        invite(TILE38, yardsticks.tile38(stage, server))
        contenders = [ours]
        if hello := stack.enter_context(yardsticks.invited(result, HELLO, yardsticks.hello(stage, body))):
            contenders.append(hello.contender(HELLO, ["/hello"], remark=hello.version))
        for name, peer, tolerance_m in peers:
            if peer is not None:
                asked = nearby_paths(sample, path="/nearby")
                check(stage, result, name, peer.url, asked, NOTHING_WANTED, tolerance_m=tolerance_m)
                contenders.append(peer.contender(name, nearby_paths(stage.points, path="/nearby"), remark=peer.version))
        stage.warm_up(stage.service, stage.places)
        found = {one.name: one for one in stage.measure(result, contenders)}
    for name, at_least in ((HELLO, 0.6), (NODE, 1.5), (POSTGIS, 7.0), (REDIS, 25.0)):
        _goal(result, found[ours.name], found.get(name), name, at_least)


def _goal(result: Result, ours: Contender, peer: Contender | None, name: str, at_least: float) -> None:
    label = f"req/s, ours / {name}"
    if peer is None:
        result.goal(label, None, at_least=at_least, why="the peer did not run")
    else:
        result.goal(label, ratio(ours.req_s(), peer.req_s()).median, at_least=at_least)


def _filters(stage: Stage, result: Result) -> None:
    rarest = Wanted(connector=stage.snapshot.rarest_standard())
    far = f"{rarest.query}&radius_m={FAR_M:.0f}"
    asked = {
        "ours, connector + power": (Wanted(connector="IEC_62196_T2_COMBO", min_power_kw=100), "", RADIUS_M, {}),
        "ours, available": (Wanted(available=1), "", RADIUS_M, {}),
        "ours, rarest connector": (rarest, "", RADIUS_M, {}),
        "ours, rarest connector, one at a time": (rarest, "", RADIUS_M, {"connections": 1}),
        "ours, rarest connector within 200 km, one at a time": (rarest, far, FAR_M, {"connections": 1}),
    }
    contenders = []
    for name, (wanted, query, radius_m, how) in asked.items():
        query = query or wanted.query
        contenders.append(stage.ours(name, nearby_paths(stage.points, query), **how))
        sample = nearby_paths(stage.sample(CHECKED_FAR if radius_m == FAR_M else stage.scale.sample), query)
        check(stage, result, name, stage.service.url, sample, wanted, radius_m=radius_m)
        if not how:
            stage.warm_up(stage.service, stage.places, query)
    found = {one.name: one for one in stage.measure(result, contenders)}
    alone = found["ours, rarest connector, one at a time"]
    p99 = percentile([one.wrk.p99_ms for one in alone.rounds], 50)
    result.goal("p99 with the rarest connector", p99, at_most=5.0, unit="ms")
