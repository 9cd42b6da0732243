"""Promise R2: whatever comes in, in whatever order, each EVSE ends as geo.ordering.supersedes folds it.

A dict is the model; the door, an ingest process's memory of unwritten confirmations, its flushes and its crashes are
the thing tested. TORTURE=1 runs 10,000 examples.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field

import asyncpg
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from geo.ordering import OrderKey, Reported, Verdict, supersedes
from geo.station import Status
from sql import queries
from sql.door import StationRow, StatusRow, apply_batch
from tests.sql.stations import add_party, evse_row, location_ids, new_nums, report, station_row

SHARD = 11
EVSES = 3
CONFIRM_AFTER_MS = 40
EXAMPLES = 10_000 if os.environ.get("TORTURE") else 60


@dataclass(frozen=True)
class Told:
    """A report as it comes in: which EVSE, what, and when in the source's order. `uid_ok`: resolved rightly."""

    evse: int
    status: Status
    key: OrderKey
    uid_ok: bool = True


@dataclass(frozen=True)
class Batch:
    rows: tuple[Told, ...]


@dataclass(frozen=True)
class Repeat:
    """The last batch once more: a client that heard no answer."""


@dataclass(frozen=True)
class Flush:
    """Ingest writes what it remembers."""


@dataclass(frozen=True)
class Crash:
    """Ingest forgets what it remembers."""


@dataclass(frozen=True)
class Vanish:
    evse: int


@dataclass(frozen=True)
class Return:
    """A document that names every EVSE."""


Step = Batch | Repeat | Flush | Crash | Vanish | Return

keys = st.one_of(
    st.builds(OrderKey, st.integers(0, 4), st.just(0)),  # order_by ts
    st.builds(OrderKey, st.integers(0, 2), st.integers(0, 3)),  # order_by seq
)
told = st.builds(
    Told,
    st.integers(0, EVSES - 1),
    st.sampled_from([Status.UNKNOWN, Status.AVAILABLE, Status.CHARGING, Status.REMOVED]),
    keys,
    st.sampled_from([True] * 9 + [False]),
)
batches = st.builds(Batch, st.lists(told, min_size=1, max_size=8).map(tuple))
slots = st.integers(0, EVSES - 1)
steps = st.one_of(
    batches,
    batches,
    batches,
    st.builds(Repeat),
    st.builds(Flush),
    st.builds(Crash),
    st.builds(Vanish, slots),
    st.builds(Return),
)


@dataclass
class Evse:
    """What must be true of an EVSE. `stands` includes confirmations that ingest remembers only; `written` does not."""

    stands: Reported | None = None
    written: OrderKey | None = None
    shown: Status = Status.UNKNOWN
    seen_ms: int | None = None
    n: int = 0
    gone: bool = False
    history: list[tuple[int, Status, int, int]] = field(default_factory=list)


class Run:
    """One example: a station of its own, driven step by step beside the model."""

    def __init__(self, connection: asyncpg.Connection, station: StationRow, n: int) -> None:
        self.connection = connection
        self.station = station
        self.model = [Evse(n=n) for _ in range(EVSES)]
        self.memory: dict[int, tuple[OrderKey, int]] = {}  # EVSE → key and seen_ms of its unwritten confirmation
        self.head = n
        self.clock_ms = 1000
        self.last = Batch(())

    async def step(self, step: Step) -> None:
        self.clock_ms += 10
        match step:
            case Batch():
                self.last = step
                await self.batch(step)
            case Repeat():
                await self.batch(self.last)
            case Flush():
                await self.flush()
            case Crash():
                self.memory.clear()
                for evse in self.model:
                    if evse.stands is not None and evse.written is not None:
                        evse.stands = Reported(evse.written, evse.stands.status)
            case Vanish(evse=gone):
                await self.document({gone})
            case Return():
                await self.document(set())

    async def batch(self, batch: Batch) -> None:
        rows = [self.row(each) for each in batch.rows]
        outcomes = (await apply_batch(self.connection, SHARD, rows)).statuses
        verdicts = [self.judge(each) for each in batch.rows]
        assert [row.outcome for row in outcomes] == verdicts
        numbers = [row.n for row in outcomes if row.n is not None]
        assert sorted(numbers) == list(range(self.head + 1, self.head + 1 + len(numbers)))
        self.head += len(numbers)
        for each, row, outcome in zip(batch.rows, rows, outcomes, strict=True):
            evse = self.model[each.evse]
            if outcome.outcome not in ("applied", "confirmed"):
                continue
            if outcome.outcome == "applied":
                assert outcome.n is not None
                evse.n, evse.shown = outcome.n, each.status
                evse.history.append((outcome.n, each.status, *each.key))
            if outcome.written:
                evse.written, evse.seen_ms = each.key, row.seen_ms
                self.memory.pop(each.evse, None)
            else:
                assert evse.seen_ms is not None
                assert row.seen_ms - evse.seen_ms < CONFIRM_AFTER_MS
                self.memory[each.evse] = (each.key, row.seen_ms)

    def row(self, each: Told) -> StatusRow:
        known = self.memory.get(each.evse)
        row = report(
            self.station.num, each.evse, each.status, *each.key, seen_ms=self.clock_ms, confirm_after_ms=CONFIRM_AFTER_MS,
            known=known and known[0],
        )  # fmt: skip
        return row if each.uid_ok else row._replace(uid_key="wrong")

    def judge(self, each: Told) -> str:
        evse = self.model[each.evse]
        if evse.gone or not each.uid_ok:
            return "unknown_evse"
        verdict = supersedes(new := Reported(each.key, each.status), evse.stands)
        if verdict is not Verdict.LATE:
            evse.stands = new
        return verdict

    async def flush(self) -> None:
        if not self.memory:
            return
        columns = zip(
            *(
                (self.station.num, slot, self.model[slot].shown, *key, seen)
                for slot, (key, seen) in self.memory.items()
            ),
            strict=True,
        )
        news = [
            slot for slot, new in self.memory.items() if new != (self.model[slot].written, self.model[slot].seen_ms)
        ]
        assert await self.connection.fetchval(queries.CONFIRM_BATCH, SHARD, *columns) == len(news)
        for slot, (key, seen_ms) in self.memory.items():
            self.model[slot].written, self.model[slot].seen_ms = key, seen_ms
        self.memory.clear()

    async def document(self, gone: set[int]) -> None:
        """A document of the station without the EVSEs in `gone`."""
        self.station = self.station._replace(
            evses=[evse_row(self.station.num, slot, slot in gone) for slot in range(EVSES)],
            expected_n=self.station.expected_n,
        )
        (outcome,) = (await apply_batch(self.connection, SHARD, (), [self.station])).stations
        assert outcome == ("applied", self.head + 1)
        self.head += 1
        self.station = self.station._replace(expected_n=self.head)
        for slot, evse in enumerate(self.model):
            if evse.gone != (slot in gone):
                evse.n = self.head
                evse.shown = Status.REMOVED if slot in gone else Status.UNKNOWN
                evse.gone = slot in gone
                if not evse.gone:
                    evse.stands = evse.written = evse.seen_ms = None
                self.memory.pop(slot, None)

    async def check(self) -> None:
        rows = await self.connection.fetch("SELECT * FROM evse WHERE num = $1 ORDER BY slot", self.station.num)
        for row, evse in zip(rows, self.model, strict=True):
            key = None if row["k1"] is None else OrderKey(row["k1"], row["k2"])
            assert (row["status"], row["n"], row["gone"], row["seen_ms"], key) == (
                evse.shown, evse.n, evse.gone, evse.seen_ms, evse.written,
            )  # fmt: skip
            for query in (
                "SELECT n, status, k1, k2 FROM status_history WHERE num = $1 AND slot = $2 ORDER BY n",
                "SELECT n, status FROM outbox WHERE num = $1 AND slot = $2 AND kind = 's' ORDER BY n",
            ):
                kept = await self.connection.fetch(query, self.station.num, row["slot"])
                assert [tuple(each) for each in kept] == [each[: len(kept[0])] for each in evse.history]


async def run(connection: asyncpg.Connection, what: list[Step]) -> None:
    (num,) = await new_nums(connection, 1)
    station = station_row(num, next(location_ids(SHARD)), EVSES)
    (outcome,) = (await apply_batch(connection, SHARD, (), [station])).stations
    assert outcome.n is not None
    example = Run(connection, station._replace(expected_n=outcome.n), outcome.n)
    for step in what:
        await example.step(step)
        await example.check()
    assert await connection.fetchval("SELECT n FROM shard WHERE shard = $1", SHARD) == example.head


def told_of(evse: int, status: Status, k1: int) -> Told:
    return Told(evse, status, OrderKey(k1))


def test_every_evse_ends_as_the_ordering_rule_folds_its_reports(database_url: str) -> None:
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(database_url))
        runner.run(add_party(connection))
        # The service has no such indexes: here each step looks for its own rows among those of all examples.
        runner.run(connection.execute("CREATE INDEX ON status_history (num); CREATE INDEX ON outbox (num)"))

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        @given(st.lists(steps, min_size=1, max_size=12))
        # A confirmation that is only remembered must still refuse what it outranks, also within one batch.
        @example([Batch((told_of(0, Status.AVAILABLE, 1),)), Batch((told_of(0, Status.AVAILABLE, 3),)),
                  Batch((told_of(0, Status.CHARGING, 2), told_of(0, Status.CHARGING, 3)))])  # fmt: skip
        @example(
            [Batch((told_of(0, Status.AVAILABLE, 1), told_of(0, Status.AVAILABLE, 3), told_of(0, Status.CHARGING, 2)))]
        )
        def holds(what: list[Step]) -> None:
            runner.run(run(connection, what))

        try:
            holds()
        finally:
            runner.run(connection.close())
