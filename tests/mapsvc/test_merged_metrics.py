from __future__ import annotations

from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from mapsvc import merged_metrics

A = """# HELP requests_total Requests
# TYPE requests_total counter
requests_total{process="serve-0",route="/v1/nearby"} 3.0
# HELP lag_seconds Age of the data
# TYPE lag_seconds gauge
lag_seconds{process="serve-0"} 0.25
"""
B = """# HELP lag_seconds Age of the data
# TYPE lag_seconds gauge
lag_seconds{process="serve-1"} 0.5
# HELP took_seconds How long
# TYPE took_seconds histogram
took_seconds_bucket{process="serve-1",le="0.1"} 1.0
took_seconds_bucket{process="serve-1",le="+Inf"} 2.0
took_seconds_count{process="serve-1"} 2.0
took_seconds_sum{process="serve-1"} 0.7
"""


def test_samples_of_a_family_stand_together_under_one_head() -> None:
    merged = merged_metrics.merge([A, B])
    assert merged.count("# TYPE lag_seconds gauge") == 1
    lines = merged.splitlines()
    at = lines.index('lag_seconds{process="serve-0"} 0.25')
    assert lines[at + 1] == 'lag_seconds{process="serve-1"} 0.5'


def test_nothing_is_lost_for_a_prometheus_parser() -> None:
    def samples(text: str) -> set[tuple[str, str, float]]:
        return {
            (sample.name, str(sorted(sample.labels.items())), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    assert samples(merged_metrics.merge([A, B])) == samples(A) | samples(B)


async def test_the_page_has_every_process_that_answers_and_survives_those_that_do_not(tmp_path: Path) -> None:
    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(text=A)

    async def broken(_request: web.Request) -> web.Response:
        return web.Response(status=500, text="garbage")

    runners = []
    for name, handler in (("serve-0", metrics), ("relay", broken)):
        role = web.Application()
        role.router.add_get("/metrics", handler)
        runner = web.AppRunner(role)
        await runner.setup()
        await web.UnixSite(runner, tmp_path / f"{name}.sock").start()
        runners.append(runner)
    (tmp_path / "gone.sock").touch()
    try:
        async with TestClient(TestServer(merged_metrics.app(tmp_path, lambda: B))) as client:
            answer = await client.get("/metrics")
            assert answer.content_type == "text/plain"
            assert await answer.text() == merged_metrics.merge([B, A])
    finally:
        for runner in runners:
            await runner.cleanup()
