"""Statuses on their way to the door: what arrived while the last batch committed is the next batch (group commit).

A batch takes what waits, of any shards, oldest first in each; while it commits its shards are left alone, so that the rows of
a shard are written in the order of their receipt. A batch of one row commits at once, and under load batches grow by
themselves; there is no timer to tune.
A shard that somebody else holds (an import holds one for some 20 ms) delays nobody else: the door gives its rows back, and one
of the patient writers waits for it.
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
from sql.door import BATCH_ROWS, BUSY, Settled, StatusOutcome, StatusRow, apply_statuses

log = logging.getLogger(__name__)

AT_ONCE = 2  # batches: while one waits for the disk the other one computes; more of them would be smaller ones
PATIENT = 4  # writers that wait for shards that somebody else holds
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


Told = Callable[[int, StatusRow, bool], None]
"""(shard, row, written) of every confirmed row, after the commit."""


class _Waiting(NamedTuple):
    rows: Sequence[StatusRow]
    done: asyncio.Future[list[Settled]]


class ShardQueue:
    def __init__(self, shard: int, pool: Any, told: Told) -> None:
        self.shard = shard
        self.pending: dict[tuple[int, int], Pending] = {}
        self.waiting_rows = 0  # those being written included
        self.is_free = True  # no batch holds rows of it
        self._pool = pool
        self._told = told
        self._queue: deque[_Waiting] = deque()

    def put(self, rows: Sequence[StatusRow]) -> asyncio.Future[list[Settled]]:
        """The future ends when the rows are committed (or have failed, and then none of them is acknowledged)."""
        done: asyncio.Future[list[Settled]] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(rows, done))
        self.waiting_rows += len(rows)
        return done

    def take(self, most: int) -> list[_Waiting]:
        """The oldest that waits, as much as fits."""
        taken: list[_Waiting] = []
        while self._queue and len(self._queue[0].rows) <= most:
            most -= len(self._queue[0].rows)
            taken.append(self._queue.popleft())
        return taken

    def give_back(self, taken: Sequence[_Waiting]) -> None:
        self._queue.extendleft(reversed(taken))

    def settle(self, taken: Sequence[_Waiting], rows: Sequence[StatusRow], settled: list[Settled]) -> None:
        """The rows of `taken` are committed."""
        self.waiting_rows -= len(rows)
        self.learn(rows, settled)
        start = 0
        for item in taken:
            if not item.done.done():
                item.done.set_result(settled[start : start + len(item.rows)])
            start += len(item.rows)

    def fail(self, taken: Sequence[_Waiting], error: Exception) -> None:
        """They may or may not be committed: the waiting requests answer for it."""
        for item in taken:
            self.waiting_rows -= len(item.rows)
            if not item.done.done():
                item.done.set_exception(error)

    def recall(self, rows: Sequence[StatusRow]) -> list[StatusRow]:
        """The rows with the keys that were confirmed and are not written yet."""
        if not self.pending:
            return list(rows)
        return [
            row if (p := self.pending.get((row.num, row.slot))) is None else row._replace(known_k1=p.k1, known_k2=p.k2)
            for row in rows
        ]

    def learn(self, rows: Sequence[StatusRow], outcomes: Sequence[Settled | StatusOutcome]) -> None:
        """What the door said of these rows."""
        pending = self.pending
        for row, outcome in zip(rows, outcomes, strict=True):
            if outcome.outcome == "applied":
                if pending:
                    pending.pop((row.num, row.slot), None)
            elif outcome.outcome == "confirmed":
                place = (row.num, row.slot)
                self._told(self.shard, row, outcome.written)
                if outcome.written:
                    pending.pop(place, None)
                else:
                    first = pending.get(place)
                    write_at = first.write_at_ms if first else row.seen_ms + row.confirm_after_ms
                    pending[place] = Pending(row.status, row.k1, row.k2, row.seen_ms, write_at)

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


_Part = tuple[ShardQueue, list[_Waiting]]
"""A shard's part of a batch."""


class Writers:
    """The queues of all shards, and who empties them."""

    def __init__(self, pool: Any, told: Told) -> None:
        self.queues = [ShardQueue(shard, pool, told) for shard in range(SHARDS)]
        self._pool = pool
        self._wake = asyncio.Event()
        self._held: asyncio.Queue[ShardQueue] = asyncio.Queue()  # shards with rows that the door gave back
        self._next = 0

    def run(self) -> list[asyncio.Task[None]]:
        """The writers, for ever."""
        tasks = [asyncio.create_task(self._write_for_ever()) for _ in range(AT_ONCE)]
        return tasks + [asyncio.create_task(self._wait_for_ever()) for _ in range(PATIENT)]

    async def write(self, by_shard: dict[int, list[StatusRow]]) -> dict[int, list[Settled]]:
        """Commits rows of several shards; the outcomes by shard. Raises QueueFullError before anything is queued."""
        for shard, rows in by_shard.items():
            if self.queues[shard].waiting_rows + len(rows) > QUEUE_ROWS:
                raise QueueFullError
        waiting = {shard: self.queues[shard].put(rows) for shard, rows in by_shard.items()}
        self._wake.set()
        # All of them are waited for: none may be left running when this request has already answered.
        results = await asyncio.gather(*waiting.values(), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return {shard: r for shard, r in zip(waiting, results, strict=True) if not isinstance(r, BaseException)}

    async def _write_for_ever(self) -> None:
        while True:
            batch = self._take()
            if batch:
                await self._commit(batch, wait=False)
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _wait_for_ever(self) -> None:
        while True:
            queue = await self._held.get()
            await self._commit([(queue, queue.take(BATCH_ROWS))], wait=True)

    def _take(self) -> list[_Part]:
        """A batch of what waits in shards that no other batch holds; they take turns in being asked first."""
        batch: list[_Part] = []
        room = BATCH_ROWS
        for queue in (*self.queues[self._next :], *self.queues[: self._next]):
            taken = queue.take(room) if queue.is_free else []
            if taken:
                queue.is_free = False
                batch.append((queue, taken))
                room -= sum(len(item.rows) for item in taken)
            elif queue.is_free and queue.waiting_rows:
                self._next = queue.shard  # the first that found no room
                break
        return batch

    async def _commit(self, batch: list[_Part], *, wait: bool) -> None:
        rows = {queue.shard: queue.recall([row for item in taken for row in item.rows]) for queue, taken in batch}
        try:
            settled = await apply_statuses(self._pool, rows, wait=wait)
        except Exception as error:
            for queue, taken in batch:
                queue.is_free = True
                queue.fail(taken, error)
        else:
            for queue, taken in batch:
                if settled[queue.shard][0] == BUSY:
                    queue.give_back(taken)
                    self._held.put_nowait(queue)
                else:
                    queue.is_free = True
                    queue.settle(taken, rows[queue.shard], settled[queue.shard])
        self._wake.set()

    def recall(self, shard: int, rows: Sequence[StatusRow]) -> list[StatusRow]:
        """For the other door: a station's document may carry statuses too (mapsvc.door.Memory)."""
        return self.queues[shard].recall(rows)

    def learn(self, shard: int, rows: Sequence[StatusRow], outcomes: Sequence[StatusOutcome]) -> None:
        self.queues[shard].learn(rows, outcomes)

    @property
    def pending_rows(self) -> int:
        return sum(len(queue.pending) for queue in self.queues)

    @property
    def waiting_rows(self) -> int:
        return sum(queue.waiting_rows for queue in self.queues)
