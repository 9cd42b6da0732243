"""`mapsvc keys` and `mapsvc party`: who may write, and by which rules their statuses are taken."""

from __future__ import annotations

import argparse
import asyncio
import re
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from geo.station import SHARDS
from mapsvc.ingest.auth import key_hash
from mapsvc.settings import Settings
from sql import queries

KEY_PREFIX = "msk_"  # makes a leaked key recognisable to scanners
PARTY = re.compile(r"[A-Z]{2}\*[A-Z0-9]{3}|[a-z][a-z0-9-]{1,30}")


def party_id(text: str) -> str:
    """argparse type: CC*PID or a register's name."""
    text = text.upper() if "*" in text else text.lower()
    if not PARTY.fullmatch(text):
        raise argparse.ArgumentTypeError(
            "a party is CC*PID (two letters, three letters or digits) or a register's name"
        )
    return text


def new_key() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(32)


async def create_key(connection: Any, parties: list[str], label: str) -> str:
    """A new key for these parties (made where missing). It is shown once: only its hash is stored."""
    key = new_key()
    await connection.fetch(queries.PARTY_ADD, parties, "operator", 900)
    await connection.execute(queries.API_KEY_PUT, key_hash(key), label, parties)
    return key


def add_keys_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="print a new key")
    create.add_argument("parties", nargs="+", type=party_id, metavar="CC*PID")
    create.add_argument("--label", default="")
    revoke = actions.add_parser("revoke", help="end a key, by the id that list shows")
    revoke.add_argument("id", help="the first characters of the key's hash, at least 8")
    actions.add_parser("list", help="keys, their parties and ids; never the keys themselves")


def run_keys(args: argparse.Namespace, settings: Settings) -> int:
    async def work(connection: Any) -> int:
        rows = await connection.fetch(queries.API_KEYS)
        if args.action == "create":
            print(await create_key(connection, args.parties, args.label))
        elif args.action == "list":
            for row in rows:
                state = "revoked" if row["revoked_at"] else "valid"
                print(f"{row['hash'].hex()[:12]}  {state:<7}  {','.join(row['parties'])}  {row['label']}")
        else:
            found = [row["hash"] for row in rows if row["hash"].hex().startswith(args.id.lower())]
            if len(args.id) < 8 or len(found) != 1:
                print(
                    f"mapsvc: {len(found)} keys begin with {args.id!r}; give at least 8 characters of one",
                    file=sys.stderr,
                )
                return 1
            await connection.execute(queries.API_KEY_REVOKE, found[0])
        return 0

    return _with_connection(settings, work)


def add_party_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    put = actions.add_parser("set", help="make or change a party")
    put.add_argument("party", type=party_id)
    put.add_argument("--name", default="")
    put.add_argument("--order-by", choices=("ts", "seq"), default="ts", help="what orders its updates (default: ts)")
    put.add_argument("--ttl", type=int, default=900, help="seconds a status stays live; 0: it reports none live")
    reset = actions.add_parser("reset-order", help="forget ordering keys: the next report of each EVSE stands")
    reset.add_argument("party", type=party_id)
    actions.add_parser("list", help="parties and their rules")


def run_party(args: argparse.Namespace, settings: Settings) -> int:
    async def work(connection: Any) -> int:
        if args.action == "set":
            kind = "operator" if "*" in args.party else "register"
            ttl_s = args.ttl if args.ttl > 0 else None
            await connection.execute(queries.PARTY_PUT, args.party, kind, args.name or args.party, args.order_by, ttl_s)
        elif args.action == "list":
            for row in await connection.fetch(queries.PARTIES):
                rules = f"order {row['order_by']:<4} ttl {row['ttl_s'] or '-'}"
                print(f"{row['id']:<12} {row['kind']:<9} {rules}  {row['name'] or ''}")
        else:
            written = [
                await connection.fetchval(queries.PARTY_RESET_ORDER, shard, args.party) for shard in range(SHARDS)
            ]
            print(f"{sum(written)} EVSEs: the next report of each stands, whatever its key")
        return 0

    return _with_connection(settings, work)


def _with_connection(settings: Settings, work: Callable[[Any], Awaitable[int]]) -> int:
    async def run() -> int:
        connection = await asyncpg.connect(settings.database_url)
        try:
            return await work(connection)
        finally:
            await connection.close()

    if settings.database_url is None:
        print("mapsvc: set DATABASE_URL (`mapsvc up` prints its own)", file=sys.stderr)
        return 2
    return asyncio.run(run())
