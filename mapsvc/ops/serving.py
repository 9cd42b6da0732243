"""`GET /ops` on the admin port of `mapsvc up`: how the service does, live, for a person; `/metrics` has it for programs.

The page draws what it reads from `/metrics` and from the status summary, which comes through this port: the page then talks
to one origin only. Its files are read once, so that they are those of the program that serves them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler

from mapsvc.problems import Forbidden, NotFound, Unavailable

STATIC = Path(__file__).parent / "static"
PAGE = "index.html"
CONTENT_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
SUMMARY_TIMEOUT_S = 2.0
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def add_to(application: web.Application, find_api: Callable[[], str | None]) -> None:
    """`find_api` tells where the API answers; None: not yet."""
    files = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.suffix in CONTENT_TYPES}
    application.middlewares.append(only_by_loopback_names)
    application.add_routes(_routes(files, find_api))


def _routes(files: Mapping[str, bytes], find_api: Callable[[], str | None]) -> list[web.RouteDef]:
    async def page(_: web.Request) -> web.Response:
        return _file(PAGE, files[PAGE])

    async def file(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in files:
            return NotFound("The ops view has no such file.").response(HEADERS)
        return _file(name, files[name])

    async def summary(_: web.Request) -> web.Response:
        try:
            body = await _fetch_summary(find_api())
        except Unavailable as problem:
            return problem.response(HEADERS)
        return web.Response(
            body=body, headers={**HEADERS, "Content-Type": "application/json", "Cache-Control": "no-store"}
        )

    return [
        web.get("/ops", page),
        web.get("/ops/", page),
        web.get("/ops/summary.json", summary),
        web.get("/ops/{name}", file),
    ]


def _file(name: str, body: bytes) -> web.Response:
    content_type = f"{CONTENT_TYPES[Path(name).suffix]}; charset=utf-8"
    return web.Response(body=body, headers={**HEADERS, "Content-Type": content_type})


async def _fetch_summary(api: str | None) -> bytes:
    """The document of whichever API worker answers."""
    if api is None:
        raise Unavailable("The API is still being started.")
    timeout = aiohttp.ClientTimeout(total=SUMMARY_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{api}/v1/status-summary", allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise Unavailable("No API worker has a status summary now.")
            return await response.read()
    except (aiohttp.ClientError, OSError, TimeoutError):
        raise Unavailable("No API worker answers.") from None


@web.middleware
async def only_by_loopback_names(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A web page elsewhere may give its own name this machine's loopback address (DNS rebinding), and would then be of one
    origin with this port. The browser still sends that name."""
    if not is_loopback(request.headers.get("Host", "localhost")):  # HTTP/1.0 needs none, and no browser speaks it
        return Forbidden("This port answers to loopback names and addresses only.").response(HEADERS)
    return await handler(request)


def is_loopback(host: str) -> bool:
    """Of a Host header, with or without a port."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        if name == "localhost" or name.endswith(".localhost"):
            return True
        return ip_address(name).is_loopback
    except ValueError:
        return False
