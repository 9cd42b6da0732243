"""What the service says of itself while updates go in, once a second: backlogs, lags, and who uses how much of the cores."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from loadtests.bench import machine
from loadtests.bench.service import Service

EVERY_S = 1.0
WAITING = "mapsvc_ingest_waiting_rows"  # in ingest, not yet committed
CARRYING = "mapsvc_relay_backlog_rows"  # committed, not yet in Redis; as of the relay's last beat, up to a second ago
LAG = "mapsvc_replica_lag_seconds"
_SAMPLE = re.compile(r"^(\w+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


class Sample(NamedTuple):
    """`cpu_s`: by role, used since the role began."""

    epoch_s: float
    waiting_rows: float
    carrying_rows: float
    lag_ms: float  # of the worker that is furthest behind
    cpu_s: dict[str, float]


def parse(page: str) -> tuple[float, float, float]:
    """Rows waiting, rows to be carried, the largest lag in ms, of a page of metrics. What is not there is 0."""
    found: dict[str, list[float]] = {}
    for name, value in _SAMPLE.findall(page):
        if name in (WAITING, CARRYING, LAG):
            found.setdefault(name, []).append(float(value))
    return sum(found.get(WAITING, [])), sum(found.get(CARRYING, [])), 1000 * max(found.get(LAG, [0.0]))


def roles(service: Service) -> dict[str, list[int]]:
    """By role, the processes whose trees do its work."""
    found: dict[str, list[int]] = {
        "ingest": [service.role_pid("ingest")],
        "relay": [service.role_pid("relay")],
        "postgres": [service.postgres_pid()],
        "redis": [pid for pid in machine.tree(service.pid) if "redis-server" in "".join(machine.command_line(pid)[:1])],
    }
    for number, pid in enumerate(sorted(service.worker_pids()), 1):
        found[f"worker {number}"] = [pid]
    return found


class Watch:
    """`with Watch(service) as watch: …`; then `samples`."""

    def __init__(self, service: Service) -> None:
        self.samples: list[Sample] = []
        self._service = service
        self._roles = roles(service)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._look()

    def cores(self) -> dict[str, float]:
        """By role, how many cores it had from the first sample to the last."""
        return cores(self.samples)

    def _run(self) -> None:
        while not self._ending.wait(EVERY_S):
            self._look()

    def _look(self) -> None:
        used = {role: machine.cpu_s(pids) for role, pids in self._roles.items()}
        self.samples.append(Sample(time.time(), *parse(self._service.metrics()), used))


def cores(samples: Sequence[Sample]) -> dict[str, float]:
    if len(samples) < 2:
        return {}
    first, last = samples[0], samples[-1]
    return {
        role: (used - first.cpu_s.get(role, 0.0)) / (last.epoch_s - first.epoch_s) for role, used in last.cpu_s.items()
    }


def within(samples: Sequence[Sample], from_epoch_s: float, to_epoch_s: float) -> list[Sample]:
    return [one for one in samples if from_epoch_s <= one.epoch_s <= to_epoch_s]


def series(samples: Sequence[Sample], field: str, zero_epoch_s: float) -> list[list[float]]:
    """[[seconds since zero, value], …] of one field."""
    return [[round(one.epoch_s - zero_epoch_s, 2), float(getattr(one, field))] for one in samples]


def told_cores(used: Mapping[str, float]) -> str:
    """For people: "postgres 0.52, ingest 0.15, …", the busiest first."""
    return ", ".join(f"{role} {share:.2f}" for role, share in sorted(used.items(), key=lambda item: -item[1]))
