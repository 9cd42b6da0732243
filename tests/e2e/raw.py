"""HTTP/1.1 over a bare socket: says exactly what it is told to, reads answers strictly, never retries, never reconnects.

An HTTP library would hide what the tests of connections are about: it quietly sends a request again when a kept connection
turns out to be closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

MOST_BYTES = 8 << 20


class Closed(Exception):
    """The peer closed the connection between answers; `how` says how."""


class BadAnswerError(Exception):
    """What came is no HTTP answer, or only a piece of one."""


class RawAnswer(NamedTuple):
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


class Raw:
    """One connection. `async with Raw(url) as raw: await raw.send(b"GET …"); answer = await raw.answer()`"""

    def __init__(self, url: str, within_s: float = 10.0) -> None:
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        self.host = f"{parts.hostname}:{parts.port}"
        self._address = (parts.hostname, parts.port)
        self._within_s = within_s

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(self._within_s):
            self._reader, self.writer = await asyncio.open_connection(*self._address, limit=MOST_BYTES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.transport.abort()

    async def send(self, data: bytes) -> None:
        """What the peer does not take any more is lost without a word, as on any socket."""
        try:
            self.writer.write(data)
            async with asyncio.timeout(self._within_s):
                await self.writer.drain()
        except ConnectionError:
            pass

    async def ask(self, path: str, *, method: str = "GET", headers: str = "", body: bytes = b"") -> RawAnswer:
        length = f"Content-Length: {len(body)}\r\n" if body or method in ("POST", "PUT") else ""
        await self.send(f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\n{headers}{length}\r\n".encode() + body)
        return await self.answer(method)

    async def answer(self, method: str = "GET", within_s: float | None = None) -> RawAnswer:
        """The next final answer. Raises Closed if there is none, TimeoutError if nothing happens at all."""
        async with asyncio.timeout(within_s or self._within_s):
            while True:
                answer = await self._read(method)
                if answer.status >= 200:
                    return answer

    async def closed(self, within_s: float) -> None:
        """Waits until the peer closes without another byte."""
        async with asyncio.timeout(within_s):
            try:
                more = await self._reader.read(1000)
            except ConnectionError:
                return
            if more:
                raise BadAnswerError(f"more came: {more!r}")

    async def _read(self, method: str) -> RawAnswer:
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise BadAnswerError(f"half a head: {error.partial!r}") from error
            raise Closed("end of stream") from error
        except ConnectionError as error:
            raise Closed(type(error).__name__) from error
        lines = head[:-4].decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or not rest[:3].isdigit():
            raise BadAnswerError(f"no status line: {lines[0]!r}")
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or name != name.strip() or name.lower() in headers:
                raise BadAnswerError(f"header line: {line!r}")
            headers[name.lower()] = value.strip()
        status = int(rest[:3])
        try:
            return RawAnswer(status, headers, await self._body(status, method, headers))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise BadAnswerError(f"half a body after {lines[0]!r}") from error

    async def _body(self, status: int, method: str, headers: Mapping[str, str]) -> bytes:
        if method == "HEAD" or status in (204, 304) or status < 200:
            return b""
        if "content-length" in headers:
            return await self._reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                body += (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readexactly(2)
            return body
        return await self._reader.read()
