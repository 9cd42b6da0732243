"""What every long-running process of ours does alike: logs, metrics, the ready line, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
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
        return 0


def _left_behind(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A cut connection leaves futures of its driver behind that nobody waits for any more: worth a line, not an alarm."""
    error = context.get("exception")
    if isinstance(error, OSError) and str(context.get("message", "")).endswith("was never retrieved"):
        log.warning("a connection was cut", extra={"error": type(error).__name__})
    else:
        loop.default_exception_handler(context)
