"""Answers as values, and the one place where they become HTTP: conditional requests, encodings, caching headers.

A handler makes a `Reply` or has a `Published`; with the request's headers either becomes an `Answer`, which is sent by
aiohttp (`response_of`) or at once (mapsvc.express): both send the same fields.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import xxhash
from aiohttp import web
from multidict import CIMultiDictProxy

from mapsvc.tiles import Published

GZIP_FROM_BYTES = 16384  # compressing a nearby answer of 6 to 9 KB would cost more CPU than all the rest of the request
OFF_LOOP_FROM_BYTES = 65536  # longer bodies are compressed in a thread

NO_STORE = "no-store"
STATION_TILE = "public, max-age=0, s-maxage=1"  # clients revalidate, a CDN may absorb a second
AGGREGATE_TILE = "public, max-age=1"
REVALIDATE = "public, max-age=0, must-revalidate"
DESCRIPTION = "public, max-age=300"

JSON = "application/json"
GEOJSON = "application/geo+json"
MVT = "application/vnd.mapbox-vector-tile"

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

Headers = CIMultiDictProxy[str]


class Reply(NamedTuple):
    """An answer with a JSON (or other) body. `etag`: make one from the body and honour If-None-Match."""

    body: bytes
    content_type: str = JSON
    cache_control: str = NO_STORE
    etag: bool = False
    headers: Mapping[str, str] = NO_HEADERS


class Head(NamedTuple):
    """What the heads of many answers have in common. `content_type` is empty where there is no body."""

    status: int
    cache_control: str
    content_type: str
    gzipped: bool

    def fields(self) -> dict[str, str]:
        fields = {"Cache-Control": self.cache_control, "Vary": "Accept-Encoding"}
        if self.content_type:
            fields["Content-Type"] = self.content_type
        if self.gzipped:
            fields["Content-Encoding"] = "gzip"
        return fields


class Answer(NamedTuple):
    head: Head
    body: bytes
    etag: str = ""
    more: Mapping[str, str] = NO_HEADERS


def accepts_gzip(headers: Headers) -> bool:
    """Whether gzip may be sent (RFC 9110 12.5.3); `gzip;q=0` refuses it, `*` allows it."""
    return _gzip_in(headers.get("Accept-Encoding", ""))


@lru_cache(1024)  # clients of one kind say the same
def _gzip_in(header: str) -> bool:
    if not header:
        return False
    accepted: dict[str, bool] = {}
    for item in header.lower().replace(" ", "").split(","):
        name, *parameters = item.split(";")
        accepted[name] = not any(one in ("q=0", "q=0.0", "q=0.00", "q=0.000") for one in parameters)
    return accepted.get("gzip", accepted.get("*", False))


def matches(headers: Headers, etag: str) -> bool:
    """If-None-Match by weak comparison (RFC 9110 13.1.2)."""
    lines = headers.getall("If-None-Match", None)
    if lines is None:
        return False
    tags = [tag.strip() for line in lines for tag in line.split(",")]
    return tags == ["*"] or etag in (tag.removeprefix("W/") for tag in tags)


def answer_published(headers: Headers, published: Published, cache_control: str, content_type: str) -> Answer:
    """A prepared body, packed and hashed once for all requests."""
    gzipped = published.shrinks and accepts_gzip(headers)
    etag = published.gzip_etag if gzipped else published.etag
    if matches(headers, etag):
        return Answer(Head(304, cache_control, "", False), b"", etag)
    body = published.gzipped if gzipped else published.body
    return Answer(Head(200, cache_control, content_type, gzipped), body, etag)


def is_long(headers: Headers, reply: Reply) -> bool:
    """Whether packing it would hold up others."""
    return len(reply.body) >= OFF_LOOP_FROM_BYTES and accepts_gzip(headers)


def answer_reply(headers: Headers, reply: Reply) -> Answer:
    gzipped = len(reply.body) >= GZIP_FROM_BYTES and accepts_gzip(headers)
    return _answer_packed(headers, reply, _gzip(reply.body) if gzipped else reply.body, gzipped)


def _answer_packed(headers: Headers, reply: Reply, body: bytes, gzipped: bool) -> Answer:
    etag = ""
    if reply.etag:
        etag = f'"{xxhash.xxh3_64_hexdigest(body)}{"-gz" if gzipped else ""}"'
        if matches(headers, etag):
            return Answer(Head(304, reply.cache_control, "", False), b"", etag, reply.headers)
    return Answer(Head(200, reply.cache_control, reply.content_type, gzipped), body, etag, reply.headers)


def response_of(answer: Answer) -> web.Response:
    headers = {**answer.head.fields(), **answer.more}
    if answer.etag:
        headers["ETag"] = answer.etag
    return web.Response(
        status=answer.head.status, body=answer.body if answer.head.content_type else None, headers=headers
    )


def of_published(request: web.Request, published: Published, cache_control: str, content_type: str) -> web.Response:
    return response_of(answer_published(request.headers, published, cache_control, content_type))


async def of_reply(request: web.Request, reply: Reply) -> web.Response:
    if is_long(request.headers, reply):
        packed = await asyncio.to_thread(_gzip, reply.body)
        return response_of(_answer_packed(request.headers, reply, packed, True))
    return response_of(answer_reply(request.headers, reply))


def _gzip(body: bytes) -> bytes:
    deflate = zlib.compressobj(1, zlib.DEFLATED, 31)
    return deflate.compress(body) + deflate.flush()
