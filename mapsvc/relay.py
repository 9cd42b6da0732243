"""The relay: carries what PostGIS committed to Redis, shard by shard, in commit order.

One active relay a shard, by an advisory lock on a direct connection; a second relay waits for the lock and takes over
when the first one's connection is gone (promise R4). Should both believe to be active, the script in Redis lets only the
one through whose batch begins right after the head. Whatever fails is tried again from the head that Redis names:
repeating is harmless, skipping is impossible.

A turn carries what all shards have: one read of the outbox, one round trip to Redis. Statuses come packed; only a shard that
has stations among its rows is read row by row.

Redis may be flushed, restarted empty or restored from an old copy at any moment, and no error need tell it: every beat
asks Redis where it stands. PostgreSQL may have been restored from a backup: then Redis is ahead of it, and is built anew.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import asyncpg

from cache.client import UNREACHABLE, Cache, RedisError
from cache.tasks import end, watch
from cache.writer import ABSENT, ShardWriter, StatesBatch, apply_states, publish_control
from geo.party_clocks import PartyClock
from geo.station import SHARDS
from mapsvc import database
from mapsvc.database import Database
from mapsvc.outbox import read_batch, read_states
from mapsvc.rebuild import party_clocks, rebuild
from mapsvc.role import Role
from mapsvc.settings import Settings
from sql import queries

log = logging.getLogger(__name__)

TURN_EVERY_S = 0.005  # turns begin so far apart at least: under many small commits they grow instead of multiplying
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
        self._bell = asyncio.Event()
        self._awake: set[int] = set()  # shards that may have rows to carry
        self._writers: dict[int, ShardWriter] = {}  # of the shards that are carried
        self._lost: dict[int, asyncio.Event] = {}  # by shard held: its writer has been dropped
        self._failed: set[int] = set()  # those of them that Redis refused: not again at once
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
        tasks = [asyncio.create_task(self._carry_for_ever(pool))]
        self.epoch = -1
        try:
            await connection.add_listener("outbox", self._notified)
            while True:
                async with asyncio.timeout(TURN_S):
                    # Never back: a rebuild of ours may have set it while this was read.
                    self.epoch = max(self.epoch, await connection.fetchval(queries.EPOCH_GET))
                    for shard in range(SHARDS):
                        if shard not in self._lost and await connection.fetchval(queries.RELAY_LOCK, shard):
                            self._lost[shard] = asyncio.Event()
                            tasks.append(asyncio.create_task(self._keep(shard, pool)))
                    beat = await self._read_beat(connection)
                await self._beat(beat)
                for task in tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(BEAT_S if len(self._lost) == SHARDS else min(BEAT_S, TAKE_OVER_S))
        finally:
            connection.terminate()  # the locks are free from now on
            await end(tasks)
            self.heads.clear()
            self.backlog.clear()
            self._writers.clear()
            self._lost.clear()
            self._awake.clear()
            self._committed.clear()
            pool.terminate()

    def _notified(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        """Payload: the shards that a batch touched."""
        self._ring(map(int, str(payload).split(",")))

    def _ring(self, shards: Iterable[int]) -> None:
        self._awake.update(shards)
        self._bell.set()

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
                    self._lose(shard)  # not where we left it
                elif self.heads.get(shard) != n:
                    self._ring([shard])
        except (RedisError, *UNREACHABLE):
            log.warning("redis does not answer")

    # -- one shard: finding where it stands ---------------------------------------------------------------------------

    async def _keep(self, shard: int, pool: Database) -> None:
        """While the lock is held: whenever it is not known where Redis stands, finds out; waits out a Redis that does not
        answer. Carrying is `_carry_for_ever`'s, for as long as there is a writer."""
        lost = self._lost[shard]
        while True:
            lost.clear()
            try:
                await self._begin(shard, pool)
                await lost.wait()
            except (RedisError, *UNREACHABLE) as error:
                log.warning("cannot carry", extra={"shard": shard, "error": type(error).__name__})
                self._failed.add(shard)
            if shard in self._failed:
                self._failed.discard(shard)
                await asyncio.sleep(PAUSE_S)

    async def _begin(self, shard: int, pool: Database) -> None:
        """From the head that Redis names, after a rebuild if it must be."""
        while True:
            epoch = self.epoch
            writer = ShardWriter(self._cache, shard, epoch)
            head = await writer.head()
            if head is None:
                await self._rebuild(epoch, "the cache is gone")
                continue
            committed = {row["shard"]: row["n"] for row in await pool.fetch(queries.SHARD_HEADS)}[shard]
            if head > committed:
                await self._rebuild(epoch, "the cache is ahead of the database, which was restored", void=True)
                continue
            if epoch != self.epoch:
                continue
            if committed > head and not (await read_states(pool, {shard: head}))[shard].follows:
                await self._rebuild(epoch, "the outbox no longer reaches back to the cache")
                continue
            self._writers[shard], self.heads[shard] = writer, head
            self._ring([shard])
            return

    def _lose(self, shard: int) -> None:
        """Redis may not be where we left it: its keeper looks again."""
        self._writers.pop(shard, None)
        self._lost[shard].set()

    # -- all shards: carrying -----------------------------------------------------------------------------------------

    async def _carry_for_ever(self, pool: Database) -> None:
        while True:
            await self._bell.wait()
            self._bell.clear()
            began = time.monotonic()
            shards, self._awake = sorted(self._awake & self._writers.keys()), set()
            for shard in shards:
                if self._writers[shard].keys.epoch != self.epoch:
                    self._lose(shard)
            heads = {shard: self.heads[shard] for shard in shards if shard in self._writers}
            if heads:
                try:
                    await self._turn(heads, pool)
                except OSError as error:  # a timeout: asyncpg's own errors end the session
                    log.warning("cannot carry", extra={"error": type(error).__name__})
                    self._ring(heads)
                    await asyncio.sleep(PAUSE_S)
            await asyncio.sleep(max(0.0, began + TURN_EVERY_S - time.monotonic()))

    async def _turn(self, heads: dict[int, int], pool: Database) -> None:
        """What these shards have, into Redis."""
        writers = {shard: self._writers[shard] for shard in heads}
        committed = dict(self._committed)  # before the rows: those must be there then
        work: list[tuple[ShardWriter, StatesBatch]] = []
        mixed: list[int] = []
        for shard, rows in (await read_states(pool, heads)).items():
            if rows.batch is not None and rows.follows:
                work.append((writers[shard], rows.batch))
            elif rows.follows:
                mixed.append(shard)
            elif rows.size or committed.get(shard, 0) > heads[shard]:
                self._lose(shard)
            if rows.may_have_more:
                self._ring([shard])
        if work:
            try:
                replies: Sequence[int | Exception] = await apply_states(self._cache, work)
            except (RedisError, *UNREACHABLE) as error:
                replies = [error] * len(work)
            for (writer, _), reply in zip(work, replies, strict=True):
                self._carried(writer, reply)
        for shard in mixed:
            batch = await read_batch(pool, shard, heads[shard])
            try:
                reached = ABSENT if batch is None else await writers[shard].apply(batch)
            except (RedisError, *UNREACHABLE) as error:
                self._carried(writers[shard], error)
            else:
                self._carried(writers[shard], reached)
                self._ring([shard])

    def _carried(self, writer: ShardWriter, reached: int | Exception) -> None:
        """What Redis said to a batch of this writer's."""
        shard = writer.keys.shard
        if self._writers.get(shard) is not writer:
            return  # a beat has found out meanwhile that Redis is not where we left it
        head = self.heads[shard]
        if isinstance(reached, Exception):
            log.warning("cannot carry", extra={"shard": shard, "error": type(reached).__name__})
            self._failed.add(shard)
            self._lose(shard)
        elif reached < head:
            self._lose(shard)  # gone, or come back older than it was
        else:
            self.carried_rows += reached - head
            self.heads[shard] = reached

    async def _rebuild(self, seen_epoch: int, reason: str, *, void: bool = False) -> None:
        async with self._rebuilding:
            if self.epoch == seen_epoch:
                self.epoch = await rebuild(
                    self._database_url, self._rebuild_cache, seen_epoch, reason=reason, void=void
                )
                self.rebuilds += 1
                self._ring(self._writers)  # of the epoch before: they are dropped


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
