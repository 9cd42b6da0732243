"""The way in: what is sent again, what is given up, and what is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from geo.station import Status
from mapsvc.replay import feed as feed_module
from mapsvc.replay.feed import Feed, Party, ReplayError
from mapsvc.replay.step import Update
from sql import queries

PARTY = Party("IE*TST", "operator", "Test", 5, 900)


class Service:
    """Answers as told, else 200, and keeps what it was sent."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.posted: list[list[dict[str, Any]]] = []
        self.heartbeats = 0
        self.keys: set[str] = set()

    async def status(self, request: web.Request) -> web.Response:
        self.keys.add(request.headers["Authorization"])
        if self.answers and (answer := self.answers.pop(0)) != 200:
            return web.Response(status=answer)
        self.posted.append(orjson.loads(await request.read()))
        return web.json_response({"outcomes": [{"outcome": "applied"} for _ in self.posted[-1]]})

    async def heartbeat(self, _: web.Request) -> web.Response:
        self.heartbeats += 1
        return web.json_response({"parties": []})


@pytest_asyncio.fixture
async def service() -> AsyncIterator[tuple[Service, str]]:
    service, app = Service(), web.Application()
    app.router.add_post("/v1/status", service.status)
    app.router.add_post("/v1/heartbeat", service.heartbeat)
    async with TestServer(app) as server:
        yield service, str(server.make_url("/")).rstrip("/")


@pytest_asyncio.fixture
async def connection(database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def ttl(connection: Any, party: str = PARTY.id) -> int | None:
    found: dict[str, int | None] = {row["id"]: row["ttl_s"] for row in await connection.fetch(queries.PARTIES)}
    return found[party]


async def valid_keys(connection: Any) -> int:
    return sum(row["revoked_at"] is None for row in await connection.fetch(queries.API_KEYS))


async def test_statuses_go_out_by_thousands_with_their_mapped_instant(
    service: tuple[Service, str], connection: Any
) -> None:
    async with Feed(connection, service[1], PARTY) as feed:
        await feed.post([Update("L", str(i), Status.CHARGING) for i in range(2100)], 1_700_000_000_123)
        await feed.heartbeat()
    assert [len(rows) for rows in service[0].posted] == [1000, 1000, 100]
    assert service[0].posted[0][0] == {
        "location_id": "L", "evse_uid": "0", "status": "CHARGING", "source_ts": "2023-11-14T22:13:20.123Z"
    }  # fmt: skip
    assert (feed.outcomes["applied"], feed.heartbeats, service[0].heartbeats) == (2100, 1, 1)


async def test_the_ttl_goes_with_the_speed_and_back_and_the_key_ends(
    service: tuple[Service, str], connection: Any
) -> None:
    async with Feed(connection, service[1], PARTY):
        assert (await ttl(connection), await valid_keys(connection)) == (5, 1)
    assert (await ttl(connection), await valid_keys(connection)) == (900, 0)


@pytest.mark.parametrize("error", [ReplayError("no"), asyncio.CancelledError()])
async def test_however_it_ends_nothing_is_left_behind(
    service: tuple[Service, str], connection: Any, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        async with Feed(connection, service[1], PARTY):
            raise error
    assert (await ttl(connection), await valid_keys(connection)) == (900, 0)


async def test_a_register_has_no_ttl_again_and_keeps_its_name(service: tuple[Service, str], connection: Any) -> None:
    await connection.execute(queries.PARTY_PUT, "irve", "register", "Registre national", "ts", None)
    async with Feed(connection, service[1], Party("irve", "register", "irve", 900, None)):
        assert await ttl(connection, "irve") == 900
    assert await ttl(connection, "irve") is None
    (row,) = await connection.fetch(queries.PARTIES)
    assert (row["kind"], row["name"]) == ("register", "Registre national")


async def test_a_party_that_orders_by_numbers_cannot_be_replayed(service: tuple[Service, str], connection: Any) -> None:
    await connection.execute(queries.PARTY_PUT, PARTY.id, "operator", "", "seq", 60)
    with pytest.raises(ReplayError, match="sequence"):
        async with Feed(connection, service[1], PARTY):
            pass
    assert await ttl(connection) == 60


async def test_what_the_service_cannot_take_now_is_sent_again(
    service: tuple[Service, str], connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "PAUSE_S", (0.001, 0.002))
    service[0].answers = [503, 429, 200, 503, 200]
    async with Feed(connection, service[1], PARTY) as feed:
        await feed.post([Update("L", str(i), Status.CHARGING) for i in range(1500)], 1)
    assert [len(rows) for rows in service[0].posted] == [1000, 500]


async def test_what_it_refuses_or_never_takes_ends_the_replay(
    service: tuple[Service, str], connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "PAUSE_S", (0.001, 0.002))
    monkeypatch.setattr(feed_module, "GIVE_UP_S", 0.1)
    async with Feed(connection, service[1], PARTY) as feed:
        service[0].answers = [401]
        with pytest.raises(ReplayError, match="401"):
            await feed.post([Update("L", "1", Status.CHARGING)], 1)
        service[0].answers = [503] * 1000
        with pytest.raises(ReplayError, match="503"):
            await feed.post([Update("L", "1", Status.CHARGING)], 1)
