"""`mapsvc up`: everything one machine needs, in one supervisor.

PostgreSQL and Redis (private ones, unless URLs are given), the migration, a first filling, then the roles as children:
relay, ingest, serve and simulate. What ends by itself is started again. Ctrl-C or SIGTERM stops what was started here, in
the reverse order, and nothing else; if the supervisor is killed outright, the kernel ends its children (see spawn). SIGUSR1
renews the roles one after another without a failed request: the program on disk may be a newer one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, disable_created_metrics, generate_latest

from mapsvc import merged_metrics, spawn, welcome
from mapsvc.child import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    Child,
    HopelessError,
    command,
    describe_exit,
    run_to_end,
    trim_log,
)
from mapsvc.engines import EngineError, PostgresEngine, RedisEngine
from mapsvc.ops import serving as ops
from mapsvc.preflight import UpError, check_ports, locked
from mapsvc.roads import graphs
from mapsvc.roads.keeper import Keeper
from mapsvc.roads.valhalla_files import is_installed
from mapsvc.running import noted
from mapsvc.settings import Settings, run_dir
from sql import queries

ROOT = Path(__file__).resolve().parents[1]
ENGINE_POLL_S = 0.1
LOG_CHECK_S = 60.0
IN_A_HURRY = {"serve": signal.SIGINT}  # on SIGTERM it goes on answering until load balancers have heard of it
ROADS_S = 15.0  # that the first greeting waits for the road graph; a large one may take longer, and then comes later
SAME_WISH_S = 1.0  # a terminal that closes sends SIGHUP, and make that dies by it SIGTERM: one wish, not two


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace, settings: Settings) -> int:
    try:
        asyncio.run(_run_until_signal(settings))
    except* (UpError, EngineError, HopelessError) as group:
        for error in _leaves(group):
            print(f"mapsvc up: {error}", file=sys.stderr, flush=True)
        return_code = 1
    else:
        return_code = 0
    return return_code


async def _run_until_signal(settings: Settings) -> None:
    """Ends quietly after Ctrl-C or SIGTERM; a second signal kills what still hesitates."""
    up = Up(settings)
    service = asyncio.create_task(up.run())
    loop = asyncio.get_running_loop()
    first_at: float | None = None

    def on_signal() -> None:
        nonlocal first_at
        if first_at is None:
            first_at = loop.time()
            service.cancel()
            say("stopping")
        elif loop.time() - first_at > SAME_WISH_S:
            say("killing what still runs")
            up.kill()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(signal.SIGUSR1, up.renew.set)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # started by nohup: stay
        loop.add_signal_handler(signal.SIGHUP, on_signal)
    with contextlib.suppress(asyncio.CancelledError):
        await service
    say("stopped")


class Up:
    """One run of the service. `run` is its table of contents."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engines: list[PostgresEngine | RedisEngine] = []
        self.children: list[Child] = []
        self.roads: Keeper | None = None
        self.log_dir = settings.data_dir / "log"
        self.renew = asyncio.Event()  # asks for a rolling restart of the roles
        # A `_created` beside every counter answers no question of ours.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._restarts = Counter(
            "mapsvc_up_child_restarts", "Times a role or an engine ended by itself", ["role"], registry=self._registry
        )

    async def run(self) -> None:
        # The watchers end before the stack unwinds: nothing is started again while everything is being stopped.
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as watchers:
            self._make_folders()
            stack.enter_context(locked(self.settings.data_dir))
            await check_ports(self.settings)
            await self._start_engines(stack, watchers)
            await self._migrate()
            await self._fill_if_empty()
            admin_port = await self._serve_admin(stack)
            self._start_roads(watchers)
            await self._start_roles(stack, watchers)
            serve = next(child for child in self.children if child.role == "serve")
            stack.enter_context(noted(self.settings, urlsplit(serve.address).port or 80, admin_port))
            watchers.create_task(self._renew_when_asked())
            await self._wait_for_roads()
            await self._greet(serve.address, admin_port)
            await self._keep_logs_short()

    def kill(self) -> None:
        for process in (*self.children, *self.engines, *([self.roads] if self.roads else [])):
            process.kill()

    def _make_folders(self) -> None:
        try:
            self.log_dir.mkdir(parents=True, exist_ok=True)
            run_dir(self.settings.data_dir).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise UpError(f"DATA_DIR={self.settings.data_dir}: {error.strerror}: {error.filename}") from None
        if run_dir(self.settings.data_dir).stat().st_uid != os.geteuid():
            raise UpError(f"{run_dir(self.settings.data_dir)} belongs to another account")

    async def _start_engines(self, stack: AsyncExitStack, watchers: asyncio.TaskGroup) -> None:
        """A private engine for each URL that is not given; its URL then goes to every role."""
        data_dir = self.settings.data_dir
        if self.settings.database_url is None:
            postgres = PostgresEngine(data_dir / "postgres")
            await self._start_engine(postgres, stack, watchers)
            self.settings = dataclasses.replace(self.settings, database_url=postgres.url)
        if self.settings.redis_url is None:
            # Saved when it stops in good order, so that the next start need not build the cache anew; after a crash the
            # relay does that, from PostgreSQL.
            redis = RedisEngine(data_dir / "redis", options={"shutdown-on-sigterm": "save"})
            await self._start_engine(redis, stack, watchers)
            self.settings = dataclasses.replace(self.settings, redis_url=redis.url)

    async def _start_engine(
        self, engine: PostgresEngine | RedisEngine, stack: AsyncExitStack, watchers: asyncio.TaskGroup
    ) -> None:
        self.engines.append(engine)
        stack.push_async_callback(asyncio.to_thread, engine.stop)
        await asyncio.to_thread(engine.start)
        say(f"{engine.name} runs on port {engine.port}, data in {engine.home}")
        watchers.create_task(self._keep_engine_running(engine))

    async def _keep_engine_running(self, engine: PostgresEngine | RedisEngine) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            await asyncio.sleep(ENGINE_POLL_S)
            if engine.running:
                continue
            say(f"{engine.name} ended by itself (see {engine.log}); starting it again")
            self._restarts.labels(engine.name.lower()).inc()
            try:
                await asyncio.to_thread(engine.start)
                pause_s = FIRST_PAUSE_S
            except (EngineError, OSError) as error:
                say(str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _run_to_end(self, *words: str) -> None:
        code = await run_to_end(command(*words), self._environment())
        if code:
            raise UpError(f"`mapsvc {words[0]}` failed ({describe_exit(code)})")

    async def _migrate(self) -> None:
        """Skipped where these very migrations were applied to our private cluster before: asking Alembic takes two of
        the ten seconds within which a second start answers. The stamp lies in the cluster's folder, and goes with it."""
        private = next((engine for engine in self.engines if isinstance(engine, PostgresEngine)), None)
        stamp = private.home / "migrated" if private else None
        if stamp is None or not stamp.exists() or stamp.read_text() != schema_fingerprint():
            await self._run_to_end("migrate")
            if stamp is not None:
                stamp.write_text(schema_fingerprint())

    async def _fill_if_empty(self) -> None:
        """An empty store gets a synthetic country. The marker tells a filling that was interrupted from real data."""
        assert self.settings.database_url is not None
        marker = self.settings.data_dir / "filling"
        store = hashlib.sha256(self.settings.database_url.encode()).hexdigest()
        interrupted = marker.exists() and marker.read_text() == store
        if self.settings.demo_stations and (interrupted or not await has_stations(self.settings.database_url)):
            say(f"the store is empty: generating {self.settings.demo_stations} stations")
            marker.write_text(store)
            await self._run_to_end("generate", "--stations", str(self.settings.demo_stations), *self._demo_roads())
            marker.unlink()
            await self._build_demo_roads()

    def _demo_roads(self) -> list[str]:
        """Roads for the demo, unless there are some."""
        return (
            ["--roads", str(self._demo_extract)] if is_installed() and not graphs.wanted(self.settings.data_dir) else []
        )

    @property
    def _demo_extract(self) -> Path:
        return self.settings.data_dir / "demo.osm.pbf"

    async def _build_demo_roads(self) -> None:
        """Without them the service runs all the same."""
        if self._demo_extract.exists():
            code = await run_to_end(command("roads", str(self._demo_extract)), self._environment())
            if code:
                say(f"there are no roads: `mapsvc roads` failed ({describe_exit(code)})")

    async def _serve_admin(self, stack: AsyncExitStack) -> int:
        sockets = run_dir(self.settings.data_dir)
        for stale in merged_metrics.sockets_in(sockets):
            stale.unlink()
        application = merged_metrics.app(sockets, lambda: generate_latest(self._registry).decode())
        ops.add_to(application, self._find_api)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, spawn.LOOPBACK, self.settings.admin_port).start()
        port: int = runner.addresses[0][1]
        return port

    def _find_api(self) -> str | None:
        return next(
            (welcome.reachable(c.address) for c in self.children if c.role == "serve" and c.ready.is_set()), None
        )

    def _start_roads(self, watchers: asyncio.TaskGroup) -> None:
        self._restarts.labels("valhalla")
        self.roads = Keeper(
            self.settings.data_dir, self.log_dir / "valhalla.log", say, self._restarts.labels("valhalla").inc
        )
        watchers.create_task(self.roads.run())

    async def _start_roles(self, stack: AsyncExitStack, watchers: asyncio.TaskGroup) -> None:
        roles = ["relay", "serve"]
        if self.settings.ingest_url is None:
            url = f"http://{spawn.LOOPBACK}:{spawn.free_port()}"
            self.settings = dataclasses.replace(self.settings, ingest_url=url)
            roles.insert(1, "ingest")
        say(f"starting {', '.join(roles)}; logs in {self.log_dir}")
        for role in roles:
            self._start_role(role, stack, watchers)
        for child in self.children:
            await child.ready.wait()
        if self.settings.demo_stations:
            self._start_role("simulate", stack, watchers)

    def _start_role(self, role: str, stack: AsyncExitStack, watchers: asyncio.TaskGroup) -> None:
        def on_restart() -> None:
            self._restarts.labels(role).inc()

        self._restarts.labels(role)  # shown from the beginning, as 0
        child = Child(
            role, command(role), self._environment(), self.log_dir / f"{role}.log", say, on_restart,
            IN_A_HURRY.get(role, signal.SIGTERM),
        )  # fmt: skip
        self.children.append(child)
        stack.push_async_callback(child.stop)
        watchers.create_task(child.keep_running())

    async def _wait_for_roads(self) -> None:
        if self.roads is not None and self.roads.is_wanted:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.roads.answered.wait(), ROADS_S)

    async def _renew_when_asked(self) -> None:
        while True:
            await self.renew.wait()
            self.renew.clear()
            say("renewing the roles")
            for child in self.children:
                if child.role == "serve":
                    child.send(signal.SIGHUP)  # it replaces its workers one by one
                else:
                    await child.renew()

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return {**os.environ, **self.settings.to_env(), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}

    async def _greet(self, address: str, admin_port: int) -> None:
        for line in await welcome.lines(address, self.settings.public_url, admin_port):
            with contextlib.suppress(OSError):
                print(line, flush=True)

    async def _keep_logs_short(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_S)
            for child in self.children:
                trim_log(child.log)


def say(text: str) -> None:
    """To the person, if still there: a closed terminal or pipe is no reason to end."""
    with contextlib.suppress(OSError):
        print(f"mapsvc: {text}", flush=True)


def schema_fingerprint() -> str:
    """Changes when a migration is added, or any file that migrations run."""
    files = sorted(path for path in (ROOT / "sql").rglob("*") if path.suffix in {".py", ".sql"})
    return hashlib.sha256(b"\0".join(bytes(path) + b"\0" + path.read_bytes() for path in files)).hexdigest()


async def has_stations(database_url: str) -> bool:
    connection = await asyncpg.connect(database_url)
    try:
        return bool(await connection.fetchval(queries.ANY_STATION))
    finally:
        await connection.close()


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
