"""`mapsvc serve`: the API workers. The parent binds the socket once and the workers inherit it: a worker that ends takes
no waiting connection with it, as closing a SO_REUSEPORT listener would."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import sys

from aiohttp import web

from cache.tasks import watch
from mapsvc import spawn
from mapsvc.app import Worker, build
from mapsvc.body import SERVER_OPTIONS
from mapsvc.fallback import stand_in
from mapsvc.role import Role
from mapsvc.settings import Settings

log = logging.getLogger(__name__)

BACKLOG = 1024
LOAD_S = 10.0  # a worker takes no connections while it loads, so that others answer; after this it says 503 itself
STOP_S = 10.0  # for requests in flight
RESTART_S = 0.5
KEEPALIVE_S = 75.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Runs WORKERS API workers on LISTEN:PORT."
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace, settings: Settings) -> int:
    if args.worker is not None:
        listener = socket.socket(fileno=args.fd)
        return Role(f"serve-{args.worker}", settings).run(lambda role: work(role, listener))
    return Role("serve", settings).run(supervise)


# -- the parent -----------------------------------------------------------------------------------------------------------


async def supervise(role: Role) -> None:
    settings = role.settings
    listener = bind(settings.listen, settings.port)
    host, port = listener.getsockname()[:2]
    ready = asyncio.Event()
    workers = [
        asyncio.create_task(_keep_worker(number, listener.fileno(), settings, ready))
        for number in range(1, settings.workers + 1)
    ]
    try:
        await ready.wait()
        role.ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        listener.close()


def bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener


async def _keep_worker(number: int, fd: int, settings: Settings, ready: asyncio.Event) -> None:
    """One worker, started again whenever it ends; cancelled: ended in order."""
    while True:
        process = await asyncio.create_subprocess_exec(
            *spawn.tied([sys.executable, "-m", "mapsvc", "serve"], signal.SIGTERM),  # or it would keep the port
            "--worker", str(number), "--fd", str(fd),
            pass_fds=[fd], stdout=asyncio.subprocess.PIPE, env={**os.environ, **settings.to_env()},
        )  # fmt: skip
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                if line.startswith(b"ready "):
                    ready.set()
            code = await process.wait()
        except asyncio.CancelledError:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), STOP_S + 2)
                except TimeoutError:
                    process.kill()
            raise
        log.warning("worker ended", extra={"worker": number, "code": code})
        await asyncio.sleep(RESTART_S)


# -- a worker -------------------------------------------------------------------------------------------------------------


async def work(role: Role, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    base_url = role.settings.public_url or f"http://{host}:{port}"
    worker = build(role.settings, role.metrics, base_url)
    gc.disable()  # loading makes millions of objects that all stay: walking them again and again doubles its time
    await worker.replica.start()
    settling = asyncio.create_task(settle(worker))
    fallback = asyncio.create_task(stand_in(worker.replica, role.settings.database_url or ""))
    runner = web.AppRunner(
        worker.application,
        access_log=None,
        keepalive_timeout=KEEPALIVE_S,
        shutdown_timeout=STOP_S,
        handle_signals=False,
        **SERVER_OPTIONS,
    )
    await runner.setup()
    try:
        await asyncio.wait([settling], timeout=LOAD_S)
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        announcing = asyncio.create_task(_announce(role, settling, f"{host}:{port}"))
        # For ever; a worker whose world would stand still ends, and its parent starts another.
        await watch([asyncio.create_task(worker.replica.watch()), fallback, announcing])
    finally:
        fallback.cancel()
        settling.cancel()
        await runner.cleanup()
        await worker.replica.stop()


async def _announce(role: Role, settling: asyncio.Task[None], address: str) -> None:
    """Ready is who answers with stations, not who only says 503."""
    await settling
    role.ready(address)


async def settle(worker: Worker) -> None:
    """Once the world is loaded: sums it up, and keeps the collector from walking the long-lived heap ever again."""
    while not worker.replica.ready:  # noqa: ASYNC110 (the replica says it by a property)
        await asyncio.sleep(0.02)
    worker.tiles.warm(worker.replica.now_ms())
    gc.freeze()
    gc.enable()
