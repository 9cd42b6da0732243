"""A hand-written EventSource (WHATWG HTML 9.2) over a raw socket: reads a chunked stream, remembers the last id, and comes back
with it whenever it is cut off."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from tests.mapsvc.live_push.client import Map


class EventSource:
    """`map` is what a page that only listens would hold."""

    def __init__(self, url: str, path: str) -> None:
        self.map = Map()
        self.connections = 0
        self.refused: list[bytes] = []
        self.ended = asyncio.Event()  # set whenever the server ended a connection
        self._host, self._port = urlsplit(url).hostname or "", urlsplit(url).port or 0
        self._path = path
        self._task = asyncio.create_task(self._for_ever())
        self._writer: asyncio.StreamWriter | None = None

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def cut(self) -> None:
        """As a tunnel does: no goodbye."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def _for_ever(self) -> None:
        while True:
            with suppress(OSError, EOFError):
                await self._connect()
            self.ended.set()
            await asyncio.sleep(min(0.2, self.map.retry_ms / 1000))

    async def _connect(self) -> None:
        reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 24)
        try:
            resume = f"Last-Event-ID: {self.map.last_event_id}\r\n" if self.map.last_event_id else ""
            self._writer.write(
                f"GET {self._path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n{resume}\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n")[0]:
                self.refused.append(head)
                return
            assert b"text/event-stream" in head
            self.connections += 1
            self.map.forget_part()
            while True:
                size = int(await reader.readuntil(b"\r\n"), 16)
                chunk = await reader.readexactly(size + 2)
                if not size:
                    return
                self.map.feed(chunk[:-2])
        finally:
            self._writer.transport.abort()

    def counts(self) -> dict[str, tuple[int, int]]:
        """Free and busy EVSEs."""
        return {name: (s["evses"]["available"], s["evses"]["busy"]) for name, s in self.map.stations.items()}

    def available(self) -> dict[str, int]:
        return {name: station["evses"]["available"] for name, station in self.map.stations.items()}

    def station(self, name: str) -> dict[str, Any] | None:
        return self.map.stations.get(name)
