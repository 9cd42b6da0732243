"""S3: tiles that no cache holds, and cached aggregates against cached clusters.

An uncached tile of ours is had through a filter that nobody asked before and that every station passes
(`exclude_operator=` a name that nobody has): the service renders it anew, evaluates the filter beside, and answers with the
same bytes as without it. So the figure is what a cold tile costs and a little more. Peers render every tile anew by nature.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import mapbox_vector_tile

from loadtests.bench import yardsticks
from loadtests.bench.load import Contender
from loadtests.bench.oracle import Tile, Wanted
from loadtests.bench.results import Result, WrongAnswerError
from loadtests.bench.stage import Client, Stage
from loadtests.bench.stats import ratio, spread
from loadtests.bench.steps.hot_tile import path_of
from loadtests.bench.updates import Producer, targets
from loadtests.bench.yardsticks import Peer

COLD_STATIONS = 1000
COLD_TILES = 12
STATION_ZOOMS = range(11, 15)
UNCACHED = "?exclude_operator=nobody{n}"
WORLD_FILTER = Wanted(connector="IEC_62196_T2_COMBO", min_power_kw=100)
WORLD = f"/v1/tiles/stations/0/0/0.mvt?{WORLD_FILTER.query[1:]}"
NEW_FILTER = "&exclude_operator=nobody{n}"
WORLD_EVERY_S = 1.1  # an aggregate tile is published at most once a second
WORLD_UPDATES_PER_S = 200
FEWEST_POINTS = 700  # of a tile from which 1,000 can be told
AGGREGATE_ZOOM = 6
AGGREGATE_TILES = 48
FEWEST_STATIONS = 50  # in an aggregate tile that is asked for
RADIUS_TURNS = 10
LIBRARY_TURNS = 5
TIPG, POSTGIS, MARTIN = "tipg", "ST_AsMVT behind aiohttp", "Martin, its cache off"
CLUSTERS, KEPT = "Node.js supercluster + vt-pbf", "supercluster + vt-pbf, tiles kept in a Map"


def measure(stage: Stage) -> Result:
    result = Result("S3", "cold tiles and aggregates, identity encoding")
    cold, cold_peers, points = _cold(stage, result)
    world = _filtered_world(stage, result)
    kept, rendered = _aggregates(stage, result)
    in_use_ms = _filtered_world_in_use(stage, result)
    scaled = _median_ms(cold) * COLD_STATIONS / points if points >= FEWEST_POINTS else None
    name = f"CPU of a cold tile, scaled from {points:.0f} to {COLD_STATIONS:,} points"
    result.goal(name, scaled, at_most=1.0, unit="ms", why="the fullest tiles of this world are too small")
    result.goal("a filtered aggregate tile over the world, a filter in use", in_use_ms, at_most=5.0, unit="ms")
    result.goal("the same, CPU of a filter never used before", _median_ms(world), at_most=5.0, unit="ms")
    _ratio(result, "uncached req/s, ours / tipg", cold, cold_peers.get(TIPG), 20.0)
    _ratio(result, "kept aggregates, ours / kept clusters", *kept, 1.0)
    _ratio(result, "rendered aggregates, ours / rendered clusters", *rendered, 1.0)
    result.plot("S3: tiles, requests per second", "req/s", logarithmic=True)
    return result


def _median_ms(contender: Contender) -> float:
    return spread(contender.cpu_us()).median / 1000


def _ratio(result: Result, name: str, ours: Contender, peer: Contender | None, at_least: float) -> None:
    if peer is None:
        result.goal(name, None, at_least=at_least, why="the peer did not run")
    else:
        result.goal(name, ratio(ours.req_s(), peer.req_s()).median, at_least=at_least)


# -- station tiles ----------------------------------------------------------------------------------------------------------


def _cold(stage: Stage, result: Result) -> tuple[Contender, dict[str, Contender], float]:
    """Ours, all by name, and how many points a tile has."""
    every = [one for z in STATION_ZOOMS for one in stage.oracle.tiles(z)]
    every.sort(key=lambda one: abs(one[1] - COLD_STATIONS))
    tiles = [tile for tile, _ in every[:COLD_TILES]]
    points = sum(count for _, count in every[:COLD_TILES]) / len(tiles)
    result.conditions |= {"cold tiles": len(tiles), "points in a cold tile": round(points)}
    client = Client(stage.service.url)
    for n, tile in enumerate(tiles):
        plain, uncached = client.get(path_of(tile)), client.get(path_of(tile) + UNCACHED.format(n=f"check{n}"))
        stage.oracle.check_station_tile("our tile", plain, tile)
        if plain != uncached:
            raise WrongAnswerError(f"tile {tile}: the filter that all stations pass changes the bytes")
    result.check(f"{len(tiles)} of our cold tiles equal to the oracle's stations and to the cached ones", stage.say)

    asked: dict[str, tuple[Callable[[Stage], yardsticks.PeerContext], str]] = {
        TIPG: (yardsticks.tipg, yardsticks.TIPG_TILE),
        POSTGIS: (yardsticks.postgis, "/tiles/{z}/{x}/{y}"),
        MARTIN: (yardsticks.martin, yardsticks.MARTIN_TILE),
    }
    ours = stage.ours("ours, cold", [path_of(tile) + UNCACHED for tile in tiles], remark=f"{points:.0f} points")
    with ExitStack() as stack:
        contenders = [ours]
        for name, (start, path) in asked.items():
            if peer := stack.enter_context(yardsticks.invited(result, name, start(stage))):
                paths = [path.format(z=z, x=x, y=y) for z, x, y in tiles]
                _check_tiles(stage, result, name, peer, paths, tiles)
                contenders.append(peer.contender(name, paths, remark=peer.version))
        found = {one.name: one for one in stage.measure(result, contenders)}
    _library(stage, result, tiles[0])
    return ours, found, points


def _check_tiles(
    stage: Stage, result: Result, name: str, peer: Peer, paths: Sequence[str], tiles: Sequence[Tile]
) -> None:
    client = Client(peer.url)
    for path, tile in zip(paths, tiles, strict=True):
        stage.oracle.check_station_tile(name, client.get(path), tile)
    result.check(f"{name}: {len(tiles)} tiles equal to the oracle's stations", stage.say)


def _library(stage: Stage, result: Result, tile: Tile) -> None:
    """mapbox-vector-tile encoding the same stations, in this very process: no HTTP, no look-up."""
    rows = stage.oracle.rows_in(tile)
    names = ("status", "free", "busy", "out_of_service", "unknown", "total", "kw")
    features = [
        {"geometry": f"POINT({i % 4096} {i * 7 % 4096})", "properties": dict(zip(names, tags, strict=True))}
        for i, tags in enumerate(stage.oracle.tile_columns()[rows].tolist())
    ]
    took = []
    for _ in range(LIBRARY_TURNS):
        began = time.process_time()
        mapbox_vector_tile.encode({"name": "stations", "features": features})
        took.append(1e6 * (time.process_time() - began))
    result.row("mapbox-vector-tile, encoding alone", {"CPU-µs": spread(took), "remark": f"{len(rows)} points"})


# -- aggregates -------------------------------------------------------------------------------------------------------------


def _filtered_world(stage: Stage, result: Result) -> Contender:
    """Through a filter that nobody used before."""
    expected = stage.oracle.aggregates(0, WORLD_FILTER)[0, 0, 0]
    body = Client(stage.service.url).get(WORLD + NEW_FILTER.format(n="check"))
    cells = stage.oracle.check_aggregate_tile("our filtered world", body, (0, 0, 0), expected)
    result.check(f"the filtered tile of the whole world: {cells} cells equal to the oracle's sums", stage.say)
    name = "ours, aggregates of the world, a filter never used before"
    ours = stage.ours(name, [WORLD + NEW_FILTER], connections=4, remark=f"{cells} cells")
    stage.measure(result, [ours])
    return ours


def _filtered_world_in_use(stage: Stage, result: Result) -> float:
    """Through a filter that is in use, while statuses change all over the world: asked for as often as it is published anew,
    so that no answer is a kept one. The median of milliseconds that an answer takes. Statuses are as before at the end."""
    warm_up, measured = (5, 5) if stage.scale.brief else (45, 20)
    client, took = Client(stage.service.url), []
    stage.say(f"the filtered world while it changes: {(warm_up + measured) * WORLD_EVERY_S:.0f} s")
    with Producer(stage.service.url, targets(stage.service), WORLD_UPDATES_PER_S, restore=True) as producer:
        for _ in range(warm_up + measured):
            time.sleep(WORLD_EVERY_S)
            began = time.perf_counter()
            client.get(WORLD)
            took.append(1000 * (time.perf_counter() - began))
    time.sleep(2 * WORLD_EVERY_S)
    expected = stage.oracle.aggregates(0, WORLD_FILTER)[0, 0, 0]
    stage.oracle.check_aggregate_tile("our filtered world, kept current", client.get(WORLD), (0, 0, 0), expected)
    result.check(f"the same after {producer.applied:,} updates that undo one another", stage.say)
    found = spread(took[warm_up:])
    remark = f"{WORLD_UPDATES_PER_S} updates/s beside"
    result.row("ours, aggregates of the world, a filter in use", {"ms an answer": found, "remark": remark})
    return found.median


def _aggregates(
    stage: Stage, result: Result
) -> tuple[tuple[Contender, Contender | None], tuple[Contender, Contender | None]]:
    """(ours, theirs) with tiles kept, and with tiles rendered for each request."""
    expected = stage.oracle.aggregates(AGGREGATE_ZOOM)
    everywhere = stage.oracle.tiles(AGGREGATE_ZOOM)
    tiles = [tile for tile, count in everywhere if count >= FEWEST_STATIONS and tile in expected][:AGGREGATE_TILES]
    client = Client(stage.service.url)
    features = 0
    for n, tile in enumerate(tiles):
        body = client.get(path_of(tile))
        features += stage.oracle.check_aggregate_tile("our aggregates", body, tile, expected[tile])
        if client.get(path_of(tile) + UNCACHED.format(n=f"check{n}")) != body:
            raise WrongAnswerError(f"tile {tile}: the filter that all stations pass changes the bytes")
    result.check(f"{len(tiles)} aggregate tiles at zoom {AGGREGATE_ZOOM} equal to the oracle's sums", stage.say)
    mean = features / len(tiles)
    told = f"{mean:.0f} features a tile"
    kept = stage.ours("ours, aggregates, kept", [path_of(tile) for tile in tiles], remark=told)
    rendered = stage.ours("ours, aggregates, rendered", [path_of(tile) + UNCACHED for tile in tiles], remark=told)
    with ExitStack() as stack:
        contenders = [kept, rendered]
        if peer := stack.enter_context(yardsticks.invited(result, CLUSTERS, yardsticks.node(stage, "clusters.mjs"))):
            their_mean = _tune(stage, peer, tiles, mean)
            bodies = [Client(peer.url).get("/tiles/{}/{}/{}".format(*tile)) for tile, _ in everywhere]
            stage.oracle.check_clusters(CLUSTERS, bodies)
            result.check(f"{CLUSTERS}: all tiles of zoom {AGGREGATE_ZOOM} together hold every station once", stage.say)
            remark = f"{their_mean:.0f} features a tile, {peer.version}"
            for name, kind in ((CLUSTERS, "tiles"), (KEPT, "cached")):
                paths = ["/{}/{}/{}/{}".format(kind, *tile) for tile in tiles]
                contenders.append(peer.contender(name, paths, remark=remark))
        found = {one.name: one for one in stage.measure(result, contenders)}
    return (kept, found.get(KEPT)), (rendered, found.get(CLUSTERS))


def _tune(stage: Stage, peer: Peer, tiles: Sequence[Tile], wanted: float) -> float:
    """Bisects supercluster's radius until its tiles have as many features as ours, so that both encode as much."""
    low, high, client = 8.0, 2048.0, Client(peer.url)
    mean = 0.0
    for _ in range(RADIUS_TURNS):
        radius = (low * high) ** 0.5
        client.get(f"/build?zoom={AGGREGATE_ZOOM}&radius={radius:.1f}")
        bodies = [client.get("/tiles/{}/{}/{}".format(*tile)) for tile in tiles]
        mean = sum(stage.oracle.count_features(body) for body in bodies) / len(bodies)
        stage.say(f"supercluster with radius {radius:.0f}: {mean:.1f} features a tile, ours {wanted:.1f}")
        if abs(mean / wanted - 1) < 0.03:
            break
        low, high = (radius, high) if mean > wanted else (low, radius)
    return mean
