"""`mapsvc serve`: the API workers. The parent binds the socket once and the workers inherit it: a worker that ends takes
no waiting connection with it, as closing a SO_REUSEPORT listener would.

Signals to the parent: SIGHUP replaces the workers one by one; SIGTERM ends the service as an orchestrator wants it (not
ready, still answering, then a drain); SIGINT, or a second SIGTERM, ends it as soon as requests in progress are answered.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import logging
import signal
import socket
from contextlib import suppress

from aiohttp import web

from cache.tasks import end, watch
from geo.warm import warm
from mapsvc.app import Worker, build
from mapsvc.connections import bind
from mapsvc.fallback import stand_in
from mapsvc.role import Ending, Role
from mapsvc.settings import Settings
from mapsvc.workers import GRACE_S, Workers

log = logging.getLogger(__name__)

LOAD_S = 10.0  # a worker takes no connections while it loads, so that others answer; after this it says 503 itself
STOP_S = 1.0  # for what aiohttp still holds once the connections are drained


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Runs WORKERS API workers on LISTEN:PORT. SIGHUP replaces them one by one, without a pause."
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--patient", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace, settings: Settings) -> int:
    if args.worker is not None:
        listener = socket.socket(fileno=args.fd)
        return Role(f"serve-{args.worker}", settings).run(lambda role: work(role, listener, args.patient))
    return Role("serve", settings).run(supervise)


# -- the parent -----------------------------------------------------------------------------------------------------------


async def supervise(role: Role) -> None:
    settings = role.settings
    ending = Ending()
    renew = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, renew.set)
    listener = bind(settings.listen, settings.port)
    listener.set_inheritable(True)
    host, port = listener.getsockname()[:2]
    workers = Workers(settings, listener)
    workers.start()
    tending = asyncio.create_task(_tend(role, workers, renew, f"http://{f'[{host}]' if ':' in host else host}:{port}"))
    try:
        await ending.asked_or([tending])
    finally:
        await end([tending])
        await workers.leave(ending.hurry)


async def _tend(role: Role, workers: Workers, renew: asyncio.Event, address: str) -> None:
    await workers.ready.wait()
    role.ready(address)
    while True:
        await renew.wait()
        renew.clear()  # whoever asks from now on means a program that these workers may not have read
        await workers.replace_all()


# -- a worker -------------------------------------------------------------------------------------------------------------


async def work(role: Role, listener: socket.socket, patient: bool) -> None:
    host, port = listener.getsockname()[:2]
    base_url = role.settings.public_url or f"http://{host}:{port}"
    worker = build(role.settings, role.metrics, base_url)
    ending = Ending()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, worker.health.leave)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # of a terminal that closes: the parent's business
    warm()
    gc.disable()  # loading makes millions of objects that all stay: walking them again and again doubles its time
    await worker.replica.start()
    settling = asyncio.create_task(settle(worker))
    fallback = asyncio.create_task(stand_in(worker.replica, role.settings.database_url or ""))
    # For ever; a worker whose world would stand still ends, and its parent starts another.
    going_on = asyncio.create_task(watch([asyncio.create_task(worker.replica.watch()), fallback, settling]))
    runner = web.AppRunner(worker.application, shutdown_timeout=STOP_S)
    await runner.setup()
    try:
        await ending.asked_or([going_on, settling], timeout_s=None if patient else LOAD_S)
        if not ending.asked:
            assert runner.server is not None
            async with worker.connections.serving(runner.server, listener):
                announcing = asyncio.create_task(_announce(role, settling, f"{host}:{port}"))
                try:
                    await ending.asked_or([going_on])
                finally:
                    announcing.cancel()
                    await worker.connections.drain(GRACE_S, ending.hurry)
    finally:
        going_on.cancel()
        fallback.cancel()
        settling.cancel()
        await runner.cleanup()
        await worker.replica.stop()


async def _announce(role: Role, settling: asyncio.Task[None], address: str) -> None:
    """Ready is who answers with stations, not who only says 503."""
    await asyncio.shield(settling)
    role.ready(address)


async def settle(worker: Worker) -> None:
    """Once the world is loaded: sums it up, and keeps the collector from walking the long-lived heap ever again."""
    while not worker.live.ready:  # noqa: ASYNC110 (it says it by a property, and is so a moment after the replica)
        await asyncio.sleep(0.02)
    worker.tiles.warm(worker.replica.now_ms())
    _give_memory_back()
    gc.freeze()
    gc.enable()


def _give_memory_back() -> None:
    """What loading needed and freed: glibc would keep a tenth of a gigabyte of it."""
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
