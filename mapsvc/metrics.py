"""Prometheus metrics of one process. Counting is an addition; all formatting is done when somebody asks.

Labels come from route templates and fixed words, never from what a client sent.
"""

from __future__ import annotations

import resource
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

# Seconds. Dense where the promises are: 5 ms for the rarest filter, 25 ms for any request, 250 ms for freshness.
BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

Labels = tuple[tuple[str, str], ...]


class Histogram:
    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        rows, seen = [], 0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self.counts, strict=True):
            seen += count
            rows.append((bound, float(seen)))
        return rows


class Metrics(Collector):
    """`process` labels every sample: "relay", "serve-1" …"""

    def __init__(self, process: str) -> None:
        self._process = process
        self._counters: dict[str, dict[Labels, int]] = {}
        self._histograms: dict[str, dict[Labels, Histogram]] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        self._help: dict[str, str] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def describe_as(self, texts: Mapping[str, str]) -> None:
        """HELP lines by name."""
        self._help.update(texts)

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Adds to a counter (`name` without `_total`)."""
        series = self._counters.setdefault(name, {})
        key = tuple(labels.items())
        series[key] = series.get(key, 0) + amount

    def histogram(self, name: str, **labels: str) -> Histogram:
        """The histogram of these labels; callers keep it."""
        return self._histograms.setdefault(name, {}).setdefault(tuple(labels.items()), Histogram())

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Read when asked for. A name ending in `_total` is exposed as a counter."""
        self._gauges[name] = read

    def collect(self) -> Iterator[Metric]:
        own = ("process", self._process)
        for name, series in self._counters.items():
            names = [own[0], *(key for key, _ in next(iter(series)))] if series else [own[0]]
            family: Metric = CounterMetricFamily(name, self._help.get(name, name), labels=names)
            for labels, value in series.items():
                family.add_metric([own[1], *(v for _, v in labels)], value)  # type: ignore[attr-defined]
            yield family
        for name, histograms in self._histograms.items():
            names = [own[0], *(key for key, _ in next(iter(histograms)))]
            histogram = HistogramMetricFamily(name, self._help.get(name, name), labels=names)
            for labels, h in histograms.items():
                histogram.add_metric([own[1], *(v for _, v in labels)], h.buckets(), h.total)
            yield histogram
        for name, read in self._gauges.items():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            gauge = kind(name.removesuffix("_total"), self._help.get(name, name), labels=[own[0]])
            gauge.add_metric([own[1]], read())
            yield gauge
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu = CounterMetricFamily("mapsvc_cpu_seconds", "CPU time used", labels=[own[0]])
        cpu.add_metric([own[1]], usage.ru_utime + usage.ru_stime)
        yield cpu
        memory = GaugeMetricFamily("mapsvc_resident_bytes", "Resident memory", labels=[own[0]])
        memory.add_metric([own[1]], resident_bytes())
        yield memory

    def exposition(self) -> bytes:
        return generate_latest(self._registry)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def serve_metrics(metrics: Metrics, socket: Path) -> web.AppRunner:
    """Answers `GET /metrics` on a unix socket, where `mapsvc up` (or any scraper of this machine) finds it."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics.exposition(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.unlink(missing_ok=True)  # noqa: ASYNC240 (once, at start)
    await web.UnixSite(runner, str(socket)).start()
    return runner
