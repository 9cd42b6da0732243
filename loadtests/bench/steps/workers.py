"""S8: what a second worker on the same core costs. Both set-ups run side by side on one database and one Redis."""

from __future__ import annotations

from loadtests.bench.questions import nearby_paths
from loadtests.bench.results import Result, WrongAnswerError
from loadtests.bench.service import Service
from loadtests.bench.stage import Client, Stage
from loadtests.bench.stats import ratio
from loadtests.bench.steps.hot_tile import ZOOM, path_of

TILES = 500
CONNECTIONS = 64  # a few would fall to the two workers unevenly


def _check(stage: Stage, result: Result, two: Service) -> None:
    """Byte by byte what the one worker says, which S1 and S2 have compared with the oracle."""
    client, other = Client(stage.service.url), Client(two.url)
    sample = nearby_paths(stage.sample())
    for path in sample:
        if client.get(path) != other.get(path):
            raise WrongAnswerError(f"two workers answer {path} otherwise than one")
    result.check(f"{len(sample)} answers of both set-ups equal to one another", stage.say)


def measure(stage: Stage) -> Result:
    result = Result("S8", "two workers on one core against one")
    tiles = [path_of(tile) for tile, _ in stage.oracle.tiles(ZOOM)[:TILES]]
    paths = [path for i, at in enumerate(nearby_paths(stage.points)) for path in (at, tiles[i % len(tiles)])]
    result.conditions |= {"requests": f"nearby and tiles of zoom {ZOOM} in turns", "connections": CONNECTIONS}
    with Service(stage.scale.stations, workers=2, name="second", beside=stage.service, say=stage.say) as two:
        two.pin([0], [1])
        _check(stage, result, two)
        one = stage.ours("one worker", paths, connections=CONNECTIONS)
        both = stage.ours("two workers", paths, connections=CONNECTIONS)
        both.url, both.pids = two.url, two.worker_pids
        for service in (stage.service, two):
            stage.warm_up(service, stage.places)
        stage.measure(result, [one, both])
    result.goal("CPU-µs, two workers / one", ratio(both.cpu_us(), one.cpu_us()).median, at_most=1.1)
    result.plot("S8: CPU per request", "CPU-µs")
    return result
