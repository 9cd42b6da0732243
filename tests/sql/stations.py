"""Stations for the tests of the door: named so that they fall into a wanted shard."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import asyncpg

from geo.station import shard_of, station_key
from sql import queries
from sql.door import EvseRow, StationRow, StatusRow, apply_batch

PARTY = "FR*TST"
CELL = 599686042433355775
_serial = itertools.count(1)


def location_ids(shard: int, prefix: str = "loc") -> Iterator[str]:
    """Endlessly many location ids whose stations belong to `shard`; never the same one twice."""
    for number in _serial:
        if shard_of(station_key(PARTY, f"{prefix}{number}")) == shard:
            yield f"{prefix}{number}"


def station_row(num: int, location_id: str, evses: int = 2, expected_n: int | None = None) -> StationRow:
    return StationRow(
        num, expected_n, station_key(PARTY, location_id), PARTY, location_id, '{"name":"here"}', 48.5, 2.25, True, False,
        1000, CELL, [evse_row(num, slot) for slot in range(evses)],
    )  # fmt: skip


def evse_row(num: int, slot: int, gone: bool = False) -> EvseRow:
    return EvseRow(slot, f"U{num}.{slot}", uid_key(num, slot), f"FR*TST*E{num}*{slot}", gone)


def uid_key(num: int, slot: int) -> str:
    return f"u{num}.{slot}"


def report(num: int, slot: int, status: int, k1: int, k2: int = 0, seen_ms: int = 5000, confirm_after_ms: int = 0,
           known: tuple[int, int] | None = None) -> StatusRow:  # fmt: skip
    known_k1, known_k2 = known or (None, None)
    return StatusRow(num, slot, uid_key(num, slot), status, k1, k2, k1, seen_ms, known_k1, known_k2, confirm_after_ms)


async def add_party(connection: asyncpg.Connection, party: str = PARTY) -> None:
    await connection.execute(queries.PARTY_PUT, party, "operator", "Test", "ts", 900)


async def new_nums(connection: asyncpg.Connection, count: int) -> list[int]:
    return [row["num"] for row in await connection.fetch(queries.STATION_NUMS, count)]


async def add_stations(connection: asyncpg.Connection, shard: int, count: int, evses: int = 2) -> list[StationRow]:
    """Stations in `shard`, written through the door; each row's expected_n is the n that it got."""
    await add_party(connection)
    ids = location_ids(shard)
    rows = [station_row(num, next(ids), evses) for num in await new_nums(connection, count)]
    result = await apply_batch(connection, shard, (), rows)
    assert {outcome.outcome for outcome in result.stations} == {"applied"}
    return [row._replace(expected_n=outcome.n) for row, outcome in zip(rows, result.stations, strict=True)]


async def evse_state(connection: asyncpg.Connection, num: int, slot: int = 0) -> asyncpg.Record:
    row = await connection.fetchrow("SELECT * FROM evse WHERE num = $1 AND slot = $2", num, slot)
    assert row is not None
    return row
