"""The HTTP of `GET /v1/live`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from aiohttp import HttpVersion11, web

from cache.tasks import end
from geo.world import World
from mapsvc.bodies import Bodies
from mapsvc.guard import CORS
from mapsvc.live.hub import Hub, retry_ms
from mapsvc.live.query import EVENT_STREAM, LIVE, LiveQuery, parse_live
from mapsvc.live.stream import Stream, rows_in
from mapsvc.problems import Fault, Problem, Unavailable

log = logging.getLogger(__name__)

MAX_SUBSCRIBERS = 10_000  # of one worker
MAX_STATIONS = 20_000  # in one subscriber's area: some 9 MB of snapshot

HEADERS = {
    "Content-Type": EVENT_STREAM,
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back
    **CORS,
}


class Live:
    """`draining`: the worker is to end, and takes no more connections."""

    def __init__(
        self, world: World, bodies: Bodies, hub: Hub, ready: Callable[[], bool], draining: asyncio.Event
    ) -> None:
        self.dropped = 0  # subscribers that did not read
        self._draining = draining
        self._world, self._bodies, self._hub, self._ready = world, bodies, hub, ready
        self._open = 0

    @property
    def ready(self) -> bool:
        """From now on it can resume who was subscribed elsewhere."""
        return self._ready() and self._hub.history.begun

    def routes(self) -> list[web.RouteDef]:
        return [LIVE.route(self.live)]

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """The hub's ticks, for a cleanup context."""
        tasks = [asyncio.create_task(self._tick_for_ever()), asyncio.create_task(self._leave())]
        yield
        self._hub.finish()
        await end(tasks)

    async def _tick_for_ever(self) -> None:
        """Whatever befalls the hub: subscribers who are told nothing, and do not know it, would be the worst."""
        while True:
            try:
                await self._hub.run(self._ready)
            except Exception:
                log.exception("live push stumbled")
            await asyncio.sleep(1)

    async def _leave(self) -> None:
        await self._draining.wait()
        self._hub.finish()

    async def live(self, request: web.Request) -> web.StreamResponse:
        query = parse_live(request.rel_url.raw_query_string)
        if not self.ready:
            raise Unavailable("The stations are still being loaded.")
        if self._open >= MAX_SUBSCRIBERS or self._hub.finished:
            raise Unavailable("There are too many subscribers here; try again.")
        self._check_size(query)
        response = web.StreamResponse(headers=HEADERS)
        writer = await response.prepare(request)
        transport = request.transport
        if request.method == "HEAD" or writer is None or transport is None:
            return response
        self._open += 1
        try:
            await response.write(b"retry: %d\n\n" % retry_ms())
            stream = Stream(self._world, self._bodies, self._hub, query.area, query.view)
            given = request.headers.get("Last-Event-ID", "") or query.last_event_id
            await stream.run(writer, transport, chunked=request.version >= HttpVersion11, given=given)
        except TimeoutError:
            self.dropped += 1
            transport.abort()
        except ConnectionError:
            pass  # the client went
        finally:
            self._open -= 1
        return response

    def _check_size(self, query: LiveQuery) -> None:
        if len(rows_in(self._world, query.area, MAX_STATIONS)) > MAX_STATIONS:
            allowed = f"an area of at most {MAX_STATIONS} stations"
            raise Problem("The area has too many stations.", [Fault("bbox", allowed)])
