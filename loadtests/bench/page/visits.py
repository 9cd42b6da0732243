"""How long a driver waits for the stations, what that costs in bytes, and how soon a pushed status is on screen."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, Request, ViewportSize

from loadtests.bench.ingest.series import quantiles
from loadtests.bench.page.browsing import chromium, sample, sampled, settled, shown
from loadtests.bench.results import Result, WrongAnswerError
from loadtests.bench.service import Service
from loadtests.bench.stats import percentile

VIEWPORT: ViewportSize = {"width": 1280, "height": 800}
LIBRARY = "/page/lib/"
# A window that opens draws some thirty frames of its own, 20 ms each in software: the page begins after them.
OPENED_S = 1.0
STILL_S = 1.0  # after a page has settled: what it still fetches counts as well
PUSH_S = 1.2  # between two pushes: each has its frames
NEAR = 24  # of a colour, each channel; the sign and the ring are other colours, but not where it is looked
VISIBLE_MS, BESIDES_BYTES, ON_SCREEN_MS = 1200.0, 400_000, 300.0  # S11
TOWN_ZOOM, CLOSE_ZOOM, COUNTRY_ZOOM = 13, 15.5, 6
FREE, BUSY = "AVAILABLE", "CHARGING"


@dataclass(frozen=True)
class Scale:
    name: str
    visits: int  # of each kind
    pushes: int


FULL = Scale("full", 15, 60)
QUICK = Scale("quick", 4, 12)


@dataclass(frozen=True)
class Visit:
    ms: float
    besides: int
    library: int
    requests: int


async def measure(service: Service, scale: Scale, result: Result, say: Callable[[str], None]) -> None:
    """Raises WrongAnswerError, TimeoutError."""
    station = _station(service.url)
    at = station["lat"], station["lon"]
    result.conditions |= {
        "stations": f"{sum(service.metric('mapsvc_replica_stations').values()):,.0f}",
        "browser": "Chromium headless, rendering in software on the same cores",
    }
    async with chromium() as browser:
        result.conditions["browser"] += f", {browser.version}"
        first: list[Visit] = []
        for kind, zoom in (("a town", TOWN_ZOOM), ("a country, aggregates", COUNTRY_ZOOM)):
            say(f"{scale.visits} first visits and as many again: {kind}")
            url = f"{service.url}/#map={zoom}/{at[0]}/{at[1]}"
            fresh, again = await _visits(browser, url, scale.visits)
            first += fresh
            for name, some in ((f"first visit, {kind}", fresh), (f"again, {kind}", again)):
                result.row(name, _figures(some))
        say(f"{scale.pushes} statuses pushed")
        page = await browser.new_page(viewport=VIEWPORT)
        await page.goto(f"{service.url}/#map={CLOSE_ZOOM}/{at[0]}/{at[1]}")
        waits, blinks, frames = await _pushes(service, page, station, scale.pushes)
        await _compare(service.url, page)
        result.check("the stations in view, and their counts, are those of /v1/stations", say)
    result.row(
        "a pushed status, ack to the first frame that shows it",
        {
            "asked": len(waits),
            **_times(waits),
        },
    )
    result.goal(
        "stations drawn, first visit, p50", percentile([one.ms for one in first], 50), at_most=VISIBLE_MS, unit="ms"
    )
    result.goal(
        "fetched besides the library, most",
        max(one.besides for one in first) / 1000,
        at_most=BESIDES_BYTES / 1000,
        unit="KB",
    )
    result.goal("a pushed status on screen, p95", percentile(waits, 95), at_most=ON_SCREEN_MS, unit="ms")
    result.goal(f"frames of {frames} without the station in its old colour or its new one", blinks, at_most=0)


def _figures(some: Sequence[Visit]) -> dict[str, Any]:
    return {
        "asked": len(some),
        **_times([one.ms for one in some]),
        "KB besides the library": max(one.besides for one in some) / 1000,
        "KB of library": max(one.library for one in some) / 1000,
        "requests": max(one.requests for one in some),
    }


def _times(ms: Sequence[float]) -> dict[str, float]:
    return {f"{name} ms": value for name, value in quantiles(ms, ("p50", "p95")).items()}


async def _visits(browser: Browser, url: str, count: int) -> tuple[list[Visit], list[Visit]]:
    """With nothing kept, and once more with what was kept."""
    fresh, again = [], []
    for _ in range(count):
        context = await browser.new_context(viewport=VIEWPORT)
        fresh.append(await _visit(context, url))
        again.append(await _visit(context, url))
        await context.close()
    return fresh, again


async def _visit(context: BrowserContext, url: str) -> Visit:
    page = await context.new_page()
    done: list[Request] = []
    page.on("requestfinished", lambda request: done.append(request))
    await asyncio.sleep(OPENED_S)
    await page.goto(url)
    ms = await shown(page)
    await settled(page)
    await asyncio.sleep(STILL_S)
    sizes = [(request.url, (await request.sizes())["responseBodySize"]) for request in list(done)]
    library = sum(size for asked, size in sizes if LIBRARY in asked)
    await page.close()
    return Visit(ms, sum(size for _, size in sizes) - library, library, len(sizes))


async def _pushes(service: Service, page: Page, station: dict[str, Any], count: int) -> tuple[list[float], int, int]:
    """Milliseconds from ack to frame; frames that showed neither colour; all frames."""
    key = service.command("keys", "create", station["party"], "--label", "bench").split()[-1]
    await _report(service.url, key, station, FREE)
    await asyncio.sleep(PUSH_S)
    await shown(page)
    await settled(page)
    await sample(page, station["lat"], station["lon"])
    await asyncio.sleep(PUSH_S)
    (*_, (_, before)) = await sampled(page)
    waits, blinks, frames = [], 0, 0
    known = {FREE: before}
    for number in range(count):
        status = BUSY if number % 2 == 0 else FREE
        acknowledged_ms = await _report(service.url, key, station, status)
        await asyncio.sleep(PUSH_S)
        told = await sampled(page)
        if not told:
            raise WrongAnswerError("a pushed status is not on screen after a second")
        after = known.setdefault(status, told[-1][1])
        if _is_near(before, after) or not _is_near(told[-1][1], after):
            raise WrongAnswerError(f"a pushed status is not on screen: {before} became {told[-1][1]}")
        waits.append(next(at for at, colour in told if _is_near(colour, after)) - acknowledged_ms)
        blinks += sum(not (_is_near(colour, before) or _is_near(colour, after)) for _, colour in told)
        frames += len(told)
        before = after
    return waits, blinks, frames


def _is_near(one: Sequence[int], other: Sequence[int]) -> bool:
    return all(abs(a - b) <= NEAR for a, b in zip(one, other, strict=True))


async def _compare(url: str, page: Page) -> None:
    drawn: Any = await page.evaluate(
        """() => {
          const map = window.mapPage.map.library;
          const { x, y } = { x: map.getContainer().clientWidth, y: map.getContainer().clientHeight };
          const found = new Map();
          for (const { id, geometry, properties } of map.queryRenderedFeatures({ layers: ["stations"] })) {
            const at = map.project(geometry.coordinates);
            if (at.x > 0 && at.y > 0 && at.x < x && at.y < y) found.set(id, [properties.free, properties.total]);
          }
          return { box: window.mapPage.map.bounds(), stations: [...found.values()] };
        }"""
    )
    box = ",".join(f"{value:.6f}" for value in drawn["box"])
    told = _get(url, f"/v1/stations?bbox={box}&limit=1000")["stations"]
    expected = sorted([one["evses"]["available"], one["evses"]["total"]] for one in told)
    if sorted(drawn["stations"]) != expected:
        raise WrongAnswerError(
            f"the map has {len(drawn['stations'])} stations, the API {len(expected)}, or other counts"
        )


def _station(url: str) -> dict[str, Any]:
    """All about one station with few charging points that stands alone, in a town."""
    summary = _get(url, "/v1/stations?bbox=-180,-85,180,85&limit=1000&min_power_kw=150")["stations"]
    for one in summary:
        near = _get(url, f"/v1/nearby?lat={one['lat']}&lon={one['lon']}&limit=2&radius_m=2000")["stations"]
        if 1 <= one["evses"]["total"] <= 4 and len(near) == 2 and near[1]["distance_m"] > 60:
            found: dict[str, Any] = _get(url, f"/v1/stations/{one['id']}")
            return found
    raise WrongAnswerError("no station stands alone")


def _get(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path, timeout=10) as answer:  # noqa: S310 (our own)
        return json.loads(answer.read())


async def _report(url: str, key: str, station: dict[str, Any], status: str) -> float:
    """When it was acknowledged, ms since the epoch."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    updates = [
        {"evse_uid": evse["uid"], "location_id": station["location_id"], "status": status, "source_ts": now}
        for evse in station["evses"]
    ]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/status", json.dumps(updates).encode(), headers)  # noqa: S310 (our own)

    def post() -> float:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (our own)
            answer.read()
            return time.time() * 1000

    return await asyncio.to_thread(post)
