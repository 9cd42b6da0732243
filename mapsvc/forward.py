"""Writes pass through: an API worker hands POST, PUT and DELETE to ingest as they are and its answer back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from yarl import URL

from mapsvc.body import read_packed
from mapsvc.problems import Unavailable

ANSWER_S = 20.0

PASSED_ON = ("Authorization", "Content-Type", "Content-Encoding", "Idempotency-Key")
PASSED_BACK = ("Content-Type", "Cache-Control", "Retry-After", "WWW-Authenticate", "Idempotency-Replayed", "Allow")


class Forwarder:
    def __init__(self, ingest_url: str | None) -> None:
        self._ingest_url = ingest_url
        self._session: aiohttp.ClientSession | None = None

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/status", self.forward),
            web.post("/v1/heartbeat", self.forward),
            web.put("/v1/stations/{id}", self.forward),
            web.delete("/v1/stations/{id}", self.forward),
        ]

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """cleanup_ctx of the application."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_S, connect=2.0)
        async with aiohttp.ClientSession(
            timeout=timeout, auto_decompress=False, connector=aiohttp.TCPConnector(limit=64)
        ) as self._session:
            yield

    async def forward(self, request: web.Request) -> web.Response:
        if self._session is None or self._ingest_url is None:
            raise Unavailable("This server takes no writes.", 5)
        body = await read_packed(request)
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        url = self._ingest_url + request.raw_path
        try:
            async with self._session.request(
                request.method, URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as answer:
                told = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
                return web.Response(status=answer.status, body=await answer.read(), headers=told)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # It may or may not have been written: what is not acknowledged has to be sent again, and that is harmless.
            raise Unavailable("Writes are not taken at the moment.", 2) from error
