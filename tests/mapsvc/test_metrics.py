"""Metrics: what is counted is exposed, labelled by process, in a form that Prometheus' own parser reads."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from mapsvc.metrics import BUCKETS_S, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def test_counters_gauges_and_histograms_are_exposed_with_their_process() -> None:
    metrics = Metrics("serve-1")
    metrics.count("mapsvc_status_updates", 3, outcome="late")
    metrics.count("mapsvc_status_updates", 2, outcome="late")
    metrics.count("mapsvc_status_updates", outcome="applied")
    metrics.gauge("mapsvc_replica_stations", lambda: 7.0)
    metrics.gauge("mapsvc_replica_gaps_total", lambda: 2.0)
    histogram = metrics.histogram("mapsvc_request_seconds", route="/v1/nearby")
    for seconds in (0.0001, 0.003, 99.0):
        histogram.observe(seconds)
    found = samples(metrics)

    def value(name: str, **labels: str) -> float:
        return found[name, frozenset({"process": "serve-1", **labels}.items())]

    assert value("mapsvc_status_updates_total", outcome="late") == 5
    assert value("mapsvc_status_updates_total", outcome="applied") == 1
    assert value("mapsvc_replica_stations") == 7
    assert value("mapsvc_replica_gaps_total") == 2
    assert value("mapsvc_request_seconds_count", route="/v1/nearby") == 3
    assert value("mapsvc_request_seconds_bucket", route="/v1/nearby", le="0.0001") == 1, "a bound belongs to its bucket"
    assert value("mapsvc_request_seconds_bucket", route="/v1/nearby", le=str(BUCKETS_S[-1])) == 2
    assert value("mapsvc_request_seconds_bucket", route="/v1/nearby", le="+Inf") == 3
    assert value("mapsvc_resident_bytes") > 1e6
