"""How answers become HTTP: conditional requests, encodings, HEAD, caching headers. Over a real connection. R6, R7."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import orjson
import pytest
import xxhash
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from geo.station import Status
from geo.world import World
from mapsvc.bodies import Bodies
from mapsvc.guard import Guard
from mapsvc.limits import RateLimit
from mapsvc.metrics import Metrics
from mapsvc.reading import Reader
from mapsvc.replies import (
    GZIP_FROM_BYTES,
    MVT,
    OFF_LOOP_FROM_BYTES,
    Reply,
    accepts_gzip,
    matches,
    of_published,
    of_reply,
)
from mapsvc.tiles import GZIP_FROM_BYTES as TILE_GZIP_FROM_BYTES
from mapsvc.tiles import Published, Tiles
from tests.geo.model_world import State, Told, mercator
from tests.geo.worlds import START_MS, make_evse, make_station, packed
from tests.mapsvc.roads.without import no_drive_times
from tests.mapsvc.test_bodies import packed_record

Client = TestClient[web.Request, web.Application]

SMALL, MIDDLE, LARGE = b"{}", b"[%b]" % (b"1," * GZIP_FROM_BYTES), b"[%b]" % (b"12," * OFF_LOOP_FROM_BYTES)
BODIES = {"small": SMALL, "middle": MIDDLE, "large": LARGE}
TILE = Published(b"\x1a" + b"tile" * TILE_GZIP_FROM_BYTES)
TINY = Published(b"\x1a\x01")
EMPTY = Published(b"")

GZIP = {"Accept-Encoding": "gzip"}
PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Replies of all sizes, tiles, and the real read handlers over a world of one station."""

    async def body(request: web.Request) -> web.Response:
        return await of_reply(request, Reply(BODIES[request.match_info["size"]], etag="etag" in request.query))

    async def tile(request: web.Request) -> web.Response:
        published = {"tile": TILE, "tiny": TINY, "empty": EMPTY}[request.match_info["size"]]
        return of_published(request, published, "public, max-age=1", MVT)

    world = World()
    told = Told(1, 1, make_station(3, 48.8566, 2.3522, [make_evse(0)]))
    world.put([packed_record(told)], packed([State(1, 0, 2, Status.AVAILABLE, START_MS, START_MS)]), START_MS)
    reader = Reader(
        world, Tiles(world), Bodies(world), lambda: START_MS, lambda: True, "http://maps.test", no_drive_times(world)
    )
    app = web.Application(middlewares=[Guard(Metrics("test"), RateLimit(0)).middleware()])
    app.add_routes([web.get("/body/{size}", body), web.get("/tile/{size}", tile), *reader.routes()])
    async with TestClient(TestServer(app), auto_decompress=False) as client:
        yield client


def vary_of(answer: ClientResponse) -> str:
    return answer.headers["Vary"]


# -- encodings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (None, False), ("", False), ("gzip", True), ("GZIP", True), ("gzip, deflate, br", True), ("br, gzip", True),
        ("*", True), ("identity", False), ("deflate", False), ("x-gzip", False), ("gzip;q=1", True), ("gzip;q=0.001", True),
        ("gzip;q=0", False), ("gzip;q=0.0", False), ("gzip; q=0.000", False), ("gzip ; Q=0", False), ("*;q=0", False),
        ("*, gzip;q=0", False), ("gzip;q=0, *", False), ("gzip, *;q=0", True), ("*;q=0.5, identity;q=0", True),
        ("deflate;q=0, gzip;q=0.2", True), (",,;;=", False), ("gzip;", True), ("gzip;level=9;q=0", False),
    ],
)  # fmt: skip
def test_gzip_is_sent_to_those_who_take_it(header: str | None, accepted: bool) -> None:
    headers = {} if header is None else {"Accept-Encoding": header}
    assert accepts_gzip(make_mocked_request("GET", "/", headers).headers) == accepted


@pytest.mark.parametrize(("size", "shrinks"), [("small", False), ("middle", True), ("large", True)])
async def test_long_bodies_shrink_for_those_who_take_gzip(client: Client, size: str, shrinks: bool) -> None:
    plain = await client.get(f"/body/{size}", headers=PLAIN)
    zipped = await client.get(f"/body/{size}", headers=GZIP)
    for answer in (plain, zipped):
        assert answer.status == 200
        assert vary_of(answer) == "Accept-Encoding"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"] == "application/json"
        assert int(answer.headers["Content-Length"]) == len(await answer.read())
    assert "Content-Encoding" not in plain.headers and await plain.read() == BODIES[size]
    if shrinks:
        assert zipped.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(await zipped.read()) == BODIES[size]
        assert (await zipped.read())[4:8] == bytes(4)  # no time of day in it: equal bytes on every worker
    else:
        assert "Content-Encoding" not in zipped.headers and await zipped.read() == BODIES[size]


async def test_tiles_come_in_the_form_they_were_published_in(client: Client) -> None:
    for size, tile in (("tile", TILE), ("tiny", TINY), ("empty", EMPTY)):
        for headers in (PLAIN, GZIP):
            answer = await client.get(f"/tile/{size}", headers=headers)
            zipped = headers is GZIP and tile.shrinks
            assert (answer.status, await answer.read()) == (200, tile.gzipped if zipped else tile.body)
            assert answer.headers["ETag"] == (tile.gzip_etag if zipped else tile.etag)
            assert ("Content-Encoding" in answer.headers) == zipped
            assert answer.headers["Content-Type"] == "application/vnd.mapbox-vector-tile"
            assert answer.headers["Cache-Control"] == "public, max-age=1"
            assert vary_of(answer) == "Accept-Encoding"
    assert gzip.decompress(TILE.gzipped) == TILE.body
    assert (TILE.shrinks, TINY.shrinks, EMPTY.shrinks) == (True, False, False)


def test_an_etag_is_a_hash_of_what_is_sent_and_tells_encodings_apart() -> None:
    assert TILE.etag == f'"{xxhash.xxh3_64_hexdigest(TILE.body)}"'
    assert TILE.gzip_etag == f'"{xxhash.xxh3_64_hexdigest(TILE.body)}-gz"'
    assert Published(TILE.body) == TILE
    assert len({TILE.etag, TILE.gzip_etag, TINY.etag, EMPTY.etag}) == 4


# -- conditional requests ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "matched"),
    [
        (None, False), ('"abc"', True), ('W/"abc"', True), ("*", True), (" * ", True), ('"x", "abc"', True),
        ('"x","y" , W/"abc"', True), ('"x"', False), ("abc", False), ('"ABC"', False), ('"abc-gz"', False), ("", False),
        ('w/"abc"', False), ('"abc', False), (",,,", False), ('"x" "abc"', False),
    ],
)  # fmt: skip
def test_if_none_match_is_compared_weakly(header: str | None, matched: bool) -> None:
    headers = {} if header is None else {"If-None-Match": header}
    assert matches(make_mocked_request("GET", "/", headers).headers, '"abc"') == matched


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/tile/tile", "/tile/tiny", "/tile/empty", "/body/small?etag", "/body/middle?etag"])
@pytest.mark.parametrize("encoding", [PLAIN, GZIP], ids=["plain", "gzip"])
async def test_who_has_it_already_gets_a_304_without_a_body(
    client: Client, method: str, path: str, encoding: dict[str, str]
) -> None:
    first = await client.request(method, path, headers=encoding)
    etag = first.headers["ETag"]
    for condition in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = await client.request(method, path, headers={**encoding, "If-None-Match": condition})
        assert (again.status, await again.read()) == (304, b"")
        for name in ("ETag", "Cache-Control", "Vary"):  # RFC 9110 15.4.5
            assert again.headers[name] == first.headers[name]
        assert "Content-Encoding" not in again.headers
        assert "Content-Type" not in again.headers
        assert again.headers["Access-Control-Allow-Origin"] == "*"
    other = await client.request(method, path, headers={**encoding, "If-None-Match": '"other"'})
    assert (other.status, other.headers["ETag"]) == (200, etag)


async def test_the_etag_of_one_encoding_is_not_that_of_another(client: Client) -> None:
    """Else a cache could hand packed bytes to one who did not ask for them."""
    plain = (await client.get("/tile/tile", headers=PLAIN)).headers["ETag"]
    zipped = (await client.get("/tile/tile", headers=GZIP)).headers["ETag"]
    assert plain != zipped
    assert (await client.get("/tile/tile", headers={**GZIP, "If-None-Match": plain})).status == 200
    assert (await client.get("/tile/tile", headers={**PLAIN, "If-None-Match": zipped})).status == 200


async def test_a_condition_may_stand_in_several_lines(client: Client) -> None:
    """RFC 9110 5.3: lines of one name are one list."""
    answer = await client.get(
        "/tile/tile", headers=[("If-None-Match", '"x"'), ("If-None-Match", TILE.etag), *PLAIN.items()]
    )
    assert answer.status == 304


async def test_without_an_etag_there_is_no_304(client: Client) -> None:
    answer = await client.get("/body/small", headers={"If-None-Match": "*"})
    assert answer.status == 200 and "ETag" not in answer.headers


@pytest.mark.parametrize("path", ["/tile/tile", "/tile/tiny", "/body/small", "/body/middle?etag", "/body/large"])
@pytest.mark.parametrize("encoding", [PLAIN, GZIP], ids=["plain", "gzip"])
async def test_head_says_what_get_would_and_sends_nothing(client: Client, path: str, encoding: dict[str, str]) -> None:
    got, head = await client.get(path, headers=encoding), await client.head(path, headers=encoding)
    assert (head.status, await head.read()) == (200, b"")
    same = ("Content-Length", "Content-Type", "Content-Encoding", "ETag", "Cache-Control", "Vary")
    assert [head.headers.get(name) for name in same] == [got.headers.get(name) for name in same]


# -- the read handlers ------------------------------------------------------------------------------------------------

TILE_PATH = "/v1/tiles/stations/{}/{}/{}.mvt".format(14, *mercator(48.8566, 2.3522, 14)[:2])


@pytest.mark.parametrize(
    ("path", "cached"),
    [
        (TILE_PATH, "public, max-age=0, s-maxage=1"), (f"{TILE_PATH}?available", "public, max-age=0, s-maxage=1"),
        ("/v1/tiles/stations/0/0/0.mvt", "public, max-age=1"), ("/v1/tiles/stations.json", "public, max-age=300"),
        ("/v1/stations/DE*ABC~L3", "public, max-age=0, must-revalidate"), ("/v1/stations/de%2Aabc%7El3", None),
        ("/v1/nearby?lat=48.8566&lon=2.3522", "no-store"), ("/v1/stations?bbox=2,48,3,49", "no-store"),
    ],
)  # fmt: skip
async def test_every_read_says_how_long_it_may_be_kept(client: Client, path: str, cached: str | None) -> None:
    answer = await client.get(path)
    assert answer.status == 200
    assert cached is None or answer.headers["Cache-Control"] == cached
    assert vary_of(answer) == "Accept-Encoding"
    assert ("ETag" in answer.headers) == (cached != "no-store")
    head = await client.head(path)
    assert (head.status, await head.read()) == (200, b"")
    assert head.headers.get("ETag") == answer.headers.get("ETag")


async def test_tilejson_keeps_the_filter(client: Client) -> None:
    told = await (await client.get("/v1/tiles/stations.json?available&connector=chademo", headers=PLAIN)).json()
    assert told["tiles"] == ["http://maps.test/v1/tiles/stations/{z}/{x}/{y}.mvt?available&connector=chademo"]
    assert {layer["id"] for layer in told["vector_layers"]} == {"stations", "aggregates"}


@pytest.mark.parametrize(
    "path",
    [
        "15/0/0", "14/16384/0", "14/0/16384", "0/1/0", "11/2048/0", "10/0/1024", "99/0/0", "0/999999999/0",
    ],
)  # fmt: skip
async def test_a_tile_that_is_not_there_is_a_400_that_says_what_is(client: Client, path: str) -> None:
    answer = await client.get(f"/v1/tiles/stations/{path}.mvt")
    told = orjson.loads(await answer.read())
    assert (answer.status, answer.content_type) == (400, "application/problem+json")
    assert told["errors"][0]["parameter"] == "z/x/y" and "must be from 0 to" in told["errors"][0]["allowed"]


@pytest.mark.parametrize("path", ["a/0/0", "-1/0/0", "1.5/0/0", "0/0/0.5", "100/0/0", "%D9%A1/0/0", "0/0/0%0a"])
async def test_what_is_no_tile_number_is_no_resource(client: Client, path: str) -> None:
    assert (await client.get(f"/v1/tiles/stations/{path}.mvt")).status == 404


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/nearby?lat=1&lon=2&operator=\xff", b"/v1/nearby?\xff=1", b"/v1/stations?ids=\xff", b"/v1/stations/\xff",
        b"/v1/tiles/stations.json?operator=\xff", b"/v1/tiles/stations.json?operator=%ff", b"/v1/stations/%ff%00",
        b"/v1/nearby?lat=1&lon=2&operator=\xc3\xa9", b"/v1/nearby?lat=%00", b"/v1/stations/a%2Fb%zz",
    ],
)  # fmt: skip
async def test_raw_bytes_in_a_request_line_are_answered_and_never_with_a_5xx(client: Client, target: bytes) -> None:
    assert client.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    status = int(answer.split(b" ", 2)[1])
    assert 200 <= status < 500, answer[:300]
