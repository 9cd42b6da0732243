"""A cable between a client and a service that can be cut, and mended."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from mapsvc import spawn

CHUNK_BYTES = 65_536


class CutProxy:
    """`async with CutProxy(url) as cable: cable.url`."""

    def __init__(self, url: str) -> None:
        to = urlsplit(url)
        self._to = to.hostname, to.port
        self._port = spawn.free_port()
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)

    async def cut(self) -> None:
        """Every connection ends, and none is taken any more."""
        if self._server is not None:
            self._server.close()
        for task in list(self._carrying):
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        onward: asyncio.StreamWriter | None = None
        try:
            back, onward = await asyncio.open_connection(*self._to)
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, onward))
                group.create_task(_copy(back, writer))
        except* (OSError, EOFError):
            pass
        finally:
            self._carrying.discard(task)
            for one in (writer, onward):
                if one is not None:
                    one.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    raise EOFError  # the other direction ends too
