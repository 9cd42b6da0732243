"""Promise R2 through HTTP: per-EVSE order under duplicates, retries, late and reordered input, for parties that order by
time and by sequence, held against a dictionary. The property test of the door itself is tests/sql/test_order_property.py.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import asyncpg

from geo.station import Status
from tests.e2e.compare import assert_all_equal
from tests.e2e.ledger import STATUSES
from tests.e2e.stack import TORTURE, Point, Stack, rfc3339

POSTS = 3000 if TORTURE else 150
SEED = random.SystemRandom().randrange(1 << 32)
TS, SEQ = "FR*TST", "DE*SEQ"


class Report(NamedTuple):
    evse: Point
    key: tuple[int, int]
    status: str

    @property
    def row(self) -> dict[str, Any]:
        common = {"evse_uid": self.evse.uid, "location_id": self.evse.location_id, "status": self.status}
        if self.evse.party == TS:
            return {**common, "source_ts": rfc3339(self.key[0])}
        return {**common, "source_epoch": self.key[0], "source_seq": self.key[1]}


class Model:
    """What must stand: the highest key, and of equal ones the later receipt."""

    def __init__(self) -> None:
        self.last: dict[Point, tuple[tuple[int, int], str]] = {}

    def judge(self, report: Report) -> str:
        old = self.last.get(report.evse)
        if old is not None and report.key < old[0]:
            return "late"
        self.last[report.evse] = (report.key, report.status)
        return "confirmed" if old is not None and old[1] == report.status else "applied"


async def test_outcomes_and_statuses_agree_with_a_dictionary(stack: Stack) -> None:
    print(f"seed {SEED}")
    draw = random.Random(SEED)
    evses = [*await stack.fill(3, evses=2), *await stack.fill(3, evses=2, party=SEQ, order_by="seq", prefix="S")]
    await stack.start("ingest", "relay", "serve")
    base_ms = stack.now_ms() - 3_600_000
    model, sent = Model(), list[list[Report]]()
    for post in range(POSTS):
        if sent and draw.random() < 0.15:
            batch = draw.choice(sent)  # a retry, much later
        else:
            batch = [invented(draw, draw.choice(evses), base_ms, post) for _ in range(draw.randint(1, 12))]
            batch += draw.choices(batch, k=draw.randint(0, 2))  # duplicates within the batch
            sent.append(batch)
        told = await stack.post([report.row for report in batch])
        assert told == [model.judge(report) for report in batch]
        if post in (POSTS // 3, POSTS // 2):  # an orderly end forgets no key, confirmed ones included
            assert await stack.stop("ingest") == 0
            await stack.start("ingest")
    await assert_all_equal(stack)
    connection = await asyncpg.connect(stack.database_url)
    try:
        rows = await connection.fetch("SELECT num, slot, status FROM evse WHERE k1 IS NOT NULL")
        twice = await connection.fetch("SELECT 1 FROM outbox GROUP BY shard, n HAVING count(*) > 1")
    finally:
        await connection.close()
    stored = {(row["num"], row["slot"]): row["status"] for row in rows}
    assert stored == {(evse.num, evse.slot): Status[status] for evse, (_, status) in model.last.items()}
    assert twice == []
    assert stack.complaints() == []


def invented(draw: random.Random, evse: Point, base_ms: int, post: int) -> Report:
    """A key around the present one: some late, some equal, most newer. Few statuses, so that many confirm."""
    at = post + draw.randint(-20, 5)
    key = (base_ms + at * 100, 0) if evse.party == TS else (max(0, at) // 40, max(0, at) % 40)
    return Report(evse, key, draw.choice(STATUSES[:3]))


async def test_a_row_that_lacks_its_partys_key_is_malformed(stack: Stack) -> None:
    ts, seq = (await stack.fill(1))[0], (await stack.fill(1, party=SEQ, order_by="seq", prefix="S"))[0]
    await stack.start("ingest")
    rows = [Report(ts, (5, 0), "CHARGING").row, Report(seq, (5, 0), "CHARGING").row]
    rows[0], rows[1] = (
        {**rows[0], "source_ts": None, "source_seq": 7},
        {**rows[1], "source_seq": None, "source_ts": rfc3339(stack.now_ms())},
    )
    assert await stack.post_to(stack.ingest_url, rows) == ["malformed", "malformed"]
