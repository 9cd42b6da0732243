"""What the target says of itself while it is under load: CPU, memory and how far its replicas lag, once a second."""

from __future__ import annotations

import re
import time
from typing import NamedTuple

import gevent

from loadtests.checks import plain
from loadtests.http1 import HttpError
from loadtests.lean import Connection, Target

# Ours, and those that Prometheus' client libraries give every process: a target of another make may be looked at too.
CPU = ("mapsvc_cpu_seconds_total", "process_cpu_seconds_total")
MEMORY = ("mapsvc_resident_bytes", "process_resident_memory_bytes")
LAG = "mapsvc_replica_lag_seconds"
LONE = "process"  # of metrics that do not say of which process they are

_SAMPLE = re.compile(r"^(\w+)(?:\{([^}]*)\})? (\S+)", re.MULTILINE)
_PROCESS = re.compile(r'(?:^|,)process="([^"]*)"')


class Sample(NamedTuple):
    """Seconds since the run's time 0; by process: CPU seconds used so far, resident bytes; the largest lag of a replica."""

    at_s: float
    cpu_s: dict[str, float]
    memory: dict[str, float]
    lag_s: float | None


def parse(text: str, at_s: float) -> Sample:
    """Of a page in Prometheus' text format. Raises ValueError."""
    found: dict[str, dict[str, float]] = {}
    for name, labels, value in _SAMPLE.findall(text):
        if name == LAG or name in CPU or name in MEMORY:
            process = _PROCESS.search(labels)
            found.setdefault(name, {})[process[1] if process else LONE] = float(value)
    cpu, memory = (next((found[name] for name in names if name in found), {}) for names in (CPU, MEMORY))
    return Sample(at_s, cpu, memory, max(found[LAG].values()) if LAG in found else None)


class Scraper:
    """Asks until it is stopped. `error`: why the last answer could not be had; empty if it could."""

    def __init__(self, admin: Target, zero_epoch_s: float) -> None:
        self.samples: list[Sample] = []
        self.error = ""
        self._zero_s = zero_epoch_s
        self._target = admin
        self._task = gevent.spawn(self._run)

    def stop(self) -> None:
        self._task.kill()

    def _run(self) -> None:
        connection = Connection(self._target)
        try:
            while True:
                self._ask(connection)
                now = time.time() - self._zero_s
                gevent.sleep(
                    1.0 - now % 1.0
                )  # at whole seconds of the run, so that they line up with what the load saw
        finally:
            connection.close()

    def _ask(self, connection: Connection) -> None:
        try:
            if (status := connection.ask(self._target.request("/metrics"))) != 200:
                raise ValueError(f"answered {status}")
            text = plain(connection.body(), connection.field(b"content-encoding"))
            self.samples.append(parse(text.decode(), time.time() - self._zero_s))
            self.error = ""
        except (HttpError, OSError, ValueError) as error:
            self.error = str(error)
