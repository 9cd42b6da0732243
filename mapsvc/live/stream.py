"""One subscriber's connection: first what is there, page by page as it reads, then what changes, as it happens.

Two ways of writing. *Pumping* waits for the client after every page. *Live* never waits: the hub writes into the socket's
buffer; when more than LIVE_BYTES would stand in it, the subscriber is pumped again, from its last cursor on, and so gets what
is then: however slow it reads it costs a page of memory, delays nobody and misses nothing that lasts (promise R8). Who does not
take what is unsent within DRAIN_S is cut off.
"""

from __future__ import annotations

import asyncio
import socket

import numpy as np
from aiohttp.abc import AbstractStreamWriter

from geo.areas import Area, BoxArea, CellsArea
from geo.columns import Rows
from geo.spatial import cells_of
from geo.world import World
from mapsvc.bodies import Bodies
from mapsvc.listing import rows_in_box, rows_of_keys
from mapsvc.live.cursor import Cursor
from mapsvc.live.history import Mark
from mapsvc.live.hub import HEARTBEAT_S, Hub
from mapsvc.live.tick import Departure, View, joined, snapshot_event

PAGE = 200  # stations in one write of the pump: about 80 KB
LIVE_BYTES = 64 << 10  # unsent by a live subscriber
SOCKET_BYTES = 64 << 10  # the kernel's own buffer, which would grow to megabytes for one that does not read
DRAIN_S = 20.0


def rows_in(world: World, area: Area, most: int | None = None) -> Rows:
    """The stations that stand in an area, in order of num. More than `most`: some of them."""
    s, parts = world.stations, [np.zeros(0, np.int32)]
    if isinstance(area, BoxArea):
        parts += rows_in_box(world, area.box, -1)
    elif isinstance(area, CellsArea):
        for box, res, cell in area.parts():
            for rows in rows_in_box(world, box, -1):
                parts.append(rows[cells_of(s.lat[rows], s.lon[rows], res) == cell])
            if most is not None and sum(map(len, parts)) > most:
                break  # whoever asks for too much shall not have us look at all of it
    else:
        return next(iter(rows_of_keys(world, area.keys, -1)))
    rows = np.unique(np.concatenate(parts))
    return rows[np.argsort(s.num[rows])]


class Stream:
    """A Subscriber of the hub."""

    def __init__(self, world: World, bodies: Bodies, hub: Hub, area: Area, view: View) -> None:
        self.area, self.view = area, view
        self._world, self._bodies, self._hub = world, bodies, hub
        self._interrupted = asyncio.Event()
        self._ended = False
        self._sent_s = 0.0
        self._told: Mark | Cursor | None = None

    async def run(
        self, writer: AbstractStreamWriter, transport: asyncio.Transport, *, chunked: bool, given: str
    ) -> None:
        """Until the client goes, the worker ends, or the client reads too slowly. The head of the response is written;
        `given`: the `Last-Event-ID`, "" if there is none. Raises OSError or TimeoutError."""
        self._writer, self._transport, self._chunked = writer, transport, chunked
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        transport.set_write_buffer_limits(high=LIVE_BYTES)
        try:
            await self._begin(given)
            while not self._ended:
                await self._catch_up()
                await self._interrupted.wait()
                self._interrupted.clear()
        finally:
            self._hub.detach(self)

    # -- pumping ------------------------------------------------------------------------------------------------------

    async def _begin(self, given: str) -> None:
        self._told = self._hub.history.resumable(given)
        if self._told is not None:
            return
        # Cut off before its end, nobody may go on from an older id, nor without one: "0" is never resumed.
        self._write(b"id: 0\n\n")
        if given:
            await self._pump(b'event: reset\ndata: {"reason":"what changed since then is not known here"}\n\n')
        self._told = self._hub.history.mark()  # what changes while the pages go out is caught up with
        s = self._world.stations
        nums = s.num[rows_in(self._world, self.area)]
        for start in range(0, max(1, len(nums)), PAGE):
            rows = self._world.rows_of_nums(nums[start : start + PAGE])
            more = start + PAGE < len(nums)
            page = snapshot_event(self._world, self._bodies, rows[rows >= 0], self.view.wanted, more=more)
            await self._pump(page)

    async def _catch_up(self) -> None:
        """Tells what was not told, page by page; the last page and going live are one step."""
        while not self._ended:
            await self._drain()
            assert self._told is not None
            if not self._hub.history.remembers(self._told):
                await self._begin("0")
                continue
            now = self._hub.history.mark()
            rows, went = self._hub.history.since(self._told, self.area, rows_in(self._world, self.area))
            self._told = now
            if len(rows) + len(went) <= PAGE:
                self._write(self._events(rows, went) + now.line())
                self._hub.attach(self)
                return
            nums = self._world.stations.num[rows]
            await self._pump(self._events(rows[:0], went))
            for start in range(0, len(nums), PAGE):
                rows = self._world.rows_of_nums(nums[start : start + PAGE])
                await self._pump(self._events(rows[rows >= 0], []))
            self._write(now.line())

    def _events(self, rows: Rows, went: list[Departure]) -> bytes:
        if not len(rows) and not went:
            return b""
        tick = self._hub.tick(rows, np.ones(len(rows), np.bool_), went)
        return joined([tick.events(range(len(rows) + len(went)), self.view)])

    async def _pump(self, data: bytes) -> None:
        await self._drain()
        await asyncio.sleep(0)  # one that reads as fast as we write never makes us wait
        if self._transport.is_closing():
            raise ConnectionResetError
        self._write(data)

    async def _drain(self) -> None:
        """Waits until little is unsent: at most LIVE_BYTES and a page ever stand in the buffer."""
        async with asyncio.timeout(DRAIN_S):
            await self._writer.drain()

    # -- live ---------------------------------------------------------------------------------------------------------

    def tell(self, events: bytes, mark: Mark, now_s: float) -> None:
        if self._transport.is_closing():
            self._end()
        elif self._transport.get_write_buffer_size() + len(events) > LIVE_BYTES:
            self._hub.detach(self)
            self._interrupted.set()
        else:
            self._write(events)
            self._told, self._sent_s = mark, now_s

    def beat(self, line: bytes, mark: Mark, now_s: float) -> None:
        if self._transport.is_closing():
            self._end()
        elif now_s - self._sent_s >= HEARTBEAT_S:
            self._write(b":\n\n" + line)
            self._told, self._sent_s = mark, now_s

    def finish(self, line: bytes, retry_ms: int) -> None:
        self._write(b"retry: %d\n\n%b" % (retry_ms, line))
        self._end()

    def _end(self) -> None:
        self._hub.detach(self)
        self._ended = True
        self._interrupted.set()

    def _write(self, data: bytes) -> None:
        if data and not self._transport.is_closing():
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
