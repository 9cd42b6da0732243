"""The supervisor with real engines and a real migration; the roles are stand-ins (fake_role.py) that keep a diary."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mapsvc import spawn

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = f"""
import sys
import mapsvc.child, mapsvc.up, mapsvc.__main__
real = mapsvc.child.command
fake = [sys.executable, {str(Path(__file__).with_name("fake_role.py"))!r}]
mapsvc.child.STOP_S = 2.0
mapsvc.up.command = lambda name, *a: real(name, *a) if name == "migrate" else [*fake, sys.argv[1], name, *a]
sys.exit(mapsvc.__main__.main(["up"]))
"""
ROLES = ["relay", "ingest", "serve", "simulate"]


class Supervisor:
    """One `mapsvc up` as a process, on one DATA_DIR."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.diary = data_dir.parent / "diary"
        self.port, self.admin_port = spawn.free_port(), spawn.free_port()
        self.process: subprocess.Popen[str] | None = None
        self.out = data_dir.parent / "out"

    def start(self, **env: str) -> subprocess.Popen[str]:
        self.diary.write_text("")
        settings = {
            "DATA_DIR": str(self.data_dir),
            "PORT": str(self.port),
            "ADMIN_PORT": str(self.admin_port),
            "DATABASE_URL": "",
            "REDIS_URL": "",
            "INGEST_URL": "",
            "DEMO_STATIONS": "10",
        }
        with self.out.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(self.diary)],
                cwd=ROOT,
                env=os.environ | settings | env,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
            )
        return self.process

    def start_and_wait(self, **env: str) -> None:
        self.start(**env)
        until(lambda: "Ctrl-C" in self.output() or self.ended(), 60)
        assert "Ctrl-C" in self.output(), self.output()
        until(lambda: set(ROLES) <= set(self.noted("worker")), 10)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def output(self) -> str:
        return self.out.read_text()

    def noted(self, event: str) -> list[str]:
        """Roles in the order in which that happened to them."""
        return [line.split()[1] for line in self.diary.read_text().splitlines() if line.split()[0] == event]

    def pid(self, role: str) -> int:
        """Of the latest process of that role."""
        lines = [line.split() for line in self.diary.read_text().splitlines()]
        return next(int(pid) for event, name, pid in reversed(lines) if (event, name) == ("start", role))

    def everything(self) -> set[int]:
        """Pids of all that the supervisor has below it, and of all that noted something."""
        noted = {int(line.split()[2]) for line in self.diary.read_text().splitlines()}
        assert self.process is not None
        return noted | set(spawn.children(self.process.pid))

    def engine_pid(self, name: str) -> int:
        assert self.process is not None
        return next(p for p in spawn.children(self.process.pid) if name in Path(f"/proc/{p}/cmdline").read_text())

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.fixture(scope="module")
def module_supervisor(engines_dir: Path) -> Iterator[Supervisor]:
    with tempfile.TemporaryDirectory(dir=engines_dir, ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Supervisor(Path(folder) / "var")


@pytest.fixture
def supervisor(module_supervisor: Supervisor) -> Iterator[Supervisor]:
    """On one data folder for all tests: each proves in passing that the next start finds it in order."""
    yield module_supervisor
    if module_supervisor.process and not module_supervisor.ended():
        module_supervisor.process.kill()
        module_supervisor.process.wait()


def test_it_starts_everything_in_order_and_ctrl_c_ends_it_in_the_reverse_order(supervisor: Supervisor) -> None:
    first_run = not (supervisor.data_dir / "postgres").exists()
    supervisor.start_and_wait()
    assert supervisor.noted("start")[-1] == "simulate"
    assert ("generate" in supervisor.noted("start")) == first_run
    pids = supervisor.everything()
    assert len(pids) >= 2 * len(ROLES) + 2
    assert supervisor.end() == 0
    assert supervisor.noted("stop") == ["simulate", "serve", "ingest", "relay"]
    assert not [pid for pid in pids if spawn.is_alive(pid)]
    assert "database system is shut down" in (supervisor.data_dir / "postgres/server.log").read_text()


def test_it_prints_the_address_and_three_curl_commands(supervisor: Supervisor) -> None:
    supervisor.start_and_wait()
    base = f"http://127.0.0.1:{supervisor.port}"
    commands = re.findall(rf"curl .*{base}(/[a-z0-9/]+)", supervisor.output())
    assert [command.split("/")[1:3] for command in commands] == [["healthz"], ["v1", "nearby"], ["v1", "tiles"]]
    assert supervisor.end(signal.SIGTERM) == 0


def test_what_ends_by_itself_is_started_again_and_counted(supervisor: Supervisor) -> None:
    supervisor.start_and_wait()
    serve, redis, postgres = supervisor.pid("serve"), supervisor.engine_pid("redis"), supervisor.engine_pid("postgres")
    worker = next(p for p in supervisor.everything() if p in spawn.children(serve))
    os.kill(serve, signal.SIGKILL)
    until(lambda: supervisor.pid("serve") != serve, 10)
    assert supervisor.pid("serve") != serve
    assert not spawn.is_alive(worker), "a worker of the killed parent still holds its port"

    before = {name: (supervisor.data_dir / name / "port").read_text() for name in ("redis", "postgres")}
    os.kill(redis, signal.SIGKILL)
    os.kill(postgres, signal.SIGKILL)
    until(lambda: supervisor.output().count("PostgreSQL ended") == supervisor.output().count("Redis ended") == 1, 10)
    wanted = {'{role="serve"} 1.0', '{role="redis"} 1.0', '{role="postgresql"} 1.0', '{role="relay"} 0.0'}
    until(lambda: all(text in supervisor.metrics() for text in wanted), 10)
    for text in wanted:
        assert f"mapsvc_up_child_restarts_total{text}" in supervisor.metrics()
    until(lambda: all(not spawn.is_port_free(int(port)) for port in before.values()), 20)
    assert before == {name: (supervisor.data_dir / name / "port").read_text() for name in before}
    assert all(not spawn.is_port_free(int(port)) for port in before.values())
    assert supervisor.end() == 0


def test_sigusr1_renews_the_roles_one_after_another_and_leaves_serve_to_renew_itself(supervisor: Supervisor) -> None:
    supervisor.start_and_wait()
    before = supervisor.noted("start")
    assert supervisor.process is not None
    supervisor.process.send_signal(signal.SIGUSR1)
    until(lambda: len(supervisor.noted("start")) == len(before) + 3, 20)
    assert supervisor.noted("renew") == ["serve"]
    assert supervisor.noted("stop") == supervisor.noted("start")[len(before) :] == ["relay", "ingest", "simulate"]
    assert supervisor.end() == 0


def test_nothing_outlives_a_killed_supervisor_and_the_next_one_starts(supervisor: Supervisor) -> None:
    supervisor.start_and_wait()
    pids = supervisor.everything()
    workers = {pid for role in ROLES for pid in spawn.children(supervisor.pid(role))}
    supervisor.end(signal.SIGKILL)
    until(lambda: not [pid for pid in pids - workers if spawn.is_alive(pid)], 20)
    assert not [pid for pid in pids - workers if spawn.is_alive(pid)]
    for pid in workers:  # stand-ins that no real role leaves behind: its workers watch their parent
        os.kill(pid, signal.SIGKILL)
    supervisor.start_and_wait()
    assert supervisor.end() == 0


def test_a_second_one_on_the_same_folder_is_told_who_runs(supervisor: Supervisor) -> None:
    supervisor.start_and_wait()
    first = supervisor.process
    assert first is not None
    second = Supervisor(supervisor.data_dir)
    second.out = supervisor.out.with_name("out2")
    second.diary = supervisor.diary.with_name("diary2")
    assert second.start().wait(30) == 1
    assert f"another `mapsvc up` (pid {first.pid}) runs on {supervisor.data_dir}" in second.output()
    assert second.noted("start") == []
    assert supervisor.end() == 0


@pytest.mark.parametrize("name", ["PORT", "ADMIN_PORT"])
def test_a_taken_port_is_named_before_anything_starts(supervisor: Supervisor, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert supervisor.start(**{name: str(port)}).wait(30) == 1
    assert f"port {port} is taken by another program; set {name}" in supervisor.output()
    assert "PostgreSQL runs" not in supervisor.output()


def test_a_role_that_never_gets_ready_ends_it_with_the_reason(supervisor: Supervisor) -> None:
    assert supervisor.start(FAKE_INGEST="crash").wait(60) == 1
    assert "ingest does not start" in supervisor.output()
    assert "ingest: it does not work" in supervisor.output()
    assert supervisor.noted("start").count("ingest") == 5
    assert not [pid for pid in supervisor.everything() if spawn.is_alive(pid)]


def test_a_role_that_ignores_sigterm_is_killed_after_its_time(supervisor: Supervisor) -> None:
    supervisor.start_and_wait(FAKE_SERVE="stubborn")
    pids = supervisor.everything()
    assert supervisor.end() == 0
    assert "serve did not end within 2 s; killing it" in supervisor.output()
    assert not [pid for pid in pids if spawn.is_alive(pid)]


def test_an_interrupted_filling_is_done_again(supervisor: Supervisor) -> None:
    """Its store is empty here at every start, since the stand-in for `generate` stores nothing."""
    assert supervisor.start(FAKE_GENERATE="crash").wait(60) == 1
    assert "`mapsvc generate` failed (exit code 3)" in supervisor.output()
    assert (supervisor.data_dir / "filling").exists()
    supervisor.start_and_wait()
    assert not (supervisor.data_dir / "filling").exists()
    assert supervisor.end() == 0


def test_what_roles_print_is_in_their_logs(supervisor: Supervisor) -> None:
    supervisor.start_and_wait()
    log = supervisor.data_dir / "log/relay.log"
    until(lambda: "hello on stdout" in log.read_text(), 5)
    assert "hello on stdout" in log.read_text()
    assert supervisor.end() == 0


def test_it_migrates_unless_these_very_migrations_were_applied_to_this_cluster(supervisor: Supervisor) -> None:
    stamp = supervisor.data_dir / "postgres/migrated"
    if stamp.exists():
        stamp.write_text("of an older program")
    supervisor.start_and_wait()
    assert "the database is at revision" in supervisor.output()
    assert supervisor.end() == 0
    supervisor.start_and_wait()
    assert "the database is at revision" not in supervisor.output()
    assert supervisor.end() == 0
