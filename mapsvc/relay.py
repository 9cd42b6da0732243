"""The relay: carries what PostGIS committed to Redis, shard by shard, in commit order.

One active relay a shard, by an advisory lock on a direct connection; a second relay waits for the lock and takes over
when the first one's connection is gone (promise R4). Should both believe to be active, the script in Redis lets only the
one through whose batch begins right after the head. Whatever fails is tried again from the head that Redis names:
repeating is harmless, skipping is impossible.

Redis may be flushed, restarted empty or restored from an old copy at any moment, and no error need tell it: every beat
asks Redis where it stands. PostgreSQL may have been restored from a backup: then Redis is ahead of it, and is built anew.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg

from cache.client import UNREACHABLE, Cache, RedisError
from cache.tasks import end, watch
from cache.writer import ABSENT, Batch, ShardWriter, empty_states, publish_control
from geo.party_clocks import PartyClock
from geo.station import SHARDS
from mapsvc import database
from mapsvc.cached_form import cell_name, placed, states_of
from mapsvc.database import Database
from mapsvc.rebuild import party_clocks, rebuild
from mapsvc.role import Role
from mapsvc.settings import Settings
from sql import queries

log = logging.getLogger(__name__)

BATCH_ROWS = 1000  # rows of the outbox in one script call: about 5 ms of Redis
BATCH_STATIONS = 100  # a station row is a hundred times a status row: more of them would make statuses wait
BEAT_S = 1.0  # clock beats, TTLs and epoch; also how long a lost NOTIFY can delay a row
TAKE_OVER_S = 1.0  # how often a standby asks for the lock: with BEAT_S within the 5 s that R4 allows
PAUSE_S = 0.5  # after a failure
TURN_S = 5.0  # for the statements of one beat
SILENT_S = 10  # PostgreSQL ends the session of a relay that hangs, and its locks with it: longer than a beat can take
CONNECTIONS = 4


class _Beat(NamedTuple):
    """What the database says at one instant, and how far this relay was just before."""

    clock_ms: int
    heads: dict[int, int]
    carried: dict[int, int]
    parties: dict[str, PartyClock]


class Relay:
    def __init__(self, database_url: str, redis_url: str) -> None:
        self._database_url = database_url
        self._cache = Cache(redis_url)
        self._rebuild_cache = Cache(redis_url, timeout_s=60)
        self._wake = [asyncio.Event() for _ in range(SHARDS)]
        self._writers: dict[int, ShardWriter] = {}
        self._rebuilding = asyncio.Lock()
        self.heads: dict[int, int] = {}  # by shard held: the last n in Redis
        self._committed: dict[int, int] = {}  # every shard's n in the database at the last beat
        self.backlog: dict[int, int] = {}  # by shard held: rows committed and not yet in Redis, at the last beat
        self.carried_rows = 0
        self.rebuilds = 0
        self.epoch = -1

    async def run(self) -> None:
        """For ever. Cancel to stop."""
        try:
            while True:
                try:
                    await self._session()
                except (asyncpg.PostgresError, *database.DOWN) as error:
                    log.warning("database does not answer", extra={"error": type(error).__name__})
                await asyncio.sleep(PAUSE_S)
        finally:
            await self._cache.close()
            await self._rebuild_cache.close()

    @property
    def active(self) -> bool:
        return bool(self.heads)

    async def _session(self) -> None:
        """One life of the connection that holds the locks."""
        connection = await asyncpg.connect(
            self._database_url,
            timeout=database.CONNECT_S,
            server_settings={"idle_session_timeout": f"{SILENT_S}s"},
        )
        pool = await Database.open(self._database_url, CONNECTIONS)
        tasks: dict[int, asyncio.Task[None]] = {}
        self.epoch = -1
        try:
            await connection.add_listener("outbox", self._notified)
            while True:
                async with asyncio.timeout(TURN_S):
                    # Never back: a rebuild of ours may have set it while this was read.
                    self.epoch = max(self.epoch, await connection.fetchval(queries.EPOCH_GET))
                    for shard in range(SHARDS):
                        if shard not in tasks and await connection.fetchval(queries.RELAY_LOCK, shard):
                            tasks[shard] = asyncio.create_task(self._carry_for_ever(shard, pool))
                    beat = await self._read_beat(connection)
                await self._beat(beat)
                for task in tasks.values():
                    if task.done():
                        task.result()
                await asyncio.sleep(BEAT_S if len(tasks) == SHARDS else min(BEAT_S, TAKE_OVER_S))
        finally:
            connection.terminate()  # the locks are free from now on
            await end(tasks.values())
            self.heads.clear()
            self.backlog.clear()
            self._writers.clear()
            self._committed.clear()
            pool.terminate()

    def _notified(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._wake[int(str(payload))].set()

    async def _read_beat(self, connection: Any) -> _Beat:
        carried = dict(self.heads)  # before the database's: never ahead of it
        clock_ms: int = await connection.fetchval(queries.CLOCK_MS)  # before the heads as well: never claims too much
        heads = {row["shard"]: row["n"] for row in await connection.fetch(queries.SHARD_HEADS)}
        return _Beat(clock_ms, heads, carried, await party_clocks(connection))

    async def _beat(self, beat: _Beat) -> None:
        """What is quiet is not dead: says so for every shard that has nothing left to carry."""
        self.backlog = {shard: max(0, beat.heads[shard] - head) for shard, head in self.heads.items()}
        self._committed = beat.heads
        try:
            if 0 in self.heads:
                await publish_control(self._cache, self.epoch, beat.parties)
            for shard, writer in list(self._writers.items()):
                n = beat.heads[shard]
                if beat.carried.get(shard, n) > n or (
                    self.heads.get(shard) == n and await writer.beat(n, beat.clock_ms) < n
                ):
                    self._writers.pop(shard, None)  # not where we left it: its carrier looks again
                if self.heads.get(shard) != n or shard not in self._writers:
                    self._wake[shard].set()
        except (RedisError, *UNREACHABLE):
            log.warning("redis does not answer")

    async def _carry_for_ever(self, shard: int, pool: Database) -> None:
        """Carries one shard while the lock is held; waits out a Redis that does not answer."""
        while True:
            try:
                await self._carry(shard, pool)
                continue
            except (RedisError, *UNREACHABLE) as error:
                log.warning("cannot carry", extra={"shard": shard, "error": type(error).__name__})
            self._writers.pop(shard, None)
            await asyncio.sleep(PAUSE_S)

    async def _carry(self, shard: int, pool: Database) -> None:
        """From the head that Redis names until the epoch changes or the cache is not what it was."""
        epoch = self.epoch
        writer = ShardWriter(self._cache, shard, epoch)
        head = await writer.head()
        if head is None:
            await self._rebuild(epoch, "the cache is gone")
            return
        committed = {row["shard"]: row["n"] for row in await pool.fetch(queries.SHARD_HEADS)}[shard]
        if head > committed:
            await self._rebuild(epoch, "the cache is ahead of the database, which was restored", void=True)
            return
        self._writers[shard] = writer
        self.heads[shard] = head
        while epoch == self.epoch and self._writers.get(shard) is writer:
            self._wake[shard].clear()
            committed = self._committed.get(shard, head)  # before the rows: those must be there then
            rows = await pool.fetch(queries.OUTBOX_READ, shard, head, BATCH_ROWS)
            if not rows and committed <= head:
                await self._wait(shard)
                continue
            if not rows or rows[0]["n"] != head + 1:
                await self._rebuild(epoch, "the outbox no longer reaches back to the cache")
                return
            batch = await self._batch(rows, pool)
            reached = await writer.apply(batch)
            if reached == ABSENT:
                await self._rebuild(epoch, "the cache is gone")
                return
            if reached < head:
                return  # Redis came back older than it was: anew, from where it stands
            self.carried_rows += reached - head
            head = self.heads[shard] = reached

    async def _wait(self, shard: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEAT_S):
                await self._wake[shard].wait()

    async def _batch(self, rows: Sequence[Any], pool: Database) -> Batch:
        whole = [i for i, row in enumerate(rows) if row["kind"] != "s"]
        if len(whole) > BATCH_STATIONS:
            rows = rows[: whole[BATCH_STATIONS]]
        nums = sorted({row["num"] for row in rows if row["kind"] != "s"})
        stations = [placed(row) for row in await pool.fetch(queries.STATIONS_BY_NUM, nums)] if nums else []
        # A status of a station that nobody may see goes nowhere; its number still passes.
        shown = [row for row in rows if row["kind"] == "s" and row["cell"] is not None]
        states = empty_states()
        if shown:
            num, slot, status, n, changed, seen = zip(
                *((r["num"], r["slot"], r["status"], r["n"], r["changed_ms"], r["seen_ms"]) for r in shown), strict=True
            )
            states = states_of(num, slot, status, n, changed, seen)
        cells = {row["num"]: cell_name(row["cell"]) for row in shown}
        return Batch(rows[0]["n"], rows[-1]["n"], rows[-1]["created_ms"], states, cells, stations)

    async def _rebuild(self, seen_epoch: int, reason: str, *, void: bool = False) -> None:
        async with self._rebuilding:
            if self.epoch == seen_epoch:
                self.epoch = await rebuild(
                    self._database_url, self._rebuild_cache, seen_epoch, reason=reason, void=void
                )
                self.rebuilds += 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Carries committed changes from PostGIS to Redis. Run two: the second takes over."


def run(_: argparse.Namespace, settings: Settings) -> int:
    async def work(role: Role) -> None:
        relay = Relay(settings.database_url or "", settings.redis_url or "")
        role.measure(
            {
                "mapsvc_relay_active_shards": lambda: len(relay.heads),
                "mapsvc_relay_backlog_rows": lambda: sum(relay.backlog.values()),
                "mapsvc_relay_carried_rows_total": lambda: relay.carried_rows,
                "mapsvc_relay_rebuilds_total": lambda: relay.rebuilds,
            }
        )
        role.ready("-")
        task = asyncio.create_task(relay.run())
        try:
            await watch([task])
        finally:
            await end([task])

    return Role("relay", settings).run(work)
