"""Status updates from rows to outcomes: judge, resolve, commit. No HTTP here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from cache.client import UNREACHABLE, Cache, RedisError
from cache.keys import CONTROL, ShardKeys
from cache.tasks import end, watch
from cache.writer import pack_seen, publish_seen, touch_seen
from geo.station import SHARDS
from mapsvc.door import FUTURE_MS
from mapsvc.ingest.clock import DatabaseClock
from mapsvc.ingest.reports import Malformed, Report
from mapsvc.ingest.resolver import RULES_S, UNKNOWN, Outcome, Resolver
from mapsvc.ingest.writers import Writers
from sql.door import BATCH_ROWS, StatusRow

log = logging.getLogger(__name__)

SEEN_EVERY_S = 0.05  # confirmations go to the replicas this often
FLUSH_EVERY_S = 1.0
SUBMIT_S = 10.0  # from rows to outcomes; then the client is told to come back, and nothing is acknowledged


Seen = tuple[int, int, int]  # num, slot, seen_ms


_FUTURE = Outcome("future", "source_ts is more than 2 minutes ahead of our clock")
_TOLD = {
    "applied": Outcome("applied"),
    "confirmed": Outcome("confirmed"),
    "late": Outcome("late", "a newer report stands"),
    "unknown_evse": UNKNOWN,
}
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
        self._resolver = Resolver(pool)
        self._seen: list[list[Seen]] = [[] for _ in range(SHARDS)]  # for the replicas
        self._stored: list[list[Seen]] = [[] for _ in range(SHARDS)]  # written by the door: for the cells in Redis
        self.seen_dropped = 0

    async def run(self) -> None:
        """The background work, for ever; on cancellation what is pending is written."""
        tasks = [
            *self.writers.run(),
            asyncio.create_task(self.clock.follow(self._pool)),
            asyncio.create_task(self._refresh_for_ever()),
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
        future_ms = now_ms + FUTURE_MS
        outcomes: list[Outcome | None] = [None] * len(rows)
        todo: list[int] = []
        for i, row in enumerate(rows):
            if isinstance(row, Malformed):
                outcomes[i] = Outcome("malformed", row.message)
            elif row.ts_ms is not None and row.ts_ms > future_ms:
                outcomes[i] = _FUTURE
            else:
                todo.append(i)
        async with asyncio.timeout(SUBMIT_S):
            for fresh_look in (False, True):
                todo = await self._round(parties, rows, todo, now_ms, outcomes, fresh_look=fresh_look)
                if not todo:
                    break
        return [outcome if outcome is not None else UNKNOWN for outcome in outcomes]

    async def _round(
        self,
        parties: tuple[str, ...],
        rows: Sequence[Report | Malformed],
        todo: Sequence[int],
        now_ms: int,
        outcomes: list[Outcome | None],
        *,
        fresh_look: bool,
    ) -> list[int]:
        """Resolves and commits these rows; returns those whose EVSE was no longer what we remembered."""
        reports = [row for i in todo if isinstance(row := rows[i], Report)]
        targets = await self._resolver.targets(parties, reports, fresh_look=fresh_look)
        by_shard: dict[int, list[StatusRow]] = {}
        places: dict[int, list[int]] = {}
        for i, report, target in zip(todo, reports, targets, strict=True):
            if isinstance(target, Outcome):
                outcomes[i] = target
                continue
            rules = target.rules
            key = report.key(rules.order_by)
            if key is None:
                outcomes[i] = _LACKS[rules.order_by]
                continue
            changed_ms = report.ts_ms if report.ts_ms is not None else now_ms
            status_row = StatusRow._make(  # half of what naming the fields costs, twenty thousand times a second
                (target.num, target.slot, report.uid_key, report.status, *key, changed_ms, now_ms, None, None,
                 rules.confirm_after_ms)
            )  # fmt: skip
            if target.shard in by_shard:
                by_shard[target.shard].append(status_row)
                places[target.shard].append(i)
            else:
                by_shard[target.shard], places[target.shard] = [status_row], [i]
        again: list[int] = []
        for shard, results in (await self.writers.write(by_shard)).items():
            for i, result in zip(places[shard], results, strict=True):
                if result.outcome == "unknown_evse" and not fresh_look:
                    again.append(i)
                else:
                    outcomes[i] = _TOLD[result.outcome]
        return sorted(again)

    # -- confirmations ------------------------------------------------------------------------------------------------

    def _confirmed(self, shard: int, row: StatusRow, written: bool) -> None:
        self._seen[shard].append((row.num, row.slot, row.seen_ms))
        if written:
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

    async def _refresh_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RULES_S)
            try:
                await self._resolver.refresh_rules()
            except Exception as error:
                log.warning("the parties' rules are not read", extra={"error": type(error).__name__})

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
