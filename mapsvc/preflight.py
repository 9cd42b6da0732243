"""What `mapsvc up` makes sure of before it starts anything: that it is alone, and that its ports are free."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from mapsvc import spawn
from mapsvc.settings import Settings

PORT_PATIENCE_S = 3.0  # a service that was killed a moment ago may still be letting go of its port


class UpError(RuntimeError):
    """The service cannot run; the message is for the person who started it."""


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """One `mapsvc up` per DATA_DIR. The kernel lets go of the lock however the process ends."""
    with (data_dir / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UpError(
                f"another `mapsvc up` (pid {file.read().strip()}) runs on {data_dir}; stop it, or set DATA_DIR"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


async def check_ports(settings: Settings) -> None:
    """Say at once, in words, what would otherwise be a crash of a child minutes later."""
    if settings.port and settings.port == settings.admin_port:
        raise UpError(f"PORT and ADMIN_PORT are both {settings.port}; they must differ")
    await check_port("PORT", settings.listen, settings.port)
    await check_port("ADMIN_PORT", spawn.LOOPBACK, settings.admin_port)


async def check_port(name: str, host: str, port: int) -> None:
    deadline = time.monotonic() + PORT_PATIENCE_S
    while (problem := binding_problem(host, port)) is not None:
        if problem != errno.EADDRINUSE:
            raise UpError(f"cannot listen on {host} port {port}: {os.strerror(problem)}; set LISTEN or {name}")
        if time.monotonic() > deadline:
            raise UpError(f"port {port} is taken by another program; set {name} to a free one: {name}={port + 10}")
        await asyncio.sleep(0.1)


def binding_problem(host: str, port: int) -> int | None:
    """The errno that binding would meet; None if it would work."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno or errno.EINVAL
    return None
