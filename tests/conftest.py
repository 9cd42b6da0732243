"""Real engines for the tests: every xdist worker has a PostgreSQL and a Redis of its own on free ports.

`database_url` is a fresh migrated database per test, `redis_url` an empty Redis per test. A test may kill an engine
(`postgres_engine.kill()`); the next test that asks for one finds it running again, on the same port.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import hypothesis
import pytest

from mapsvc.engines import PostgresEngine, RedisClusterEngine, RedisEngine

# Time limits of examples say more about the machine's other work than about the code.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("here")

# What the tests start imports the same modules a hundred times over: they are compiled once, whatever the environment says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

TESTS = Path(__file__).resolve().parent
SHARED_DATA = TESTS.parents[1] / "shared" / "data"
_numbers = itertools.count(1)

# Seconds that files take, about; what is not here takes little. Files of one tuple need the same Valhalla, which is long in
# starting, so one worker has them all.
LONG: dict[tuple[str, ...], int] = {
    ("e2e/test_whole_way.py", "e2e/test_schema_fuzz.py", "e2e/test_raw_sockets.py", "e2e/test_limits.py",
     "e2e/test_openapi.py"): 95,
    ("e2e/test_real_data.py",): 84,
    ("e2e/test_rolling_restart.py",): 75,
    ("e2e/test_operations_doc.py",): 70,
    ("e2e/test_roads.py",): 65,
    ("e2e/test_redis_down.py",): 58,
    ("e2e/test_replay.py",): 55,
    ("e2e/test_live.py",): 49,
    ("loadtests/test_locust.py",): 45,
    ("e2e/test_postgres_down.py",): 43,
    ("e2e/test_confirmations.py",): 43,
    ("e2e/test_roads_down.py",): 37,
    ("e2e/test_cluster.py",): 36,
    ("e2e/test_trickling.py",): 35,
    ("mapsvc/test_up.py",): 34,
    ("e2e/test_readme.py",): 33,
    ("cache/test_replica.py",): 29,
    ("mapsvc/test_express.py",): 25,
}  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under xdist, which deals the tests out in as many equal parts as there are workers: each part begins with long files,
    and ends with short tests. Those are what an idle worker takes over, and no file's expensive fixture is made twice."""
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers == 1:
        return
    by_file: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        by_file[item.path.relative_to(TESTS).as_posix()].append(item)
    parts: list[list[pytest.Item]] = [[] for _ in range(workers)]
    seconds = [0] * workers
    for files, cost in sorted(LONG.items(), key=lambda pair: -pair[1]):
        if found := [item for file in files for item in by_file.pop(file, ())]:
            least = seconds.index(min(seconds))
            seconds[least] += cost
            parts[least] += found
    short = [item for found in by_file.values() for item in found]
    left = len(items)
    for number, part in enumerate(parts):
        size = left // (workers - number)  # as xdist deals
        missing = max(0, size - len(part))
        part += short[:missing]
        del short[:missing]
        left -= size
    items[:] = [item for part in parts for item in part] + short


@pytest.fixture(scope="session")
def engines_dir() -> Iterator[Path]:
    """Not pytest's tmp_path: that is 0700, and root's PostgreSQL runs as another account, which must pass through."""
    folder = Path(tempfile.mkdtemp(prefix="mapsvc-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_engine(engines_dir: Path) -> Iterator[PostgresEngine]:
    """fsync off: it matters when the machine crashes, not when a process does; `kill()` loses nothing by it. Nothing follows
    its WAL, so that copying a database writes none."""
    options = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB", "max_wal_size": "1GB"}
    options |= {"wal_level": "minimal", "max_wal_senders": "0"}
    engine = PostgresEngine(engines_dir / "postgres", options=options)
    engine.start()
    yield engine
    engine.stop("immediate")
    shutil.rmtree(engine.home, ignore_errors=True)  # may lie outside engines_dir, see mapsvc.engines.postgres_home


@pytest.fixture(scope="session")
def redis_engine(engines_dir: Path) -> Iterator[RedisEngine]:
    engine = RedisEngine(engines_dir / "redis")
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def redis_cluster_engine(engines_dir: Path) -> Iterator[RedisClusterEngine]:
    """Three masters. Asked for by few tests, so started only when one does."""
    engine = RedisClusterEngine(engines_dir / "cluster")
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def template_database(postgres_engine: PostgresEngine) -> str:
    """A database migrated once per worker, which then admits nobody: a template must have no sessions."""
    from sql.migrate import upgrade  # asked for late, so that tests without a database do not load SQLAlchemy

    execute(postgres_engine, "CREATE DATABASE migrated")
    upgrade(url_of(postgres_engine, "migrated"))
    execute(postgres_engine, "ALTER DATABASE migrated ALLOW_CONNECTIONS false")
    return "migrated"


@pytest.fixture
def database_url(postgres_engine: PostgresEngine, template_database: str) -> Iterator[str]:
    """A fresh migrated database, dropped after the test whoever is still connected."""
    postgres_engine.start()  # the test before may have killed it
    name = f"test_{next(_numbers)}"
    execute(postgres_engine, f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY file_copy")
    yield url_of(postgres_engine, name)
    postgres_engine.start()
    execute(postgres_engine, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def redis_url(redis_engine: RedisEngine) -> str:
    """An empty Redis."""
    redis_engine.start()
    with redis_engine.client() as client:
        client.flushall()
        client.script_flush()  # or a missing EVALSHA fallback would show in the first test only
    return redis_engine.url


@pytest.fixture
def redis_cluster_url(redis_cluster_engine: RedisClusterEngine) -> str:
    """An empty Redis Cluster of three nodes."""
    redis_cluster_engine.start()
    for node in redis_cluster_engine.nodes:
        with node.client() as client:
            client.flushall()
            client.script_flush()
    return redis_cluster_engine.url


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real registers and feeds beside the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the real data in ../shared/data, which is not there")
    return SHARED_DATA


def url_of(engine: PostgresEngine, database: str) -> str:
    return engine.url.rpartition("/")[0] + "/" + database


def execute(engine: PostgresEngine, statement: str) -> None:
    """One statement outside any transaction, in a thread of its own: the test's event loop is not to be disturbed."""

    async def run() -> None:
        connection = await asyncpg.connect(engine.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, run()).result()
