"""Outbox and history go by partition: made ahead, filled from the default one when late, dropped whole, read in order."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest

from sql import queries
from sql.door import apply_batch
from tests.sql.stations import add_stations, report

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOON_MS = 1_800_000_000_000 // DAY_MS * DAY_MS + 12 * HOUR_MS  # 2027-01-14T12:00:00Z


async def names(connection: asyncpg.Connection, table: str) -> list[str]:
    rows = await connection.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = $1::text::regclass ORDER BY 1",
        table,
    )
    return [row["name"] for row in rows]


async def make(connection: asyncpg.Connection, now_ms: int, ahead: int = 1) -> list[str]:
    return [row[0] for row in await connection.fetch("SELECT make_partitions($1, $2)", now_ms, ahead)]


async def drop(
    connection: asyncpg.Connection, now_ms: int, outbox_ms: int = HOUR_MS, history_ms: int = 90 * DAY_MS
) -> list[str]:
    return [
        row[0]
        for row in await connection.fetch("SELECT drop_old_partitions($1, $2, $3)", now_ms, outbox_ms, history_ms)
    ]


async def test_a_migrated_database_has_partitions_for_now_and_the_hours_to_come(connection: asyncpg.Connection) -> None:
    assert len(await names(connection, "outbox")) == len(await names(connection, "status_history")) == 5
    (station,) = await add_stations(connection, 0, 1)
    now = await connection.fetchval(queries.CLOCK_MS)
    await apply_batch(connection, 0, [report(station.num, 0, 1, 1, seen_ms=now)])
    assert await connection.fetchval("SELECT count(*) FROM ONLY outbox_default") == 0
    assert await connection.fetchval("SELECT count(*) FROM ONLY status_history_default") == 0
    # A test that starts in the last moments of an hour may see one more.
    assert len(await connection.fetch(queries.MAKE_PARTITIONS, 3)) <= 1
    assert await connection.fetch(queries.DROP_OLD_PARTITIONS, HOUR_MS, DAY_MS) == []


async def test_partitions_are_made_once(connection: asyncpg.Connection) -> None:
    made = await make(connection, NOON_MS)
    assert made == [
        "status_history_20270115", "status_history_20270116", "outbox_20270115_12", "outbox_20270115_13"
    ]  # fmt: skip
    assert await make(connection, NOON_MS + 1) == []
    assert await make(connection, NOON_MS + HOUR_MS) == ["outbox_20270115_14"]


async def test_rows_in_the_default_partition_move_to_their_own_when_it_is_made_late(
    connection: asyncpg.Connection,
) -> None:
    (station,) = await add_stations(connection, 0, 1)
    for turn, now in enumerate((NOON_MS - 1, NOON_MS, NOON_MS + HOUR_MS - 1, NOON_MS + HOUR_MS)):
        await apply_batch(connection, 0, [report(station.num, 0, turn + 1, turn, seen_ms=now)], now_ms=now)
    before = await connection.fetch(queries.OUTBOX_READ, 0, 0, 100)
    history = await connection.fetch("SELECT * FROM status_history ORDER BY n")
    assert await connection.fetchval("SELECT count(*) FROM outbox_default") == 4
    await make(connection, NOON_MS, 0)
    assert await connection.fetchval("SELECT count(*) FROM outbox_default") == 2
    assert await connection.fetchval("SELECT count(*) FROM outbox_20270115_12") == 2
    assert await connection.fetchval("SELECT count(*) FROM status_history_20270115") == 4
    assert await connection.fetch(queries.OUTBOX_READ, 0, 0, 100) == before
    assert await connection.fetch("SELECT * FROM status_history ORDER BY n") == history


async def test_old_partitions_and_old_rows_of_the_default_one_go(connection: asyncpg.Connection) -> None:
    (station,) = await add_stations(connection, 0, 1)
    await connection.execute("TRUNCATE outbox")
    # Nobody made partitions for the first hours.
    for turn, now in enumerate((NOON_MS - 3 * HOUR_MS, NOON_MS, NOON_MS + HOUR_MS)):
        if turn == 1:
            await make(connection, NOON_MS)
        await apply_batch(connection, 0, [report(station.num, 0, turn + 1, turn, seen_ms=now)], now_ms=now)
    for name in [
        name for name in await names(connection, "outbox") if "default" not in name and "20270115" not in name
    ]:
        await connection.execute(f"DROP TABLE {name}")
    assert await drop(connection, NOON_MS + 2 * HOUR_MS - 1) == []
    assert len(await connection.fetch(queries.OUTBOX_READ, 0, 0, 10)) == 2
    assert await drop(connection, NOON_MS + 2 * HOUR_MS) == ["outbox_20270115_12"]
    assert [row["created_ms"] for row in await connection.fetch(queries.OUTBOX_READ, 0, 0, 10)] == [NOON_MS + HOUR_MS]
    assert await connection.fetchval("SELECT count(*) FROM status_history") == 3
    dropped = await drop(connection, NOON_MS + 200 * DAY_MS)
    assert {"outbox_20270115_13", "status_history_20270115", "status_history_20270116"} <= set(dropped)


async def test_an_outbox_row_lives_at_least_an_hour(connection: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="at least an hour"):
        await drop(connection, NOON_MS, HOUR_MS - 1)


async def test_a_partition_that_somebody_reads_is_left_for_the_next_time(
    connection: asyncpg.Connection, database_url: str
) -> None:
    await make(connection, NOON_MS)
    reader = await asyncpg.connect(database_url)
    transaction = reader.transaction()
    await transaction.start()
    await reader.fetch("SELECT * FROM outbox")
    assert await drop(connection, NOON_MS + 3 * HOUR_MS) == []
    await transaction.rollback()
    await reader.close()
    assert {"outbox_20270115_12", "outbox_20270115_13"} <= set(await drop(connection, NOON_MS + 3 * HOUR_MS))


async def test_partitions_come_and_go_while_writers_write(connection: asyncpg.Connection, database_url: str) -> None:
    stations = await add_stations(connection, 0, 20)
    (before,) = [row["n"] for row in await connection.fetch(queries.SHARD_HEADS) if row["shard"] == 0]
    done = asyncio.Event()
    applied = 0

    async def write() -> None:
        nonlocal applied
        writer = await asyncpg.connect(database_url)
        turn = 0
        while not done.is_set():
            turn += 1
            now = NOON_MS + turn * HOUR_MS // 8
            rows = [report(s.num, 0, turn % 2 + 1, turn, seen_ms=now) for s in stations]
            applied += sum(
                row.outcome == "applied" for row in (await apply_batch(writer, 0, rows, now_ms=now)).statuses
            )
        await writer.close()

    task = asyncio.create_task(write())
    async with asyncio.timeout(60):
        for hour in range(20):
            await make(connection, NOON_MS + hour * HOUR_MS, 2)
        done.set()
        await task
    rows = await connection.fetch(queries.OUTBOX_READ, 0, before, 10**6)
    assert [row["n"] for row in rows] == list(range(before + 1, before + 1 + applied))


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_the_relay_reads_by_index_and_does_not_sort(connection: asyncpg.Connection, mode: str) -> None:
    """Over four full partitions, whatever the planner knows of the parameters."""
    await make(connection, NOON_MS, 3)
    await connection.execute(
        """INSERT INTO outbox (n, created_ms, num, shard, kind)
        SELECT n, $1::bigint + n::bigint * 4 * 3600000 / 20000, n, shard, 't'
        FROM generate_series(0, 19999) AS n, generate_series(0, 3) AS shard""",
        NOON_MS,
    )
    await connection.execute("ANALYZE outbox")
    await connection.execute(f"SET plan_cache_mode = {mode}")
    await connection.execute(f"PREPARE relay (smallint, bigint, integer) AS {queries.OUTBOX_READ}")
    told = await connection.fetchval("EXPLAIN (FORMAT json, ANALYZE) EXECUTE relay (2, 17000, 500)")
    plan = json.loads(told)[0]["Plan"]

    def nodes(node: dict[str, object]) -> list[dict[str, object]]:
        children = node.get("Plans", [])
        assert isinstance(children, list)
        return [node, *(each for child in children for each in nodes(child))]

    reads = [node for node in nodes(plan) if str(node.get("Relation Name", "")).startswith("outbox")]
    assert plan["Actual Rows"] == 500
    assert sum(int(str(node["Actual Rows"])) for node in reads) <= 500 + 2 * len(reads), "reads no more than it returns"
    station = [node for node in nodes(plan) if node.get("Relation Name") == "station"]
    assert {node["Node Type"] for node in station} <= {"Index Scan", "Seq Scan"}


async def test_a_batch_whose_partition_was_made_on_its_way_finds_it_at_the_second_try(
    connection: asyncpg.Connection,
) -> None:
    """PostgreSQL looks again once it holds the default partition's lock, and refuses a row that has a home by now."""
    (station,) = await add_stations(connection, 0, 1)

    class Late:
        def __init__(self, table: str, times: int) -> None:
            self.table, self.times = table, times

        async def fetch(self, query: str, /, *args: object) -> list[asyncpg.Record]:
            if self.times:
                self.times -= 1
                error = asyncpg.CheckViolationError("violates partition constraint")
                error.table_name = self.table
                raise error
            return await connection.fetch(query, *args)

    result = await apply_batch(Late("outbox_default", 1), 0, [report(station.num, 0, 1, 1)])
    assert [row.outcome for row in result.statuses] == ["applied"]
    with pytest.raises(asyncpg.CheckViolationError):
        await apply_batch(Late("evse", 1), 0, [report(station.num, 0, 2, 2)])
