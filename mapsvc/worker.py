"""One API worker, from its start to its end; `mapsvc serve` (mapsvc.serve) starts it with the listener it inherits."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import signal
import socket
from contextlib import suppress

from aiohttp import web

from cache.tasks import watch
from geo.warm import warm
from mapsvc.app import Worker, build
from mapsvc.fallback import stand_in
from mapsvc.role import Ending, Role
from mapsvc.workers import GRACE_S

LOAD_S = 10.0  # a worker takes no connections while it loads, so that others answer; after this it says 503 itself
STOP_S = 1.0  # for what aiohttp still holds once the connections are drained


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
