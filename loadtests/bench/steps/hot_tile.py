"""S1: a tile that everybody looks at, against the same bytes from bare aiohttp and from nginx."""

from __future__ import annotations

from contextlib import ExitStack

from loadtests.bench import yardsticks
from loadtests.bench.results import Result, WrongAnswerError
from loadtests.bench.stage import Client, Stage
from loadtests.bench.stats import ratio

ZOOM = 13
WANTED_STATIONS = 168  # some 6 KB: a city at street level
MANY = 200
MVT = "application/vnd.mapbox-vector-tile"


def path_of(tile: tuple[int, int, int]) -> str:
    return "/v1/tiles/stations/{}/{}/{}.mvt".format(*tile)


def measure(stage: Stage) -> Result:
    result = Result("S1", "a hot tile, identity encoding")
    tiles = stage.oracle.tiles(ZOOM)
    tile, stations = min(tiles, key=lambda one: abs(one[1] - WANTED_STATIONS))
    client = Client(stage.service.url)
    body = client.get(path_of(tile))
    many = [one for one, _ in tiles[:MANY]]
    result.conditions |= {"tile": "/".join(map(str, tile)), "stations in it": stations, "body bytes": len(body)}
    for one in [tile, *many[: stage.scale.sample]]:
        stage.oracle.check_station_tile("our tile", client.get(path_of(one)), one)
    result.check(f"{1 + min(MANY, stage.scale.sample)} tiles decoded and equal to the oracle's stations", stage.say)

    with ExitStack() as stack:
        contenders = [
            stage.ours("ours, one tile", [path_of(tile)]),
            stage.ours(f"ours, {len(many)} tiles in turns", [path_of(one) for one in many]),
        ]
        hello = stack.enter_context(yardsticks.invited(result, "bare aiohttp", yardsticks.hello(stage, body, MVT)))
        nginx = stack.enter_context(yardsticks.invited(result, "nginx", yardsticks.nginx(stage, body, MVT)))
        for name, peer, path in (("bare aiohttp", hello, "/hello"), ("nginx", nginx, "/file")):
            if peer is None:
                continue
            if Client(peer.url).get(path) != body:
                raise WrongAnswerError(f"{name} does not answer with the tile's bytes")
            contenders.append(peer.contender(name, [path], remark=peer.version))
        found = {one.name: one for one in stage.measure(result, contenders)}

    ours, bare = found["ours, one tile"], found.get("bare aiohttp")
    if bare is None:
        result.goal("req/s, ours / bare aiohttp", None, at_least=1.5, why="bare aiohttp did not run")
    else:
        result.goal("req/s, ours / bare aiohttp", ratio(ours.req_s(), bare.req_s()).median, at_least=1.5)
        result.goal("CPU-µs, bare aiohttp / ours", ratio(bare.cpu_us(), ours.cpu_us()).median, at_least=1.5)
    result.plot("S1: a hot tile, requests per second", "req/s")
    result.plot("S1: a hot tile, CPU of the server", "CPU-µs")
    return result
