"""What S10 stands on: the service on an area's stations and roads, both kept between runs, and where drivers begin."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import orjson

from loadtests import survey
from loadtests.bench import machine
from loadtests.bench.processes import ProgramError
from loadtests.bench.questions import Point, metres
from loadtests.bench.roads import valhalla
from loadtests.bench.roads.areas import Area
from loadtests.bench.roads.asking import VALHALLA, WORKER, Caller, Meter
from loadtests.bench.roads.valhalla import Places
from loadtests.bench.service import BENCH_DIR, Service
from loadtests.lean import Target

GENERATED_STATIONS = 20_000
MOST_STATIONS = 100_000
VISIBLE_S, STILL_S = 120.0, 2.0
BUILD_S, SERVED_S = 300.0, 60.0
TOWN_M = 6_000.0  # drivers are that near to the middle of a town
TRIED = 500  # stations whose surroundings are looked at to find that middle
SIGMA_DEG = 0.01  # of drivers about a station: some 1.1 km


@dataclass(frozen=True)
class Scale:
    """Times are the most that a part may take: it then has asked fewer questions, and the table says how many."""

    name: str
    origins: int
    sample: int  # answers compared before anything is timed
    warm_up_s: float
    drives_s: float
    part_s: float  # each of routes, lines, areas, tiles
    beside_s: float  # a phase of the other questions, with and without routing
    beside_rounds: int


FULL = Scale("full", 200, 20, 25.0, 110.0, 11.0, 10.0, 2)
QUICK = Scale("quick", 40, 5, 8.0, 14.0, 4.0, 4.0, 1)


class AreaService(Service):
    def __init__(self, area: Area, say: Callable[[str], None]) -> None:
        self.area = area
        self.built_s: float | None = None  # None: not in this run
        super().__init__(0 if area.roads else GENERATED_STATIONS, name=f"roads-{area.name}", say=say)

    def start(self) -> None:
        """Until routes are computed."""
        super().start()
        try:
            if not (self.data_dir / "roads" / "current").exists():
                self._say(f"building the road graph of {self._extract.name}, once")
                self.built_s = self.timed_command("roads", str(self._extract), timeout_s=BUILD_S)
            self._up.wait_until((self.run_dir / "roads.json").exists, SERVED_S, "roads are served")
        except BaseException:
            self.stop()
            raise

    @property
    def _extract(self) -> Path:
        return self.area.roads or self.data_dir / "generated.osm.pbf"

    def _make_world(self, *more: str) -> None:
        if self.area.roads is None:
            super()._make_world("--roads", str(self._extract), *more)
            return
        self._say(f"importing the stations of {self.area.title}, once (kept in {self.data_dir.name})")
        for words in self.area.imports(self.data_dir):
            self.timed_command(*words)
        self._up.wait_until(self._still(), VISIBLE_S, "every station is visible")
        self._note_world(stations=round(self._shown()))

    def _still(self) -> Callable[[], bool]:
        """Whether the number of stations has not grown for a while."""
        last = [0.0, time.monotonic()]

        def still() -> bool:
            if (shown := self._shown()) != last[0]:
                last[:] = shown, time.monotonic()
            return bool(shown) and time.monotonic() - last[1] > STILL_S

        return still

    def _shown(self) -> float:
        return min(self.metric("mapsvc_replica_stations").values(), default=0.0)

    def served(self) -> dict[str, Any]:
        """Where the graph is served, and its `bbox`."""
        told: dict[str, Any] = json.loads((self.run_dir / "roads.json").read_bytes())
        return told

    def valhalla_pid(self) -> int:
        for pid in machine.tree(self.pid):
            if machine.command_line(pid)[:1] and machine.command_line(pid)[0].endswith("/valhalla_service"):
                return pid
        raise ProgramError("no Valhalla runs below the service")


class Stand:
    """`ours`, `direct`: a connection each to the service and to its Valhalla."""

    def __init__(self, scale: Scale, service: AreaService, say: Callable[[str], None]) -> None:
        self.scale, self.service, self.say = scale, service, say
        self.folder = BENCH_DIR / "roads"
        self.folder.mkdir(parents=True, exist_ok=True)
        served = service.served()
        self.ours, self.direct = Caller(service.url), Caller(served["url"])
        west, south, east, north = served["bbox"]
        self._box = f"{west},{south},{east},{north}"
        (worker,) = service.worker_pids()[:1]
        self.meter = Meter({WORKER: worker, VALHALLA: service.valhalla_pid()})
        self._open = ExitStack()
        self._open.callback(self.ours.close)
        self._open.callback(self.direct.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @cached_property
    def places(self) -> Places:
        """Stations that a road leads to."""
        found = survey.stations(Target.of(self.service.url), self._box, MOST_STATIONS)
        lat, lon = (np.array([getattr(one, name) for one in found]) for name in ("lat", "lon"))
        return valhalla.on_road(self.direct, Places(tuple(one.id for one in found), lat, lon))

    @cached_property
    def origins(self) -> list[Point]:
        return origins(self.places, self.scale.origins, seed=1)

    @cached_property
    def graph(self) -> dict[str, Any]:
        """What is known of it: edges, sources."""
        folder = self.service.data_dir / "roads" / self.service.served()["graph"]
        told: dict[str, Any] = orjson.loads((folder / "graph.json").read_bytes())
        return told


def middle(places: Places, seed: int) -> Point:
    """The station that has the most others about it, of some."""
    rng = np.random.default_rng(seed)
    tried = rng.permutation(len(places.ids))[:TRIED].tolist()
    at = [(float(places.lat[row]), float(places.lon[row])) for row in tried]
    return max(at, key=lambda one: int(np.count_nonzero(metres(places, one) <= TOWN_M)))


def origins(places: Places, count: int, seed: int) -> list[Point]:
    """Where drivers are who look for a charger in a town: near its stations, each equally often. ProgramError without any."""
    if not places.ids:
        raise ProgramError("there are no stations beside the roads")
    rng = np.random.default_rng(seed)
    town = places.within(middle(places, seed), TOWN_M)
    rows = rng.choice(town, count)
    lat = np.round(places.lat[rows] + rng.normal(0, SIGMA_DEG, count), 6)
    lon = np.round(places.lon[rows] + rng.normal(0, SIGMA_DEG, count), 6)
    return list(zip(lat.tolist(), lon.tolist(), strict=True))
