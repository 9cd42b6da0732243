"""The API worker processes under `mapsvc serve`: WORKERS of them at all times, replaced one by one without a pause.

A successor is started beside the one that it replaces and takes connections once it is ready; only then is the old one
told to retire. So a rolling restart needs the memory of one more worker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterable

from mapsvc import spawn
from mapsvc.connections import FINISH_S
from mapsvc.settings import Settings

log = logging.getLogger(__name__)

GRACE_S = 8.0  # a retiring worker waits so long for the next request of a silent connection, to say `Connection: close`
LINGER_S = (
    5.0  # a service that goes is still asked for so long: load balancers take a moment to hear that it is not ready
)
SUCCESSOR_S = 120.0  # to load the world; a million stations take 20 s
OVERLAP_S = (
    2.0  # then the old one, however busy, has heard all that the new one began with: its subscribers can resume there
)
RESTART_S = 0.5
KILL_S = 3.0  # beyond all that a worker allows itself


class WorkerProcess:
    """One process. `number` names its log, its metrics socket and its label; numbers of the ended are used again."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()
        self.wanted = True  # started again when it ends by itself
        self._process: asyncio.subprocess.Process | None = None
        self._told: signal.Signals | None = None  # before there was a process

    async def run(self, fd: int, settings: Settings, patient: bool) -> int:
        """Its exit code. `patient`: it takes no connections before it can answer them."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *spawn.tied([sys.executable, "-m", "mapsvc", "serve"], signal.SIGTERM),  # or it would keep the port
                "--worker", str(self.number), "--fd", str(fd), *(["--patient"] if patient else []),
                pass_fds=[fd], stdout=asyncio.subprocess.PIPE, env={**os.environ, **settings.to_env()},
            )  # fmt: skip
            assert self._process.stdout is not None
            if self._told is not None:
                self.tell(self._told)
            async for line in self._process.stdout:
                if line.startswith(b"ready "):
                    self.ready.set()
            return await self._process.wait()
        finally:
            self.ended.set()

    def tell(self, number: signal.Signals) -> None:
        if self._process is None:
            self._told = number
        elif self._process.returncode is None:
            self._process.send_signal(number)

    def retire(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.wanted = False
        self.tell(number)


class Workers:
    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self.ready = asyncio.Event()  # one of them answered once
        self._settings = settings
        self._listener = listener
        self._running: dict[int, WorkerProcess] = {}
        self._minding: set[asyncio.Task[None]] = set()
        self._stopping = False

    def start(self) -> None:
        for _ in range(self._settings.workers):
            self._add()

    def _add(self) -> WorkerProcess:
        number = next(n for n in range(1, len(self._running) + 2) if n not in self._running)
        worker = self._running[number] = WorkerProcess(number)
        task = asyncio.get_running_loop().create_task(self._mind(worker))
        self._minding.add(task)
        task.add_done_callback(self._minding.discard)
        return worker

    async def _mind(self, worker: WorkerProcess) -> None:
        noting = asyncio.create_task(self._note_ready(worker))
        # While another one answers, a newcomer that could only say 503 would be a step back.
        patient = any(other.ready.is_set() for other in self._running.values() if other.wanted)
        code: int | None = None
        try:
            code = await worker.run(self._listener.fileno(), self._settings, patient)
        except OSError as error:
            log.error("a worker cannot be started", extra={"error": type(error).__name__})
        finally:
            noting.cancel()
            del self._running[worker.number]
        if worker.wanted and not self._stopping:
            log.warning("worker ended", extra={"worker": worker.number, "code": code})
            await asyncio.sleep(RESTART_S)
            if self._missing():
                self._add()

    async def _note_ready(self, worker: WorkerProcess) -> None:
        await worker.ready.wait()
        self.ready.set()

    def _missing(self) -> int:
        wanted = sum(worker.wanted for worker in self._running.values())
        return 0 if self._stopping else self._settings.workers - wanted

    async def replace_all(self) -> None:
        """The rolling restart. A successor that does not get ready ends it, and the old ones stay."""
        log.info("replacing the workers", extra={"workers": len(self._running)})
        for old in list(self._running.values()):
            if old.wanted and not await self._replace(old):
                log.error("a new worker does not get ready: the others stay as they are")
                return
        log.info("the workers are replaced", extra={"workers": len(self._running)})

    async def _replace(self, old: WorkerProcess) -> bool:
        new = self._add()
        new.wanted = False  # a surplus until the old one goes
        await _first([new.ready, new.ended, old.ended], SUCCESSOR_S)
        if not old.ended.is_set() and not new.ready.is_set():
            new.retire()
            return False
        if old.ended.is_set() and not self._missing():  # by itself, and its own replacement is there
            new.retire()
            return True
        await _first([old.ended], OVERLAP_S)
        new.wanted = not new.ended.is_set()
        old.retire()
        await self._ended([old])
        return True

    async def leave(self, hurry: asyncio.Event) -> None:
        """The service goes: not ready any more, still answering for a while, then all drain together. `hurry` cuts every
        wait short, for a person who sits there."""
        self._stopping = True
        if not hurry.is_set():
            self._tell_all(signal.SIGUSR1)
            await _first([hurry], LINGER_S)
        self._listener.close()  # or newcomers would wait here in vain: better they are refused, and go elsewhere
        self._tell_all(signal.SIGTERM)
        ending = asyncio.ensure_future(self._ended(list(self._running.values())))
        hurrying = asyncio.ensure_future(hurry.wait())
        await asyncio.wait({ending, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        if hurrying.done():
            self._tell_all(signal.SIGINT)
        hurrying.cancel()
        await ending
        await asyncio.gather(*self._minding)

    def _tell_all(self, number: signal.Signals) -> None:
        for worker in self._running.values():
            worker.tell(number)

    async def _ended(self, workers: list[WorkerProcess]) -> None:
        """Waits for them as long as they may take, then kills."""
        deadline = asyncio.get_running_loop().time() + GRACE_S + FINISH_S + KILL_S
        for worker in workers:
            await _first([worker.ended], max(0.0, deadline - asyncio.get_running_loop().time()))
            worker.tell(signal.SIGKILL)


async def _first(events: Iterable[asyncio.Event], timeout_s: float | None) -> None:
    """Until one of them is set, or the time is over."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
