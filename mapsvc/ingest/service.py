"""Status updates from rows to outcomes: judge, resolve, commit. No HTTP here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from cache.client import UNREACHABLE, Cache, RedisError
from cache.keys import CONTROL, ShardKeys
from cache.tasks import end, watch
from cache.writer import pack_seen, publish_seen, touch_seen
from geo.station import SHARDS
from mapsvc.door import FUTURE_MS
from mapsvc.ingest.clock import DatabaseClock
from mapsvc.ingest.reports import Malformed, Report
from mapsvc.ingest.writers import Writers
from sql import queries
from sql.door import BATCH_ROWS, StatusOutcome, StatusRow

log = logging.getLogger(__name__)

REMEMBER_S = 60.0  # how long a resolution is believed: a second EVSE of that uid is noticed (ambiguous) that much later
REMEMBERED = 500_000
SEEN_EVERY_S = 0.05  # confirmations go to the replicas this often
FLUSH_EVERY_S = 1.0
SUBMIT_S = 10.0  # from rows to outcomes; then the client is told to come back, and nothing is acknowledged


Seen = tuple[int, int, int]  # num, slot, seen_ms


class Outcome(NamedTuple):
    outcome: str
    message: str | None = None


class Target(NamedTuple):
    """The EVSE that a report means, and its party's rules. `ttl_ms` None: the party reports no live status."""

    num: int
    slot: int
    shard: int
    order_by: str
    ttl_ms: int | None


_UNKNOWN = Outcome("unknown_evse", "none of your parties has such an EVSE")
_AMBIGUOUS = Outcome("ambiguous_evse", "several EVSEs have this uid: say location_id")
_FORBIDDEN = Outcome("forbidden", "the EVSE belongs to another party")
_FUTURE = Outcome("future", "source_ts is more than 2 minutes ahead of our clock")
_LATE = Outcome("late", "a newer report stands")
_MESSAGES = {"unknown_evse": _UNKNOWN, "late": _LATE}
_LACKS = {
    "ts": Outcome("malformed", "source_ts: needed, the party orders by it"),
    "seq": Outcome("malformed", "source_seq: needed, the party orders by it"),
}


class StatusService:
    def __init__(self, pool: Any, cache: Cache) -> None:
        self._pool = pool
        self._cache = cache
        self.clock = DatabaseClock()
        self.writers = Writers(pool, self._confirmed)
        self._targets: dict[tuple[tuple[str, ...], str, str | None], tuple[float, Target | Outcome]] = {}
        self._seen: list[list[Seen]] = [[] for _ in range(SHARDS)]  # for the replicas
        self._stored: list[list[Seen]] = [[] for _ in range(SHARDS)]  # written by the door: for the cells in Redis
        self.seen_dropped = 0

    async def run(self) -> None:
        """The background work, for ever; on cancellation what is pending is written."""
        tasks = [asyncio.create_task(queue.work()) for queue in self.writers.queues]
        tasks += [
            asyncio.create_task(self.clock.follow(self._pool)),
            asyncio.create_task(self._publish_for_ever()),
            asyncio.create_task(self._flush_for_ever()),
        ]
        try:
            await watch(tasks)
        finally:
            await end(tasks)
            await self._flush(None)

    # -- one request --------------------------------------------------------------------------------------------------

    async def submit(self, parties: tuple[str, ...], rows: Sequence[Report | Malformed]) -> list[Outcome]:
        """The outcome of each row, in order; whatever is `applied` is committed. Raises QueueFullError, or the
        database's errors; then nothing is acknowledged (some of it may stand: sending it again confirms it)."""
        now_ms = self.clock.now_ms()
        outcomes: list[Outcome | None] = [
            Outcome("malformed", row.message)
            if isinstance(row, Malformed)
            else _FUTURE
            if row.ts_ms is not None and row.ts_ms > now_ms + FUTURE_MS
            else None
            for row in rows
        ]
        todo = [(i, row) for i, row in enumerate(rows) if outcomes[i] is None and isinstance(row, Report)]
        async with asyncio.timeout(SUBMIT_S):
            for fresh_look in (False, True):
                todo = await self._round(parties, todo, now_ms, outcomes, fresh_look=fresh_look)
                if not todo:
                    break
        return [outcome if outcome is not None else _UNKNOWN for outcome in outcomes]

    async def _round(
        self,
        parties: tuple[str, ...],
        todo: list[tuple[int, Report]],
        now_ms: int,
        outcomes: list[Outcome | None],
        *,
        fresh_look: bool,
    ) -> list[tuple[int, Report]]:
        """Resolves and commits; returns the rows whose EVSE was no longer what we remembered."""
        targets = await self._resolve(parties, [report for _, report in todo], fresh_look=fresh_look)
        by_shard: dict[int, list[StatusRow]] = {}
        places: dict[int, list[tuple[int, Report]]] = {}
        for (i, report), target in zip(todo, targets, strict=True):
            if isinstance(target, Outcome):
                outcomes[i] = target
                continue
            key = report.key(target.order_by)
            if key is None:
                outcomes[i] = _LACKS[target.order_by]
                continue
            by_shard.setdefault(target.shard, []).append(
                StatusRow(
                    target.num,
                    target.slot,
                    report.uid_key,
                    int(report.status),
                    key.k1,
                    key.k2,
                    report.ts_ms if report.ts_ms is not None else now_ms,
                    now_ms,
                    confirm_after_ms=(target.ttl_ms or 0) // 4,
                )
            )
            places.setdefault(target.shard, []).append((i, report))
        again: list[tuple[int, Report]] = []
        for shard, results in (await self.writers.write(by_shard)).items():
            for (i, report), result in zip(places[shard], results, strict=True):
                if result.outcome == "unknown_evse" and not fresh_look:
                    again.append((i, report))
                else:
                    outcomes[i] = _MESSAGES.get(result.outcome) or Outcome(result.outcome)
        return again

    async def _resolve(
        self, parties: tuple[str, ...], reports: Sequence[Report], *, fresh_look: bool
    ) -> list[Target | Outcome]:
        now = time.monotonic()
        found: list[Target | Outcome | None] = []
        missing: list[int] = []
        for i, report in enumerate(reports):
            known = None if fresh_look else self._targets.get((parties, report.uid_key, report.location_key))
            found.append(known[1] if known is not None and now - known[0] < REMEMBER_S else None)
            if found[-1] is None:
                missing.append(i)
        if missing:
            uids, locations = [reports[i].uid_key for i in missing], [reports[i].location_key for i in missing]
            rows = await self._pool.fetch(queries.RESOLVE, list(parties), uids, locations)
            answers: list[list[Any]] = [[] for _ in missing]
            for row in rows:
                answers[row["ord"]].append(row)
            if len(self._targets) + len(missing) > REMEMBERED:
                self._targets.clear()
            for i, candidates in zip(missing, answers, strict=True):
                target = found[i] = self._judge(candidates)
                if isinstance(target, Target):
                    # What was not found is not remembered: it may be imported the next second.
                    self._targets[parties, reports[i].uid_key, reports[i].location_key] = (now, target)
        return [target if target is not None else _UNKNOWN for target in found]

    def _judge(self, candidates: list[Any]) -> Target | Outcome:
        own = [row for row in candidates if row["own"]]
        if len(own) > 1:
            return _AMBIGUOUS
        if own:
            row = own[0]
            ttl_ms = None if row["ttl_s"] is None else row["ttl_s"] * 1000
            return Target(row["num"], row["slot"], row["shard"], row["order_by"], ttl_ms)
        return _FORBIDDEN if candidates else _UNKNOWN

    # -- confirmations ------------------------------------------------------------------------------------------------

    def _confirmed(self, shard: int, row: StatusRow, outcome: StatusOutcome) -> None:
        self._seen[shard].append((row.num, row.slot, row.seen_ms))
        if outcome.written:
            self._stored[shard].append((row.num, row.slot, row.seen_ms))

    async def _publish_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SEEN_EVERY_S)
            for shard, rows in enumerate(self._seen):
                if not rows:
                    continue
                self._seen[shard] = []
                nums, slots, seen = map(list, zip(*rows, strict=True))
                try:
                    await publish_seen(self._cache, shard, pack_seen(nums, slots, seen))
                except (RedisError, *UNREACHABLE):
                    self.seen_dropped += len(rows)  # lossy by design: it shows UNKNOWN early at worst

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            try:
                await self._flush(self.clock.now_ms())
            except Exception as error:
                log.warning("confirmations are not written yet", extra={"error": type(error).__name__})

    async def _flush(self, due_ms: int | None) -> None:
        for queue in self.writers.queues:
            written = await queue.flush(due_ms)
            written += self._stored[queue.shard]
            self._stored[queue.shard] = []
            for start in range(0, len(written), BATCH_ROWS):
                await self._touch(queue.shard, written[start : start + BATCH_ROWS])

    async def _touch(self, shard: int, written: list[Seen]) -> None:
        """Tells the cells in Redis what the database now knows, so that a replica that loads later knows it too."""
        try:
            epoch = await self._cache.call("HGET", CONTROL, "epoch")
            places = await self._cache.call(
                "HMGET", ShardKeys(shard, int(epoch)).places, *(num for num, _, _ in written)
            )
            rows = [
                (cell.decode(), num, slot, seen_ms)
                for (num, slot, seen_ms), cell in zip(written, places, strict=True)
                if cell is not None
            ]
            await touch_seen(self._cache, ShardKeys(shard, int(epoch)), rows)
        except (RedisError, TypeError, *UNREACHABLE):
            self.seen_dropped += len(written)
