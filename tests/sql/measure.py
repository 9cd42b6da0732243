"""How fast the database side is, on this machine: `python -m tests.sql.measure URL [STATIONS] [SECONDS]`.

URL is an empty database (it is migrated and filled). Not a test: figures differ from machine to machine. What is
asserted is that every row sent was applied, for a door that refuses rows looks fast.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time

import asyncpg

from sql import migrate, queries
from sql.door import EvseRow, StationRow, StatusRow, apply_batch

PARTY = "ME*AS"
EVSES = 3  # per station
STATION_BATCH = 200
PREFETCH = 2000
# About the size of a generated station's document.
DOC = (
    """jsonb_build_object('party', 'ME*AS', 'location_id', i::text, 'lat', 45.0, 'lon', 5.0, 'last_updated_ms', 1,
    'name', 'Station ' || i, 'address', 'Rue de la Gare ' || i, 'city', 'Lyon', 'country', 'FRA', 'operator', 'Measure',
    'evses', jsonb_build_array("""
    + ", ".join(
        f"""jsonb_build_object('uid', 'u' || i || '.{slot}', 'slot', {slot}, 'evse_id', 'FR*MEA*E' || i || '*{slot}',
        'connectors', jsonb_build_array(jsonb_build_object('id', '1', 'standard', 'IEC_62196_T2_COMBO', 'format', 'CABLE',
        'power_type', 'DC', 'max_voltage', 920, 'max_amperage', 500, 'max_electric_power', 300000, 'power_kw', 300.0)))"""
        for slot in range(EVSES)
    )
    + "))"
)
FILL = (
    "INSERT INTO party (id) VALUES ('ME*AS')",
    f"""INSERT INTO station (num, n, last_updated_ms, cell, geom, shard, publish, key, party, location_id, doc)
    SELECT nextval('station_num'), 0, 1, 599686042433355775 + i % 20000,
           ST_SetSRID(ST_MakePoint(random() * 20 - 5, random() * 10 + 42), 4326),
           shard_of_key('me*as~' || i), true, 'me*as~' || i, 'ME*AS', i::text, {DOC}
    FROM generate_series(1, $1::integer) AS i""",
    """INSERT INTO evse (num, n, slot, shard, party, uid, uid_key, evse_id)
    SELECT s.num, 0, slot, s.shard, s.party, 'u' || s.location_id || '.' || slot, 'u' || s.location_id || '.' || slot,
           'FR*MEA*E' || s.location_id || '*' || slot
    FROM station AS s CROSS JOIN generate_series(0, 2) AS slot""",
    "ANALYZE",
)


async def fill(url: str, stations: int) -> None:
    connection = await asyncpg.connect(url)
    begin = time.perf_counter()
    for statement in FILL:
        await connection.execute(statement, *([stations] if "$1" in statement else []))
    print(f"filled {stations} stations, {stations * EVSES} EVSEs by SQL in {time.perf_counter() - begin:.1f} s")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def status_batches(url: str, writers: int, rows: int, seconds: float) -> None:
    """`writers` connections, each on shards of its own in turn; random EVSEs, every row a change."""
    clock = int(time.time() * 1000)

    async def writer(mine: int) -> tuple[int, list[float]]:
        connection = await asyncpg.connect(url)
        draw = random.Random(mine)
        uids: dict[int, list[tuple[int, int, str]]] = {}
        for shard in range(mine, 16, writers):
            found = await connection.fetch("SELECT num, slot, uid_key FROM evse WHERE shard = $1 LIMIT 60000", shard)
            uids[shard] = [tuple(row) for row in found]
        await asyncio.sleep(0)
        sent, took = 0, []
        deadline = time.perf_counter() + seconds
        turn = 0
        while (begin := time.perf_counter()) < deadline:
            turn += 1
            for shard, evses in uids.items():
                now = clock + sent // 100 + turn
                batch = [
                    StatusRow(num, slot, uid, turn % 6 + 1, now, 0, now, now)
                    for num, slot, uid in draw.sample(evses, rows)
                ]
                begin = time.perf_counter()
                result = await apply_batch(connection, shard, batch)
                took.append(time.perf_counter() - begin)
                refused = [row for row in result.statuses if row.outcome not in ("applied", "confirmed")]
                assert not refused, refused[:3]
                sent += len(batch)
        await connection.close()
        return sent, took

    connection = await asyncpg.connect(url)
    await connection.execute("CHECKPOINT")
    wal = await connection.fetchval("SELECT pg_current_wal_lsn()")
    hot = await connection.fetchrow("SELECT pg_stat_get_tuples_updated(c), pg_stat_get_tuples_hot_updated(c) "
                                    "FROM (SELECT 'evse'::regclass::oid AS c) AS x")  # fmt: skip
    begin = time.perf_counter()
    results = await asyncio.gather(*(writer(index) for index in range(writers)))
    elapsed = time.perf_counter() - begin
    sent = sum(count for count, _ in results)
    took = sorted(seconds for _, batches in results for seconds in batches)
    bytes_ = await connection.fetchval("SELECT pg_current_wal_lsn() - $1::pg_lsn", wal)
    await asyncio.sleep(1.5)  # statistics are reported with a delay
    hot2 = await connection.fetchrow("SELECT pg_stat_get_tuples_updated(c), pg_stat_get_tuples_hot_updated(c) "
                                     "FROM (SELECT 'evse'::regclass::oid AS c) AS x")  # fmt: skip
    await connection.close()
    assert hot and hot2
    print(
        f"statuses: {writers} writers x {rows} rows: {sent / elapsed:,.0f} rows/s; batch p50 "
        f"{took[len(took) // 2] * 1e3:.1f} p99 {took[len(took) * 99 // 100] * 1e3:.1f} ms; WAL {bytes_ / sent:.0f} B/row; "
        f"HOT {(hot2[1] - hot[1]) / max(1, hot2[0] - hot[0]):.1%} of {hot2[0] - hot[0]}"
    )


async def station_batches(url: str, batches: int) -> None:
    connection = await asyncpg.connect(url)
    doc = await connection.fetchval("SELECT doc::text FROM station LIMIT 1")
    by_shard: dict[int, list[str]] = {}
    total = batches * STATION_BATCH
    for key, shard in await connection.fetch(
        "SELECT k, shard_of_key(k) FROM (SELECT 'me*as~new' || i AS k FROM generate_series(1, $1::integer) AS i) AS x",
        total,
    ):
        by_shard.setdefault(shard, []).append(key)
    for label in ("new", "changed"):
        took = []
        for shard, keys in by_shard.items():
            for at in range(0, len(keys), STATION_BATCH):
                part = keys[at : at + STATION_BATCH]
                if label == "new":
                    known = [(row["num"], None) for row in await connection.fetch(queries.STATION_NUMS, len(part))]
                else:
                    rows = {row["key"]: row for row in await connection.fetch(queries.STATION_DOCS_BY_KEY, part)}
                    known = [(rows[key]["num"], rows[key]["n"]) for key in part]
                stations = [
                    StationRow(
                        num, n, key, PARTY, key[6:], doc, 45.0, 5.0, True, False, 2, 599686042433355775,
                        [EvseRow(slot, f"n{num}.{slot}", f"n{num}.{slot}", label) for slot in range(EVSES)],
                    )
                    for key, (num, n) in zip(part, known, strict=True)
                ]  # fmt: skip
                begin = time.perf_counter()
                result = await apply_batch(connection, shard, (), stations)
                took.append(time.perf_counter() - begin)
                assert all(row.outcome == "applied" for row in result.stations)
        print(
            f"stations: {label}, 1 writer x {STATION_BATCH} with {EVSES} EVSEs: {total / sum(took):,.0f} stations/s "
            f"({len(took) / sum(took):.0f} batches/s), worst batch {max(took) * 1e3:.0f} ms"
        )
    await connection.close()


async def snapshot(url: str) -> None:
    connection = await asyncpg.connect(url)
    begin = time.perf_counter()
    rows = 0
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for shard in range(16):
            async for _row in connection.cursor(queries.SNAPSHOT_SHARD, shard, prefetch=PREFETCH):
                rows += 1
    elapsed = time.perf_counter() - begin
    print(f"snapshot: {rows} stations with EVSEs in {elapsed:.1f} s: {rows / elapsed:,.0f} stations/s")
    await connection.close()


async def resolving(url: str) -> None:
    connection = await asyncpg.connect(url)
    uids = [row[0] for row in await connection.fetch("SELECT uid_key FROM evse ORDER BY random() LIMIT 1000")]
    for _ in range(2):
        begin = time.perf_counter()
        rows = await connection.fetch(queries.RESOLVE, [PARTY], uids, [None] * len(uids))
        elapsed = time.perf_counter() - begin
    assert len(rows) == 1000
    print(f"resolve: {len(uids) / elapsed:,.0f} uids/s")
    await connection.close()


async def main(url: str, stations: int, seconds: float) -> None:
    migrate.upgrade(url)
    await fill(url, stations)
    await snapshot(url)
    await resolving(url)
    for writers, rows in ((2, 1000), (1, 1000), (2, 100), (16, 100)):
        await status_batches(url, writers, rows, seconds)
    await station_batches(url, 100)


if __name__ == "__main__":
    asyncio.run(
        main(
            sys.argv[1],
            int(sys.argv[2]) if len(sys.argv) > 2 else 200_000,
            float(sys.argv[3]) if len(sys.argv) > 3 else 10,
        )
    )
