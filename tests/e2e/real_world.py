"""The service on the real registers and feeds of ../shared/data: imported by the command, served by real processes.

    from tests.e2e.real_world import real_world  # noqa: F401  (a module-scoped fixture)

Importing it twice takes most of the time, so one `RealWorld` serves all tests of a module; a test that changes stations
puts them back and says so with `reread`.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import orjson
import pytest

from mapsvc.engines import PostgresEngine, RedisEngine
from tests.conftest import execute, url_of
from tests.e2e.oracle import STALE_MS, Moment, Oracle
from tests.e2e.oracle_tiles import TileOracle
from tests.e2e.stack import ROOT, Stack, eventually
from tests.mapsvc.importers.data_tables import PARTIES, feeds, register

T = TypeVar("T")

pytest.register_assert_rewrite("tests.e2e.real_world_checks")  # a failed comparison is to say what differs

CONNECTIONS = 4  # kept ones: the kernel spreads them over both workers
CHECKS = 3  # at most, of one answer
PATIENCE_S = 30.0  # for a change to show, on a machine that others use too


class Run(NamedTuple):
    """One run of `mapsvc import`."""

    code: int
    stdout: str
    stderr: str
    report: Path

    def counts(self, what: str) -> dict[str, int]:
        """The summary's line of stations, EVSEs, connectors or statuses."""
        line = re.search(rf"^{what}: +(.*)$", self.stdout, re.MULTILINE)
        return {word: int(count) for count, word in re.findall(r"(\d+) (\w+)", line[1])} if line else {}

    @property
    def dirty_rows(self) -> int:
        found = re.search(r"^(\d+|no) dirty rows", self.stdout, re.MULTILINE)
        assert found, self.stdout
        return 0 if found[1] == "no" else int(found[1])


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Http:
    """Reads over a few kept connections, one request at a time."""

    def __init__(self, url: str) -> None:
        self._address = url.removeprefix("http://")
        self._open: list[http.client.HTTPConnection] = []
        self._turn = 0

    def get(self, path: str) -> Reply:
        return self.send("GET", path)

    def send(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        if len(self._open) < CONNECTIONS:
            self._open.append(http.client.HTTPConnection(self._address, timeout=40))
        self._turn = (self._turn + 1) % len(self._open)
        connection = self._open[self._turn]
        try:
            return _asked(connection, method, path, body, headers or {})
        except (http.client.RemoteDisconnected, ConnectionError):  # that worker has been restarted: ask another one
            connection.close()
            return _asked(connection, method, path, body, headers or {})

    def json(self, path: str) -> Any:
        reply = self.get(path)
        assert reply.status == 200, (path, reply)
        return orjson.loads(reply.body)

    def close(self) -> None:
        for connection in self._open:
            connection.close()
        self._open.clear()


def _asked(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> Reply:
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return Reply(response.status, dict(response.getheaders()), response.read())


class RealWorld:
    def __init__(self, data: Path, database_url: str, redis: RedisEngine, folder: Path) -> None:
        self.data = data
        self.database_url = database_url
        self.redis = redis
        self.folder = folder
        self.stack = Stack(database_url, redis.url, folder / "stack")
        self.http = Http(self.stack.url)
        self.first: dict[str, Run] = {}
        self.second: dict[str, Run] = {}
        self.oracle: Oracle
        self.tiles: TileOracle
        self._runner = asyncio.Runner()
        self._changed_ms = 0

    def start(self) -> None:
        """All files, twice; the cache anew; the processes."""
        self.first = self._import_all("first")
        self.second = self._import_all("second")
        rebuilt = self.mapsvc("rebuild-cache")
        assert rebuilt.returncode == 0, rebuilt.stderr
        self.run(self.stack.__aenter__())
        self.run(self.stack.start("ingest", "relay", "serve"))
        self.reread()

    def stop(self) -> None:
        self.http.close()
        self.run(self.stack.__aexit__(None, None, None))
        self._runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Something asynchronous, from a test that is not."""
        return self._runner.run(work)

    # -- commands -----------------------------------------------------------------------------------------------------

    def mapsvc(self, *args: object) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis.url,
            "DATA_DIR": str(self.folder / "var"),
        }
        command = [sys.executable, "-m", "mapsvc", *map(str, args)]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=300)

    def import_files(self, name: str, *args: object) -> Run:
        report = self.folder / f"{name}.tsv"
        done = self.mapsvc("import", *args, "--report", report)
        return Run(done.returncode, done.stdout, done.stderr, report)

    def _import_all(self, name: str) -> dict[str, Run]:
        """The register, the feeds that name their party, and one by one those that do not; two at once."""
        nameless = [path for path in feeds(self.data) if path.name in PARTIES]
        jobs: dict[str, tuple[object, ...]] = {"irve": ("irve", register(self.data))}
        jobs["feeds"] = ("ocpi", *(path for path in feeds(self.data) if path not in nameless))
        for path in nameless:
            jobs[path.name] = ("ocpi", path, "--party", PARTIES[path.name])
        with ThreadPoolExecutor(2) as threads:
            runs = {key: threads.submit(self.import_files, f"{name}-{key}", *args) for key, args in jobs.items()}
            return {key: future.result() for key, future in runs.items()}

    # -- the truth ----------------------------------------------------------------------------------------------------

    def reread(self) -> None:
        """The stations in the database have changed: asks the oracle anew."""
        self.oracle = self.run(Oracle.read(self.database_url))
        self.tiles = self.run(TileOracle.of(self.oracle, self.database_url))
        self._changed_ms = now_ms()

    def settle(self) -> None:
        """Waits until nothing that is kept for a moment, such as a tile, can be older than the last change."""
        time.sleep(max(0, self._changed_ms + STALE_MS - now_ms()) / 1000)

    def becomes(self, condition: Callable[[], bool]) -> None:
        """Waits for a change to show."""

        async def ask() -> bool:
            return condition()

        self.run(eventually(ask, PATIENCE_S))

    def check(self, ask: Callable[[], T], compare: Callable[[T, Moment], None]) -> T:
        """`compare` must be content with the answer at some moment around the question. Asked again if there were
        several and it is not: a long answer may have been given partly before, partly after a change."""
        for _ in range(CHECKS):
            asked_ms = now_ms()
            answer = ask()
            moments = self.oracle.moments(asked_ms, now_ms())
            for moment in moments[1:]:
                with suppress(AssertionError):
                    compare(answer, moment)
                    return answer
            if len(moments) == 1:
                break
        compare(answer, moments[0])
        return answer


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(scope="module")
def real_world(
    shared_data: Path,
    postgres_engine: PostgresEngine,
    redis_engine: RedisEngine,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RealWorld]:
    postgres_engine.start()
    redis_engine.start()
    with redis_engine.client() as client:
        client.flushall()
    execute(postgres_engine, f"CREATE DATABASE real_world TEMPLATE {template_database} STRATEGY file_copy")
    world = RealWorld(shared_data, url_of(postgres_engine, "real_world"), redis_engine, tmp_path_factory.mktemp("real"))
    try:
        world.start()
        yield world
        assert world.stack.complaints() == []
    finally:
        world.stop()
        execute(postgres_engine, "DROP DATABASE real_world WITH (FORCE)")
