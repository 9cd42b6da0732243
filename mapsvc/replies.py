"""Answers as values, and the one place where they become HTTP: conditional requests, encodings, caching headers."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import xxhash
from aiohttp import web

from mapsvc.tiles import Published

GZIP_FROM_BYTES = 8192  # compressing a nearby answer of 6 KB would cost more CPU than all the rest of the request
OFF_LOOP_FROM_BYTES = 65536  # longer bodies are compressed in a thread

NO_STORE = "no-store"
STATION_TILE = "public, max-age=0, s-maxage=1"  # clients revalidate, a CDN may absorb a second
AGGREGATE_TILE = "public, max-age=1"
REVALIDATE = "public, max-age=0, must-revalidate"
DESCRIPTION = "public, max-age=300"

JSON = "application/json"
GEOJSON = "application/geo+json"
MVT = "application/vnd.mapbox-vector-tile"


@dataclass(slots=True)
class Reply:
    """An answer with a JSON (or other) body. `etag`: make one from the body and honour If-None-Match."""

    body: bytes
    content_type: str = JSON
    cache_control: str = NO_STORE
    etag: bool = False
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def accepts_gzip(request: web.Request) -> bool:
    """Whether gzip may be sent (RFC 9110 12.5.3); `gzip;q=0` refuses it, `*` allows it."""
    header = request.headers.get("Accept-Encoding", "")
    if not header:
        return False
    accepted: dict[str, bool] = {}
    for item in header.lower().replace(" ", "").split(","):
        name, *parameters = item.split(";")
        accepted[name] = not any(one in ("q=0", "q=0.0", "q=0.00", "q=0.000") for one in parameters)
    return accepted.get("gzip", accepted.get("*", False))


def matches(request: web.Request, etag: str) -> bool:
    """If-None-Match by weak comparison (RFC 9110 13.1.2)."""
    tags = [tag.strip() for line in request.headers.getall("If-None-Match", ()) for tag in line.split(",")]
    return tags == ["*"] or etag in (tag.removeprefix("W/") for tag in tags)


def of_tile(request: web.Request, tile: Published, cache_control: str) -> web.Response:
    return of_published(request, tile, cache_control, MVT)


def of_published(request: web.Request, tile: Published, cache_control: str, content_type: str) -> web.Response:
    """A prepared body, packed and hashed once for all requests."""
    body, etag = tile.body, tile.etag
    headers = {"Cache-Control": cache_control, "Vary": "Accept-Encoding"}
    if tile.gzipped is not None and accepts_gzip(request):
        body, etag = tile.gzipped, tile.gzip_etag
        headers["Content-Encoding"] = "gzip"
    headers["ETag"] = etag
    if matches(request, etag):
        headers.pop("Content-Encoding", None)
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = content_type
    return web.Response(body=body, headers=headers)


async def of_reply(request: web.Request, reply: Reply) -> web.Response:
    body = reply.body
    headers = {"Cache-Control": reply.cache_control, "Vary": "Accept-Encoding", **reply.headers}
    if len(body) >= GZIP_FROM_BYTES and accepts_gzip(request):
        body = _gzip(body) if len(body) < OFF_LOOP_FROM_BYTES else await asyncio.to_thread(_gzip, body)
        headers["Content-Encoding"] = "gzip"
    if reply.etag:
        suffix = "-gz" if "Content-Encoding" in headers else ""
        headers["ETag"] = f'"{xxhash.xxh3_64_hexdigest(body)}{suffix}"'
        if matches(request, headers["ETag"]):
            headers.pop("Content-Encoding", None)
            return web.Response(status=304, headers=headers)
    headers["Content-Type"] = reply.content_type
    return web.Response(body=body, status=reply.status, headers=headers)


def _gzip(body: bytes) -> bytes:
    deflate = zlib.compressobj(1, zlib.DEFLATED, 31)
    return deflate.compress(body) + deflate.flush()
