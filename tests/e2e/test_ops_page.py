"""The ops view in a real browser, before metrics and a summary that the test makes up and moves: what it says is so.

The page's clock stands still until the test turns it, so that two polls are two seconds apart to the millisecond.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

pytest.importorskip("playwright", reason="needs Playwright (make setup for tests)")
from playwright.async_api import Browser, Page, Route, expect

from loadtests.bench.page.browsing import CHROMIUM, chromium
from mapsvc.ops import serving

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium (make setup for tests)"),
    pytest.mark.asyncio(loop_scope="module"),
]

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
POLL_MS = 2000
WAIT_MS = 15_000  # at most, for what takes milliseconds on a quiet machine
STATUSES = ("AVAILABLE", "CHARGING", "RESERVED", "BLOCKED", "OUTOFORDER", "INOPERATIVE", "PLANNED", "UNKNOWN")
AXE = Path(__file__).parents[1] / "node/node_modules/axe-core/axe.min.js"
PHONE = {"width": 390, "height": 844}


class Fake:
    """A service as the admin port shows it. Counters grow by what the test adds."""

    def __init__(self) -> None:
        self.metrics_answer = self.summary_answers = True
        self.values: dict[str, float] = {
            'mapsvc_up_child_restarts_total{role="relay"}': 0,
            'mapsvc_up_child_restarts_total{role="ingest"}': 0,
            'mapsvc_up_child_restarts_total{role="serve"}': 0,
            'mapsvc_status_updates_total{outcome="applied",process="ingest"}': 1000,
            'mapsvc_status_updates_total{outcome="late",process="ingest"}': 7,
            'mapsvc_confirmations_dropped_total{process="ingest"}': 0,
            'mapsvc_ingest_waiting_rows{process="ingest"}': 0,
            'mapsvc_relay_backlog_rows{process="relay"}': 3,
            'mapsvc_relay_active_shards{process="relay"}': 16,
            'mapsvc_resident_bytes{process="serve"}': 1e8,
        }
        for process in ("ingest", "relay", "serve-1", "serve-2"):
            self.values[f'mapsvc_resident_bytes{{process="{process}"}}'] = 2e8
            self.values[f'mapsvc_cpu_seconds_total{{process="{process}"}}'] = 10
        for worker, lag_s, age_s in (("serve-1", 0.012, 0.2), ("serve-2", 0.034, 0.45)):
            for name, value in {
                "ready": 1, "stations": 4321, "evses": 12345, "epoch": 5, "gaps_total": 0, "applied_rows_total": 0,
                "lag_seconds": lag_s,
            }.items():  # fmt: skip
                self.values[f'mapsvc_replica_{name}{{process="{worker}"}}'] = value
            self.values[f'mapsvc_data_age_seconds{{process="{worker}"}}'] = age_s
            self.values[f'mapsvc_live_subscribers{{process="{worker}"}}'] = 4
            self.values[f'mapsvc_connections{{process="{worker}"}}'] = 6
            self.answered(worker, fast=500, slow=0)
        self.parties = [
            party("DE*ABC", 10, 900, NOW - timedelta(seconds=30), AVAILABLE=5, CHARGING=3),
            party("FR*OLD", 2, 900, NOW - timedelta(minutes=40), UNKNOWN=4),
            party("irve", 7, None, None, UNKNOWN=9),
            party("XA*NEW", 1, 900, NOW - timedelta(seconds=2), OUTOFORDER=1),
        ]

    def add(self, sample: str, more: float) -> None:
        self.values[sample] = self.values.get(sample, 0) + more

    def answered(self, worker: str, fast: int, slow: int) -> None:
        """Nearby requests of less than 1 ms, and between 25 and 50 ms."""
        labels = f'method="GET",process="{worker}",route="/v1/nearby",status="200"'
        for le, count in {"0.0005": 0, "0.001": fast, "0.025": fast, "0.05": fast + slow, "+Inf": fast + slow}.items():
            self.add(f'mapsvc_request_seconds_bucket{{le="{le}",{labels}}}', count)
        self.add(f"mapsvc_request_seconds_count{{{labels}}}", fast + slow)

    def restart_ingest(self) -> None:
        for sample in [name for name in self.values if "_total{" in name and 'process="ingest"' in name]:
            self.values[sample] = 0

    async def metrics(self, _: web.Request) -> web.Response:
        if not self.metrics_answer:
            return web.Response(status=503)
        heads = "# HELP mapsvc_cpu_seconds_total CPU time used\n# TYPE mapsvc_cpu_seconds_total counter\n"
        return web.Response(text=heads + "".join(f"{sample} {value}\n" for sample, value in self.values.items()))

    async def summary(self, _: web.Request) -> web.Response:
        if not self.summary_answers:
            return web.Response(status=503)
        every = {status: sum(one["evses"][status] for one in self.parties) for status in (*STATUSES, "total")}
        return web.json_response({"as_of": instant(NOW), "stations": 20, "evses": every, "parties": self.parties})


def party(id: str, stations: int, ttl_s: int | None, heartbeat_at: datetime | None, **evses: int) -> dict[str, Any]:
    counts = dict.fromkeys(STATUSES, 0) | evses
    told = instant(heartbeat_at) if heartbeat_at else None
    return {
        "id": id, "stations": stations, "evses": {"total": sum(evses.values()), **counts}, "ttl_s": ttl_s, "heartbeat_at": told,
    }  # fmt: skip


def instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


# -- the page -------------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, fake: Fake, request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """Requests that leave the host are stopped and fail the test, as do errors of the page, except that an answer is a 503."""
    api, application = web.Application(), web.Application()
    api.router.add_get("/v1/status-summary", fake.summary)
    application.router.add_get("/metrics", fake.metrics)
    left: list[str] = []
    failed: list[str] = []
    async with TestServer(api) as api_server:
        serving.add_to(application, lambda: str(api_server.make_url("")).rstrip("/"))
        async with TestServer(application) as server:
            home = str(server.make_url("/"))
            context = await browser.new_context(
                **{"locale": "en-GB", "timezone_id": "UTC", **getattr(request, "param", {})}
            )
            context.set_default_timeout(WAIT_MS)

            async def guard(route: Route) -> None:
                if route.request.url.startswith((home, "data:")):
                    await route.continue_()
                else:
                    left.append(route.request.url)
                    await route.abort()

            await context.route("**/*", guard)
            page = await context.new_page()
            page.on("pageerror", lambda error: failed.append(str(error)))
            page.on("console", lambda told: failed.append(told.text) if told.type in ("error", "warning") else None)
            await page.clock.install(time=NOW)
            await page.clock.pause_at(NOW + timedelta(seconds=1))
            await page.goto(f"{home}ops")
            await expect(page.locator("html")).to_have_attribute("data-polls", "1", timeout=WAIT_MS)
            yield page
            await context.close()
    expected = "Failed to load resource: the server responded with a status of 503"
    assert left == [] and [text for text in failed if not text.startswith(expected)] == []


async def poll(page: Page, times: int = 1) -> None:
    """Turns the page's clock, and waits until it has asked and drawn."""
    for _ in range(times):
        done = int(await page.locator("html").get_attribute("data-polls") or 0)
        await page.clock.run_for(POLL_MS)
        await expect(page.locator("html")).to_have_attribute("data-polls", str(done + 1), timeout=WAIT_MS)


async def tile(page: Page, name: str, value: str, level: str, note: str | None = None) -> None:
    await expect(page.locator(f"#tile-{name} .value")).to_have_text(value)
    await expect(page.locator(f"#tile-{name} .level")).to_have_text(level)
    if note is not None:
        await expect(page.locator(f"#tile-{name} .note")).to_have_text(note)


async def rows(page: Page, table: str) -> list[list[str]]:
    told: list[list[str]] = await page.locator(f"#{table} tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => (cell.firstElementChild ?? cell).textContent))"
    )
    return told


async def test_numbers_and_rates_are_those_of_the_metrics(page: Page, fake: Fake) -> None:
    await tile(page, "updates", "–", "OK")  # of one look there is no rate
    await tile(page, "stations", "4,321", "OK", "2 of 2 workers ready")
    await tile(page, "evses", "12,345", "OK", "the same in all workers")
    await tile(page, "subscribers", "8", "OK")
    await tile(page, "connections", "12", "OK", "none turned away")
    await tile(page, "processes", "5", "OK", "all roles")
    await tile(page, "backlog", "3", "OK", "16 of 16 shards carried")
    fake.add('mapsvc_status_updates_total{outcome="applied",process="ingest"}', 84)
    fake.add('mapsvc_status_updates_total{outcome="confirmed",process="ingest"}', 6)  # was not there before
    fake.add('mapsvc_cpu_seconds_total{process="relay"}', 0.5)
    fake.answered("serve-1", fast=290, slow=0)
    fake.answered("serve-2", fast=10, slow=0)
    await poll(page)
    await tile(page, "updates", "45", "OK", "none dropped")
    await tile(page, "requests", "150", "OK", "none failed")
    await tile(page, "lag", "34\u00a0ms", "OK")
    await tile(page, "oldest", "450\u00a0ms", "OK")
    await expect(page.locator("#state")).to_have_text("All well")
    for chart, told in {
        "updates": "Updates/s: applied 42, confirmed 3.0, dropped 0",
        "fresh": "Lag and age of the data: lag 34\u00a0ms, age 450\u00a0ms",
        "requests": "Requests/s: nearby 150",
        "p99": "Time to answer, p99: nearby 1.0\u00a0ms",
        "cpu": "CPU: relay 25\u00a0%",
    }.items():
        await expect(page.locator(f"#chart-{chart} > svg")).to_have_attribute("aria-label", told)
    await expect(page.locator("#chart-memory .legend li")).to_have_count(5)
    fake.restart_ingest()  # begins anew at 0, and nothing goes backwards
    fake.add('mapsvc_status_updates_total{outcome="applied",process="ingest"}', 2)
    await poll(page)
    await tile(page, "updates", "23", "OK")  # (90 + 2) in 4 s
    await poll(page, 6)  # and then nothing: a rate of 0, no time to answer
    await tile(page, "requests", "0", "OK")
    await expect(page.locator("#chart-requests > svg")).to_have_attribute("aria-label", "Requests/s: nearby 0")


async def test_a_state_is_told_by_word_and_reason(page: Page, fake: Fake) -> None:
    fake.add('mapsvc_status_updates_total{outcome="applied",process="ingest"}', 90)
    fake.add('mapsvc_status_updates_total{outcome="unknown_evse",process="ingest"}', 10)
    fake.add('mapsvc_refused_total{process="serve-1",reason="rate"}', 40)
    fake.answered("serve-1", fast=200, slow=50)
    fake.values['mapsvc_data_age_seconds{process="serve-2"}'] = 12
    fake.values['mapsvc_relay_active_shards{process="relay"}'] = 9
    await poll(page)
    await tile(page, "updates", "50", "Look", "10\u00a0% unknown evse")
    await tile(page, "connections", "12", "Look", "20/s turned away")
    await tile(page, "requests", "125", "Look", "p99 49\u00a0ms: nearby")
    await tile(page, "oldest", "12\u00a0s", "Bad")
    await tile(page, "backlog", "3", "Bad", "9 of 16 shards carried")
    await expect(page.locator("#state")).to_have_text(
        "Bad: Oldest data, Relay backlog. Look: Updates/s, Requests/s, Connections"
    )
    assert await page.locator("#state").get_attribute("role") == "status"  # the only thing that is announced
    assert await page.locator("[aria-live], [role=status], [role=alert]").count() == 1
    for sample in [name for name in fake.values if 'process="ingest"' in name]:
        del fake.values[sample]
    await poll(page)
    await tile(page, "updates", "25", "Bad", "no ingest process")
    await tile(page, "processes", "4", "Bad", "no ingest")


async def test_drops_are_listed_by_reason(page: Page, fake: Fake) -> None:
    assert await rows(page, "drops") == [["late", "Update", "0", "7"]]
    fake.add('mapsvc_status_updates_total{outcome="unknown_evse",process="ingest"}', 5)
    fake.add('mapsvc_refused_total{process="serve-1",reason="slow_head"}', 2)
    fake.add('mapsvc_refused_total{process="serve-2",reason="slow_head"}', 1)
    fake.add('mapsvc_live_dropped_total{process="serve-2"}', 2)
    await poll(page)
    assert await rows(page, "drops") == [
        ["unknown evse", "Update", "5", "5"],
        ["slow head", "Connection", "3", "3"],
        ["behind", "Live subscriber", "2", "2"],
        ["late", "Update", "0", "7"],
    ]
    await poll(page, 30)
    assert [row[2] for row in await rows(page, "drops")] == ["0"] * 4  # it was a minute ago


async def test_parties_stand_oldest_first_and_can_be_sorted_and_filtered(page: Page, fake: Fake) -> None:
    assert await rows(page, "statuses") == [
        ["Available", "5", "23\u00a0%"], ["Charging", "3", "14\u00a0%"], ["Reserved", "0", "0\u00a0%"],
        ["Blocked", "0", "0\u00a0%"], ["Out of order", "1", "4.5\u00a0%"], ["Inoperative", "0", "0\u00a0%"],
        ["Planned", "0", "0\u00a0%"], ["Unknown", "13", "59\u00a0%"],
    ]  # fmt: skip
    told = await rows(page, "parties")
    assert [row[:5] for row in told] == [
        ["FR*OLD", "40\u00a0min", "11:20:00", "2", "4"],
        ["DE*ABC", "30\u00a0s", "11:59:30", "10", "8"],
        ["XA*NEW", "2.0\u00a0s", "11:59:58", "1", "1"],
        ["irve", "–", "no live status", "7", "9"],
    ]
    assert await page.locator("#parties td[data-level=look]").all_text_contents() == ["40\u00a0min"]  # past its TTL
    head = page.get_by_role("columnheader", name="Stations")
    await head.get_by_role("button").press("Enter")
    await expect(head).to_have_attribute("aria-sort", "descending")
    assert [row[0] for row in await rows(page, "parties")] == ["DE*ABC", "irve", "FR*OLD", "XA*NEW"]
    await head.get_by_role("button").press("Enter")
    await expect(head).to_have_attribute("aria-sort", "ascending")
    fake.parties[3]["stations"] = 99
    await poll(page, 2)
    assert [row[0] for row in await rows(page, "parties")] == ["FR*OLD", "irve", "DE*ABC", "XA*NEW"]
    assert await page.evaluate("document.activeElement.textContent") == "Stations"  # polls leave the focus alone
    await page.get_by_label("Filter by party").fill("a*n")
    await expect(page.locator("#parties tbody tr")).to_have_count(1)
    await expect(page.locator("#parties-note")).to_contain_text("1 of 4 parties")


async def test_metrics_that_fail_are_told_and_tried_again_and_leave_a_gap(page: Page, fake: Fake) -> None:
    await poll(page, 2)
    fake.metrics_answer = fake.summary_answers = False
    await poll(page, 5)
    await expect(page.locator("#state")).to_have_text(
        "/metrics has not answered since 12:00:07. Trying again every 2 s."
    )
    await tile(page, "stations", "–", "No data", "no answer")
    await expect(page.locator("#parties-note")).to_contain_text(
        "does not answer: No API worker has a status summary now."
    )
    await expect(page.locator("#parties tbody tr")).to_have_count(4)  # as they were
    fake.metrics_answer = fake.summary_answers = True
    fake.add('mapsvc_status_updates_total{outcome="applied",process="ingest"}', 120)
    await poll(page, 2)
    await expect(page.locator("#state")).to_have_text("All well")
    await tile(page, "stations", "4,321", "OK")
    await expect(page.locator("#parties-note")).not_to_contain_text("does not answer")
    line = await page.locator("#chart-fresh path[data-series=age]").get_attribute("d")
    assert re.sub(r"[^MLh]", "", line or "") == "MLLML"


@pytest.mark.parametrize(
    "page",
    [{"color_scheme": "light"}, {"viewport": PHONE, "color_scheme": "dark"}],
    indirect=True,
    ids=["light", "dark, on a phone"],
)
async def test_it_fits_and_axe_finds_nothing(page: Page, fake: Fake) -> None:
    fake.values['mapsvc_relay_active_shards{process="relay"}'] = 9
    fake.add('mapsvc_refused_total{process="serve-1",reason="rate"}', 40)
    await poll(page)
    await expect(page.locator("#state")).to_contain_text("Bad")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for table in await page.get_by_role("table").all():
        assert await table.locator("caption").count() == 1
        assert await table.locator("thead th:not([scope=col]), tbody th:not([scope=row])").count() == 0
    if not AXE.exists():
        pytest.skip("needs axe-core (make setup for tests)")
    session = await page.context.new_cdp_session(page)  # the debugger is not bound by the page's policy
    await session.send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    await page.clock.resume()
    told = await session.send(
        "Runtime.evaluate",
        {
            "expression": "axe.run().then(r => JSON.stringify(r.violations))",
            "awaitPromise": True,
            "returnByValue": True,
        },
    )
    assert [(one["id"], one["nodes"][0]["html"][:160]) for one in json.loads(told["result"]["value"])] == []
