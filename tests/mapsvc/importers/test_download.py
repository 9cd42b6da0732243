"""URLs: fetched within limits from servers of our own on loopback, and refused whatever they do wrong."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from mapsvc.importers.download import LIMITS, Limits, is_url, local_file, shown_name
from mapsvc.importers.report import UnreadableFile
from mapsvc.importers.source import open_source

BODY = b"".join(b"line %d\n" % k for k in range(20_000))
QUICK = Limits(size_bytes=1 << 20, connect_s=2, silence_s=0.4, total_s=1.5, redirects=3)


async def plain(request: web.Request) -> web.Response:
    assert "gzip" not in request.headers["Accept-Encoding"]
    return web.Response(body=BODY)


async def zipped(request: web.Request) -> web.Response:
    headers = {"Content-Encoding": "gzip"} if request.path.endswith("sent") else {}
    return web.Response(body=gzip.compress(BODY), headers=headers)


async def hop(request: web.Request) -> web.Response:
    left = int(request.match_info["left"])
    raise web.HTTPFound(f"/hop/{left - 1}" if left else "/plain.csv")


async def elsewhere(request: web.Request) -> web.Response:
    raise web.HTTPFound({"file": "file:///etc/hostname", "ftp": "ftp://127.0.0.1/x"}[request.match_info["to"]])


async def missing(request: web.Request) -> web.Response:
    return web.Response(status=int(request.match_info["status"]), text="<html>")


async def endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b"x" * 65_536)


async def announced(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": str(1 << 40)})
    await answer.prepare(request)
    return answer


async def silent(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    await asyncio.sleep(30)
    return answer


async def trickling(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b"x")
        await asyncio.sleep(0.1)


async def torn(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": str(len(BODY))})
    await answer.prepare(request)
    await answer.write(BODY[:1000])
    assert request.transport is not None
    request.transport.abort()
    return answer


@pytest.fixture
async def url() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/plain.csv", plain)
    app.router.add_get("/folder/zipped.csv.gz", zipped)
    app.router.add_get("/sent", zipped)
    app.router.add_get("/hop/{left}", hop)
    app.router.add_get("/to/{to}", elsewhere)
    app.router.add_get("/status/{status}", missing)
    handlers: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
        "/endless": endless,
        "/announced": announced,
        "/silent": silent,
        "/trickling": trickling,
        "/torn": torn,
    }
    for path, handler in handlers.items():
        app.router.add_get(path, handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("path", ["/plain.csv", "/folder/zipped.csv.gz?key=secret", "/sent", "/hop/3"])
async def test_what_a_url_answers_is_a_file_for_a_while(url: str, path: str) -> None:
    async with local_file(url + path) as local:
        with open_source(local, most_bytes=LIMITS.size_bytes) as source:
            assert source.read() == BODY
        assert "secret" not in local.name
        assert (local.read_bytes() == BODY) is (path in ("/plain.csv", "/hop/3")), "stored as it was sent"
    assert not local.exists()


async def test_a_path_is_itself(tmp_path: Path) -> None:
    async with local_file(str(tmp_path / "a?b.csv")) as local:
        assert local == tmp_path / "a?b.csv"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/hop/4", "too many redirects"),
        ("/to/file", "redirected to something else"),
        ("/to/ftp", "redirected to something else"),
        ("/status/404", "answers 404"),
        ("/status/500", "answers 500"),
        ("/status/204", "answers 204"),
        ("/endless", "more than 1048576 bytes"),
        ("/announced", "1099511627776 bytes, more than"),
        ("/silent", "no answer in time"),
        ("/trickling", "no answer in time"),
        ("/torn", "breaks off"),
    ],
)
async def test_an_answer_that_is_no_file_is_refused_in_time(url: str, path: str, why: str) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(UnreadableFile, match=why) as refused:
            async with local_file(f"{url}{path}?key=secret", QUICK):
                pass
    assert "secret" not in refused.value.reason


async def test_silence_is_cut_short_long_before_the_whole_time_is_over(url: str) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(UnreadableFile, match="no answer in time"):
            async with local_file(f"{url}/silent", QUICK._replace(total_s=60)):
                pass


@pytest.mark.parametrize(
    "name",
    [
        "ftp://127.0.0.1/x",
        "file:///etc/hostname",
        "http://",
        "http://[::1",
        "gopher://x",
        "http://127.0.0.1:99999/",
        "HTTPS://",
    ],
)
async def test_other_schemes_and_broken_urls_are_refused(name: str) -> None:
    assert is_url(name)
    with pytest.raises(UnreadableFile):
        async with local_file(name, QUICK):
            pass


async def test_a_server_that_is_not_there(unused_port: int) -> None:
    with pytest.raises(UnreadableFile, match=r"[Rr]efused|Connect"):
        async with local_file(f"http://127.0.0.1:{unused_port}/x", QUICK):
            pass


@pytest.fixture
async def unused_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_a_download_that_unpacks_beyond_its_limit_is_refused(url: str) -> None:
    async with local_file(url + "/folder/zipped.csv.gz", QUICK) as local:
        with pytest.raises(UnreadableFile, match="unpacks to more"), open_source(local, most_bytes=10_000) as source:
            source.read()


def test_names_are_shown_without_what_may_be_secret() -> None:
    assert shown_name("https://me:pass@example.org/a.csv?key=1#x") == "https://example.org/a.csv"
    assert shown_name("./odd?name@2.csv") == "./odd?name@2.csv"
    assert [is_url(name) for name in ("a.csv", "C:\\a.csv", "./http://x", "http:/x", "https://x/y")] == [False] * 4 + [
        True
    ]
