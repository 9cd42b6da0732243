"""Promise R10: who may write. Keys by the three spellings of OCPI and HTTP; revoked ones end within seconds."""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import Any

import asyncpg
import pytest

from mapsvc.access import create_key
from mapsvc.ingest import auth as module
from mapsvc.ingest.auth import Authenticator, key_hash
from mapsvc.problems import Unauthorized
from sql import queries
from tests.mapsvc.live import database


async def new_key(database_url: str, *parties: str) -> str:
    connection = await asyncpg.connect(database_url)
    try:
        return await create_key(connection, list(parties), "test")
    finally:
        await connection.close()


def base64_of(key: str) -> str:
    return base64.b64encode(key.encode()).decode()


async def test_a_key_is_taken_as_bearer_and_as_token_raw_and_in_base64(database_url: str) -> None:
    key = await new_key(database_url, "FR*TST", "DE*ABC")
    async with database(database_url) as pool:
        auth = Authenticator(pool)
        for given in (
            f"Bearer {key}",
            f"bearer  {key} ",
            f"Token {key}",
            f"TOKEN {base64_of(key)}",
            f"Token {base64_of(key + chr(10))}",
        ):
            caller = await auth.caller({"Authorization": given})
            assert (set(caller.parties), caller.key_hash) == ({"FR*TST", "DE*ABC"}, key_hash(key))


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", "Basic {key}", "{key}", "Bearer {key}x", "Token {upper}", "Bearer {base64}", "Token ====",
     "Token \u00e9\u00e9", "Token \udcff", "Bearer \udcff\u00e9", "Token /////w==", "Digest {key}"],
)  # fmt: skip
async def test_anything_else_is_refused_and_told_how(database_url: str, given: str) -> None:
    key = await new_key(database_url, "FR*TST")
    header = given.format(key=key, upper=key.upper(), base64=base64_of(key))
    async with database(database_url) as pool:
        with pytest.raises(Unauthorized) as caught:
            await Authenticator(pool).caller({"Authorization": header} if header else {})
        assert caught.value.headers()["WWW-Authenticate"] == "Bearer"
        assert key not in caught.value.detail


async def test_a_revoked_key_ends_when_it_is_looked_up_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBER_S", 0.5)
    key = await new_key(database_url, "FR*TST")
    async with database(database_url) as pool:
        auth = Authenticator(pool)
        headers = {"Authorization": f"Bearer {key}"}
        await auth.caller(headers)
        await pool.fetch(queries.API_KEY_REVOKE, key_hash(key))
        await asyncio.sleep(0.6)
        with pytest.raises(Unauthorized):
            await auth.caller(headers)


async def test_what_is_remembered_is_bounded_and_guesses_are_not_looked_up_twice(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 10)
    key = await new_key(database_url, "FR*TST")
    async with database(database_url) as pool:
        asked: list[Any] = []

        class Counting:
            async def fetchrow(self, query: str, *args: Any) -> Any:
                asked.append(args)
                return await pool.fetchrow(query, *args)

        auth = Authenticator(Counting())
        for turn in range(50):
            with pytest.raises(Unauthorized):
                await auth.caller({"Authorization": f"Bearer guess{turn}"})
            with pytest.raises(Unauthorized):
                await auth.caller({"Authorization": f"Bearer guess{turn}"})
        assert len(asked) == 50
        assert (await auth.caller({"Authorization": f"Bearer {key}"})).parties == ("FR*TST",)
        assert len(auth._known) <= 10


async def test_only_the_hash_of_a_key_is_stored_or_logged(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        key = await new_key(database_url, "FR*TST")
        async with database(database_url) as pool:
            await Authenticator(pool).caller({"Authorization": f"Bearer {key}"})
            rows = await pool.fetch("SELECT a::text FROM api_key AS a")
    assert key not in str(rows)
    assert key not in caplog.text
