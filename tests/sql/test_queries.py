"""The queries: every file is loaded and prepares; what each answers, case by case."""

from __future__ import annotations

import asyncpg
import pytest

from geo.station import Status
from sql import queries
from sql.door import EvseRow, StationRow, apply_batch
from tests.sql.stations import CELL, PARTY, add_party, add_stations, location_ids, new_nums, report, station_row

SHARD = 3
A, C, U = Status.AVAILABLE, Status.CHARGING, Status.UNKNOWN
LOADED = {name: text for name, text in vars(queries).items() if name.isupper() and isinstance(text, str)}


def test_every_file_has_its_name_in_the_module() -> None:
    assert {name.lower() for name in LOADED} == {path.stem for path in queries.FOLDER.glob("*.sql")}


@pytest.mark.parametrize("name", LOADED)
def test_every_query_says_what_it_is_for(name: str) -> None:
    assert LOADED[name].startswith("-- ")
    assert not LOADED[name].rstrip().endswith(";")


async def test_every_query_prepares(connection: asyncpg.Connection) -> None:
    for name, text in LOADED.items():
        try:
            await connection.prepare(text)
        except asyncpg.PostgresError as error:
            pytest.fail(f"{name}: {error}")


async def test_one_relay_at_a_time_holds_a_shard(connection: asyncpg.Connection, database_url: str) -> None:
    other = await asyncpg.connect(database_url)
    assert await connection.fetchval(queries.RELAY_LOCK, 3) is True
    assert await other.fetchval(queries.RELAY_LOCK, 3) is False
    assert await other.fetchval(queries.RELAY_LOCK, 4) is True
    await connection.close()
    assert await other.fetchval(queries.RELAY_LOCK, 3) is True
    await other.close()


async def test_the_outbox_names_the_cell_where_a_station_is_now(connection: asyncpg.Connection) -> None:
    shown, hidden = await add_stations(connection, SHARD, 2)
    await apply_batch(connection, SHARD, (), [hidden._replace(publish=False), shown._replace(cell=CELL + 1)])
    rows = await connection.fetch(queries.OUTBOX_READ, SHARD, 1, 10)
    assert [(row["n"], row["num"], row["cell"]) for row in rows] == [
        (2, hidden.num, None), (3, hidden.num, None), (4, shown.num, CELL + 1),
    ]  # fmt: skip


async def test_the_snapshot_streams_a_shard_in_order_of_cell(connection: asyncpg.Connection) -> None:
    await add_stations(connection, SHARD + 1, 1)
    stations = await add_stations(connection, SHARD, 6)
    moved = [station._replace(cell=CELL - index % 3, removed=index == 4) for index, station in enumerate(stations)]
    await apply_batch(connection, SHARD, [report(stations[0].num, 1, C, 7)], moved)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        heads = {row["shard"]: row["n"] for row in await connection.fetch(queries.SHARD_HEADS)}
        rows = [row async for row in connection.cursor(queries.SNAPSHOT_SHARD, SHARD, prefetch=2)]
    assert heads[SHARD] == 13
    assert [(row["cell"], row["num"]) for row in rows] == sorted((s.cell, s.num) for s in moved if not s.removed)
    (first,) = [row for row in rows if row["num"] == stations[0].num]
    assert (first["statuses"], first["ns"], first["changed_ms"], first["seen_ms"]) == (
        [U, C],
        [1, 13],
        [None, 7],
        [None, 5000],
    )
    await connection.execute("SET enable_seqscan = off")
    await connection.execute("SET enable_bitmapscan = off")
    plan = await connection.fetch("EXPLAIN " + queries.SNAPSHOT_SHARD.replace("$1", str(SHARD)))
    assert not [line for (line,) in plan if "Sort" in line], "the index gives the order"


async def test_a_station_without_evses_has_empty_arrays(connection: asyncpg.Connection) -> None:
    (station,) = await add_stations(connection, SHARD, 1, evses=0)
    (row,) = await connection.fetch(queries.STATIONS_BY_NUM, [station.num])
    assert [row[name] for name in ("slots", "statuses", "ns", "changed_ms", "seen_ms")] == [[]] * 5
    (row,) = await connection.fetch(queries.STATION_DOCS_BY_KEY, [station.key])
    assert [row[name] for name in ("slots", "uids", "uid_keys", "evse_ids", "gone")] == [[]] * 5


async def uid_station(connection: asyncpg.Connection, party: str, location: str, *uids: str) -> StationRow:
    """A station of `party` whose EVSEs have these uids, whatever shard its key falls into."""
    await add_party(connection, party)
    (num,) = await new_nums(connection, 1)
    key = f"{party}~{location}".casefold()
    evses = [EvseRow(slot, uid, uid.casefold()) for slot, uid in enumerate(uids)]
    row = station_row(num, location)._replace(party=party, key=key, evses=evses)
    shard = await connection.fetchval("SELECT shard_of_key($1)", key)
    (outcome,) = (await apply_batch(connection, shard, (), [row])).stations
    return row._replace(expected_n=outcome.n)


async def test_resolve_tells_own_from_foreign_from_unknown_from_ambiguous(connection: asyncpg.Connection) -> None:
    one = await uid_station(connection, "DE*AAA", "L1", "X1", "7")
    two = await uid_station(connection, "DE*AAA", "L2", "7")
    other = await uid_station(connection, "FR*BBB", "L1", "X2", "7")
    third = await uid_station(connection, "AT*CCC", "L9", "X3")
    await connection.execute(queries.PARTY_PUT, "AT*CCC", "operator", None, "seq", None)

    asked: list[tuple[str, str | None]] = [
        ("x1", None),  # 0 own
        ("7", None),  # 1 ambiguous
        ("7", "l2"),  # 2 own at that location
        ("x2", None),  # 3 foreign
        ("x2", "l1"),  # 4 foreign, at a location id that we have as well
        ("nope", None),  # 5 unknown
        ("x1", "l2"),  # 6 not there
        ("7", "l1"),  # 7 own and foreign at locations of the same id
        ("x3", "l9"),  # 8 own through the second party of the key
    ]

    async def resolve(parties: list[str]) -> list[tuple[int, bool, int, int]]:
        rows = await connection.fetch(queries.RESOLVE, parties, *map(list, zip(*asked, strict=True)))
        return [(row["ord"], row["own"], row["num"], row["slot"]) for row in rows]

    assert await resolve(["DE*AAA", "AT*CCC"]) == [
        (0, True, one.num, 0),
        (1, True, one.num, 1),
        (1, True, two.num, 0),
        (2, True, two.num, 0),
        (3, False, other.num, 0),
        (4, False, other.num, 0),
        (7, True, one.num, 1),
        (8, True, third.num, 0),
    ]
    assert [row for row in await resolve(["FR*BBB"]) if row[0] in (0, 1, 3, 8)] == [
        (0, False, one.num, 0),
        (1, True, other.num, 1),
        (3, True, other.num, 0),
        (8, False, third.num, 0),
    ]
    assert {own for _, own, _, _ in await resolve(["ZZ*ZZZ"])} == {False}
    assert {own for _, own, _, _ in await resolve([])} == {False}

    (row,) = await connection.fetch(queries.RESOLVE, ["AT*CCC"], ["x3"], [None])
    assert {**row} == {
        "ord": 0, "own": True, "num": third.num, "slot": 0, "shard": row["shard"], "party": "AT*CCC", "uid_key": "x3",
        "location_id": "L9", "key": "at*ccc~l9", "cell": CELL, "ttl_s": None, "order_by": "seq", "status": U, "k1": None,
        "k2": None, "seen_ms": None,
    }  # fmt: skip


async def test_resolve_does_not_see_what_is_gone(connection: asyncpg.Connection) -> None:
    station = await uid_station(connection, "DE*AAA", "L1", "X1")
    shard = await connection.fetchval("SELECT shard FROM station")
    await apply_batch(connection, shard, (), [station._replace(removed=True)])
    for parties in (["DE*AAA"], ["FR*BBB"]):
        assert await connection.fetch(queries.RESOLVE, parties, ["x1", "x1"], [None, "l1"]) == []


async def test_resolve_costs_the_same_for_a_uid_that_thousands_share(connection: asyncpg.Connection) -> None:
    """Looks at a handful of EVSEs each time, whoever asks and whether a location is given."""
    (station,) = await add_stations(connection, SHARD, 1, evses=0)
    await connection.execute(
        """INSERT INTO evse (num, n, slot, shard, party, uid, uid_key)
        SELECT $1, 1, slot, $2, $3, '1', '1' FROM generate_series(0, 19999) AS slot""",
        station.num, SHARD, PARTY,
    )  # fmt: skip
    await connection.execute("ANALYZE evse")
    for parties in ([PARTY], ["AA*AAA"], ["ZZ*ZZZ", "AA*AAA"]):
        await connection.execute("SELECT pg_stat_force_next_flush()")
        await connection.execute("SELECT pg_stat_reset()")
        rows = await connection.fetch(queries.RESOLVE, parties, ["1"] * 50, [None] * 50)
        assert len(rows) == (100 if parties == [PARTY] else 50)
        await connection.execute("SELECT pg_stat_force_next_flush()")
        read = await connection.fetchval(
            "SELECT coalesce(idx_tup_fetch, 0) + seq_tup_read FROM pg_stat_user_tables WHERE relname = 'evse'"
        )
        assert read <= 50 * 10


async def test_parties_are_added_changed_and_beat(connection: asyncpg.Connection) -> None:
    assert [row["id"] for row in await connection.fetch(queries.PARTY_ADD, ["B", "A", "A"], "register", None)] in (
        ["A", "B"],
        ["B", "A"],
    )
    assert await connection.fetch(queries.PARTY_ADD, ["A"], "operator", 900) == []
    await connection.execute(queries.PARTY_PUT, "A", "operator", "Ann", "seq", 60)
    assert len(await connection.fetch(queries.PARTY_HEARTBEAT, ["A", "C"], 1000)) == 1
    await connection.fetch(queries.PARTY_HEARTBEAT, ["A"], 500)
    assert [tuple(row) for row in await connection.fetch(queries.PARTIES)] == [
        ("A", "operator", "Ann", "seq", 60, 1000), ("B", "register", None, "ts", None, None),
    ]  # fmt: skip


async def test_a_revoked_key_is_found_no_more(connection: asyncpg.Connection) -> None:
    await connection.execute(queries.API_KEY_PUT, b"\x01" * 32, "one", ["A", "B"])
    await connection.execute(queries.API_KEY_PUT, b"\x02" * 32, "two", ["A"])
    assert [tuple(row) for row in await connection.fetch(queries.API_KEY_FIND, b"\x01" * 32)] == [("one", ["A", "B"])]
    assert await connection.fetch(queries.API_KEY_REVOKE, b"\x01" * 3) == [], "three bytes are too few to mean one key"
    assert [row["label"] for row in await connection.fetch(queries.API_KEY_REVOKE, b"\x01" * 4)] == ["one"]
    assert await connection.fetchrow(queries.API_KEY_FIND, b"\x01" * 32) is None
    assert [(row["label"], row["revoked_at"] is None) for row in await connection.fetch(queries.API_KEYS)] == [
        ("one", False),
        ("two", True),
    ]


async def test_the_first_answer_of_an_idempotency_key_stays(connection: asyncpg.Connection) -> None:
    key = b"k" * 32
    assert await connection.fetchrow(queries.IDEMPOTENCY_GET, key, "i") is None
    assert await connection.fetchval(queries.IDEMPOTENCY_PUT, key, "i", b"r", 200, b"first") is not None
    assert await connection.fetchval(queries.IDEMPOTENCY_PUT, key, "i", b"r", 200, b"second") is None
    row = await connection.fetchrow(queries.IDEMPOTENCY_GET, key, "i")
    assert row is not None
    assert tuple(row)[:3] == (b"r", 200, b"first")
    await connection.execute(queries.IDEMPOTENCY_PURGE, 60_000)
    assert await connection.fetchrow(queries.IDEMPOTENCY_GET, key, "i") is not None
    await connection.execute(queries.IDEMPOTENCY_PURGE, -1)
    assert await connection.fetchrow(queries.IDEMPOTENCY_GET, key, "i") is None


async def test_an_importer_sees_every_slot_that_a_station_ever_had(connection: asyncpg.Connection) -> None:
    (station,) = await add_stations(connection, SHARD, 1)
    evses = [station.evses[0], station.evses[1]._replace(gone=True)]
    await apply_batch(connection, SHARD, (), [station._replace(evses=evses)])
    (row,) = await connection.fetch(queries.STATION_DOCS_BY_KEY, [station.key, "nobody~x"])
    assert (row["key"], row["num"], row["n"], row["shard"], row["doc"], row["publish"], row["removed"]) == (
        station.key, station.num, 2, SHARD, '{"name": "here"}', True, False,
    )  # fmt: skip
    assert (row["slots"], row["uids"], row["gone"]) == ([0, 1], [evse.uid for evse in evses], [False, True])
    assert (row["uid_keys"], row["evse_ids"]) == ([evse.uid_key for evse in evses], [evse.evse_id for evse in evses])


async def test_a_full_import_finds_what_its_feed_no_longer_names(connection: asyncpg.Connection) -> None:
    one, two, three = await add_stations(connection, SHARD, 3)
    await uid_station(connection, "DE*AAA", "L1")
    await apply_batch(connection, SHARD, (), [three._replace(removed=True)])
    rows = await connection.fetch(queries.STATIONS_OF_PARTY_EXCEPT, PARTY, [two.key, "not~there"])
    assert [tuple(row) for row in rows] == [(one.key, one.num, one.expected_n, SHARD)]
    assert await connection.fetchval(queries.STATION_COUNT, PARTY) == 2
    assert await connection.fetchval(queries.STATION_COUNT, None) == 3


async def test_an_empty_store_is_known_as_empty(connection: asyncpg.Connection) -> None:
    assert await connection.fetchval(queries.ANY_STATION) is False
    await add_stations(connection, SHARD, 1)
    assert await connection.fetchval(queries.ANY_STATION) is True


async def test_pages_of_evses_walk_all_of_them_once(connection: asyncpg.Connection) -> None:
    stations = await add_stations(connection, SHARD, 3, evses=3)
    seen: list[tuple[int, int]] = []
    last = (-1, -1)
    while page := await connection.fetch(queries.EVSE_PAGE, PARTY, *last, 2):
        seen += [(row["num"], row["slot"]) for row in page]
        last = seen[-1]
    assert seen == [(station.num, slot) for station in stations for slot in range(3)]
    assert await connection.fetch(queries.EVSE_PAGE, "DE*AAA", -1, -1, 2) == []


async def test_the_shard_of_a_location_is_what_the_tests_assume(connection: asyncpg.Connection) -> None:
    (station,) = await add_stations(connection, 9, 1)
    assert await connection.fetchval("SELECT shard FROM station WHERE num = $1", station.num) == 9
    assert next(location_ids(9)) != station.location_id


async def test_resolving_by_location_cannot_read_every_evse_that_shares_the_uid(connection: asyncpg.Connection) -> None:
    """With a million EVSEs the planner preferred the index of uids, at a millisecond a row. It must not have the choice:
    here it has no other index left, and still may not."""
    async with connection.transaction():
        await connection.execute("ALTER TABLE evse DROP CONSTRAINT evse_pkey CASCADE; SET LOCAL enable_seqscan = off")
        plan = await connection.fetch("EXPLAIN (COSTS OFF) " + queries.RESOLVE, [PARTY], ["1"], ["l1"])
        await connection.execute("ROLLBACK; BEGIN")
    text = "\n".join(row[0] for row in plan)
    at_station = text.index("station_location")
    branch = text[text.rindex("Limit", 0, at_station) : text.index("Limit", at_station)]
    assert "evse_uid" in text
    assert "evse_uid" not in branch, text
