"""The body of a write: read in bounded time, unpacked into bounded memory. Promise R11.

aiohttp would unpack by itself, and go on unpacking a body that was refused until its end: a MiB of gzip is a GiB of
zeros, a second of CPU. So its unpacking is turned off (SERVER_OPTIONS) and this is the only one.
"""

from __future__ import annotations

import asyncio
import zlib
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web

from mapsvc.problems import Fault, Problem, TooLarge

BODY_BYTES = 1 << 20  # of a batch of statuses or a station: as sent, and again once unpacked
SMALL_BODY_BYTES = 1 << 16  # of anything else
BODY_S = 10.0  # to send it all

SERVER_OPTIONS: dict[str, Any] = {"auto_decompress": False}
"""For the web.AppRunner of an application that reads bodies."""


class TooSlow(Problem):
    status = HTTPStatus.REQUEST_TIMEOUT


async def read_packed(request: web.Request, limit: int = BODY_BYTES) -> bytes:
    """The body as it was sent. Raises Problem when it is too large, too slow or incomplete."""
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError as error:
        raise TooSlow(
            "The body did not arrive in time.", [Fault("", f"within {BODY_S:.0f} s")], in_body=True
        ) from error
    except (web.RequestPayloadError, ValueError) as error:
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
