"""Writes pass through: an API worker hands POST, PUT and DELETE to ingest as they are and its answer back.

A restart of ingest is not the client's business (promise R9): while nobody listens there, a write waits; and a write whose
connection ended without an answer is sent again. It may have been committed the first time. That harms nothing: the
ordering rule makes a status that is written twice a confirmation, an equal station document `unchanged`, a heartbeat is
one, and a DELETE says 404 the second time: what a client would be told that, after a 503, sends it again itself. A DELETE has
no order of its own, so nothing is sent again for a client that has left: it may have sent something newer since.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from yarl import URL

from mapsvc.body import BODY_BYTES, SMALL_BODY_BYTES, Budget, read_packed
from mapsvc.problems import Unauthorized, Unavailable

ANSWER_S = 20.0  # for a write, waiting included
ABSENT_S = 6.0  # that a write waits for ingest to be there; it restarts in two seconds, on a busy machine in four
ASK_AGAIN_S = 0.05
BODIES_BYTES = 128 << 20  # of the writes in hand, read or being read: whoever has no key may send a body too

PASSED_ON = ("Authorization", "Content-Type", "Content-Encoding", "Idempotency-Key")
PASSED_BACK = ("Content-Type", "Cache-Control", "Retry-After", "WWW-Authenticate", "Idempotency-Replayed", "Allow")

NO_ANSWER = (  # not a byte of one
    aiohttp.ClientOSError, aiohttp.ConnectionTimeoutError, aiohttp.ServerDisconnectedError, ConnectionError,
)  # fmt: skip


class Forwarder:
    def __init__(self, ingest_url: str | None) -> None:
        self._ingest_url = ingest_url
        self._session: aiohttp.ClientSession | None = None
        self._bodies = Budget(BODIES_BYTES)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/status", self.forward),
            web.post("/v1/heartbeat", self.forward_small),
            web.put("/v1/stations/{id}", self.forward),
            web.delete("/v1/stations/{id}", self.forward_small),
        ]

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """cleanup_ctx of the application."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_S, connect=2.0)
        async with aiohttp.ClientSession(
            timeout=timeout, auto_decompress=False, connector=aiohttp.TCPConnector(limit=64)
        ) as self._session:
            yield

    async def forward_small(self, request: web.Request) -> web.Response:
        return await self.forward(request, SMALL_BODY_BYTES)

    async def forward(self, request: web.Request, most_bytes: int = BODY_BYTES) -> web.Response:
        if self._session is None or self._ingest_url is None:
            raise Unavailable("This server takes no writes.", 5)
        if "Authorization" not in request.headers:
            raise Unauthorized("A key is needed: Authorization: Bearer KEY.")
        try:
            with self._bodies.share() as share:
                body = await read_packed(request, most_bytes, share.take)
                async with asyncio.timeout(ANSWER_S):
                    return await self._sent(request, body)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # It may or may not have been written: what is not acknowledged has to be sent again, and that is harmless.
            raise Unavailable("Writes are not taken at the moment.", 2) from error

    async def _sent(self, request: web.Request, body: bytes) -> web.Response:
        """The answer; raises the last failure when ingest stays away."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + ABSENT_S
        while True:
            try:
                return await self._once(request, body)
            except NO_ANSWER as error:
                if loop.time() > give_up_at:
                    raise
                failure = error
            await asyncio.sleep(ASK_AGAIN_S)
            if request.transport is None:
                raise failure

    async def _once(self, request: web.Request, body: bytes) -> web.Response:
        assert self._session is not None and self._ingest_url is not None
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        # Not raw_path: that is whatever stands in the request line, "http://elsewhere/" included.
        url = URL(self._ingest_url + request.rel_url.raw_path_qs, encoded=True)
        async with self._session.request(
            request.method, url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            told = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
            return web.Response(status=answer.status, body=await answer.read(), headers=told)
