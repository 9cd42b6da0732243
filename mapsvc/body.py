"""The body of a write: read in bounded time, unpacked into bounded memory. Promise R11.

aiohttp would unpack by itself, and go on unpacking a body that was refused until its end: a MiB of gzip is a GiB of
zeros, a second of CPU. So its unpacking is turned off (SERVER_OPTIONS) and this is the only one.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from mapsvc.problems import Fault, Problem, TooLarge, Unavailable

BODY_BYTES = 1 << 20  # of a batch of statuses or a station: as sent, and again once unpacked
SMALL_BODY_BYTES = 1 << 16  # of anything else
BODY_S = 10.0  # to send it all

SERVER_OPTIONS: dict[str, Any] = {"auto_decompress": False}
"""For the web.AppRunner of an application that reads bodies."""


class TooSlow(Problem):
    status = HTTPStatus.REQUEST_TIMEOUT


class Budget:
    """How many bytes of bodies one process holds at a time, over all its requests."""

    def __init__(self, most: int) -> None:
        self._left = most

    @contextmanager
    def share(self) -> Iterator[Share]:
        share = Share(self)
        try:
            yield share
        finally:
            self._left += share.taken

    def take(self, count: int) -> None:
        if count > self._left:
            raise Unavailable("Too many writes are in hand.", 2)
        self._left -= count


class Share:
    """What one request has of it."""

    def __init__(self, budget: Budget) -> None:
        self.taken = 0
        self._budget = budget

    def take(self, count: int) -> None:
        """Raises Unavailable when there is no more."""
        self._budget.take(count)
        self.taken += count


async def read_packed(
    request: web.Request, limit: int = BODY_BYTES, take: Callable[[int], None] = lambda _: None
) -> bytes:
    """The body as it was sent. Raises Problem when it is too large, too slow or incomplete. `take` is told of every byte and
    may raise."""
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.content.iter_any():
                take(len(piece))
                body += piece
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError as error:
        raise TooSlow(
            "The body did not arrive in time.", [Fault("", f"within {BODY_S:.0f} s")], in_body=True
        ) from error
    except (web.RequestPayloadError, ConnectionError, ValueError) as error:  # ConnectionError: the client left
        raise Problem(
            "The body cannot be read as it is declared.", [Fault("", "a complete body")], in_body=True
        ) from error
    return bytes(body)


async def read_body(request: web.Request, limit: int = BODY_BYTES) -> bytes:
    """The body, unpacked. Raises Problem."""
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    return unpack(await read_packed(request, limit), encoding, limit)


def unpack(packed: bytes, encoding: str, limit: int = BODY_BYTES) -> bytes:
    """Raises Problem. Costs what `limit` bytes cost, however much the body would become."""
    if encoding == "identity" or not packed:
        return packed
    if encoding in ("gzip", "x-gzip"):
        window = 31
    elif encoding == "deflate":
        window = 15 if packed[0] & 0x0F == 8 else -15  # RFC 1950 with its header; some senders leave it out
    else:
        raise Problem("The body's encoding is not understood.", [Fault("Content-Encoding", "gzip, deflate or none")])
    unpacker = zlib.decompressobj(window)
    try:
        body = unpacker.decompress(packed, limit + 1)
    except zlib.error as error:
        raise Problem("The body is not what its encoding says.", [Fault("", encoding)], in_body=True) from error
    if len(body) > limit:
        raise _too_large(limit)
    # One stream and nothing behind it: a MiB of tiny ones would be 50,000.
    if not unpacker.eof or unpacker.unused_data:
        raise Problem("The body is not what its encoding says.", [Fault("", f"one {encoding} stream")], in_body=True)
    return body


def _too_large(limit: int) -> Problem:
    fault = Fault("", f"at most {limit} bytes, after decompression")
    return TooLarge("The body is too large.", [fault], in_body=True)
