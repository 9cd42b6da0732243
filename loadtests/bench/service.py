"""Our service under measurement: `mapsvc up` in a process of its own, on a generated world that is kept between runs.

    with Service(stations=20_000, workers=1, say=print) as service:
        service.url, service.worker_pids(), service.database_url

A world lives in var/bench/world-<stations>: its PostgreSQL, its Redis, its logs. The first start generates it (a million
stations take six to seven minutes) and says so; later starts find it. Statuses of a made-up world are reported once, so
its parties get a TTL of a year: the world then stands still, and two answers to one question can be compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from loadtests.bench import machine
from loadtests.bench.processes import LOOPBACK, ROOT, Program, ProgramError, answers, free_port, run

BENCH_DIR = ROOT / "var" / "bench"
UP_S = 300.0  # a million stations answer after 20 s on a quiet machine
GENERATE_S = 3600.0
VISIBLE_S = 120.0
TTL_S = 365 * 86_400
SOCKET_PATH_BYTES = 107  # see run_dir
LONGEST_SOCKET_NAME = "serve-worker-000.sock"


def quiet(_text: str) -> None:
    """Says nothing."""


class Service:
    """Ports are free ones. `name`: another folder than the world's usual one, for who writes into it. `beside`: no engines
    and no world of its own but those of a service that runs, to compare two set-ups side by side."""

    database_url: str
    redis_url: str
    ingest_url: str

    def __init__(
        self,
        stations: int,
        *,
        workers: int = 1,
        name: str = "",
        beside: Service | None = None,
        environment: Mapping[str, str] | None = None,
        say: Callable[[str], None] = quiet,
    ) -> None:
        self.stations = stations
        self.workers = workers
        self.data_dir = BENCH_DIR / (name or f"world-{stations}")
        self.url = f"http://{LOOPBACK}:{free_port()}"
        self.admin_url = f"http://{LOOPBACK}:{free_port()}"
        self.environment = {
            "DATA_DIR": str(self.data_dir),
            "PORT": self.url.rpartition(":")[2],
            "ADMIN_PORT": self.admin_url.rpartition(":")[2],
            "WORKERS": str(workers),
            "RATE_LIMIT": "0",
            "CONNECTIONS_PER_ADDRESS": "0",
            "DEMO_STATIONS": "0",  # we generate ourselves, and nobody is to simulate statuses beside the load
            "LOG_LEVEL": "info",
            **dict.fromkeys(("DATABASE_URL", "REDIS_URL", "INGEST_URL", "PUBLIC_URL", "LISTEN"), ""),
            **({"DATABASE_URL": beside.database_url, "REDIS_URL": beside.redis_url} if beside else {}),
            **(environment or {}),
        }
        self._beside = beside
        self.database_url = self.redis_url = self.ingest_url = ""
        self.ready_after_s = 0.0  # from the start of `mapsvc up` until every worker answered
        self._say = say
        self._up = Program(
            f"mapsvc up ({self.data_dir.name})",
            [sys.executable, "-m", "mapsvc", "up"],
            self.data_dir / "up.log",
            environment=self.environment,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Until every worker answers with the whole world."""
        self._say(f"starting the service on {self.data_dir.name}, {self.workers} worker(s)")
        self._up.start()
        try:
            self.ready_after_s = self._up.wait_until(self._is_ready, UP_S, "every worker is ready")
            noted = json.loads((self.run_dir / "running.json").read_bytes())
            self.database_url, self.redis_url = noted["database_url"], noted["redis_url"]
            self.ingest_url = noted["ingest_url"]
            if self._beside is None and not self._world_file.exists():
                self._make_world()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self._up.stop()

    def _is_ready(self) -> bool:
        noted = (self.run_dir / "running.json").exists()
        return noted and self.ready_workers() >= self.workers and answers(f"{self.url}/readyz")

    @property
    def run_dir(self) -> Path:
        """Where `mapsvc up` notes what it runs: DATA_DIR/run; where that is too long for a socket's path, the folder in
        the temporary one that it takes instead (mapsvc.settings.run_dir, which load tests may not import)."""
        folder = self.data_dir / "run"
        if len(bytes(folder / LONGEST_SOCKET_NAME)) > SOCKET_PATH_BYTES:
            folder = Path(tempfile.gettempdir()) / f"mapsvc-{hashlib.sha256(bytes(folder)).hexdigest()[:12]}"
        return folder

    # -- the world ----------------------------------------------------------------------------------------------------

    @property
    def _world_file(self) -> Path:
        return self.data_dir / "world.json"

    @property
    def world(self) -> dict[str, Any]:
        """What was noted when it was made: stations, generate_s, visible_s (None: not in one go), made_at."""
        noted: dict[str, Any] = json.loads(self._world_file.read_bytes())
        return noted

    def forget_world(self) -> None:
        """Before `start`: it then makes the world anew."""
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def _make_world(self, *more: str) -> None:
        """Running it again after an interruption changes nothing that stands already; but its time then says nothing. `more`:
        options of `mapsvc generate`."""
        resumed = any(self.metric("mapsvc_replica_stations").values())
        self._say(f"generating {self.stations:,} stations, once (kept in {self.data_dir.relative_to(ROOT)})")
        log = self.data_dir / "generate.log"
        began = time.monotonic()
        took = self._run(
            log, "generate", "--stations", str(self.stations), *more, timeout_s=GENERATE_S, meanwhile=self._say_how_many
        )
        self._up.wait_until(self._all_is_visible, VISIBLE_S, "every station is visible")
        visible_s = time.monotonic() - began
        self._say("setting the TTL of the parties")
        parties = [line.split()[0] for line in self.command("party", "list").splitlines()]
        with ThreadPoolExecutor(4) as pool:
            for _ in pool.map(lambda party: self.command("party", "set", party, "--ttl", str(TTL_S)), parties):
                pass
        self._note_world(
            stations=self.stations, generate_s=round(took, 1), visible_s=None if resumed else round(visible_s, 1)
        )
        self._say(f"generated in {took:.0f} s")

    def _note_world(self, **what: Any) -> None:
        made = {"made_at": datetime.now(UTC).isoformat(timespec="seconds"), "versions": machine.describe()["versions"]}
        self._world_file.write_text(json.dumps({**what, **made}, indent=1))

    def _say_how_many(self) -> None:
        self._say(f"{min(self.metric('mapsvc_replica_stations').values(), default=0.0):,.0f} of {self.stations:,}")

    def _all_is_visible(self) -> bool:
        """One station in a thousand is not published."""
        shown = self.metric("mapsvc_replica_stations")
        return bool(shown) and min(shown.values()) >= self.stations * 0.998

    # -- commands and figures -----------------------------------------------------------------------------------------

    def _run(self, log: Path, *words: str, timeout_s: float, meanwhile: Callable[[], None] | None = None) -> float:
        argv = [sys.executable, "-m", "mapsvc", *words]
        return run(argv, log, environment=self.environment, timeout_s=timeout_s, meanwhile=meanwhile)

    def timed_command(self, *words: str, timeout_s: float = 600.0) -> float:
        """`mapsvc <words>` on this service; seconds that it took. ProgramError if it fails."""
        return self._run(self.data_dir / f"{words[0]}.log", *words, timeout_s=timeout_s)

    def command(self, *words: str) -> str:
        """`mapsvc <words>` on this service; what it printed, log lines excepted. ProgramError if it fails."""
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "out"
            self._run(log, *words, timeout_s=120.0)
            return log.read_text()

    def metrics(self) -> str:
        """The page of all processes; "" while nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.admin_url}/metrics", timeout=5.0) as answer:  # noqa: S310 (our own)
                return str(answer.read().decode())
        except OSError:
            return ""

    def metric(self, name: str) -> dict[str, float]:
        """A metric of the API workers, by worker ("serve-1", …), its other labels summed up."""
        found: dict[str, float] = {}
        for worker, value in re.findall(
            rf'^{name}\{{process="(serve-\d+)"[^}}]*\}} (\S+)$', self.metrics(), re.MULTILINE
        ):
            found[worker] = found.get(worker, 0.0) + float(value)
        return found

    def ready_workers(self) -> int:
        return sum(value == 1.0 for value in self.metric("mapsvc_replica_ready").values())

    @property
    def pid(self) -> int:
        return self._up.pid

    def role_pid(self, role: str) -> int:
        """The process of a role ("serve", "ingest", "relay"): the first in the tree that is called so."""
        for pid in machine.tree(self.pid):
            words = machine.command_line(pid)
            if words[1:4] == ["-m", "mapsvc", role]:
                return pid
        raise ProgramError(f"no process of the role {role} runs")

    def worker_pids(self) -> list[int]:
        """The API workers: what runs below `mapsvc serve`."""
        return machine.tree(self.role_pid("serve"))[1:]

    def postgres_pid(self) -> int:
        """The postmaster; its backends are below it."""
        for pid in machine.tree(self.pid):
            words = machine.command_line(pid)
            if words and words[0].endswith("/postgres"):
                return pid
        raise ProgramError("no PostgreSQL runs below the service")

    def pin(self, workers: list[int], rest: list[int]) -> None:
        """API workers on these cores; PostgreSQL, Redis, ingest and relay, which reads do not touch, on those."""
        machine.pin(self.pid, rest)
        for pid in self.worker_pids():
            machine.pin(pid, workers)

    def kill_worker(self) -> int:
        """SIGKILL for one API worker, which `mapsvc serve` then replaces; the pid that it had."""
        pid = self.worker_pids()[0]
        os.kill(pid, signal.SIGKILL)
        return pid
