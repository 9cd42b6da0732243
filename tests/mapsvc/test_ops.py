"""The ops view's serving: its files under a strict policy, the status summary through the admin port, loopback names only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from mapsvc import merged_metrics
from mapsvc.ops import serving
from tests.test_monitoring import EXPOSED, RULES, rule_expressions

Client = TestClient[web.Request, web.Application]
FILES = {path.name: path.read_text() for path in sorted(serving.STATIC.iterdir())}
SCRIPTS = "\n".join(text for name, text in FILES.items() if name.endswith(".js"))


class Api:
    """Answers the status summary as told."""

    def __init__(self) -> None:
        self.status, self.wait_s = 200, 0.0
        self.url: str | None = None

    async def summary(self, _: web.Request) -> web.Response:
        await asyncio.sleep(self.wait_s)
        return web.json_response({"stations": 7}, status=self.status)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    application = web.Application()
    application.router.add_get("/v1/status-summary", api.summary)
    async with TestServer(application) as server:
        api.url = str(server.make_url("")).rstrip("/")
        yield api


@pytest.fixture
async def client(api: Api, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    application = merged_metrics.app(tmp_path_factory.mktemp("run"), lambda: "up 1.0\n")
    serving.add_to(application, lambda: api.url)
    async with TestClient(TestServer(application)) as client:
        yield client


# -- the files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/ops", "/ops/"])
async def test_the_page_is_served_under_a_policy_that_lets_nothing_else_in(client: Client, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'",
        "img-src": "'self' data:", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("name", FILES)
async def test_a_file_has_its_type_and_names_no_other_host(client: Client, name: str) -> None:
    answer = await client.get(f"/ops/{name}")
    assert answer.status == 200 and await answer.text() == FILES[name]
    assert answer.content_type == serving.CONTENT_TYPES[Path(name).suffix]
    assert answer.headers["X-Content-Type-Options"] == "nosniff" and "Content-Security-Policy" in answer.headers
    addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", FILES[name])
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}


async def test_what_the_page_and_its_scripts_ask_for_is_there(client: Client) -> None:
    page = FILES[serving.PAGE]
    wanted = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    wanted += [f"/ops/{name}" for name in re.findall(r"from \"\./([^\"]+)\"", SCRIPTS)]
    assert len(wanted) >= 8
    assert {path: (await client.get(path)).status for path in wanted} == dict.fromkeys(wanted, 200)
    assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\bstyle=|\bon\w+=", page)  # the policy would stop it


@pytest.mark.parametrize(
    "name", ["nothing.js", "serving.py", "..%2fserving.py", "%2e%2e%2f__init__.py", "index.html%00"]
)
async def test_what_is_no_file_of_the_view_is_a_problem(client: Client, name: str) -> None:
    answer = await client.get(f"/ops/{name}")
    assert (answer.status, answer.content_type) == (404, "application/problem+json")


# -- the summary ----------------------------------------------------------------------------------------------------------


async def test_the_summary_is_the_apis(client: Client) -> None:
    answer = await client.get("/ops/summary.json")
    assert (answer.status, answer.content_type, await answer.json()) == (200, "application/json", {"stations": 7})
    assert answer.headers["Cache-Control"] == "no-store"


async def not_started(api: Api) -> None:
    api.url = None


async def nobody_listens(api: Api) -> None:
    api.url = "http://127.0.0.1:1"


async def refuses(api: Api) -> None:
    api.status = 503


async def fails(api: Api) -> None:
    api.status = 500


async def hangs(api: Api) -> None:
    api.wait_s = 5.0


@pytest.mark.parametrize("happens", [not_started, nobody_listens, refuses, fails, hangs])
async def test_without_a_summary_there_is_a_503_that_says_why(
    client: Client, api: Api, happens: Callable[[Api], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "SUMMARY_TIMEOUT_S", 0.2)
    await happens(api)
    answer = await asyncio.wait_for(client.get("/ops/summary.json"), 3)
    assert (answer.status, answer.content_type) == (503, "application/problem+json")
    assert "API" in (await answer.json())["detail"] and answer.headers["Retry-After"] == "1"
    assert (await client.get("/ops")).status == (await client.get("/metrics")).status == 200


# -- who may ask ----------------------------------------------------------------------------------------------------------

OURS = ["localhost", "LOCALHOST:8081", "localhost.:1", "ops.localhost", "127.0.0.1:8081", "127.8.9.10", "[::1]:8081"]
OTHERS = [
    "evil.example", "evil.example:8081", "localhost.evil.example", "notlocalhost", "127.0.0.1.evil.example", "0.0.0.0",
    "10.0.0.1", "[::]", "[2001:db8::1]", "[::1", "127.0.0.1@evil.example", "2130706433", "",
]  # fmt: skip


@pytest.mark.parametrize("path", ["/ops", "/ops/ops.js", "/ops/summary.json", "/metrics"])
async def test_a_name_that_was_bound_to_this_machine_from_outside_gets_nothing(client: Client, path: str) -> None:
    for host in OURS:
        assert (await client.get(path, headers={"Host": host})).status == 200, host
    for host in OTHERS:
        answer = await client.get(path, headers={"Host": host})
        assert (answer.status, answer.content_type) == (403, "application/problem+json"), host


# -- what the page looks at -----------------------------------------------------------------------------------------------


def test_the_page_names_only_metrics_and_labels_that_there_are() -> None:
    names = set(re.findall(r"\"(mapsvc_\w+)\"", SCRIPTS))
    assert len(names) >= 20 and names <= EXPOSED.keys()


THRESHOLDS = {
    "SHARDS": "sum(mapsvc_relay_active_shards) or vector(0)) < {}",
    "DATA_OLD_S": "mapsvc_data_age_seconds > {}",
    "LAG_S": "mapsvc_replica_lag_seconds > {} and",
    "BACKLOG_ROWS": "sum(mapsvc_relay_backlog_rows) > {}",
    "DROPPED_SHARE": "/ scalar(sum(rate(mapsvc_status_updates_total[15m]))) > {}",
    "LATE_SHARE": "/ sum(rate(mapsvc_status_updates_total[15m])) > {}",
    "RESTARTS": "increase(mapsvc_up_child_restarts_total[15m]) > {}",
    "READ_SLOW_S": 'route="/v1/nearby"}}[5m]))) > {}',
    "ACK_SLOW_S": 'route="/v1/status",status="200"}}[5m]))) > {}',
    "UNAVAILABLE_SHARE": '{{route!="/readyz"}}[5m])) > {}',
    "ROADS_AWAY_PER_S": 'mapsvc_roads_away_total{{reason!="no_roads"}}[5m])) > {}',
    "REFUSED_PER_S": 'reason=~"rate|connections|connections_of_address"}}[5m])) > {}',
    "LIVE_DROPPED_PER_S": "rate(mapsvc_live_dropped_total[10m])) > {}",
    "WORKER_BYTES": 'mapsvc_resident_bytes{{process=~"serve-.*"}} > {}',
}


@pytest.mark.parametrize("name", THRESHOLDS)
def test_a_threshold_is_that_of_the_alert_rule(name: str) -> None:
    value = re.search(rf"\b{name} = ([\d.e]+)", FILES["verdicts.js"])
    assert value, name
    expressions = " ".join(re.sub(r"\s+", " ", expression) for expression in rule_expressions())
    assert re.search(rf"{re.escape(THRESHOLDS[name].format(value[1]))}(?![\d.])", expressions), RULES
