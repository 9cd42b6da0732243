"""What the sessions of a mix ask for: the scripts that arrivals walk through.

The controller learns from the target what the scripts need (`survey`), once, and sends it to the load generators, where it
becomes prepared requests (`scripts`). The live mix has users of its own instead (loadtests/live_users.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gevent

from geo.tilemath import Tile
from loadtests import checks, live_survey, places, road_mix
from loadtests import survey as surveys
from loadtests.lean import Target
from loadtests.options import Options
from loadtests.recorder import Recorder, Row
from loadtests.session import Script, Step

Material = dict[str, Any]
"""What a survey found, in types that a message between processes can carry."""

AT_ONCE = 500  # scripts made without a pause
REQUESTS = 8  # of a session
REVALIDATED = 2  # of its five tiles: the app has shown them before
TILEJSON = "/v1/tiles/stations.json"
FILTERS: tuple[tuple[str, str, checks.Check], ...] = (
    ("nearby", "", checks.nearby()),
    (
        "nearby connector+power",
        f"&connector={checks.CONNECTOR}&min_power_kw={checks.MIN_POWER_KW}",
        checks.nearby(checks.has_power),
    ),
    ("nearby available", "&available", checks.nearby(checks.is_available)),
)
LEAST_NEARBY = len('{"stations":[]}')


class Mix(NamedTuple):
    """`session`: what its arrivals are called."""

    session: str
    survey: Callable[[Target, Options], Material]
    scripts: Callable[[Target, Options, Recorder, Material], list[Script]]


def tile_path(tile: Tile) -> str:
    return f"/v1/tiles/stations/{tile.z}/{tile.x}/{tile.y}.mvt"


def _survey_drivers(target: Target, options: Options) -> Material:
    found = surveys.stations(target, options.bbox, options.survey_stations)
    try:
        spots = places.draw(found, options.points, options.seed)
    except ValueError as error:
        raise surveys.SurveyError(str(error)) from None
    seen = {tile_path(tile) for tiles in places.viewports(spots) for tile in tiles[:REVALIDATED]}
    return {"spots": [tuple(spot) for spot in spots], "etags": surveys.etags(target, [TILEJSON, *sorted(seen)])}


def _driver_scripts(target: Target, _: Options, recorder: Recorder, material: Material) -> list[Script]:
    """One for each spot: TileJSON (304), five tiles of its viewport, two of them conditional, one nearby, one station."""
    etags: dict[str, str] = material["etags"]
    tilejson = recorder.row(Row("tilejson", least=2, check=checks.tilejson))
    tile = recorder.row(Row("tile", check=checks.tile))
    revalidated = recorder.row(Row("tile conditional", check=checks.tile))
    station = recorder.row(Row("station", least=2, check=checks.station))
    nearby = [(recorder.row(Row(name, least=LEAST_NEARBY, check=check)), query) for name, query, check in FILTERS]
    shared: dict[tuple[str, bool], Step] = {}

    def step(path: str, row: Row, *, revalidates: bool = False) -> Step:
        """The same for all spots that look at it."""
        if (path, revalidates) not in shared:
            etag = etags.get(path, "").encode() if revalidates else b""
            shared[path, revalidates] = Step(target, path, row, revalidates=revalidates, etag=etag)
        return shared[path, revalidates]

    scripts: list[Script] = []
    spots = [places.Spot(*values) for values in material["spots"]]
    for number, (spot, view) in enumerate(zip(spots, places.viewports(spots), strict=True)):
        if number % AT_ONCE == 0:
            gevent.sleep(0)  # lets a worker tell its master that it lives
        row, query = nearby[number % len(nearby)]
        tiles = [tile_path(one) for one in view]
        scripts.append(
            (
                step(TILEJSON, tilejson, revalidates=True),
                *(step(path, revalidated, revalidates=True) for path in tiles[:REVALIDATED]),
                *(step(path, tile) for path in tiles[REVALIDATED:]),
                Step(target, f"/v1/nearby?lat={spot.lat}&lon={spot.lon}&limit={checks.NEARBY_LIMIT}{query}", row),
                Step(target, f"/v1/stations/{spot.station}", station),
            )
        )
    return scripts


def _survey_nothing(_: Target, __: Options) -> Material:
    return {}


def _hello_scripts(target: Target, options: Options, recorder: Recorder, _: Material) -> list[Script]:
    exact = options.hello_bytes
    row = recorder.row(Row("hello", least=exact, most=exact) if exact >= 0 else Row("hello"))
    return [(Step(target, options.hello_path, row),) * REQUESTS]


def _no_scripts(_: Target, __: Options, ___: Recorder, ____: Material) -> list[Script]:
    return []


_DRIVERS = Mix("session", _survey_drivers, _driver_scripts)
_HELLO = Mix("session", _survey_nothing, _hello_scripts)
MIXES = {
    "drivers": _DRIVERS,
    "drivers-fresh": _DRIVERS,
    "hello": _HELLO,
    "hello-fresh": _HELLO,
    "live": Mix("batch", live_survey.survey, _no_scripts),
    "roads": Mix("session", road_mix.survey, road_mix.scripts),
}
