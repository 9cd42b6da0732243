"""Around every request of the API: errors become problems, CORS for reads, the rate limit, and the measuring."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from math import ceil

from aiohttp import web
from aiohttp.typedefs import Middleware

from mapsvc.limits import RateLimit, network_of
from mapsvc.metrics import Histogram, Metrics
from mapsvc.problems import Internal, Problem, TooMany, of_http_exception

log = logging.getLogger(__name__)

READS = ("GET", "HEAD")
CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "ETag, Link, Retry-After"}
PREFLIGHT = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "If-None-Match, Last-Event-ID",
    "Access-Control-Max-Age": "86400",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    def __init__(self, metrics: Metrics, limit: RateLimit) -> None:
        self._metrics = metrics
        self._limit = limit
        self._histograms: dict[tuple[str, str, int], Histogram] = {}

    def middleware(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            began = time.perf_counter()
            response = await self._answer(request, handler)
            if request.method in READS:
                response.headers.update(CORS)
            if response.content_type != "text/event-stream":  # how long somebody watched is no latency
                self.observe(_template(request), request.method, response.status, time.perf_counter() - began)
            return response

        return guard

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "OPTIONS" and request.headers.get("Access-Control-Request-Method") in READS:
            return web.Response(status=204, headers=PREFLIGHT)
        try:
            wait_s = self._limit.wait_s(network_of(request.remote or ""), time.monotonic())
            if wait_s:
                self._metrics.count("mapsvc_refused", reason="rate")
                raise TooMany("Too many requests from this address.", retry_after_s=ceil(wait_s))
            return await handler(request)
        except Problem as problem:
            return problem.response()
        except web.HTTPException as error:
            allow = error.headers.get("Allow")
            return of_http_exception(error).response({"Allow": allow} if allow else None)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("a request failed", extra={"route": _template(request)})
            return Internal().response()

    def admits(self, network: str) -> bool:
        """Whether this network may ask now; if so, it has. If not, the middleware will tell it."""
        return not self._limit.wait_s(network, time.monotonic())

    def observe(self, template: str, method: str, status: int, seconds: float) -> None:
        """An answer was given; `template` is the route's."""
        key = (template, method, status)
        histogram = self._histograms.get(key)
        if histogram is None:
            # Only methods that some route takes: a client may invent others without end.
            known = method if method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS") else "other"
            histogram = self._metrics.histogram(
                "mapsvc_request_seconds", route=template, method=known, status=str(status)
            )
            if known == method:
                self._histograms[key] = histogram
        histogram.observe(seconds)


def name_for_metrics(request: web.Request, name: str) -> None:
    """For a request that costs something else than the others of its route."""
    request[_NAME] = name


_NAME = web.RequestKey("mapsvc_metrics_name", str)


def _template(request: web.Request) -> str:
    if _NAME in request:
        return request[_NAME]
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"
