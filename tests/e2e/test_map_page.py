"""The map page in a real browser: what is pushed is seen, nothing blinks, nothing leaves the host, nothing is lost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

pytest.importorskip("playwright", reason="needs Playwright (make setup for tests)")
from playwright.async_api import Browser, BrowserContext, Page, Request, Route, expect

from loadtests.bench.page.browsing import CHROMIUM, chromium, sample, sampled, settled, shown
from mapsvc.generate_plan import REGION_STATIONS, plan
from tests.e2e.cut_proxy import CutProxy
from tests.e2e.stack import Point, Stack, eventually

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium (make setup for tests)"),
    pytest.mark.asyncio(loop_scope="module"),
]

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
AXE = Path(__file__).parents[1] / "node/node_modules/axe-core/axe.min.js"
BESIDES_THE_LIBRARY_BYTES = 400_000
ON_SCREEN_S = 2.0  # the goal is 300 ms (make bench-page); here two tests run at a time
FREE, BUSY, UNKNOWN = (20, 120, 60), (180, 83, 9), (95, 107, 122)  # station-layers.js, light
NEAR = 24  # of a colour, each channel

Open = Callable[..., Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser, request: pytest.FixtureRequest) -> AsyncIterator[BrowserContext]:
    """Requests that leave the host are stopped and fail the test, as do errors of the page."""
    context = await browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB", **getattr(request, "param", {})})
    context.set_default_timeout(15_000)
    left: list[str] = []
    failed: list[str] = []

    async def guard(route: Route) -> None:
        if route.request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            await route.continue_()
        else:
            left.append(route.request.url)
            await route.abort()

    await context.route("**/*", guard)
    context.on("weberror", lambda error: failed.append(str(error.error)))
    yield context
    await context.close()
    assert left == [] and failed == []


@pytest.fixture
def open_page(context: BrowserContext, shared_stack: Stack) -> Open:
    async def open_page(fragment: str = "map=15/48.8/2.248", url: str = "") -> Page:
        page = await context.new_page()
        await page.goto(f"{url or shared_stack.url}/#{fragment}")
        await shown(page)
        return page

    return open_page


def of_station(stack: Stack, number: int) -> list[Point]:
    return [evse for evse in stack.evses if evse.location_id == f"L{number}"]


def place(number: int) -> tuple[float, float]:
    return 48.8, round(2.2 + 0.004 * number, 6)


async def report(stack: Stack, number: int, status: str) -> float:
    """Both EVSEs of a station; when that was acknowledged, ms since the epoch."""
    outcomes = await stack.post([stack.update(evse, status) for evse in of_station(stack, number)])
    assert set(outcomes) <= {"applied", "confirmed"}
    return time.time() * 1000


async def until_shown(stack: Stack, number: int, status: str) -> None:
    async def is_shown() -> bool:
        """the API shows it"""
        return await stack.shown(of_station(stack, number)[0]) == status

    await eventually(is_shown, 10)


def is_near(colour: Sequence[int], wanted: Sequence[int]) -> bool:
    return all(abs(a - b) <= NEAR for a, b in zip(colour, wanted, strict=True))


async def frames_until(
    page: Page, wanted: Sequence[int], within_s: float = 10.0
) -> list[tuple[float, tuple[int, int, int]]]:
    """All frames up to the first of that colour, which is the last one told."""
    frames: list[tuple[float, tuple[int, int, int]]] = []
    for _ in range(int(within_s / 0.02)):
        for frame in await sampled(page):
            frames.append(frame)
            if is_near(frame[1], wanted):
                return frames
        await asyncio.sleep(0.02)
    raise AssertionError(f"never {wanted}: {frames[-5:]}")


async def test_a_pushed_status_is_on_screen_and_nothing_blinks(shared_stack: Stack, open_page: Open) -> None:
    """Every frame that is drawn has the station in its old colour or in its new one, never the background."""
    stack = shared_stack
    await report(stack, 12, "AVAILABLE")
    await until_shown(stack, 12, "AVAILABLE")
    page = await open_page()
    await settled(page)
    await sample(page, *place(12))
    await frames_until(page, FREE)
    for status, before, after in [("CHARGING", FREE, BUSY), ("AVAILABLE", BUSY, FREE)] * 3:
        acknowledged_ms = await report(stack, 12, status)
        frames = await frames_until(page, after)
        assert frames[-1][0] - acknowledged_ms < 1000 * ON_SCREEN_S
        assert [colour for _, colour in frames[:-1] if not is_near(colour, before)] == []
    await asyncio.sleep(0.5)
    assert [colour for _, colour in await sampled(page) if not is_near(colour, FREE)] == []


async def test_only_tiles_that_changed_are_asked_for_again(shared_stack: Stack, open_page: Open) -> None:
    page = await open_page()
    await settled(page)
    await asyncio.sleep(1.5)  # all tiles are looked at once when the stream is there
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/v1/tiles/stations/" in request.url else None)
    await report(shared_stack, 11, "CHARGING")
    await asyncio.sleep(1.5)
    tiles = {url.partition("?")[0] for url in asked}
    assert 1 <= len(tiles) <= 2, tiles  # a station beside an edge stands in two
    assert len(asked) <= 2 * len(tiles)


async def test_a_cut_connection_is_told_and_resumed_and_nothing_is_lost(shared_stack: Stack, open_page: Open) -> None:
    stack = shared_stack
    await report(stack, 12, "AVAILABLE")
    await until_shown(stack, 12, "AVAILABLE")
    async with CutProxy(stack.url) as cable:
        page = await open_page(url=cable.url)
        await settled(page)
        connection = page.locator('[data-part="connection"]')
        await expect(connection).not_to_have_text("")
        live = await connection.text_content()
        await sample(page, *place(12))
        await frames_until(page, FREE)
        await cable.cut()
        await expect(page.locator("#status")).to_have_attribute("data-connection", "lost")
        assert await connection.text_content() != live
        await report(stack, 12, "CHARGING")
        await until_shown(stack, 12, "CHARGING")
        await asyncio.sleep(0.5)
        assert all(is_near(colour, FREE) for _, colour in await sampled(page))  # what was there stays
        await cable.mend()
        await expect(page.locator("#status")).to_have_attribute("data-connection", "there", timeout=20_000)
        await frames_until(page, BUSY)


async def rendered(page: Page) -> dict[str, int]:
    """What the map draws: features, and their counts."""
    told: Any = await page.evaluate(
        """() => {
          const map = window.mapPage.map.library;
          const sum = { stations: 0, free: 0, total: 0 };
          const seen = new Set();
          for (const one of map.queryRenderedFeatures({ layers: ["stations", "aggregates"] })) {
            if (seen.has(one.id)) continue;
            seen.add(one.id);
            const { count = 1, free, busy, out_of_service, unknown } = one.properties;
            sum.stations += count;
            sum.free += free;
            sum.total += free + busy + out_of_service + unknown;
          }
          return sum;
        }"""
    )
    return dict(told)


async def test_counts_follow_the_filters(shared_stack: Stack, open_page: Open) -> None:
    stack = shared_stack
    for number in range(20, 26):
        await report(stack, number, "AVAILABLE" if number % 2 else "CHARGING")
    await until_shown(stack, 25, "AVAILABLE")

    async def listed(query: str) -> dict[str, int]:
        stations: list[Any] = (await stack.json(f"/v1/stations?bbox=2.1,48.7,2.5,48.9&limit=100&{query}"))["stations"]
        return {
            "stations": len(stations),
            "free": sum(one["evses"]["available"] for one in stations),
            "total": sum(one["evses"]["total"] for one in stations),
        }

    for zoom in (11.3, 9):
        for query in ("", "available=1", "connector=CHADEMO", "min_power_kw=150"):
            fragment = f"map={zoom}/48.8/2.28&{query}"
            if not (await listed(query))["stations"]:  # nothing to wait for: asked for by turning to it
                page = await open_page(f"map={zoom}/48.8/2.28")
                await page.evaluate("hash => (location.hash = hash)", fragment)
            else:
                page = await open_page(fragment)
            await settled(page)
            for _ in range(100):
                expected = await listed(query)  # each time: a worker may be some milliseconds behind the other
                if await rendered(page) == expected:
                    break
                await asyncio.sleep(0.05)
            assert await rendered(page) == expected, (zoom, query)
            await page.close()


async def state_of(page: Page) -> Any:
    return await page.evaluate("() => window.mapPage.state.get()")


async def test_the_url_holds_the_whole_state(shared_stack: Stack, open_page: Open) -> None:
    """Whoever is sent it sees the same; back leads to where one was."""
    fragment = (
        "map=12.5/48.81/2.25&sort=drive_time&view=journey&units=imperial&lang=de&theme=dark&from=48.8,2.21,Ã&to=48.8,2.3"
        "&reach=60kWh,40,18&connector=CHADEMO,IEC_62196_T2_COMBO&operator=A%2526B&min_power_kw=50&max_power_kw=300&open_now=1"
    )
    page = await open_page("map=12.5/48.81/2.25")
    await page.evaluate("hash => (location.hash = hash)", fragment)
    told = await state_of(page)
    assert told["filters"]["connector"] == ["CHADEMO", "IEC_62196_T2_COMBO"] and told["filters"]["open_now"] is True
    assert (told["view"], told["lang"], told["units"], told["theme"]) == ("journey", "de", "imperial", "dark")
    assert told["reach"] == {"battery_kwh": 60, "soc": 40, "consumption_kwh_100km": 18}
    written = await page.evaluate("() => window.mapPage.state.url({})")
    other = await page.context.new_page()
    await other.goto(written)
    await other.wait_for_selector(".maplibregl-canvas")
    assert await state_of(other) == told


async def test_a_click_opens_the_station_and_back_closes_it(shared_stack: Stack, open_page: Open) -> None:
    stack = shared_stack
    await report(stack, 12, "AVAILABLE")
    await until_shown(stack, 12, "AVAILABLE")
    page = await open_page()
    await settled(page)
    point = await page.evaluate("([lat, lon]) => window.mapPage.map.library.project([lon, lat])", list(place(12)))
    box = await page.locator("#map").bounding_box()
    assert box is not None
    await page.mouse.click(box["x"] + point["x"], box["y"] + point["y"])
    heading = page.locator("#panel").get_by_role("heading", name="Station L12")
    await expect(heading).to_be_visible()
    assert (await state_of(page))["station"].upper() == of_station(stack, 12)[0].station_id.upper()
    await page.reload()
    await shown(page)
    await expect(heading).to_be_visible()
    await report(stack, 12, "OUTOFORDER")
    await expect(page.locator("#panel").get_by_text("Out of order").first).to_be_visible()
    await page.go_back()
    await expect(heading).not_to_be_visible()
    assert (await state_of(page))["station"] is None


async def test_with_the_keyboard_alone(shared_stack: Stack, open_page: Open) -> None:
    page = await open_page()
    await settled(page)
    await page.keyboard.press("Tab")
    assert await page.evaluate("() => document.activeElement.className") == "skip"
    there = await state_of(page)
    await page.keyboard.press("Enter")
    assert await page.evaluate("() => document.activeElement.id") == "panel"
    assert await state_of(page) == there
    row = page.locator("#panel").get_by_text("Station L12", exact=False).first
    await expect(row).to_be_visible()
    for _ in range(60):
        await page.keyboard.press("Tab")
        if "Station L" in await page.evaluate("() => document.activeElement.textContent ?? ''"):
            break
    else:
        raise AssertionError("no station in the list can be reached by Tab")
    name = await page.evaluate("() => /Station L[0-9]+/.exec(document.activeElement.textContent)[0]")
    await page.keyboard.press("Enter")
    heading = page.locator("#panel").get_by_role("heading", name=name)
    await expect(heading).to_be_visible()
    await expect(heading).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(heading).not_to_be_visible()
    # The map itself: arrows and plus
    await page.locator(".maplibregl-canvas").focus()
    before = await state_of(page)
    await page.keyboard.press("ArrowRight")
    await page.wait_for_timeout(700)
    await page.keyboard.press("+")
    await page.wait_for_timeout(700)
    after = await state_of(page)
    assert after["lon"] > before["lon"] and after["zoom"] > before["zoom"]


async def test_a_filter_of_the_panel_holds_for_list_tiles_and_url(shared_stack: Stack, open_page: Open) -> None:
    stack = shared_stack
    await report(stack, 12, "CHARGING")
    await report(stack, 13, "AVAILABLE")
    await until_shown(stack, 13, "AVAILABLE")
    page = await open_page()
    await settled(page)
    async with page.expect_request(
        lambda request: "/v1/tiles/stations/" in request.url and "available=1" in request.url
    ):
        await page.locator("#panel").get_by_role("checkbox", name="Free now").check()
    assert (await state_of(page))["filters"]["available"] == 1
    rows = page.locator("#panel").get_by_text("Station L13")
    await expect(rows.first).to_be_visible()
    await expect(page.locator("#panel").get_by_text("Station L12")).to_have_count(0)


async def test_one_is_told_when_a_charger_is_free(shared_stack: Stack, open_page: Open) -> None:
    """Without the permission to notify, on the page itself."""
    stack = shared_stack
    await report(stack, 14, "CHARGING")
    await until_shown(stack, 14, "CHARGING")
    page = await open_page(f"map=15/48.8/2.248&station={of_station(stack, 14)[0].station_id}")
    await page.locator("#panel").get_by_role("button", name="Tell me when one is free").click()
    await page.wait_for_timeout(700)  # the stream of what is watched begins
    await report(stack, 14, "AVAILABLE")
    told = page.get_by_role("status").filter(has_text="Station L14")
    await expect(told.first).to_be_visible()


async def test_a_route_is_drawn_and_told(shared_stack: Stack, open_page: Open) -> None:
    if not shared_stack.valhalla_url:
        pytest.skip("needs Valhalla (make setup)")
    town = max(plan(REGION_STATIONS, seed=1).towns, key=lambda one: one.stations)
    ends = f"from={town.lat:.5f},{town.lon:.5f}&to={town.lat + 0.05:.5f},{town.lon + 0.05:.5f}"
    page = await open_page()
    await page.evaluate("hash => (location.hash = hash)", f"map=11/{town.lat:.5f}/{town.lon:.5f}&view=journey&{ends}")
    await expect(page.locator("#panel").get_by_text(" min").first).to_be_visible()
    await settled(page)
    drawn = await page.evaluate("() => window.mapPage.map.library.queryRenderedFeatures({ layers: ['route'] }).length")
    assert drawn >= 1


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core (make setup for tests)")
@pytest.mark.parametrize(
    ("context", "theme"),
    [({"viewport": DESKTOP}, "light"), ({"viewport": PHONE}, "dark")],
    indirect=["context"],
    ids=["desktop-light", "phone-dark"],
)
async def test_axe_finds_nothing(shared_stack: Stack, open_page: Open, theme: str) -> None:
    station = of_station(shared_stack, 12)[0].station_id
    page = await open_page(f"map=14/48.8/2.248&theme={theme}")
    # Scripts of the page are bound by its policy; what the debugger evaluates is not.
    session = await page.context.new_cdp_session(page)
    await session.send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    for view in ("", "&view=journey&from=48.8,2.21&to=48.8,2.3", "&view=reach", f"&station={station}"):
        await page.evaluate("hash => (location.hash = hash)", f"map=14/48.8/2.248&theme={theme}{view}")
        await page.wait_for_timeout(600)
        found = await session.send(
            "Runtime.evaluate",
            {
                "expression": "axe.run().then(found => JSON.stringify(found.violations))",
                "awaitPromise": True,
                "returnByValue": True,
            },
        )
        violations = json.loads(found["result"]["value"])
        assert [(one["id"], one["nodes"][0]["html"][:160]) for one in violations] == [], view


async def test_the_page_is_small(shared_stack: Stack, context: BrowserContext) -> None:
    page = await context.new_page()
    done: list[Request] = []
    page.on("requestfinished", lambda request: done.append(request))
    await page.goto(f"{shared_stack.url}/#map=14/48.8/2.248")
    await shown(page)
    await settled(page)
    sizes = [(await one.sizes())["responseBodySize"] for one in list(done) if "/page/lib/" not in one.url]
    assert 20_000 < sum(sizes) < BESIDES_THE_LIBRARY_BYTES


async def test_the_policy_allows_no_script_from_elsewhere(shared_stack: Stack) -> None:
    async with aiohttp.ClientSession() as session, session.get(shared_stack.url + "/") as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy and "unsafe" not in policy.replace("'unsafe-hashes'", "")
