"""`mapsvc serve`: the API workers. The parent binds the socket once and the workers inherit it: a worker that ends takes
no waiting connection with it, as closing a SO_REUSEPORT listener would.

Signals to the parent: SIGHUP replaces the workers one by one; SIGTERM ends the service as an orchestrator wants it (not
ready, still answering, then a drain); SIGINT, or a second SIGTERM, ends it as soon as requests in progress are answered.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket

from cache.tasks import end
from mapsvc.connections import bind
from mapsvc.role import Ending, Role
from mapsvc.settings import Settings
from mapsvc.workers import Workers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Runs WORKERS API workers on LISTEN:PORT. SIGHUP replaces them one by one, without a pause."
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--patient", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace, settings: Settings) -> int:
    if args.worker is not None:
        # Its parent does without: a seventh of a gigabyte, and two seconds before the first worker starts.
        from mapsvc.worker import work

        listener = socket.socket(fileno=args.fd)
        return Role(f"serve-{args.worker}", settings).run(lambda role: work(role, listener, args.patient))
    return Role("serve", settings).run(supervise)


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
