"""The door, case by case: outcomes, what is written, numbers, and what it refuses. Promises R1, R2."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from geo.station import Status, shard_of
from sql import queries
from sql.door import BATCH_ROWS, StationRow, apply_batch
from tests.sql.stations import (
    CELL,
    PARTY,
    add_party,
    add_stations,
    evse_row,
    evse_state,
    location_ids,
    new_nums,
    report,
    station_row,
)
from tests.vectors import ordering

SHARD = 5
TTL_QUARTER_MS = 225_000
A, C, R, U = Status.AVAILABLE, Status.CHARGING, Status.REMOVED, Status.UNKNOWN


async def head(connection: asyncpg.Connection, shard: int = SHARD) -> int:
    n = await connection.fetchval("SELECT n FROM shard WHERE shard = $1", shard)
    assert isinstance(n, int)
    return n


async def outbox(connection: asyncpg.Connection, after: int = 0, shard: int = SHARD) -> list[asyncpg.Record]:
    rows = await connection.fetch(queries.OUTBOX_READ, shard, after, 10_000)
    assert [row["n"] for row in rows] == list(range(after + 1, after + 1 + len(rows)))
    return rows


async def test_sql_follows_the_vectors_of_the_ordering_rule(connection: asyncpg.Connection) -> None:
    vectors = ordering()
    stations = await add_stations(connection, SHARD, len(vectors), evses=1)
    pairs = list(zip(stations, vectors, strict=True))
    olds = [report(s.num, 0, v.old.status, *v.old.key) for s, v in pairs if v.old is not None]
    assert {row.outcome for row in (await apply_batch(connection, SHARD, olds)).statuses} == {"applied"}
    told = await apply_batch(connection, SHARD, [report(s.num, 0, v.new.status, *v.new.key) for s, v in pairs])
    for (station, vector), row in zip(pairs, told.statuses, strict=True):
        assert row.outcome == vector.verdict, vector.name
        stands = vector.old if vector.verdict == "late" else vector.new
        assert stands is not None
        assert (row.status, row.k1, row.k2) == (stands.status, *stands.key), vector.name
        state = await evse_state(connection, station.num)
        assert (state["status"], state["k1"], state["k2"]) == (stands.status, *stands.key), vector.name


async def test_the_vectors_hold_also_within_one_batch(connection: asyncpg.Connection) -> None:
    vectors = ordering()
    stations = await add_stations(connection, SHARD, len(vectors), evses=1)
    rows, wanted = [], []
    for station, vector in zip(stations, vectors, strict=True):
        if vector.old is not None:
            rows.append(report(station.num, 0, vector.old.status, *vector.old.key))
            wanted.append("applied")
        rows.append(report(station.num, 0, vector.new.status, *vector.new.key))
        wanted.append(str(vector.verdict))
    assert [row.outcome for row in (await apply_batch(connection, SHARD, rows)).statuses] == wanted


async def test_a_key_known_from_an_unwritten_confirmation_counts_as_stored(connection: asyncpg.Connection) -> None:
    (station,) = await add_stations(connection, SHARD, 1)
    await apply_batch(connection, SHARD, [report(station.num, 0, A, 10)])
    late, confirmed = (
        await apply_batch(
            connection,
            SHARD,
            [report(station.num, 0, C, 19, known=(20, 0)), report(station.num, 1, C, 19, known=(20, 0))],
        )
    ).statuses
    assert (late.outcome, late.status, late.k1) == ("late", A, 20)
    assert confirmed.outcome == "applied", "an EVSE without any report has nothing to be known of"
    (applied,) = (await apply_batch(connection, SHARD, [report(station.num, 0, C, 20, known=(20, 0))])).statuses
    assert applied.outcome == "applied"


async def test_an_applied_row_is_in_state_history_and_outbox(connection: asyncpg.Connection) -> None:
    (station,) = await add_stations(connection, SHARD, 1)
    before = await head(connection)
    (row,) = (
        await apply_batch(connection, SHARD, [report(station.num, 1, C, 77, 3, seen_ms=5000)], now_ms=6000)
    ).statuses
    assert row == ("applied", before + 1, C, 77, 3, 5000, True)
    assert await head(connection) == before + 1
    state = await evse_state(connection, station.num, 1)
    assert [state[name] for name in ("status", "k1", "k2", "n", "changed_ms", "seen_ms", "gone")] == [
        C, 77, 3, before + 1, 77, 5000, False,
    ]  # fmt: skip
    (written,) = await outbox(connection, before)
    assert tuple(written) == (before + 1, "s", station.num, 1, C, 77, 5000, 6000, CELL)
    (kept,) = await connection.fetch(
        "SELECT shard, n, num, slot, status, k1, k2, changed_ms, received_ms FROM status_history"
    )
    assert tuple(kept) == (SHARD, before + 1, station.num, 1, C, 77, 3, 77, 5000)


async def test_a_confirmation_takes_no_number_and_is_written_only_after_a_quarter_of_the_ttl(
    connection: asyncpg.Connection,
) -> None:
    (station,) = await add_stations(connection, SHARD, 1)
    await apply_batch(connection, SHARD, [report(station.num, 0, A, 10, seen_ms=1_000_000)])
    before = await head(connection)

    def again(k1: int, seen_ms: int) -> list[object]:
        return [report(station.num, 0, A, k1, seen_ms=seen_ms, confirm_after_ms=TTL_QUARTER_MS)]

    early = await apply_batch(connection, SHARD, again(11, 1_000_000 + TTL_QUARTER_MS - 1))  # type: ignore[arg-type]
    assert early.statuses == [("confirmed", None, A, 11, 0, 1_000_000, False)]
    assert (await evse_state(connection, station.num))["k1"] == 10
    due = await apply_batch(connection, SHARD, again(12, 1_000_000 + TTL_QUARTER_MS))  # type: ignore[arg-type]
    assert due.statuses == [("confirmed", None, A, 12, 0, 1_000_000 + TTL_QUARTER_MS, True)]
    state = await evse_state(connection, station.num)
    assert (state["k1"], state["seen_ms"]) == (12, 1_000_000 + TTL_QUARTER_MS)
    assert (state["changed_ms"], state["n"]) == (10, before), "a confirmation is no change"
    assert await head(connection) == before
    assert await connection.fetchval("SELECT count(*) FROM status_history") == 1


async def test_seen_never_goes_back(connection: asyncpg.Connection) -> None:
    (station,) = await add_stations(connection, SHARD, 1)
    await apply_batch(connection, SHARD, [report(station.num, 0, A, 10, seen_ms=9000)])
    await apply_batch(connection, SHARD, [report(station.num, 0, C, 11, seen_ms=8000)])
    assert (await evse_state(connection, station.num))["seen_ms"] == 9000


async def test_repeats_of_an_evse_in_one_batch_are_folded_in_order_of_receipt(connection: asyncpg.Connection) -> None:
    one, two = await add_stations(connection, SHARD, 2)
    before = await head(connection)
    rows = [
        report(one.num, 0, A, 10),
        report(two.num, 0, C, 10),
        report(one.num, 0, A, 12, confirm_after_ms=10**9),  # not due, but the next row must meet its key
        report(one.num, 0, C, 11),
        report(one.num, 0, C, 12),
    ]
    result = await apply_batch(connection, SHARD, rows)
    assert [row.outcome for row in result.statuses] == ["applied", "applied", "confirmed", "late", "applied"]
    assert [row.n for row in result.statuses] == [before + 1, before + 2, None, None, before + 3]
    state = await evse_state(connection, one.num)
    assert (state["status"], state["k1"], state["n"]) == (C, 12, before + 3)
    assert [(row["num"], row["status"]) for row in await outbox(connection, before)] == [
        (one.num, A), (two.num, C), (one.num, C),
    ]  # fmt: skip


async def test_a_status_never_creates_an_evse_and_must_name_the_right_uid(connection: asyncpg.Connection) -> None:
    (station,) = await add_stations(connection, SHARD, 1)
    before = await head(connection)
    wrong_uid = report(station.num, 0, A, 10)._replace(uid_key="another")
    result = await apply_batch(
        connection,
        SHARD,
        [wrong_uid, report(station.num, 9, A, 10), report(10**15, 0, A, 10), report(station.num, 0, A, 10)],
    )
    assert [row.outcome for row in result.statuses] == ["unknown_evse"] * 3 + ["applied"]
    assert result.statuses[0] == ("unknown_evse", None, None, None, None, None, False)
    assert await head(connection) == before + 1


async def test_rows_of_another_shard_are_refused_and_nothing_is_stored(connection: asyncpg.Connection) -> None:
    (mine,) = await add_stations(connection, SHARD, 1)
    (other,) = await add_stations(connection, SHARD + 1, 1)
    with pytest.raises(asyncpg.InvalidParameterValueError, match="not of shard"):
        await apply_batch(connection, SHARD, [report(mine.num, 0, A, 10), report(other.num, 0, A, 10)])
    assert (await evse_state(connection, mine.num))["k1"] is None
    (num,) = await new_nums(connection, 1)
    stranger = station_row(num, next(location_ids(SHARD + 1)))
    with pytest.raises(asyncpg.InvalidParameterValueError, match="does not belong to shard"):
        await apply_batch(connection, SHARD, (), [stranger])
    with pytest.raises(asyncpg.InvalidParameterValueError, match="no such shard"):
        await apply_batch(connection, 16, [report(mine.num, 0, A, 10)])


async def test_a_batch_holds_a_thousand_rows_and_not_one_more(connection: asyncpg.Connection) -> None:
    (station,) = await add_stations(connection, SHARD, 1)
    rows = [report(station.num, 99, A, 10)] * (BATCH_ROWS - 1)
    assert len((await apply_batch(connection, SHARD, rows, [station])).statuses) == BATCH_ROWS - 1
    with pytest.raises(asyncpg.InvalidParameterValueError, match="at most 1000 rows, not 1001"):
        await apply_batch(connection, SHARD, [*rows, *rows[:1]], [station])
    assert await apply_batch(connection, SHARD) == ([], [])


async def test_one_notification_a_batch_and_only_when_something_was_applied(
    connection: asyncpg.Connection, database_url: str
) -> None:
    (station,) = await add_stations(connection, SHARD, 1)
    heard: list[object] = []
    listener = await asyncpg.connect(database_url)
    await listener.add_listener("outbox", lambda *args: heard.append(args[3]))
    rows = [report(station.num, 0, A, 10), report(station.num, 1, A, 10)]
    for _ in range(3):  # applied, then confirmed, then confirmed
        await apply_batch(connection, SHARD, rows)
    await apply_batch(connection, SHARD, [report(station.num, 0, C, 1)])  # late
    await apply_batch(connection, SHARD, [report(station.num, 0, C, 11)])
    async with asyncio.timeout(10):
        while len(heard) < 2:
            await listener.execute("SELECT pg_sleep(0.02)")
    assert heard == [str(SHARD)] * 2
    await listener.close()


async def test_a_new_station_starts_with_unknown_evses(connection: asyncpg.Connection) -> None:
    await add_party(connection)
    before = await head(connection)
    (num,) = await new_nums(connection, 1)
    row = station_row(num, next(location_ids(SHARD)))
    result = await apply_batch(connection, SHARD, [report(num, 1, A, 10)], [row], now_ms=7000)
    assert result.stations == [("applied", before + 1)]
    assert result.statuses[0][:2] == ("applied", before + 2), "the document's own statuses come after it"
    (station,) = await connection.fetch(queries.STATIONS_BY_NUM, [num])
    assert {**station, "doc": None} == {
        "num": num, "shard": SHARD, "n": before + 1, "key": row.key, "party": PARTY, "location_id": row.location_id,
        "doc": None, "publish": True, "removed": False, "last_updated_ms": 1000, "cell": row.cell, "lat": 48.5,
        "lon": 2.25, "slots": [0, 1], "statuses": [U, A], "ns": [before + 1, before + 2], "changed_ms": [None, 10],
        "seen_ms": [None, 5000],
    }  # fmt: skip
    assert [(o["kind"], o["num"], o["slot"]) for o in await outbox(connection, before)] == [
        ("t", num, None),
        ("s", num, 1),
    ]


async def test_a_station_that_is_not_as_expected_is_a_conflict_and_stays_untouched(
    connection: asyncpg.Connection,
) -> None:
    (station, other) = await add_stations(connection, SHARD, 2)
    assert station.expected_n is not None
    before = await head(connection)
    (num,) = await new_nums(connection, 1)
    changed = station._replace(
        lat=1.0, doc='{"name":"there"}', evses=[evse_row(station.num, 0, gone=True), evse_row(9, 9)]
    )
    result = await apply_batch(
        connection,
        SHARD,
        (),
        [
            changed._replace(expected_n=station.expected_n + 1),
            other._replace(expected_n=None),  # exists already
            other._replace(expected_n=None, num=num),  # another number for a key that exists
            station_row(num, next(location_ids(SHARD)), expected_n=3),  # does not exist
        ],
    )
    assert result.stations == [("conflict", None)] * 4
    assert await head(connection) == before
    (found,) = await connection.fetch(queries.STATIONS_BY_NUM, [station.num])
    assert (found["lat"], found["doc"], found["statuses"]) == (48.5, '{"name": "here"}', [U, U])
    assert await connection.fetchval("SELECT count(*) FROM station") == 2


async def test_the_second_row_of_a_station_in_one_batch_is_a_conflict(connection: asyncpg.Connection) -> None:
    (station,) = await add_stations(connection, SHARD, 1)
    num, num2 = await new_nums(connection, 2)
    new = station_row(num, next(location_ids(SHARD)))
    result = await apply_batch(connection, SHARD, (), [station, station, new, new._replace(num=num2)])
    assert [row.outcome for row in result.stations] == ["applied", "conflict", "applied", "conflict"]


async def put(connection: asyncpg.Connection, row: StationRow, now_ms: int = 7000) -> StationRow:
    (outcome,) = (await apply_batch(connection, SHARD, (), [row], now_ms=now_ms)).stations
    assert outcome.outcome == "applied"
    return row._replace(expected_n=outcome.n)


async def test_an_evse_vanishes_and_comes_back_unknown_in_its_own_slot(connection: asyncpg.Connection) -> None:
    (station,) = await add_stations(connection, SHARD, 1)
    await apply_batch(connection, SHARD, [report(station.num, 0, A, 10), report(station.num, 1, C, 10)])
    kept = await evse_state(connection, station.num, 0)

    without = station._replace(evses=[evse_row(station.num, 0), evse_row(station.num, 1, gone=True)])
    without = await put(connection, without, now_ms=7000)
    gone = await evse_state(connection, station.num, 1)
    assert (gone["status"], gone["gone"], gone["n"], gone["changed_ms"]) == (R, True, without.expected_n, 7000)
    assert await evse_state(connection, station.num, 0) == kept, "an EVSE that stays is not touched"
    (late,) = (await apply_batch(connection, SHARD, [report(station.num, 1, A, 99)])).statuses
    assert late.outcome == "unknown_evse"

    back = await put(connection, station._replace(expected_n=without.expected_n))
    state = await evse_state(connection, station.num, 1)
    assert [state[name] for name in ("status", "gone", "n", "k1", "k2", "changed_ms", "seen_ms")] == [
        U, False, back.expected_n, None, None, None, None,
    ]  # fmt: skip
    (fresh,) = (await apply_batch(connection, SHARD, [report(station.num, 1, A, 1)])).statuses
    assert fresh.outcome == "applied", "what was reported before it vanished does not count"


async def test_a_station_is_removed_with_its_evses_and_revived_under_its_number(connection: asyncpg.Connection) -> None:
    (station,) = await add_stations(connection, SHARD, 1)
    await apply_batch(connection, SHARD, [report(station.num, 0, A, 10)])
    before = await head(connection)
    removed = await put(connection, station._replace(removed=True, evses=()))
    assert [row["kind"] for row in await outbox(connection, before)] == ["x"]
    for slot in (0, 1):
        state = await evse_state(connection, station.num, slot)
        assert (state["status"], state["gone"], state["n"]) == (R, True, removed.expected_n)
    (refused,) = (await apply_batch(connection, SHARD, [report(station.num, 0, A, 11)])).statuses
    assert refused.outcome == "unknown_evse"
    assert await connection.fetch(queries.SNAPSHOT_SHARD, SHARD) == []

    (num,) = await new_nums(connection, 1)
    (outcome,) = (await apply_batch(connection, SHARD, (), [station._replace(num=num, expected_n=None)])).stations
    assert outcome.outcome == "conflict", "the key keeps its number for ever"
    revived = station._replace(expected_n=removed.expected_n, evses=station.evses[:1])
    result = await apply_batch(connection, SHARD, [report(station.num, 0, C, 12)], [revived])
    assert (result.stations[0].outcome, result.statuses[0].outcome) == ("applied", "applied")
    (found,) = await connection.fetch(queries.SNAPSHOT_SHARD, SHARD)
    assert (found["num"], found["statuses"]) == (station.num, [C, R]), "an EVSE that was not named stays removed"


async def test_a_renamed_evse_keeps_its_status_and_number(connection: asyncpg.Connection) -> None:
    (station,) = await add_stations(connection, SHARD, 1)
    await apply_batch(connection, SHARD, [report(station.num, 0, A, 10)])
    before = await evse_state(connection, station.num)
    await put(connection, station._replace(evses=[station.evses[0]._replace(evse_id="FR*NEW", uid="U1.0 ")]))
    assert dict(await evse_state(connection, station.num)) == {**before, "evse_id": "FR*NEW", "uid": "U1.0 "}


async def test_a_slot_or_number_in_use_by_another_is_refused(connection: asyncpg.Connection) -> None:
    one, two = await add_stations(connection, SHARD, 2)
    with pytest.raises(asyncpg.InvalidParameterValueError, match=r"slot 0 of station \d+ belongs to another uid"):
        await put(connection, one._replace(evses=[one.evses[0]._replace(uid_key="other")]))
    with pytest.raises(asyncpg.InvalidParameterValueError, match="belongs to another station"):
        await put(connection, station_row(two.num, next(location_ids(SHARD))))


async def test_a_station_of_a_party_that_does_not_exist_is_refused(connection: asyncpg.Connection) -> None:
    location = next(f"l{index}" for index in range(1000) if shard_of(f"no*pty~l{index}") == SHARD)
    row = station_row(1, location)._replace(party="NO*PTY", key=f"no*pty~{location}")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await put(connection, row)


async def test_status_updates_stay_on_their_page_and_touch_no_index(connection: asyncpg.Connection) -> None:
    stations = await add_stations(connection, SHARD, 100, evses=5)
    for turn in range(30):  # a fifth of each page at a time: a page has room for so many new versions
        rows = [report(s.num, turn % 5, turn // 5 % 2 + 1, turn, seen_ms=turn) for s in stations]
        assert {row.outcome for row in (await apply_batch(connection, SHARD, rows)).statuses} == {"applied"}
    await connection.execute("SELECT pg_stat_force_next_flush()")
    updated, hot = await connection.fetchrow(  # type: ignore[misc]
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'evse'"
    )
    assert updated == 3000
    assert hot >= 0.95 * updated, "the first report makes a row longer, so that a few move; an index would make it none"


async def test_confirmations_from_memory_are_written_while_they_still_hold(connection: asyncpg.Connection) -> None:
    (station,) = await add_stations(connection, SHARD, 1, evses=5)
    await apply_batch(connection, SHARD, [report(station.num, slot, A, 10, seen_ms=1000) for slot in range(4)])
    flushed = [  # slot, status, k1, seen_ms
        (0, A, 12, 2000),  # holds
        (1, C, 12, 2000),  # another status stands by now
        (2, A, 9, 2000),  # an older key than the stored one
        (3, A, 10, 1000),  # nothing new
        (4, U, 12, 2000),  # nothing was ever reported
        (0, A, 11, 1500),  # the same EVSE again
    ]
    columns = list(zip(*((station.num, slot, status, k1, 0, seen) for slot, status, k1, seen in flushed), strict=True))
    assert await connection.fetchval(queries.CONFIRM_BATCH, SHARD, *columns) == 1
    rows = await connection.fetch("SELECT k1, seen_ms FROM evse WHERE num = $1 ORDER BY slot", station.num)
    assert [tuple(row) for row in rows] == [(12, 2000), (10, 1000), (10, 1000), (10, 1000), (None, None)]
    assert await connection.fetchval(queries.CONFIRM_BATCH, SHARD + 1, *columns) == 0


async def test_a_party_whose_numbering_restarts_is_heard_again(connection: asyncpg.Connection) -> None:
    (station,) = await add_stations(connection, SHARD, 1)
    await apply_batch(connection, SHARD, [report(station.num, 0, A, 10)])
    assert await connection.fetchval(queries.PARTY_RESET_ORDER, SHARD, PARTY) == 1
    assert (await evse_state(connection, station.num))["status"] == A
    (row,) = (await apply_batch(connection, SHARD, [report(station.num, 0, C, 1)])).statuses
    assert row.outcome == "applied"
