from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mapsvc import spawn
from mapsvc.engines import EngineError, PostgresEngine, RedisClusterEngine, RedisEngine
from mapsvc.engines import postgres as postgres_module

QUICK = {"fsync": "off", "shared_buffers": "32MB"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: about the account that PostgreSQL runs as")


def query(engine: PostgresEngine, *statements: str) -> object:
    """The value of the last statement."""

    async def run() -> object:
        connection = await asyncpg.connect(engine.url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def shared_postgres(engines_dir: Path) -> Iterator[PostgresEngine]:
    """For tests that leave it as they found it; initdb takes a second."""
    engine = PostgresEngine(engines_dir / "postgres-under-test", options=QUICK)
    yield engine
    engine.kill()


@pytest.fixture
def postgres(shared_postgres: PostgresEngine) -> PostgresEngine:
    shared_postgres.start()
    return shared_postgres


@pytest.fixture
def redis_engine_under_test(engines_dir: Path) -> Iterator[RedisEngine]:
    with tempfile.TemporaryDirectory(dir=engines_dir) as folder:
        engine = RedisEngine(Path(folder) / "redis", options={"appendonly": "yes", "appendfsync": "always"})
        engine.start()
        yield engine
        engine.kill()


def test_postgres_offers_postgis_on_loopback_tcp_with_a_password_only(postgres: PostgresEngine) -> None:
    assert query(postgres, "CREATE EXTENSION IF NOT EXISTS postgis", "SELECT postgis_version()")
    assert query(postgres, "SHOW listen_addresses") == "127.0.0.1"
    assert query(postgres, "SHOW unix_socket_directories") == ""
    wrong = postgres.url.replace(postgres.password, "wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(asyncpg.connect(wrong))
    assert (postgres.home / "password").stat().st_mode & 0o777 == 0o600
    assert postgres.home.stat().st_mode & 0o777 == 0o700


def test_postgres_is_durable_unless_told_otherwise(engines_dir: Path) -> None:
    argv_default = PostgresEngine(engines_dir / "never-started").settings()
    assert (argv_default["fsync"], argv_default["synchronous_commit"]) == ("on", "on")
    assert PostgresEngine(engines_dir / "never-started", options=QUICK).settings()["fsync"] == "off"


def test_postgres_comes_back_after_kill_with_its_data_and_port(postgres: PostgresEngine) -> None:
    query(postgres, "CREATE TABLE IF NOT EXISTS kept (n int)", "INSERT INTO kept VALUES (1) RETURNING n")
    port, pid = postgres.port, postgres.pid
    assert pid is not None
    postgres.kill()
    assert not postgres.running
    assert not spawn.is_alive(pid)
    assert not spawn.children(pid)
    postgres.start()
    assert postgres.port == port
    assert query(postgres, "SELECT max(n) FROM kept") == 1


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_another_engine_object_takes_over_the_folder(postgres: PostgresEngine, mode: str) -> None:
    query(postgres, "CREATE TABLE IF NOT EXISTS taken (n int)", "INSERT INTO taken VALUES (7) RETURNING n")
    postgres.stop("fast" if mode == "fast" else "immediate")
    successor = PostgresEngine(postgres.data_dir, options=QUICK)
    successor.start()
    try:
        assert successor.port == postgres.port
        assert query(successor, "SELECT max(n) FROM taken") == 7
    finally:
        successor.stop()


def test_a_stale_pid_file_that_names_a_living_stranger_does_not_matter(postgres: PostgresEngine) -> None:
    postgres.kill()
    stranger = subprocess.Popen(["sleep", "60"])  # PostgreSQL by itself would take it for a running postmaster
    try:
        (postgres.home / "cluster/postmaster.pid").write_text(f"{stranger.pid}\n")
        postgres.start()
        assert query(postgres, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_running_server_on_the_folder_is_not_fought(
    postgres: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mapsvc.engines.engine.PREDECESSOR_S", 0.2)
    with pytest.raises(EngineError, match=f"another PostgreSQL .pid {postgres.pid}. runs on"):
        PostgresEngine(postgres.data_dir, options=QUICK).start()
    assert query(postgres, "SELECT 1") == 1


def test_an_interrupted_initdb_is_done_again(engines_dir: Path) -> None:
    engine = PostgresEngine(engines_dir / "interrupted", options=QUICK)
    (engine.home / "cluster.new").mkdir(parents=True)
    (engine.home / "cluster.new/PG_VERSION").write_text("15\n")
    engine.start()
    try:
        assert query(engine, "SELECT current_database()") == "mapsvc"
    finally:
        engine.kill()


def test_a_setting_that_postgres_refuses_is_told_with_its_own_words(postgres: PostgresEngine) -> None:
    postgres.stop()
    broken = PostgresEngine(postgres.data_dir, options=QUICK | {"max_connections": "many"})
    with pytest.raises(EngineError, match="max_connections"):
        broken.start()
    assert not broken.running


@as_root
def test_under_root_postgres_runs_as_its_own_account_which_owns_nothing_else(engines_dir: Path) -> None:
    engine = PostgresEngine(engines_dir / "as-root", options=QUICK)
    engine.start()
    try:
        assert Path(f"/proc/{engine.pid}").owner() == "postgres"
        assert engine.home.owner() == "postgres"
        assert engines_dir.owner() == "root"
    finally:
        engine.kill()


@as_root
def test_a_folder_that_the_account_cannot_reach_is_replaced(engines_dir: Path, tmp_path: Path) -> None:
    """`tmp_path` is mode 700, as /root is."""
    assert postgres_module.postgres_home(engines_dir / "x") == engines_dir / "x"
    replaced = postgres_module.postgres_home(tmp_path / "x/y")
    assert replaced.parent == postgres_module.SHELTER
    assert replaced == postgres_module.postgres_home(tmp_path / "x/y")
    assert replaced != postgres_module.postgres_home(tmp_path / "x/z")


def test_redis_comes_back_after_kill_on_the_same_port(redis_engine_under_test: RedisEngine) -> None:
    engine = redis_engine_under_test
    with engine.client() as client:
        client.set("kept", "yes")
    port = engine.port
    engine.kill()
    assert not engine.running
    engine.start()
    assert engine.port == port
    with engine.client() as client:
        assert client.get("kept") == b"yes"


def test_redis_refuses_whoever_lacks_the_password(redis_engine_under_test: RedisEngine) -> None:
    with (
        redis.Redis(port=redis_engine_under_test.port, retry=Retry(NoBackoff(), 0)) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    command = Path(f"/proc/{redis_engine_under_test.pid}/cmdline").read_bytes()
    assert redis_engine_under_test.password.encode() not in command
    assert (redis_engine_under_test.home / "redis.conf").stat().st_mode & 0o777 == 0o600


def test_redis_never_evicts_and_listens_on_loopback_only(redis_engine_under_test: RedisEngine) -> None:
    with redis_engine_under_test.client() as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_a_wanted_port_that_is_taken_is_named(engines_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EngineError, match=f"port {port} is taken"):
            RedisEngine(engines_dir / "no-port", port=port).start()


def test_a_remembered_port_that_is_taken_is_replaced(engines_dir: Path) -> None:
    first = RedisEngine(engines_dir / "moved")
    first.start()
    first.stop()
    with socket.create_server(("127.0.0.1", first.port)):
        second = RedisEngine(engines_dir / "moved")
        second.start()
        assert second.port != first.port
        second.stop()


def test_free_ports_lie_below_the_ephemeral_range() -> None:
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if low <= spawn.LOWEST_PORT + 1_000:
        pytest.skip("this machine's ephemeral range leaves no room below it")
    assert all(spawn.LOWEST_PORT <= spawn.free_port() < low for _ in range(50))


def test_a_redis_cluster_forms_and_comes_back_after_kill(redis_cluster_engine: RedisClusterEngine) -> None:
    with redis.RedisCluster.from_url(redis_cluster_engine.url) as client:
        for k in range(100):
            client.set(f"key{k}", k)
        assert [int(client.get(f"key{k}") or -1) for k in range(100)] == list(range(100))
        masters = {client.get_node_from_key(f"key{k}").port for k in range(100)}
    assert masters == {node.port for node in redis_cluster_engine.nodes}
    redis_cluster_engine.kill()
    redis_cluster_engine.start()
    with redis.RedisCluster.from_url(redis_cluster_engine.url) as client:
        assert client.set("a", "1")


def test_engines_die_with_a_killed_parent(engines_dir: Path) -> None:
    """Also when a short-lived thread started them: the signal is tied to a thread that lives as long as we do."""
    program = f"""
import threading, time
from pathlib import Path
from mapsvc.engines import PostgresEngine, RedisEngine
engines = [PostgresEngine(Path({str(engines_dir)!r}) / "tied-pg", options={QUICK!r}),
           RedisEngine(Path({str(engines_dir)!r}) / "tied-redis")]
for engine in engines:
    thread = threading.Thread(target=engine.start); thread.start(); thread.join()
time.sleep(0.3)
print(*(engine.pid for engine in engines), flush=True)
time.sleep(60)
"""
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=root)
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2, "an engine did not outlive the thread that started it"
    assert all(spawn.is_alive(pid) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while any(spawn.is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(spawn.is_alive(pid) for pid in pids)
