"""One writer a shard: what arrived while the last batch committed is the next batch (group commit).

A batch of one row commits at once, and under load batches grow by themselves; there is no timer to tune.
Confirmations: the door writes them at most every TTL/4 per EVSE. What it did not write is kept here: its ordering key, so
that a row between the stored and the confirmed key is still late (R2), and its `seen_at`, written when TTL/4 is over or
at the end. A crash forgets at most that: UNKNOWN shows early, never late.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from geo.station import SHARDS
from sql import queries
from sql.door import BATCH_ROWS, StatusOutcome, StatusRow, apply_batch

log = logging.getLogger(__name__)

QUEUE_ROWS = 20_000  # of one shard: some seconds of work; beyond it clients are told to come back
PENDING_ROWS = 500_000  # confirmations kept in memory in all; beyond it they are written at once


class QueueFullError(Exception):
    """A shard has more waiting than it may."""


class Pending(NamedTuple):
    """A confirmation that the database does not know yet."""

    status: int
    k1: int
    k2: int
    seen_ms: int
    write_at_ms: int


class _Waiting(NamedTuple):
    rows: Sequence[StatusRow]
    done: asyncio.Future[list[StatusOutcome]]


class ShardQueue:
    def __init__(self, shard: int, pool: Any, told: Callable[[int, StatusRow, StatusOutcome], None]) -> None:
        """`told(shard, row, outcome)` hears of every confirmed row, after the commit."""
        self.shard = shard
        self.pending: dict[tuple[int, int], Pending] = {}
        self._pool = pool
        self._told = told
        self._queue: deque[_Waiting] = deque()
        self._rows = 0
        self._wake = asyncio.Event()

    @property
    def waiting_rows(self) -> int:
        return self._rows

    def put(self, rows: Sequence[StatusRow]) -> asyncio.Future[list[StatusOutcome]]:
        """The future ends when the rows are committed (or have failed, and then none of them is acknowledged)."""
        done: asyncio.Future[list[StatusOutcome]] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(rows, done))
        self._rows += len(rows)
        self._wake.set()
        return done

    async def work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                batch, rows = self._take()
                try:
                    outcomes = await self._commit(rows)
                except Exception as error:  # the waiting requests answer for it
                    for item in batch:
                        if not item.done.done():
                            item.done.set_exception(error)
                    continue
                finally:
                    self._rows -= len(rows)
                start = 0
                for item in batch:
                    if not item.done.done():
                        item.done.set_result(outcomes[start : start + len(item.rows)])
                    start += len(item.rows)

    def _take(self) -> tuple[list[_Waiting], list[StatusRow]]:
        batch, rows = [self._queue.popleft()], list[StatusRow]()
        rows += batch[0].rows
        while self._queue and len(rows) + len(self._queue[0].rows) <= BATCH_ROWS:
            batch.append(self._queue.popleft())
            rows += batch[-1].rows
        return batch, rows

    async def _commit(self, rows: list[StatusRow]) -> list[StatusOutcome]:
        outcomes = (await apply_batch(self._pool, self.shard, self.recall(rows))).statuses
        self.learn(rows, outcomes)
        return outcomes

    def recall(self, rows: Sequence[StatusRow]) -> list[StatusRow]:
        """The rows with the keys that were confirmed and are not written yet."""
        return [
            row if (p := self.pending.get((row.num, row.slot))) is None else row._replace(known_k1=p.k1, known_k2=p.k2)
            for row in rows
        ]

    def learn(self, rows: Sequence[StatusRow], outcomes: Sequence[StatusOutcome]) -> None:
        """What the door said of these rows."""
        for row, outcome in zip(rows, outcomes, strict=True):
            place = (row.num, row.slot)
            if outcome.outcome == "applied":
                self.pending.pop(place, None)
            elif outcome.outcome == "confirmed":
                self._told(self.shard, row, outcome)
                if outcome.written:
                    self.pending.pop(place, None)
                else:
                    first = self.pending.get(place)
                    write_at = first.write_at_ms if first else row.seen_ms + row.confirm_after_ms
                    self.pending[place] = Pending(row.status, row.k1, row.k2, row.seen_ms, write_at)

    async def flush(self, due_ms: int | None) -> list[tuple[int, int, int]]:
        """Writes pending confirmations whose time has come (None: all); returns (num, slot, seen_ms) written."""
        if len(self.pending) > PENDING_ROWS // SHARDS:
            due_ms = None
        places = [place for place, p in self.pending.items() if due_ms is None or p.write_at_ms <= due_ms]
        written: list[tuple[int, int, int]] = []
        for start in range(0, len(places), BATCH_ROWS):
            part = {place: self.pending[place] for place in places[start : start + BATCH_ROWS]}
            nums, slots = zip(*part, strict=True)
            statuses, k1, k2, seen, _ = zip(*part.values(), strict=True)
            await self._pool.fetchval(queries.CONFIRM_BATCH, self.shard, nums, slots, statuses, k1, k2, seen)
            for place, entry in part.items():
                if self.pending.get(place) == entry:  # else confirmed again meanwhile: later
                    del self.pending[place]
            written += zip(nums, slots, seen, strict=True)
        return written


class Writers:
    """The queues of all shards."""

    def __init__(self, pool: Any, told: Callable[[int, StatusRow, StatusOutcome], None]) -> None:
        self.queues = [ShardQueue(shard, pool, told) for shard in range(SHARDS)]

    def recall(self, shard: int, rows: Sequence[StatusRow]) -> list[StatusRow]:
        """For the other door: a station's document may carry statuses too (mapsvc.door.Memory)."""
        return self.queues[shard].recall(rows)

    def learn(self, shard: int, rows: Sequence[StatusRow], outcomes: Sequence[StatusOutcome]) -> None:
        self.queues[shard].learn(rows, outcomes)

    async def write(self, by_shard: dict[int, list[StatusRow]]) -> dict[int, list[StatusOutcome]]:
        """Commits rows of several shards; the outcomes by shard. Raises QueueFullError before anything is queued."""
        for shard, rows in by_shard.items():
            if self.queues[shard].waiting_rows + len(rows) > QUEUE_ROWS:
                raise QueueFullError
        waiting = {shard: self.queues[shard].put(rows) for shard, rows in by_shard.items()}
        # All of them are waited for: none may be left running when this request has already answered.
        results = await asyncio.gather(*waiting.values(), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return {shard: r for shard, r in zip(waiting, results, strict=True) if not isinstance(r, BaseException)}

    @property
    def pending_rows(self) -> int:
        return sum(len(queue.pending) for queue in self.queues)

    @property
    def waiting_rows(self) -> int:
        return sum(queue.waiting_rows for queue in self.queues)
