"""Around every request: problems, CORS, the rate limit, metrics by route template."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from mapsvc.guard import Guard
from mapsvc.limits import RateLimit
from mapsvc.metrics import Metrics
from mapsvc.problems import Fault, Problem

Client = TestClient[web.Request, web.Application]


def application(metrics: Metrics, per_second: int = 0) -> web.Application:
    async def fine(_: web.Request) -> web.Response:
        return web.Response(text="ok", headers={"ETag": '"1"'})

    async def wrong(_: web.Request) -> web.Response:
        raise Problem("The request is not valid.", [Fault("lat", "a number from -90 to 90")])

    async def broken(_: web.Request) -> web.Response:
        raise RuntimeError("a secret of the inside")

    app = web.Application(middlewares=[Guard(metrics, RateLimit(per_second)).middleware()])
    app.add_routes(
        [web.get("/fine/{id}", fine), web.get("/wrong", wrong), web.get("/broken", broken), web.post("/in", fine)]
    )
    return app


@pytest.fixture
async def metrics() -> Metrics:
    return Metrics("test")


@pytest.fixture
async def client(metrics: Metrics) -> AsyncIterator[Client]:
    async with TestClient(TestServer(application(metrics))) as client:
        yield client


async def test_reads_may_be_made_from_any_page_and_writes_may_not(client: Client) -> None:
    answer = await client.get("/fine/1")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in (await client.post("/in")).headers
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    assert "Access-Control-Allow-Origin" not in (await client.options("/in", headers=asked)).headers


async def test_a_preflight_for_a_read_is_answered(client: Client) -> None:
    answer = await client.options("/fine/1", headers={"Origin": "null", "Access-Control-Request-Method": "GET"})
    assert answer.status == 204 and "If-None-Match" in answer.headers["Access-Control-Allow-Headers"]


async def test_a_problem_names_the_parameter_and_what_is_allowed(client: Client) -> None:
    answer = await client.get("/wrong")
    assert answer.status == 400 and answer.content_type == "application/problem+json"
    assert (await answer.json())["errors"] == [{"parameter": "lat", "allowed": "a number from -90 to 90"}]


async def test_a_failure_of_ours_tells_nothing_of_the_inside(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    answer = await client.get("/broken")
    text = await answer.text()
    assert answer.status == 500 and "secret" not in text and "RuntimeError" not in text
    assert answer.content_type == "application/problem+json"
    assert "a request failed" in caplog.text


async def test_unknown_paths_and_methods_are_problems_too(client: Client) -> None:
    assert (await client.get("/nowhere")).status == 404
    answer = await client.put("/fine/1")
    assert answer.status == 405 and "GET" in answer.headers["Allow"]
    assert answer.content_type == "application/problem+json"


async def test_the_request_above_the_rate_is_told_when_to_come_back(metrics: Metrics) -> None:
    async with TestClient(TestServer(application(metrics, per_second=5))) as client:
        statuses = [(await client.get("/fine/1")).status for _ in range(12)]
        assert statuses[:10] == [200] * 10 and 429 in statuses[10:]
        answer = await client.get("/fine/1")
        assert answer.status == 429 and int(answer.headers["Retry-After"]) >= 1


async def test_metrics_are_labelled_by_template_never_by_what_a_client_sent(client: Client, metrics: Metrics) -> None:
    await client.get("/fine/some-secret-id")
    await client.get("/some-secret-path")
    await client.request("PROPFIND", "/fine/1")
    text = metrics.exposition().decode()
    assert 'route="/fine/{id}"' in text and 'route="none"' in text and 'method="other"' in text
    assert "secret" not in text.lower()
