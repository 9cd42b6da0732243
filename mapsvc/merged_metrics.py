"""The `/metrics` page of `mapsvc up`: one Prometheus text of all roles.

Every process of ours answers `GET /metrics` on a unix socket in the run folder, and labels its samples `process="…"`.
Their texts are merged family by family, since the format wants all samples of a family together under one head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import aiohttp
from aiohttp import web

SCRAPE_TIMEOUT_S = 2.0
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def merge(texts: Iterable[str]) -> str:
    """One exposition of several: families in order of appearance, each with its first HELP and TYPE."""
    heads: dict[str, dict[str, str]] = {}
    samples: dict[str, list[str]] = {}
    for text in texts:
        family = ""
        for line in text.splitlines():
            words = line.split(maxsplit=3)
            if words[:1] == ["#"] and len(words) >= 3 and words[1] in ("HELP", "TYPE"):
                family = words[2]
                heads.setdefault(family, {}).setdefault(words[1], line)
                samples.setdefault(family, [])
            elif line and not line.startswith("#"):
                samples.setdefault(family, []).append(line)
    out: list[str] = []
    for family, lines in samples.items():
        if lines:
            out += [*heads.get(family, {}).values(), *lines]
    return "\n".join(out) + "\n"


async def scrape(socket: Path) -> str:
    """The metrics of one process; nothing if it does not answer (it is starting, ending, or gone)."""
    timeout = aiohttp.ClientTimeout(total=SCRAPE_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)), timeout=timeout) as session,
            session.get("http://role/metrics") as response,
        ):
            return await response.text() if response.status == 200 else ""
    except (aiohttp.ClientError, OSError, TimeoutError, UnicodeDecodeError):
        return ""


def sockets_in(run_dir: Path) -> list[Path]:
    return sorted(run_dir.glob("*.sock"))


def app(run_dir: Path, own: Callable[[], str]) -> web.Application:
    """`own` gives the supervisor's own metrics."""

    async def metrics(_request: web.Request) -> web.Response:
        texts = await asyncio.gather(*map(scrape, sockets_in(run_dir)))
        return web.Response(text=merge([own(), *texts]), headers={"Content-Type": CONTENT_TYPE})

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    return application
