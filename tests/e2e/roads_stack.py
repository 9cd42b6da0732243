"""A running service with roads: the processes of a `Stack`, and the keeper of its Valhalla, as `mapsvc up` runs it.

from tests.e2e.roads_stack import roads  # noqa: F401  (a module-scoped fixture)
"""

from __future__ import annotations

import asyncio
import gzip
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
import pytest
import pytest_asyncio

from cache.tasks import end
from geo.station import Located
from mapsvc.engines import PostgresEngine, RedisEngine
from mapsvc.generate_osm import write_roads
from mapsvc.generate_plan import plan
from mapsvc.generate_world import populate
from mapsvc.importers import bnetza, csv_register, superchargers
from mapsvc.importers.csv_options import CsvOptions
from mapsvc.importers.report import Report
from mapsvc.roads import graphs
from mapsvc.roads.client import LOOK_S
from mapsvc.roads.keeper import Keeper
from mapsvc.roads.valhalla_files import is_installed
from mapsvc.settings import run_dir
from tests.conftest import SHARED_DATA, execute, url_of
from tests.e2e.stack import ROOT, Stack, eventually

ROADS = SHARED_DATA / "roads"
AT_ONCE = 2000  # stations put at a time
MADE_UP_STATIONS = 300

needs_valhalla = pytest.mark.skipif(not is_installed(), reason="needs Valhalla (make setup)")
needs_roads = pytest.mark.skipif(
    not (is_installed() and ROADS.is_dir()),
    reason="needs Valhalla (make setup) and the extracts in ../shared/data/roads",
)


class RoadsStack:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.data_dir = stack.folder / "serve"  # where the API workers look for the note
        self.told: list[str] = []
        self.restarts = 0
        self.keeper = Keeper(self.data_dir, stack.folder / "valhalla.out", self.told.append, self._on_restart)
        self._keeping: asyncio.Task[None] | None = None
        self._on: tuple[str, ...] = ()

    def _on_restart(self) -> None:
        self.restarts += 1

    def keep(self) -> None:
        run_dir(self.data_dir).mkdir(parents=True, exist_ok=True)
        self._keeping = asyncio.create_task(self.keeper.run())

    async def stop(self) -> None:
        """No Valhalla any more, until `keep`."""
        if self._keeping is not None:
            await end([self._keeping])
            await asyncio.sleep(LOOK_S * 2)

    async def on(self, *names: str) -> None:
        """The roads of these extracts, whatever the test before had."""
        if self._on != names:
            await self.turn_to(*names)

    async def build(self, *files: Path) -> tuple[int, str]:
        """`mapsvc roads`: its exit code, and what it says."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mapsvc", "roads", *map(str, files), cwd=ROOT,
            env={**self.stack.environment("command"), "DATA_DIR": str(self.data_dir)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(120):
            output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def turn_to(self, *names: str) -> None:
        """Builds the roads of these extracts and waits until every worker routes on them."""
        code, output = await self.build(*(ROADS / f"{name}.osm.pbf" for name in names))
        assert code == 0, output
        wanted = graphs.wanted(self.data_dir)
        assert wanted is not None

        async def is_served() -> bool:
            """the new graph is served"""
            served = graphs.served(self.data_dir)
            return served is not None and served.graph == wanted.id

        await eventually(is_served, 30)
        await asyncio.sleep(LOOK_S * 2)
        self._on = names

    # -- asking -------------------------------------------------------------------------------------------------------

    async def get(self, path: str) -> Any:
        async with self.stack.session.get(self.stack.url + path) as answer:
            body = await answer.read()
            assert answer.status == 200, (path, answer.status, body[:300])
            return orjson.loads(body)

    async def post(self, path: str, body: Mapping[str, Any], status: int = 200) -> Any:
        async with self.stack.session.post(self.stack.url + path, data=orjson.dumps(body)) as answer:
            told = await answer.read()
            assert answer.status == status, (path, answer.status, told[:300])
            return orjson.loads(told)

    async def valhalla(self, action: str, body: Mapping[str, Any]) -> Any:
        """Valhalla itself, asked directly: the oracle. None: it refuses."""
        served = graphs.served(self.data_dir)
        assert served is not None
        async with self.stack.session.post(f"{served.url}/{action}", data=orjson.dumps(body)) as answer:
            return orjson.loads(await answer.read()) if answer.status == 200 else None


@asynccontextmanager
async def running(
    postgres_engine: PostgresEngine,
    redis_engine: RedisEngine,
    template: str,
    folder: Path,
    name: str,
    found: Sequence[Located],
) -> AsyncIterator[RoadsStack]:
    """A service with these stations, and with no graph yet."""
    postgres_engine.start()
    redis_engine.start()
    with redis_engine.client() as client:
        client.flushall()
    execute(postgres_engine, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    async with Stack(url_of(postgres_engine, name), redis_engine.url, folder) as stack:
        await stack.fill(1)
        for first in range(0, len(found), AT_ONCE):
            await stack.put(found[first : first + AT_ONCE])
        await stack.start("ingest", "relay", "serve")
        served = RoadsStack(stack)
        served.keep()
        try:
            yield served
        finally:
            await served.stop()
        assert stack.complaints() == []
    execute(postgres_engine, f"DROP DATABASE {name} WITH (FORCE)")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def roads(
    postgres_engine: PostgresEngine,
    redis_engine: RedisEngine,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[RoadsStack]:
    """German registers and Superchargers of Europe; no graph yet."""
    folder = tmp_path_factory.mktemp("stack")
    async with running(postgres_engine, redis_engine, template_database, folder, "roads", registers()) as served:
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made_up_roads(
    postgres_engine: PostgresEngine,
    redis_engine: RedisEngine,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[RoadsStack]:
    """A generated country on its own roads."""
    folder = tmp_path_factory.mktemp("stack")
    world = plan(MADE_UP_STATIONS, seed=1)
    write_roads(world, folder / "made_up.osm.pbf")
    found = list(populate(world))
    async with running(postgres_engine, redis_engine, template_database, folder, "made_up_roads", found) as served:
        code, output = await served.build(folder / "made_up.osm.pbf")
        assert code == 0, output
        await asyncio.wait_for(served.keeper.answered.wait(), 30)
        await asyncio.sleep(0.5)
        yield served


@cache
def registers() -> Sequence[Located]:
    """See `_registers`; reading them takes seconds."""
    return tuple(_registers())


def _registers() -> Iterator[Located]:
    """The stations of the German registers near Heidelberg and of Germany's fast chargers; Europe's Superchargers."""
    report = Report()
    with (SHARED_DATA / "de/Ladesaeulenkarte_2019-07-19.xlsx").open("rb") as sheet:
        yield from (one for one in bnetza.parse(sheet, report=report) if near_heidelberg(one))
    columns = {
        "name": "address", "lat": "lat", "lon": "lon", "power_kw": "max_individual_power_kw",
        "evses": "charging_points_count", "operator": "operator", "id": "station_id", "city": "city",
    }  # fmt: skip
    with gzip.open(SHARED_DATA / "de/fast_chargers_2026-02-20.csv.gz") as table:
        yield from csv_register.parse(
            cast(BinaryIO, table), party="woladen", options=CsvOptions(columns=columns, country="DEU"), report=report
        )
    raw = gzip.decompress((SHARED_DATA / "tesla/superchargers_2026-05.json.gz").read_bytes())
    yield from (one for one in superchargers.parse(raw, report=report) if -12 < one.station.lon < 30)


def near_heidelberg(one: Located) -> bool:
    return 49.2 < one.station.lat < 49.6 and 8.3 < one.station.lon < 9.0


def in_order(values: Sequence[float]) -> bool:
    return all(a <= b for a, b in pairwise(values))
