"""The service as real processes around a real PostgreSQL and Redis: started, stopped, frozen and killed role by role.

    async with Stack(database_url, redis_url, tmp_path) as stack:
        await stack.fill(stations=40)
        await stack.start("ingest", "relay", "serve")
        outcomes = await stack.post([stack.update(stack.evses[0], "CHARGING")])

Every role has a log of its own (`stack.log`), and leaving the block ends every process that the stack started.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
import asyncpg
from multidict import CIMultiDictProxy

from geo.station import Connector, Evse, Located, Station, station_key
from mapsvc import access, spawn
from mapsvc.door import Door
from mapsvc.settings import Settings
from sql import queries

ROOT = Path(__file__).resolve().parents[2]
TORTURE = os.environ.get("TORTURE") == "1"

READY_S = 60.0  # a role starts in two seconds; this machine may be shared
STOP_S = 30.0
STEP_DEG = 0.004  # between the stations of the made-up world: some 400 m
PARTY = "FR*TST"


class Point(NamedTuple):
    """One EVSE of the made-up world, as a party knows it and as the database does."""

    party: str
    location_id: str
    uid: str
    num: int
    slot: int

    @property
    def station_id(self) -> str:
        return f"{self.party}~{self.location_id}"


def _held_port() -> socket.socket:
    """Bound, but nobody listens: `spawn.is_port_free` says no."""
    held = socket.socket()
    held.bind((spawn.LOOPBACK, spawn.free_port()))
    return held


class Stack:
    def __init__(
        self, database_url: str, redis_url: str, folder: Path, *, workers: int = 2, valhalla_url: str = ""
    ) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self.valhalla_url = valhalla_url
        self.folder = folder
        # Held until the role starts, which may be a minute later: others look for ports meanwhile.
        self._held = {role: _held_port() for role in ("ingest", "serve")}
        self.ingest_url, self.url = (f"http://127.0.0.1:{held.getsockname()[1]}" for held in self._held.values())
        self.key = ""
        self.evses: list[Point] = []
        self._workers = workers
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._last_ms = 0

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
        for name in list(self._processes):
            await asyncio.to_thread(self.kill, name)
        for held in self._held.values():
            held.close()
        if error is not None:
            self.show_logs()

    def show_logs(self) -> None:
        """Prints what the processes said last: pytest shows it below a test that failed."""
        for log in sorted(self.folder.glob("*.log")):
            print(f"\n--- {log.name}\n" + "\n".join(log.read_text().splitlines()[-25:]))

    # -- processes ----------------------------------------------------------------------------------------------------

    async def start(self, *names: str) -> None:
        """Starts roles and waits until they are ready. `relay-2` is a second relay, and so on."""
        await asyncio.gather(*(self._start(name) for name in names))

    async def _start(self, name: str) -> None:
        role = name.partition("-")[0]
        if role in self._held:
            self._held.pop(role).close()
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            process = spawn.spawn(
                [sys.executable, "-m", "mapsvc", role],
                deathsig=signal.SIGKILL,
                log=log,
                cwd=ROOT,
                env=self.environment(name),
                stdout=subprocess.PIPE,
            )
        self._processes[name] = process
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), READY_S)
        except TimeoutError:
            spawn.kill_tree(process)
            raise
        assert line.startswith(f"ready {role} ".encode()), f"{name} did not get ready: {line!r}"
        if role == "serve":
            await eventually(self._all_workers_ready, READY_S, every_s=0.05)  # asking costs those who start time

    async def _all_workers_ready(self) -> bool:
        """every worker holds the world (`ready` says that one of them does; the service is up from then on)"""
        try:
            ready = [await self.metric(f"serve-{k}", "mapsvc_replica_ready") for k in range(1, self._workers + 1)]
        except aiohttp.ClientConnectionError:
            return False  # one has not even opened its socket
        return all(ready)

    def environment(self, name: str) -> Mapping[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "INGEST_URL": self.ingest_url,
            "VALHALLA_URL": self.valhalla_url,
            "PORT": self.url.rpartition(":")[2],
            "ADMIN_PORT": "0",
            "WORKERS": str(self._workers),
            "RATE_LIMIT": "0",
            "DATA_DIR": str(self.folder / name),
        }

    def kill(self, name: str) -> None:
        """SIGKILL for a role and what it forked."""
        process = self._processes.pop(name)
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
        spawn.kill_tree(process)
        assert process.stdout is not None
        process.stdout.close()

    async def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        """The orderly end; the exit code. After SIGINT, `serve` does not go on for the sake of load balancers: seconds."""
        process = self._processes.pop(name)
        process.send_signal(number)
        code = await asyncio.wait_for(asyncio.to_thread(process.wait), STOP_S)
        assert process.stdout is not None
        process.stdout.close()
        return code

    def signal(self, name: str, number: signal.Signals) -> None:
        self._processes[name].send_signal(number)

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def is_running(self, name: str) -> bool:
        return name in self._processes and self._processes[name].poll() is None

    def workers(self) -> list[int]:
        """The pids of the API workers."""
        return spawn.children(self._processes["serve"].pid)

    def log(self, name: str) -> list[dict[str, Any]]:
        """The lines of a role's log; a line that is not JSON is {"message": …}."""
        lines: list[dict[str, Any]] = []
        for line in (self.folder / f"{name}.log").read_text().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                lines.append({"level": "raw", "message": line})
        return lines

    async def metric(self, name: str, metric: str) -> float:
        """The sum of a metric's samples as a process tells it now. Workers are called `serve-1`, `serve-2`."""
        folder = self.folder / ("serve" if name.startswith("serve") else name)
        connector = aiohttp.UnixConnector(str(Settings(data_dir=folder).socket(name)))
        async with aiohttp.ClientSession(connector=connector) as session, session.get("http://m/metrics") as response:
            text = await response.text()
        samples = [line.rsplit(" ", 1) for line in text.splitlines() if re.match(rf"{metric}(_total)?[{{ ]", line)]
        assert samples, f"{name} has no metric {metric}"
        return sum(float(value) for _, value in samples)

    def complaints(self) -> list[str]:
        """What no log may hold, whatever was killed: errors and whatever is not structured."""
        names = sorted(path.stem for path in self.folder.glob("*.log"))
        return [
            f"{name}: {line['message']} {line.get('exception', '')}"
            for name in names
            for line in self.log(name)
            if line["level"] in ("error", "critical", "raw")
        ]

    # -- the made-up world --------------------------------------------------------------------------------------------

    async def fill(self, stations: int, *, evses: int = 2, party: str = PARTY, order_by: str = "ts", ttl_s: int = 900,
                   prefix: str = "L") -> list[Point]:  # fmt: skip
        """Stations of one party on a grid near Paris, through the door, and a key for all parties so far."""
        connection = await asyncpg.connect(self.database_url)
        try:
            await connection.execute(queries.PARTY_PUT, party, "operator", party, order_by, ttl_s)
            await Door(OneByOne(connection)).put(
                [Located(station_at(i, evses, party=party, prefix=prefix)) for i in range(stations)]
            )
            self.evses = [
                Point(row["party"], row["location_id"], row["uid"], row["num"], row["slot"])
                for row in await connection.fetch(queries.EVSE_PAGE, None, -1, -1, 1_000_000)
            ]
            self.key = await access.create_key(connection, sorted({evse.party for evse in self.evses}), "tests")
        finally:
            await connection.close()
        return [evse for evse in self.evses if evse.party == party]

    async def put(self, located: Sequence[Located]) -> None:
        """Station documents through the door, as an import of registers does."""
        connection = await asyncpg.connect(self.database_url)
        try:
            door = Door(OneByOne(connection))
            await door.add_parties({one.station.party for one in located}, live=False)
            await door.put(located)
        finally:
            await connection.close()

    async def remove(self, evses: Sequence[Point]) -> None:
        """The stations of these EVSEs."""
        connection = await asyncpg.connect(self.database_url)
        try:
            await Door(OneByOne(connection)).remove([station_key(e.party, e.location_id) for e in evses])
        finally:
            await connection.close()

    async def command(self, *words: str) -> int:
        """The exit code of one of our own commands."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mapsvc", *words, cwd=ROOT, env=self.environment("command"),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(120):
            return await process.wait()

    # -- HTTP ---------------------------------------------------------------------------------------------------------

    @property
    def session(self) -> aiohttp.ClientSession:
        """Connections are not kept: each request may meet another worker, and none meets a dead one."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, limit=0), timeout=aiohttp.ClientTimeout(total=40)
            )
        return self._session

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    @staticmethod
    def clock_ms() -> int:
        return time.time_ns() // 1_000_000

    def now_ms(self) -> int:
        """The time, but never the same twice: keys of updates."""
        self._last_ms = max(self._last_ms + 1, self.clock_ms())
        return self._last_ms

    def update(self, evse: Point, status: str, ts_ms: int | None = None) -> dict[str, Any]:
        ts_ms = self.now_ms() if ts_ms is None else ts_ms
        return {
            "evse_uid": evse.uid,
            "location_id": evse.location_id,
            "status": status,
            "source_ts": rfc3339(ts_ms),
        }

    async def post(self, updates: Sequence[Mapping[str, Any]]) -> list[str]:
        """The outcomes of updates that must be taken."""
        return await self.post_to(self.url, updates)

    async def post_to(self, url: str, updates: Sequence[Mapping[str, Any]]) -> list[str]:
        async with self.session.post(f"{url}/v1/status", json=updates, headers=self.auth) as response:
            assert response.status == 200, await response.text()
            return [outcome["outcome"] for outcome in (await response.json())["outcomes"]]

    async def get(self, path: str, **headers: str) -> Answer:
        async with self.session.get(self.url + path, headers=headers) as response:
            return Answer(response.status, response.headers, await response.read())

    async def json(self, path: str) -> Any:
        answer = await self.get(path)
        assert answer.status == 200, (path, answer)
        return json.loads(answer.body)

    async def shown(self, evse: Point) -> str | None:
        """The status that the API shows for an EVSE; None: it does not show it."""
        answer = await self.get(f"/v1/stations/{evse.station_id}")
        if answer.status != 200:
            return None
        found = [told["status"] for told in json.loads(answer.body)["evses"] if told["uid"] == evse.uid]
        return found[0] if found else None


class Answer(NamedTuple):
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class OneByOne:
    """The door asks several shards at once, as a pool allows; here they take turns."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()

    async def fetch(self, *args: Any) -> Any:
        async with self._turn:
            return await self._connection.fetch(*args)

    async def fetchval(self, *args: Any) -> Any:
        async with self._turn:
            return await self._connection.fetchval(*args)


def station_at(
    i: int, evses: int, *, party: str = PARTY, prefix: str = "L", updated_ms: int = 1_700_000_000_000,
    lat: float | None = None, lon: float | None = None,
) -> Station:  # fmt: skip
    """The i-th station of a grid of 50 columns."""
    location_id = f"{prefix}{i}"
    return Station(
        party=party,
        location_id=location_id,
        lat=round(48.8 + STEP_DEG * (i // 50), 6) if lat is None else lat,
        lon=round(2.2 + STEP_DEG * (i % 50), 6) if lon is None else lon,
        last_updated_ms=updated_ms,
        name=f"Station {location_id}",
        evses=tuple(
            Evse(
                uid=f"{location_id}-{k}",
                connectors=(Connector("1", "IEC_62196_T2_COMBO", "CABLE", "DC", power_kw=150.0),),
            )
            for k in range(evses)
        ),
        source="api",
    )


def rfc3339(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


async def eventually(condition: Callable[[], Awaitable[Any]], within_s: float, every_s: float = 0.02) -> float:
    """Waits until the condition holds; how long that took in seconds. AssertionError when it does not come to hold."""
    began = time.monotonic()
    while True:
        if await condition():
            return time.monotonic() - began
        if time.monotonic() - began > within_s:
            raise AssertionError(f"still not so after {within_s} s: {getattr(condition, '__doc__', None) or condition}")
        await asyncio.sleep(every_s)
