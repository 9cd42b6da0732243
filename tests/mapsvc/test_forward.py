"""API workers hand writes to ingest as they are: what passes, what does not, and what they say when ingest is away."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from multidict import CIMultiDict

from mapsvc import forward
from mapsvc.body import BODY_BYTES, SERVER_OPTIONS, SMALL_BODY_BYTES
from mapsvc.forward import Forwarder
from mapsvc.guard import Guard
from mapsvc.limits import RateLimit
from mapsvc.metrics import Metrics
from mapsvc.spawn import free_port
from tests.e2e.raw import Raw

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Ingest:
    """Stands in for ingest: keeps what it was asked, answers as told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, CIMultiDict[str], bytes]] = []
        self.answer: Handler = self.fine

    async def fine(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=b'{"outcomes":[]}', headers={"Idempotency-Replayed": "true", "X-Inner": "secret"})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.raw_path, request.headers.copy(), await request.read()))
        return await self.answer(request)


async def serve(application: web.Application, runners: list[web.AppRunner]) -> str:
    runner = web.AppRunner(application, **SERVER_OPTIONS)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    runners.append(runner)
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest_asyncio.fixture
async def runners() -> AsyncIterator[list[web.AppRunner]]:
    runners: list[web.AppRunner] = []
    yield runners
    for runner in runners:
        await runner.cleanup()


@pytest_asyncio.fixture
async def ingest() -> Ingest:
    return Ingest()


async def api(ingest_url: str | None, runners: list[web.AppRunner]) -> str:
    forwarder = Forwarder(ingest_url)
    guard = Guard(Metrics("test"), RateLimit(0))
    application = web.Application(client_max_size=BODY_BYTES, middlewares=[guard.middleware()])
    application.add_routes(forwarder.routes())
    application.cleanup_ctx.append(forwarder.run)
    return await serve(application, runners)


@pytest_asyncio.fixture
async def url(ingest: Ingest, runners: list[web.AppRunner]) -> str:
    inner = web.Application(client_max_size=BODY_BYTES)
    inner.router.add_route("*", "/{path:.*}", ingest.handle)
    return await api(await serve(inner, runners), runners)


@pytest_asyncio.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        headers={"Authorization": "Bearer msk_x"}, timeout=aiohttp.ClientTimeout(total=30)
    ) as session:
        yield session


async def test_method_path_body_and_the_headers_that_matter_pass_and_no_others(
    url: str, ingest: Ingest, client: aiohttp.ClientSession
) -> None:
    headers = {
        "Authorization": "Bearer key", "Content-Type": "application/x-ndjson", "Idempotency-Key": "k", "Cookie": "a=b",
        "X-Forwarded-For": "1.2.3.4", "Origin": "https://evil.example",
    }  # fmt: skip
    async with client.put(f"{url}/v1/stations/FR*TST~a%2Fb%20%C3%A9", data=b"doc", headers=headers) as response:
        assert response.status == 200
        assert await response.read() == b'{"outcomes":[]}'
        assert response.headers["Idempotency-Replayed"] == "true"
        assert "X-Inner" not in response.headers
    ((method, path, told, body),) = ingest.asked
    assert (method, path, body) == ("PUT", "/v1/stations/FR*TST~a%2Fb%20%C3%A9", b"doc")
    assert {name: told[name] for name in ("Authorization", "Content-Type", "Idempotency-Key")} == {
        name: headers[name] for name in ("Authorization", "Content-Type", "Idempotency-Key")
    }
    assert not {"Cookie", "X-Forwarded-For", "Origin"} & set(told)


async def test_a_query_passes_too_so_that_ingest_can_refuse_it(
    url: str, ingest: Ingest, client: aiohttp.ClientSession
) -> None:
    async with client.post(f"{url}/v1/status?dry=1&x=%2B", data=b"[]"):
        pass
    assert ingest.asked[0][1] == "/v1/status?dry=1&x=%2B"


async def test_a_packed_body_passes_packed(url: str, ingest: Ingest, client: aiohttp.ClientSession) -> None:
    packed = gzip.compress(b"[]" * 1000)
    async with client.post(f"{url}/v1/status", data=packed, headers={"Content-Encoding": "gzip"}) as response:
        assert response.status == 200
    assert (ingest.asked[0][2]["Content-Encoding"], ingest.asked[0][3]) == ("gzip", packed)


async def test_a_body_over_the_limit_never_reaches_ingest(
    url: str, ingest: Ingest, client: aiohttp.ClientSession
) -> None:
    async with client.post(f"{url}/v1/status", data=bytes(BODY_BYTES)) as response:
        assert response.status == 200
    async with client.post(f"{url}/v1/status", data=bytes(BODY_BYTES + 1)) as response:
        assert response.status == 413
        assert (await response.json())["errors"][0]["allowed"]
    assert len(ingest.asked) == 1


@pytest.mark.parametrize("status", [400, 401, 409, 413, 422, 503])
async def test_ingests_refusals_come_back_as_they_are(
    url: str, ingest: Ingest, client: aiohttp.ClientSession, status: int
) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        headers = {"Retry-After": "2", "WWW-Authenticate": "Bearer", "Content-Type": "application/problem+json"}
        return web.Response(status=status, body=b'{"status":1}', headers=headers)

    ingest.answer = refuse
    async with client.post(f"{url}/v1/status", data=b"[]") as response:
        assert (response.status, await response.read()) == (status, b'{"status":1}')
        assert response.headers["Retry-After"] == "2"
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("away", ["no address", "refuses", "hangs", "hangs up", "answers half"])
async def test_without_ingest_a_write_is_told_to_come_back(
    ingest: Ingest,
    runners: list[web.AppRunner],
    client: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    away: str,
) -> None:
    monkeypatch.setattr(forward, "ANSWER_S", 0.5)

    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(1.5)  # longer than ANSWER_S; the server's end waits for it
        return web.Response()

    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"outcomes":[{"outcome":"applied"}')
        assert request.transport is not None
        request.transport.close()
        return response

    ingest.answer = {"hangs": hang, "hangs up": hang_up, "answers half": half}.get(away, ingest.fine)
    inner = web.Application()
    inner.router.add_route("*", "/{path:.*}", ingest.handle)
    address = {"no address": None, "refuses": f"http://127.0.0.1:{free_port()}"}.get(away, await serve(inner, runners))
    url = await api(address, runners)
    async with client.post(f"{url}/v1/status", data=b"[]") as response:
        assert response.status == 503
        assert int(response.headers["Retry-After"]) >= 1
        assert response.headers["Content-Type"] == "application/problem+json"
        assert b"127.0.0.1" not in await response.read()


# -- a restart of ingest ----------------------------------------------------------------------------------------------


async def test_a_write_waits_for_an_ingest_that_is_just_starting(
    ingest: Ingest, runners: list[web.AppRunner], client: aiohttp.ClientSession
) -> None:
    port = free_port()
    url = await api(f"http://127.0.0.1:{port}", runners)
    inner = web.Application()
    inner.router.add_route("*", "/{path:.*}", ingest.handle)
    runner = web.AppRunner(inner)
    await runner.setup()
    runners.append(runner)
    asking = [
        asyncio.create_task(_status(client, method, url + path))
        for method, path in (("POST", "/v1/status"), ("POST", "/v1/heartbeat"), ("DELETE", "/v1/stations/a~b"))
    ]
    await asyncio.sleep(0.5)
    assert not any(task.done() for task in asking)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    assert await asyncio.gather(*asking) == [200] * 3
    assert len(ingest.asked) == 3, "each was sent once"


async def _status(client: aiohttp.ClientSession, method: str, url: str) -> int:
    async with client.request(method, url, data=b"[]") as response:
        return response.status


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/status"),
        ("POST", "/v1/heartbeat"),
        ("PUT", "/v1/stations/a~b"),
        ("DELETE", "/v1/stations/a~b"),
    ],
)
async def test_what_got_no_answer_is_sent_again(
    url: str, ingest: Ingest, client: aiohttp.ClientSession, method: str, path: str
) -> None:
    async def hang_up_once(request: web.Request) -> web.StreamResponse:
        ingest.answer = ingest.fine
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    ingest.answer = hang_up_once
    assert await _status(client, method, url + path) == 200
    assert [(asked[0], asked[3]) for asked in ingest.asked] == [(method, b"[]")] * 2


async def test_only_so_many_bytes_of_bodies_are_held(
    runners: list[web.AppRunner], client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "BODIES_BYTES", 6)  # three of them
    monkeypatch.setattr(forward, "ABSENT_S", 1.5)
    url = await api(f"http://127.0.0.1:{free_port()}", runners)
    asking = [asyncio.create_task(_status(client, "POST", f"{url}/v1/status")) for _ in range(30)]
    await asyncio.sleep(0.7)
    assert sum(not task.done() for task in asking) <= 3
    assert await asyncio.gather(*asking) == [503] * 30
    asking = [asyncio.create_task(_status(client, "POST", f"{url}/v1/status")) for _ in range(3)]
    await asyncio.sleep(0.7)
    assert not any(task.done() for task in asking), "what was held is given back"
    await asyncio.gather(*asking)


async def test_nothing_is_sent_again_for_a_client_that_has_left(
    runners: list[web.AppRunner], ingest: Ingest, client: aiohttp.ClientSession
) -> None:
    """A DELETE that comes late would undo what the client did since."""
    port = free_port()
    url = await api(f"http://127.0.0.1:{port}", runners)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3), client.delete(f"{url}/v1/stations/a~b"):
            pass
    inner = web.Application()
    inner.router.add_route("*", "/{path:.*}", ingest.handle)
    late = web.AppRunner(inner)
    runners.append(late)
    await late.setup()
    await web.TCPSite(late, "127.0.0.1", port).start()
    await asyncio.sleep(0.5)
    assert ingest.asked == []


async def test_who_has_no_key_sends_no_body(url: str, ingest: Ingest) -> None:
    async with Raw(url) as raw:
        await raw.send(b"POST /v1/status HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
        assert (await raw.answer()).status == 401
    assert ingest.asked == []


async def test_a_request_line_that_names_another_server_does_not_lead_there(url: str, ingest: Ingest) -> None:
    async with Raw(url) as raw:
        await raw.send(
            b"POST http://192.0.2.1:9/v1/status?x=1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\n"
            b"Content-Length: 2\r\n\r\n[]"
        )
        assert (await raw.answer()).status == 200
    assert ingest.asked[0][:2] == ("POST", "/v1/status?x=1")


@pytest.mark.parametrize("path", ["/v1/heartbeat", "/v1/stations/a~b"])
async def test_other_bodies_than_batches_and_documents_are_small(
    url: str, ingest: Ingest, client: aiohttp.ClientSession, path: str
) -> None:
    method = "DELETE" if "stations" in path else "POST"
    for size, status in ((SMALL_BODY_BYTES, 200), (SMALL_BODY_BYTES + 1, 413)):
        async with client.request(method, url + path, data=bytes(size)) as response:
            assert response.status == status
    assert len(ingest.asked) == 1
