"""Pictures of the main views, for people to look at: `python -m loadtests.bench.page.pictures [--url URL] [--out FOLDER]`.

Of a service that runs, or of one on the generated country, which is started for it. They go to var/screenshots.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from loadtests.bench.page.browsing import CHROMIUM, chromium, settled, shown
from loadtests.bench.processes import ROOT, ProgramError
from loadtests.bench.roads.areas import GENERATED
from loadtests.bench.roads.stand import AreaService
from loadtests.bench.stage import clock

OUT = ROOT / "var" / "screenshots"
SIZES: Mapping[str, tuple[int, int]] = {"desktop": (1280, 800), "phone": (390, 844)}
PANEL_S = 1.5  # for what the panel asks


class View(NamedTuple):
    name: str
    fragment: str
    sizes: Sequence[str] = ("desktop", "phone")
    themes: Sequence[str] = ("light", "dark")


def views(url: str) -> list[View]:
    """About a station where most of them stand."""
    summary = _get(url, "/v1/stations?bbox=-180,-85,180,85&limit=1000&min_power_kw=150&available=2")["stations"]
    crowd = Counter((round(one["lat"], 1), round(one["lon"], 1)) for one in summary)
    station = max(summary, key=lambda one: crowd[round(one["lat"], 1), round(one["lon"], 1)])
    lat, lon = station["lat"], station["lon"]
    town = f"map=13/{lat}/{lon}"
    there = f"{lat + 0.12:.4f},{lon + 0.18:.4f}"
    return [
        View("world", "map=2.2/40/10", ("desktop",)),
        View("country", f"map=5.4/{lat}/{lon}"),
        View("region", f"map=9/{lat}/{lon}", ("desktop",)),
        View("town", town),
        View("filters", f"{town}&connector=IEC_62196_T2_COMBO&available=1&min_power_kw=150", ("desktop",), ("light",)),
        View("drive-time", f"{town}&sort=drive_time", ("desktop",), ("light",)),
        View("station", f"map=15/{lat}/{lon}&station={station['id']}"),
        View("route", f"map=10.5/{lat + 0.06:.4f}/{lon + 0.09:.4f}&view=journey&from={lat},{lon}&to={there}"),
        View("reach", f"map=10/{lat}/{lon}&view=reach&reach=15min&from={lat},{lon}"),
        View("town-de", f"{town}&lang=de", ("phone",), ("light",)),
        View("town-fr", f"{town}&lang=fr&units=imperial", ("phone",), ("light",)),
    ]


async def take(url: str, out: Path) -> list[Path]:
    """Into a folder that is there."""
    taken = []
    async with chromium() as browser:
        for view in views(url):
            for size in view.sizes:
                for theme in view.themes:
                    width, height = SIZES[size]
                    page = await browser.new_page(
                        viewport={"width": width, "height": height},
                        color_scheme="dark" if theme == "dark" else "light",
                        locale="en-IE",
                    )
                    await page.goto(f"{url}/#{view.fragment}")
                    await shown(page)
                    await asyncio.sleep(PANEL_S)
                    await settled(page)
                    path = out / f"{view.name}-{size}-{theme}.png"
                    await page.screenshot(path=path)
                    await page.close()
                    taken.append(path)
    return taken


def _get(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path, timeout=10) as answer:  # noqa: S310 (our own)
        return json.loads(answer.read())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", help="of a service that runs")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args(arguments)
    if CHROMIUM is None:
        parser.error("needs Debian's chromium: deploy/setup.sh test")
    say = clock()
    service = AreaService(GENERATED, say) if args.url is None else None
    args.out.mkdir(parents=True, exist_ok=True)
    with service or nullcontext():
        for path in asyncio.run(take(args.url or (service.url if service else ""), args.out)):
            say(f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ProgramError, KeyboardInterrupt) as error:
        print(f"screenshots: {str(error) or 'interrupted'}", file=sys.stderr)
        sys.exit(2)
