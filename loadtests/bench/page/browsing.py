"""A headless Chromium that looks at the map page, and what the page can be asked: for benchmark, pictures and tests.

Chromium is the distribution's, rendering in software; Playwright drives it and brings none of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = (
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist", "--no-sandbox",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
SHOWN_S = 30.0
BESIDE_PX = (-8, 3)  # of the middle of a station, where the sign is: there it has its colour, from zoom 15 on

# Samples a pixel of the map in every frame that is drawn, right after it was drawn.
SAMPLE = """
([lat, lon, dx, dy]) => {
  const map = window.mapPage.map.library;
  const gl = map.getCanvas().getContext("webgl2");
  const seen = (window.sampled = []);
  const pixel = new Uint8Array(4);
  map.on("render", () => {
    const { x, y } = map.project([lon, lat]);
    const ratio = map.getPixelRatio();
    const left = Math.round((x + dx) * ratio), up = Math.round(map.getCanvas().height - (y + dy) * ratio);
    gl.readPixels(left, up, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
    seen.push([performance.timeOrigin + performance.now(), pixel[0], pixel[1], pixel[2]]);
  });
  map.triggerRepaint();
}
"""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    assert CHROMIUM is not None, "needs Debian's chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


async def shown(page: Page, within_s: float = SHOWN_S) -> float:
    """Once stations are drawn: milliseconds after the navigation began. Raises TimeoutError."""
    return float(
        await page.evaluate(
            """async (within_ms) => {
              for (const until = performance.now() + within_ms; performance.now() < until; ) {
                const [mark] = performance.getEntriesByName("stations");
                if (mark) return mark.startTime;
                await new Promise((resolve) => setTimeout(resolve, 20));
              }
              throw new Error("no stations are drawn");
            }""",
            1000 * within_s,
        )
    )


async def settled(page: Page) -> None:
    """Once the map has all its tiles and has nothing more to draw."""
    await page.evaluate(
        """async () => {
          const map = window.mapPage.map.library;
          for (let k = 0; k < 500 && !(map.areTilesLoaded() && map.loaded()); k++) await new Promise((r) => setTimeout(r, 20));
        }"""
    )


async def sample(page: Page, lat: float, lon: float) -> None:
    """From now on, the colour of a station in every frame; see `sampled`."""
    await page.evaluate(SAMPLE, [lat, lon, *BESIDE_PX])


async def sampled(page: Page) -> Sequence[tuple[float, tuple[int, int, int]]]:
    """When (ms since the epoch) and the colour, frame by frame; and forgets them."""
    told: Any = await page.evaluate("() => window.sampled.splice(0)")
    return [(at_ms, (red, green, blue)) for at_ms, red, green, blue in told]
