"""Keys and parties by the command line. Promise R10: a key is shown once and stored hashed."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import asyncpg
import pytest

from mapsvc.__main__ import main
from mapsvc.access import party_id
from mapsvc.ingest.auth import Authenticator, key_hash
from mapsvc.problems import Unauthorized


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setenv("DATABASE_URL", database_url)

    def run(*argv: str) -> tuple[int, str]:
        code = main(list(argv))
        return code, capsys.readouterr().out

    return run


def caller(database_url: str, header: str) -> tuple[str, ...]:
    async def ask() -> tuple[str, ...]:
        connection = await asyncpg.connect(database_url)
        try:
            return (await Authenticator(connection).caller({"Authorization": header})).parties
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_a_key_works_until_it_is_revoked_and_is_never_stored(command: Any, database_url: str) -> None:
    code, key = command("keys", "create", "de*abc", "FR*XYZ", "--label", "two parties")
    key = key.strip()
    assert code == 0
    assert caller(database_url, f"Bearer {key}") == ("DE*ABC", "FR*XYZ")

    async def stored() -> str:
        connection = await asyncpg.connect(database_url)
        try:
            return str(await connection.fetch("SELECT hash, label, parties FROM api_key"))
        finally:
            await connection.close()

    text = asyncio.run(stored())
    assert key not in text and key.encode().hex() not in text
    _, listing = command("keys", "list")
    assert key not in listing and "DE*ABC,FR*XYZ" in listing
    identity = key_hash(key).hex()[:12]
    assert command("keys", "revoke", identity)[0] == 0
    with pytest.raises(Unauthorized):
        caller(database_url, f"Bearer {key}")


def test_ocpi_tokens_are_taken_raw_and_in_base64(command: Any, database_url: str) -> None:
    import base64

    key = command("keys", "create", "DE*ABC")[1].strip()
    for token in (key, base64.b64encode(key.encode()).decode(), base64.b64encode(f"{key}\n".encode()).decode()):
        assert caller(database_url, f"Token {token}") == ("DE*ABC",)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "Token ====", "Bearer nonsense"])
def test_whoever_has_no_valid_key_is_refused(command: Any, database_url: str, header: str) -> None:
    with pytest.raises(Unauthorized):
        caller(database_url, header)


def test_a_revocation_needs_enough_of_the_id(command: Any) -> None:
    command("keys", "create", "DE*ABC")
    assert command("keys", "revoke", "0")[0] == 1


def test_parties_are_set_listed_and_their_order_reset(command: Any) -> None:
    assert command("party", "set", "DE*ABC", "--order-by", "seq", "--ttl", "60", "--name", "Abc")[0] == 0
    assert command("party", "set", "irve", "--ttl", "0")[0] == 0
    listing = command("party", "list")[1]
    assert "DE*ABC       operator  order seq  ttl 60  Abc" in listing
    assert "irve         register  order ts   ttl -" in listing
    assert command("party", "reset-order", "DE*ABC")[0] == 0


@pytest.mark.parametrize("text", ["", "D", "DE*", "DE*ABCD", "D*ABC", "1E*ABC", "Ä*ABC", "irve!", "-x"])
def test_what_is_no_party_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        party_id(text)
