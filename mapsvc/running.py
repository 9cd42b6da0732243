"""Where the service of this DATA_DIR runs: `mapsvc up` notes it, and the other commands find its private engines there.

The note holds URLs with passwords: it belongs to the account that started the service, and goes when the service ends.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from mapsvc.settings import Settings, run_dir


class Running(msgspec.Struct, frozen=True):
    database_url: str | None
    redis_url: str | None
    ingest_url: str | None
    port: int
    admin_port: int


def _note(data_dir: Path) -> Path:
    return run_dir(data_dir) / "running.json"


@contextmanager
def noted(settings: Settings, port: int, admin_port: int) -> Iterator[None]:
    """While the service runs. `settings` with the URLs in force."""
    running = Running(settings.database_url, settings.redis_url, settings.ingest_url, port, admin_port)
    path = _note(settings.data_dir)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(running))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def is_running(data_dir: Path) -> bool:
    """Whether a `mapsvc up` of this DATA_DIR has noted that it serves."""
    return _note(data_dir).exists() and is_starting(data_dir)


def is_starting(data_dir: Path) -> bool:
    """Whether there is a `mapsvc up` at all, ready or not: it holds its lock (mapsvc.preflight.locked)."""
    try:
        with (data_dir / "up.lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def filled_in(settings: Settings) -> Settings:
    """Settings with what the running service knows where the environment says nothing."""
    with suppress(OSError, msgspec.MsgspecError):
        running = msgspec.json.decode(_note(settings.data_dir).read_bytes(), type=Running)
        return dataclasses.replace(
            settings,
            database_url=settings.database_url or running.database_url,
            redis_url=settings.redis_url or running.redis_url,
            ingest_url=settings.ingest_url or running.ingest_url,
            port=running.port,
            admin_port=running.admin_port,
        )
    return settings
