"""One role of `mapsvc up` as a child process: started, watched, started again when it ends by itself, stopped.

A role prints `ready <role> <address>` on standard output when it can do its work; everything else it prints, and
standard error, goes to its log file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mapsvc import spawn

FIRST_PAUSE_S = 0.2  # before a crashed child is started again; doubled each time
LONGEST_PAUSE_S = 5.0
STEADY_S = 10.0  # a child that was ready this long starts over with the first pause
HOPELESS = 5  # failures in a row before it was ever ready: the reason is not going to pass
STOP_S = 15.0  # for a graceful end; then SIGKILL
RENEW_POLL_S = 0.05
LOG_BYTES = 64 << 20  # a longer log is set aside as .old and begun anew


class HopelessError(RuntimeError):
    """A role fails again and again at start."""


class Child:
    def __init__(
        self,
        role: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        tell: Callable[[str], None],
        on_restart: Callable[[], None] = lambda: None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.role = role
        self.log = log
        self.address = "-"
        self.ready = asyncio.Event()  # ready once: a later restart does not clear it
        self._argv = list(argv)
        self._env = dict(env)
        self._tell = tell
        self._on_restart = on_restart
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._ready_at: float | None = None  # of the process that runs now
        self._stopping = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and not spawn.has_ended(self._process) else None

    async def keep_running(self) -> None:
        """Run the role until `stop`. Raises HopelessError when it never gets ready."""
        pause_s = FIRST_PAUSE_S
        failures = 0
        while not self._stopping:
            code = await self._run_once()
            if self._stopping:
                return
            if self._ready_at is not None and time.monotonic() - self._ready_at > STEADY_S:
                pause_s = FIRST_PAUSE_S
            failures += 1
            if failures >= HOPELESS and not self.ready.is_set():
                raise HopelessError(f"{self.role} does not start (see {self.log}):\n{log_tail(self.log)}")
            self._tell(f"{self.role} ended ({describe_exit(code)}); starting it again in {pause_s:.1f} s")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            self._on_restart()

    async def stop(self) -> None:
        """The stop signal, wait, SIGKILL; whatever the role forked goes with it."""
        self._stopping = True
        process = self._process
        if process is None:
            return
        if not spawn.has_ended(process):
            process.send_signal(self._stop_signal)
        if not await ended(process, STOP_S):
            self._tell(f"{self.role} did not end within {STOP_S:.0f} s; killing it")
            process.kill()
        await asyncio.to_thread(spawn.sweep, process)

    async def renew(self) -> None:
        """The program as it is on disk now: ended, and as ever started again; returns when that one is ready."""
        before = self._process
        self.send(self._stop_signal)
        while not self._stopping and (self._process is before or self._ready_at is None):  # noqa: ASYNC110 (two facts)
            await asyncio.sleep(RENEW_POLL_S)

    def send(self, number: signal.Signals) -> None:
        if self._process is not None and not spawn.has_ended(self._process):
            self._process.send_signal(number)

    def kill(self) -> None:
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _run_once(self) -> int:
        """Start the process and wait for its end; its exit code."""
        self._ready_at = None
        trim_log(self.log)
        with self.log.open("ab") as log:
            process = self._process = spawn.spawn(
                self._argv,
                deathsig=self._stop_signal,
                log=log,
                cwd=Path.cwd(),
                env=self._env,
                stdout=subprocess.PIPE,
            )
        reader = asyncio.create_task(self._read(process))
        try:
            await ended(process)
            return spawn.sweep(process)
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    async def _read(self, process: subprocess.Popen[bytes]) -> None:
        """Take the ready line; pass the rest on to the log."""
        stream = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), process.stdout)
        try:
            while line := await stream.readline():
                words = line.decode(errors="replace").split()
                if words[:2] == ["ready", self.role]:
                    self.address = words[2] if len(words) > 2 else "-"
                    self._ready_at = time.monotonic()
                    self.ready.set()
                else:
                    with contextlib.suppress(OSError), self.log.open("ab") as log:  # a full disk ends nobody
                        log.write(line)
        finally:
            transport.close()


async def ended(process: subprocess.Popen[bytes], timeout_s: float | None = None) -> bool:
    """Wait for the end of a process, without reaping it (see spawn.has_ended). False: still running after that time."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    if spawn.has_ended(process):
        return True
    pid_fd = os.pidfd_open(process.pid)
    try:
        loop.add_reader(pid_fd, readable.set)
        await asyncio.wait_for(readable.wait(), timeout_s)
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(pid_fd)
        os.close(pid_fd)
    return True


async def run_to_end(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a child whose output the person shall see; its exit code. Cancelled: the child is stopped first."""
    process = spawn.spawn(argv, deathsig=signal.SIGTERM, log=None, cwd=Path.cwd(), env=env)
    try:
        await ended(process)
    except asyncio.CancelledError:
        process.send_signal(signal.SIGTERM)
        await ended(process, STOP_S)
        raise
    finally:
        code = spawn.sweep(process)
    return code


def command(name: str, *arguments: str) -> list[str]:
    """The command line of one of our own commands, run by this very Python."""
    return [sys.executable, "-m", "mapsvc", name, *arguments]


def describe_exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


def trim_log(log: Path) -> None:
    """Set a long log aside. Copied and emptied, not renamed: a running child goes on appending to the same file."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LOG_BYTES:
            with contextlib.suppress(OSError):  # a full disk: then the copy is what we can do without
                shutil.copyfile(log, log.with_suffix(".old"))
            with log.open("r+b") as file:
                file.truncate()


def log_tail(log: Path, lines: int = 8) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
