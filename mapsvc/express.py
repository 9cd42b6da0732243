"""The short way of hot reads: from a parsed request to the bytes of its answer, without a task, a request object or a
response object of aiohttp. Half of a hot tile's cost, and more, was in these.

It takes GETs of nearby, tiles, TileJSON and single stations that are asked for in the plainest way, which nearly all are;
whatever is out of the ordinary (other methods, HTTP/1.0, `Connection: close`, bodies, pipelining, slow readers, a worker that
drains, anything that ends in an error) it leaves to aiohttp's application by answering None, before anything was sent.
Invariant: what it answers equals what the application would have answered, field by field.
Oracle: tests/mapsvc/test_express.py sends the same bytes both ways.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache, partial
from http import HTTPStatus

from aiohttp import HttpVersion11
from aiohttp.http import SERVER_SOFTWARE
from aiohttp.http_parser import RawRequestMessage

from geo.filters import NO_FILTER, Filter
from geo.tilemath import Tile
from mapsvc.guard import CORS, Guard
from mapsvc.openapi import reads
from mapsvc.openapi.operation import Operation
from mapsvc.params import NearbyQuery, parse_nearby, parse_tile_filter
from mapsvc.problems import Problem
from mapsvc.reading import Reader, caching_of, tile_at
from mapsvc.replies import MVT, Answer, Head, Headers, Reply, answer_published, answer_reply, is_long
from mapsvc.shape import PLAIN

log = logging.getLogger(__name__)

MAX_FILTERS = 2048  # of tiles, that are read once
MAX_TILES = 20_000  # tiles whose path is read once: 5 MB
MAX_PATH = 200  # characters of a path that may be remembered

# What yarl would leave as it is, so that the query means the same both ways.
_PLAIN_QUERY = re.compile(r"[A-Za-z0-9_=&.,*~+-]*(?:%[0-9A-Fa-f]{2}[A-Za-z0-9_=&.,*~+-]*)*")
_TILE = re.compile(r"/v1/tiles/stations/([0-9]{1,9})/([0-9]{1,9})/([0-9]{1,9})\.mvt(?:\?(.*))?")
_TILEJSON = re.compile(r"/v1/tiles/stations\.json(?:\?(.*))?")
_STATION = re.compile(r"/v1/stations/([A-Za-z0-9_.*~-]+)")
_NEARBY = "/v1/nearby?"
_TILES = "/v1/tiles/stations/"

Target = Callable[[Headers], Answer | None]


class Express:
    def __init__(self, reader: Reader, guard: Guard) -> None:
        self._reader = reader
        self._guard = guard
        self._described = lru_cache(MAX_FILTERS)(reader.describe_tiles)
        self._date_s = 0
        self._date = b""

    def is_plain(self, message: RawRequestMessage) -> bool:
        """Whether nothing but its path decides if it is answered here. `message` has no body."""
        return (
            message.method == "GET"
            and message.version == HttpVersion11
            and not (message.should_close or message.upgrade or "Expect" in message.headers)
        )

    def answer(self, path: str, headers: Headers, network: str) -> bytes | None:
        """The whole answer to a plain message, or None: the application answers. `network` asks. Never raises."""
        began = time.perf_counter()
        try:
            found = self._find(path)
            if found is None or not self._guard.admits(network):
                return None
            operation, target = found
            answer = target(headers)
        except Problem:
            return None  # the application says what is wrong
        except Exception:
            log.exception("a request failed on the short way")  # not which: a path may tell where somebody is
            return None
        if answer is None:
            return None
        sent = self._wire(answer)
        self._guard.observe(operation.path, "GET", answer.head.status, time.perf_counter() - began)
        return sent

    # -- what is asked for --------------------------------------------------------------------------------------------

    def _find(self, path: str) -> tuple[Operation, Target] | None:
        """What is asked for, and how to answer it. Raises Problem."""
        if path.startswith(_NEARBY):
            query = path[len(_NEARBY) :]
            return (reads.NEARBY, partial(self._nearby, parse_nearby(query))) if _PLAIN_QUERY.fullmatch(query) else None
        if len(path) > MAX_PATH:
            return None
        if path.startswith(_TILES) and (asked := _tile_asked(path)) is not None:
            return reads.TILE, partial(self._tile, *asked)
        if match := _STATION.fullmatch(path):
            return reads.STATION, partial(self._station, match[1])
        if match := _TILEJSON.fullmatch(path):
            query = match[1] or ""
            return (reads.TILEJSON, partial(self._tilejson, query)) if _PLAIN_QUERY.fullmatch(query) else None
        return None

    def _nearby(self, query: NearbyQuery, headers: Headers) -> Answer | None:
        if query.by_drive:
            return None  # waits for Valhalla
        return _short(headers, self._reader.find_nearby(query))

    def _tile(self, tile: Tile, wanted: Filter, headers: Headers) -> Answer | None:
        found = self._reader.find_tile(tile, wanted)
        return None if found is None else answer_published(headers, found, caching_of(tile), MVT)

    def _station(self, key: str, headers: Headers) -> Answer | None:
        return _short(headers, self._reader.find_station(key, PLAIN))

    def _tilejson(self, query: str, headers: Headers) -> Answer | None:
        return _short(headers, self._described(query))

    # -- what is sent -------------------------------------------------------------------------------------------------

    def _wire(self, answer: Answer) -> bytes:
        now_s = int(time.time())
        if now_s != self._date_s:
            self._date_s, self._date = now_s, formatdate(now_s, usegmt=True).encode()
        etag = b"ETag: %b\r\n" % answer.etag.encode() if answer.etag else b""
        if not answer.head.content_type:
            return b"%b%bDate: %b\r\n\r\n" % (_beginning(answer.head), etag, self._date)
        length = len(answer.body)
        return b"%b%bContent-Length: %d\r\nDate: %b\r\n\r\n%b" % (
            _beginning(answer.head), etag, length, self._date, answer.body,
        )  # fmt: skip


_tile_filter = lru_cache(MAX_FILTERS)(parse_tile_filter)


@lru_cache(MAX_TILES)
def _tile_asked(path: str) -> tuple[Tile, Filter] | None:
    """None: for no tile, or not plainly. Raises Problem."""
    match = _TILE.fullmatch(path)
    if match is None:
        return None
    z, x, y, query = match.groups()
    if query is None:
        return tile_at(z, x, y), NO_FILTER
    return (tile_at(z, x, y), _tile_filter(query)) if _PLAIN_QUERY.fullmatch(query) else None


def _short(headers: Headers, reply: Reply) -> Answer | None:
    return None if is_long(headers, reply) or reply.headers else answer_reply(headers, reply)


@lru_cache(64)
def _beginning(head: Head) -> bytes:
    fields = {**head.fields(), **CORS, "Server": SERVER_SOFTWARE}
    lines = [
        f"HTTP/1.1 {head.status} {HTTPStatus(head.status).phrase}",
        *(f"{name}: {value}" for name, value in fields.items()),
    ]
    return "\r\n".join([*lines, ""]).encode()
