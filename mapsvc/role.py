"""What every long-running process of ours does alike: logs, metrics, the ready line, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from mapsvc import logs
from mapsvc.metrics import Metrics, serve_metrics
from mapsvc.settings import Settings

log = logging.getLogger(__name__)


class Role:
    """One process. `name` names its log, its metrics socket and its `process` label."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.metrics = Metrics(name)

    def measure(self, gauges: Mapping[str, Callable[[], float]]) -> None:
        for name, read in gauges.items():
            self.metrics.gauge(name, read)

    def ready(self, address: str) -> None:
        """Tells the supervisor (or the person) that this role does its work, and where."""
        print(f"ready {self.name} {address}", flush=True)

    def run(self, work: Callable[[Role], Awaitable[None]]) -> int:
        """Runs `work` until it ends or SIGINT or SIGTERM cancels it. Exit code 0 after a signal."""
        logs.setup(self.settings.log_level, self.name)
        if self.settings.database_url is None or self.settings.redis_url is None:
            print(f"mapsvc: {self.name} needs DATABASE_URL and REDIS_URL (`mapsvc up` sets them)", file=sys.stderr)
            return 2
        return asyncio.run(self._run(work))

    async def _run(self, work: Callable[[Role], Awaitable[None]]) -> int:
        runner = await serve_metrics(self.metrics, self.settings.socket(self.name))
        task = asyncio.ensure_future(work(self))
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_left_behind)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            pass
        finally:
            await runner.cleanup()
            # Whoever is told once more has nothing left to stop: with the loop go its handlers, and Python's own would raise.
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        return 0


class Ending:
    """For a role that has connections to end in good order: SIGTERM asks for that, SIGINT (a person) or a second SIGTERM
    is in a hurry. Made inside the role's work, it takes the place of the cancellation that signals otherwise mean."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self.hurry = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._ask)
        loop.add_signal_handler(signal.SIGINT, self._press)

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def _ask(self) -> None:
        if self.asked:
            self.hurry.set()
        self._asked.set()

    def _press(self) -> None:
        self.hurry.set()
        self._asked.set()

    async def asked_or(self, tasks: Iterable[asyncio.Task[Any]], timeout_s: float | None = None) -> None:
        """Until a signal has asked, one of the tasks has ended (raises its failure), or the time is over."""
        asking = asyncio.ensure_future(self._asked.wait())
        try:
            done, _ = await asyncio.wait({asking, *tasks}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asking.cancel()
        for task in done:
            task.result()


def _left_behind(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A cut connection leaves futures of its driver behind that nobody waits for any more: worth a line, not an alarm."""
    error = context.get("exception")
    if isinstance(error, OSError) and str(context.get("message", "")).endswith("was never retrieved"):
        log.warning("a connection was cut", extra={"error": type(error).__name__})
    else:
        loop.default_exception_handler(context)
