"""The target's own figures, read from what Prometheus would read."""

from __future__ import annotations

import gevent
import pytest

from loadtests.lean import Target
from loadtests.server_metrics import Sample, Scraper, parse
from tests.loadtests.scripted import ScriptedServer

OURS = """\
# HELP mapsvc_cpu_seconds_total CPU time used
# TYPE mapsvc_cpu_seconds_total counter
mapsvc_cpu_seconds_total{process="serve-1"} 1.5
mapsvc_cpu_seconds_total{process="serve-2"} 2.25
mapsvc_resident_bytes{process="serve-1"} 1.0e+08
mapsvc_replica_lag_seconds{process="serve-1"} 0.068
mapsvc_replica_lag_seconds{process="serve-2"} 0.049
mapsvc_requests_total{process="serve-1",route="/v1/nearby"} 7
"""


def test_our_metrics_by_process_and_the_worst_lag() -> None:
    assert parse(OURS, 3.0) == Sample(3.0, {"serve-1": 1.5, "serve-2": 2.25}, {"serve-1": 1e8}, 0.068)


def test_those_of_any_process() -> None:
    text = "process_cpu_seconds_total 12.5\nprocess_resident_memory_bytes 5e7\n"
    assert parse(text, 0.0) == Sample(0.0, {"process": 12.5}, {"process": 5e7}, None)


def test_a_page_without_them_is_an_empty_sample() -> None:
    assert parse("", 0.0) == Sample(0.0, {}, {}, None)


def test_no_figure_is_an_error() -> None:
    with pytest.raises(ValueError, match="could not convert"):
        parse("process_cpu_seconds_total much", 0.0)


def test_a_failure_is_kept_and_asking_goes_on() -> None:
    body = OURS.encode()
    good = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    bad = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer([None, bad, *([None, good] * 20)]) as server:
        scraper = Scraper(Target.of(server.url), 0.0)
        with gevent.Timeout(20.0):
            while not scraper.error:
                gevent.sleep(0.01)
            assert scraper.error == "answered 503"
            while not scraper.samples:
                gevent.sleep(0.01)
        scraper.stop()
    assert scraper.error == ""
    assert scraper.samples[0].cpu_s == {"serve-1": 1.5, "serve-2": 2.25}
