"""What every step stands on: how large and how long, our service on its world, the world as the oracle knows it, and the
points that are asked about."""

from __future__ import annotations

import asyncio
import http.client
import json
import random
import shutil
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from loadtests.bench import snapshot as snapshots
from loadtests.bench.load import LOAD_CORES, SERVER_CORES, Contender, interleave, one_round
from loadtests.bench.oracle import Oracle
from loadtests.bench.questions import Point, nearby_paths, nudged, query_points
from loadtests.bench.results import Result, WrongAnswerError
from loadtests.bench.service import BENCH_DIR, Service

PEER_TABLES = (snapshots.SQL / "peer_tables.sql").read_text(encoding="utf-8")
PEER_MEMORY = (snapshots.SQL / "peer_memory.sql").read_text(encoding="utf-8")
PEER_INDEXES = (snapshots.SQL / "peer_indexes.sql").read_text(encoding="utf-8")
COPY_ROWS = 20_000
LOAD_S = 900.0
NUDGES = 5
WARM_UP_SLICE_S = 3


@dataclass(frozen=True)
class Scale:
    name: str
    stations: int
    places: int  # that are asked about, each at NUDGES points
    sample: int  # answers compared with the oracle, for each endpoint and each peer
    rounds: int
    seconds: int  # of a round: wrk knows whole ones only
    warm_up_s: int
    most_warm_up_s: int  # at all places
    session_s: int  # of driver sessions …
    session_rounds: int
    connections: int  # … and over how many connections
    brief: bool = False  # leaves out what only a long run can tell


FULL = Scale("full", 1_000_000, 20_000, 100, 5, 3, 2, 60, 12, 3, 512)
QUICK = Scale("quick", 20_000, 2_000, 25, 3, 1, 1, 4, 3, 1, 128, brief=True)


class Stage:
    def __init__(self, scale: Scale, service: Service, say: Callable[[str], None]) -> None:
        self.scale = scale
        self.service = service
        self.say = say
        self.scripts = BENCH_DIR / "scripts"
        self.logs = BENCH_DIR / "log"
        self.folder = service.data_dir / "snapshot"
        shutil.rmtree(self.scripts, ignore_errors=True)
        self._prepare()
        self.snapshot = snapshots.load(self.folder)
        self.oracle = Oracle(self.snapshot)
        self.places = query_points(self.snapshot, scale.places)
        self.points = nudged(self.places, NUDGES, seed=1)

    def warm_peers(self) -> None:
        """The peers' tables and indexes into PostgreSQL's memory, where those of a busy server are."""
        try:
            asyncio.run(_execute(self.service.database_url, PEER_MEMORY))
        except asyncpg.PostgresError as error:
            self.say(f"the peers' tables stay where they are: {error}")

    # -- the world's copy -----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """The snapshot and the peers' tables, made anew only if the world has changed since."""
        stamp = self.folder / "of"
        now = self._state()
        if stamp.exists() and stamp.read_text() == now:
            return
        stamp.unlink(missing_ok=True)
        self.say("reading the world from PostGIS, as the oracle and the peers will know it")
        asyncio.run(snapshots.save(self.service.database_url, self.folder))
        self.say("loading the peers' tables")
        asyncio.run(load_tables(self.service.database_url, self.folder))
        stamp.write_text(now)

    def _state(self) -> str:
        """Every change of a station or a status moves its shard's `n`, those that steps make themselves included."""
        with urllib.request.urlopen(f"{self.service.url}/readyz", timeout=10.0) as answer:  # noqa: S310 (our own)
            shards = json.loads(answer.read())["shards"]
        return json.dumps([shard["n"] for shard in shards])

    # -- measuring ------------------------------------------------------------------------------------------------------

    def ours(self, name: str, paths: Sequence[str], **more: object) -> Contender:
        return Contender(name, self.service.url, paths, self.service.worker_pids, **more)  # type: ignore[arg-type]

    def measure(self, result: Result, contenders: Sequence[Contender]) -> list[Contender]:
        """In turns; a row for each. Returns those that came through. Our service's workers keep to the server's core, all
        that reads do not touch to the load's."""
        turns = f"wrk, a closed loop, {self.scale.rounds} rounds of {self.scale.seconds} s each in turns"
        result.conditions.setdefault("load", turns)
        self.service.pin(list(SERVER_CORES), list(LOAD_CORES))
        fallen = interleave(
            contenders,
            rounds=self.scale.rounds,
            seconds=self.scale.seconds,
            warm_up_s=self.scale.warm_up_s,
            folder=self.scripts,
            say=self.say,
        )
        for one in contenders:
            if one.name in fallen:
                result.skip(one.name, fallen[one.name])
            else:
                result.row(one.name, one.figures())
        return [one for one in contenders if one.name not in fallen]

    def warm_up(self, service: Service, places: Sequence[Point], query: str = "") -> None:
        """Each worker of ours asked about every place once, at points that are not measured: it is measured as it is after
        minutes of use, and still hears no question twice."""
        self.say(f"warming up at {len(places):,} places {query}")
        paths = nearby_paths(nudged(places, 1, seed=2), query)
        warming = Contender(f"warm-up{query}", service.url, paths, service.worker_pids)
        for _ in range(self.scale.most_warm_up_s // WARM_UP_SLICE_S):
            one_round(warming, WARM_UP_SLICE_S, self.scripts)
            if warming.asked > len(places) * (1 if service.workers == 1 else 2 * service.workers):
                return

    def sample(self, count: int | None = None) -> list[Point]:
        return random.Random(7).sample(self.points, count or self.scale.sample)  # noqa: S311 (repeatable, no secret)


class Client:
    """One keep-alive connection, for comparing answers."""

    def __init__(self, url: str) -> None:
        at = urlsplit(url)
        self._connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=60.0)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of a 200, or b"" of a 204. WrongAnswerError for any other status."""
        self._connection.request("GET", path, headers=dict(headers or {}))
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status not in (200, 204):
            raise WrongAnswerError(f"GET {path} answered {answer.status}: {body[:200]!r}")
        return body


async def _execute(database_url: str, statements: str) -> None:
    connection = await asyncpg.connect(database_url, command_timeout=LOAD_S)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


async def load_tables(database_url: str, folder: Path) -> None:
    """The PostGIS peers' tables, from a saved snapshot."""
    world = snapshots.load(folder)
    connection = await asyncpg.connect(database_url, command_timeout=LOAD_S)
    try:
        await connection.execute(PEER_TABLES)
        stations: list[tuple[object, ...]] = []
        places = zip(world.num.tolist(), world.lat.tolist(), world.lon.tolist(), snapshots.lines(world), strict=True)
        for num, lat, lon, summary in places:
            stations.append((num, lat, lon, summary.decode()))
            if len(stations) == COPY_ROWS:
                await _copy(connection, "station", stations)
        await _copy(connection, "station", stations)
        tags = Oracle(world).tile_columns().tolist()
        rows = zip(world.num.tolist(), tags, world.lat.tolist(), world.lon.tolist(), strict=True)
        await _copy(connection, "tile_station", [(num, *columns, lat, lon) for num, columns, lat, lon in rows])
        for statement in PEER_INDEXES.split(";"):
            if statement.strip():  # one at a time: VACUUM and CLUSTER do not run together with others
                await connection.execute(statement)
    finally:
        await connection.close()


async def _copy(connection: asyncpg.Connection, table: str, rows: list[tuple[object, ...]]) -> None:
    await connection.copy_records_to_table(table, schema_name="bench", records=rows)
    rows.clear()


def clock() -> Callable[[str], None]:
    """Says what happens, with the minutes and seconds since the beginning."""
    began = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        print(f"[{minutes:02d}:{seconds:02d}] {text}", flush=True)

    return say
