"""Processes that the benchmark starts: they cannot outlive it, run in a session of their own, and write to a log.

`Program` is a server: started, waited for, stopped. `run` is a command that ends by itself. Both die with us, however we
end: the kernel sends them a signal when the thread that started them is gone (setpriv --pdeathsig), so one thread that
lives as long as we do starts them all.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
PORTS = range(10_240, 32_768)  # below the ephemeral range: no connection of ours can be given one of these as its own
POLL_S = 0.05
STOP_S = 60.0
MEANWHILE_S = 20.0
LOG_TAIL_BYTES = 2000


class ProgramError(RuntimeError):
    """A program does not start, or failed; the message ends with the end of its log."""


@cache
def _nursery() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="nursery")


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    for port in random.SystemRandom().sample(PORTS, 200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
            return port
    raise ProgramError("no free port")


class Program:
    """A server. `deathsig`: what it is sent when we are gone, and when it is to stop."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        deathsig: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log = log
        self._argv = ["setpriv", f"--pdeathsig={deathsig.name[3:]}", "--", *argv]
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(environment or {})}
        self._cwd = cwd
        self._deathsig = deathsig
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ProgramError(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = _nursery().submit(self._popen, log.fileno()).result()

    def _popen(self, log: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 (our own argv)
            self._argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self._cwd,
            env=self._environment,
            start_new_session=True,
        )

    def stop(self) -> None:
        """In good order; killed with its process group if it takes too long."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(self._deathsig)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def wait_until(self, ready: Callable[[], bool], within_s: float, what: str) -> float:
        """Seconds until `ready`. ProgramError if the program ends or the time is over."""
        began = time.monotonic()
        while not ready():
            if not self.running:
                raise ProgramError(f"{self.name} ended while we waited until {what}:\n{tail(self.log)}")
            if time.monotonic() - began > within_s:
                raise ProgramError(f"{self.name}: not so within {within_s:.0f} s: {what}\n{tail(self.log)}")
            time.sleep(POLL_S)
        return time.monotonic() - began

    def wait_for_port(self, port: int, within_s: float = 60.0) -> None:
        def listens() -> bool:
            with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1.0):
                return True
            return False

        self.wait_until(listens, within_s, f"port {port} is open")


def run(
    argv: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    timeout_s: float = 600.0,
    allowed: Sequence[int] = (0,),
    meanwhile: Callable[[], None] | None = None,
) -> float:
    """Runs a command to its end; how long that took in seconds. ProgramError if it ends otherwise than `allowed`.
    `meanwhile` is called every MEANWHILE_S."""
    program = Program(Path(argv[0]).name, argv, log, environment=environment, cwd=cwd, deathsig=signal.SIGKILL)
    began = told_at = time.monotonic()
    program.start()
    while program.running:
        if meanwhile is not None and time.monotonic() - told_at > MEANWHILE_S:
            meanwhile()
            told_at = time.monotonic()
        if time.monotonic() - began > timeout_s:
            program.stop()
            raise ProgramError(f"{' '.join(argv)} took more than {timeout_s:.0f} s:\n{tail(log)}")
        time.sleep(POLL_S)
    if program.returncode not in allowed:
        raise ProgramError(f"{' '.join(argv)} ended with {program.returncode}:\n{tail(log)}")
    return time.monotonic() - began


def tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
    return f"(no log {log})"


def answers(url: str) -> bool:
    """Whether a GET is answered with 2xx."""
    try:
        with urllib.request.urlopen(url, timeout=5.0) as answer:  # noqa: S310 (our own loopback URLs)
            return 200 <= int(answer.status) < 300
    except (OSError, urllib.error.URLError):
        return False
