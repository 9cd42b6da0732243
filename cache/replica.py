"""The replica: a World that follows Redis. Every API worker owns one; nobody else's failure stops it from answering.

Loading   the heads of the shards are read first, then their cells, then the streams from those heads on: whatever changed
          while the cells were read comes again, and `n` decides.
Tailing   own reads, no consumer groups. XREAD past a trim reports nothing, so the gap check is ours: an entry must begin
          at most right after what this replica has. A gap, or a new epoch, means: read that shard's cells again *into the
          same world*, which goes on answering; `n` decides again, and stations that the cells no longer hold are dropped.
          What a read brings, of all shards, is applied as one: a change of the world costs 0.1 ms before its first row.
Back      never, by itself: a lower epoch is an old copy of Redis, a lower head one that the relay is bringing forward. Only
          a database that went back itself (restored from a backup) is followed back: the rebuild after it says so
          (`void`), or a beat of the new epoch shows that the database stands below what this replica has.
Ready     once every shard has replayed to a head read after its cells; from then on for good.
Promises R3 and R5.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from cache import tasks
from cache.client import UNREACHABLE, Cache, Call, RedisError, Script, read_groups
from cache.codec import CodecError, unpack_record, unpack_records, unpack_seen, unpack_states
from cache.keys import CONTROL, ShardKeys, seen_key
from geo.columns import NEVER_MS
from geo.party_clocks import PartyClock
from geo.record import States, StationRecord
from geo.station import SHARDS
from geo.world import World

log = logging.getLogger(__name__)

CELLS_AT_ONCE = 48  # cells asked for in one round trip: some hundred stations, about 8 ms of decoding
CELLS_TO_BEGIN = 500  # likewise while nobody is answered yet: a change of the world costs before its first row
BLOCK_MS = 1000  # longest wait of one stream read
ENTRIES = 128  # of each stream in one read
ROWS_AT_ONCE = 2000  # applied in one go, some 6 ms; requests come between
RECORD_ROWS = 20
REST_S = 0.01  # after a read that brought something: under load a few large reads, where there would be hundreds of small ones
SETTLE_S = 0.002  # after a quiet time: the relay brings the shards one by one, and the first of them wakes us
CONTROL_EVERY_S = 0.5  # how often the epoch pointer, TTLs and heartbeats are looked at
NOT_THERE_S = 0.2  # before a shard that cannot be read yet is asked for again
PAUSE_S = (0.05, 2.0)  # first and longest pause after Redis failed
TICK_S = 0.05  # time acts at least this often when something is due

CELLS = Script("cells")

_NO_NUMS = np.zeros(0, np.int64)
_PARTIES = msgspec.json.Decoder(dict[str, PartyClock])

Clock = Callable[[], int]


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Head(NamedTuple):
    """A shard's head in Redis (ShardKeys.head)."""

    n: int
    void: bool
    mark: bytes | None


class ShardPosition:
    """Where the replica stands in one shard."""

    def __init__(self) -> None:
        self.n = -1  # last number applied; -1: never loaded
        self.target = NEVER_MS  # ready once n has reached this
        self.clock_ms = 0  # database clock at which the relay last said that n was all
        self.stale = True  # must be read from the cells again
        self.epoch = -1  # the epoch that `n` was loaded from
        self.void = False  # the database went back below n: what this replica has of the shard means nothing
        self.suspected_n = -1  # where it stood when the relay last claimed more than the stream brought
        self.seen_id = "0-0"  # the side stream is short: its history freshens what the cells say


Cell = tuple[str, int]
"""A cell's name, and a shard that has stations there."""


class Reply(NamedTuple):
    """Hashes of one shard's cells: the values of stations and EVSEs in turn."""

    shard: int
    values: list[list[bytes]]


Entries = list[tuple[bytes, dict[bytes, bytes]]]
"""Of one stream: id, fields."""


class _Coming:
    """Entries of the logs on their way into the world, as one change of it."""

    def __init__(self) -> None:
        self.states: list[States] = []
        self.records: list[StationRecord] = []
        self.ends: dict[int, int] = {}  # by shard: the number of the last entry
        self.size = 0  # in rows; a station costs as much as RECORD_ROWS statuses
        self.oldest_ms = NEVER_MS  # the earliest commit

    def add(self, shard: int, n: int, fields: dict[bytes, bytes]) -> None:
        """Raises CodecError."""
        states = unpack_states(fields[b"s"])
        records = unpack_records(fields[b"t"]) if fields[b"t"] else []
        self.states.append(states)
        self.records += records
        self.ends[shard] = n
        self.size += len(states) + RECORD_ROWS * len(records)
        self.oldest_ms = min(self.oldest_ms, int(fields[b"at"]))


class Replica:
    def __init__(self, url: str, world: World, now_ms: Clock = wall_ms) -> None:
        self.world = world
        self.now_ms = now_ms
        self.epoch = -1
        self.gaps = 0
        self.applied_rows = 0
        self.lag_ms = 0  # from the last applied batch's commit (database clock) to its application here
        self.positions = [ShardPosition() for _ in range(SHARDS)]
        self._cache = Cache(url)
        self._reader = Cache(url, timeout_s=BLOCK_MS / 1000 + 5)
        self._tasks: list[asyncio.Task[None]] = []
        self._control_read = asyncio.Event()
        self._ready = False
        self._fed_at = time.monotonic()

    @property
    def ready(self) -> bool:
        self._ready = self._ready or all(p.n >= p.target for p in self.positions)
        return self._ready

    @property
    def settled_epoch(self) -> int:
        """The epoch that all shards are of; -1 while one of them has still to be read."""
        return self.epoch if all(p.epoch == self.epoch and not p.stale for p in self.positions) else -1

    @property
    def ns(self) -> tuple[int, ...]:
        """By shard, the number up to which every change is in the world; -1: not loaded."""
        return tuple(position.n for position in self.positions)

    @property
    def starved_s(self) -> float:
        """How long Redis has given nothing to a replica that is not ready."""
        return time.monotonic() - self._fed_at

    def adopt(self, shard: int, n: int, epoch: int) -> None:
        """The world was given this shard as of `n` by somebody else (the database, while Redis is away). Redis is read as
        soon as it is there."""
        position = self.positions[shard]
        if n > position.n:
            position.n, position.target, position.epoch, position.stale = n, n, epoch, True

    @property
    def data_clock_ms(self) -> int:
        """Everything that the database committed before this instant (its clock) is in the world; 0: unknown."""
        return min(p.clock_ms for p in self.positions)

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._follow_control()), asyncio.create_task(self._let_time_act())]
        self._tasks += [asyncio.create_task(self._follow(group)) for group in read_groups(self._reader)]

    async def watch(self) -> None:
        """Ends, with its exception, only if a background task does: the world would silently stand still."""
        await tasks.watch(self._tasks)

    async def stop(self) -> None:
        await tasks.end(self._tasks)
        await self._cache.close()
        await self._reader.close()

    # -- the background tasks -----------------------------------------------------------------------------------------

    async def _follow_control(self) -> None:
        async for _ in _patiently():
            try:
                while True:
                    await self._read_control()
                    await asyncio.sleep(CONTROL_EVERY_S)
            except (RedisError, *UNREACHABLE) as error:
                log.warning("redis does not answer", extra={"error": type(error).__name__})

    async def _read_control(self) -> None:
        epoch, parties = await self._cache.call("HMGET", CONTROL, "epoch", "parties")
        if parties is not None:
            self.world.set_parties(_PARTIES.decode(parties), self.now_ms())
        if epoch is not None and int(epoch) > self.epoch:
            log.info("new epoch", extra={"epoch": int(epoch), "old": self.epoch})
            self.epoch = int(epoch)
            for position in self.positions:
                position.stale = True
            self._control_read.set()

    async def _let_time_act(self) -> None:
        while True:
            self.world.advance(self.now_ms())
            await asyncio.sleep(TICK_S)

    async def _follow(self, shards: list[int]) -> None:
        """Keeps these shards current for ever: load what is stale, then tail."""
        await self._control_read.wait()
        async for _ in _patiently():
            try:
                while True:
                    if stale := [shard for shard in shards if self.positions[shard].stale]:
                        await self._load(stale)
                    if await self._tail(shards):
                        await asyncio.sleep(REST_S)
            except (RedisError, *UNREACHABLE) as error:
                log.warning("redis does not answer", extra={"error": type(error).__name__})
            except (CodecError, KeyError, ValueError):
                log.exception("foreign bytes in the cache; the shards are read again")
                for shard in shards:
                    self.positions[shard].stale = True

    # -- loading ------------------------------------------------------------------------------------------------------

    async def _load(self, shards: Iterable[int]) -> None:
        """Reads the cells of these shards into the world, of all shards by rising cell: neighbours that come together stand
        together (geo.world)."""
        epoch = self.epoch
        heads = {shard: head for shard in shards if (head := await self._head_to_load(shard, epoch)) is not None}
        if not heads:
            await asyncio.sleep(NOT_THERE_S)
            return
        cells: list[Cell] = []
        for shard in heads:
            names = await self._cache.call("SMEMBERS", ShardKeys(shard, epoch).cells)
            cells += [(name.decode(), shard) for name in names]
        found: dict[int, list[NDArray[np.int64]]] = {shard: [] for shard in heads}
        async with aclosing(self._read_cells(epoch, sorted(cells))) as coming:
            async for replies in coming:
                self._take_cells(replies, found)
                if epoch != self.epoch:
                    return  # all of this will be read again
        for shard, head in heads.items():
            position, after = self.positions[shard], await self._head(ShardKeys(shard, epoch))
            if after is None or after.n < head.n or after.mark != head.mark or epoch != self.epoch:
                continue  # the cells went, or went back, while they were read: what was not found may well exist
            self.world.keep_only(shard, np.concatenate([_NO_NUMS, *found[shard]]), head.n)
            position.n, position.target, position.epoch = head.n, after.n, epoch
            position.stale = position.void = False
            self._fed_at = time.monotonic()

    async def _head_to_load(self, shard: int, epoch: int) -> Head | None:
        """None: it cannot be read now."""
        position, head = self.positions[shard], await self._head(ShardKeys(shard, epoch))
        if head is None:
            return None  # being rebuilt, or lost and noticed by the relay soon
        if position.void or (head.void and position.epoch not in (-1, epoch)):
            self.world.forget_versions(self.world.rows_of_shard(shard))
        elif head.n < position.n:
            return None  # an old copy, or a new epoch: the relay is bringing it forward
        return head

    async def _read_cells(self, epoch: int, cells: Sequence[Cell]) -> AsyncGenerator[list[Reply], None]:
        """The hashes of the cells, some at a time; Redis works on the next while we do on these."""
        at_once = CELLS_AT_ONCE if self.ready else CELLS_TO_BEGIN

        async def ask(start: int) -> list[Reply]:
            of_shard: dict[int, list[str]] = {}
            for cell, shard in cells[start : start + at_once]:
                keys = ShardKeys(shard, epoch)
                of_shard.setdefault(shard, []).extend((keys.stations(cell), keys.evses(cell)))
            replies = await self._cache.run_all(CELLS, [Call(names, []) for names in of_shard.values()])
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
            return [Reply(shard, reply) for shard, reply in zip(of_shard, replies, strict=True)]

        coming = asyncio.ensure_future(ask(0)) if cells else None
        try:
            for start in range(at_once, len(cells) + at_once, at_once):
                assert coming is not None
                replies = await coming
                coming = asyncio.ensure_future(ask(start)) if start < len(cells) else None
                await asyncio.sleep(0)  # requests come first
                yield replies
        finally:
            if coming is not None:
                coming.cancel()

    def _take_cells(self, replies: list[Reply], found: dict[int, list[NDArray[np.int64]]]) -> None:
        records: list[StationRecord] = []
        for shard, values in replies:
            of_shard = [unpack_record(value) for cell in values[0::2] for value in cell]
            found[shard].append(np.array([record.num for record in of_shard if not record.removed], np.int64))
            records += of_shard
        states = unpack_states([value for _, values in replies for cell in values[1::2] for value in cell])
        self.world.put(records, states, self.now_ms())
        self._fed_at = time.monotonic()

    async def _head(self, keys: ShardKeys) -> Head | None:
        n, void, mark = await self._cache.call("HMGET", keys.head, "n", "void", "mark")
        return None if n is None else Head(int(n), void == b"1", mark)

    # -- tailing ------------------------------------------------------------------------------------------------------

    async def _tail(self, shards: list[int]) -> bool:
        """One blocking read of the streams of these shards, and what came applied. Whether anything did."""
        epoch = self.epoch
        streams: dict[str, str] = {}
        by_name: dict[bytes, tuple[int, bool]] = {}
        for shard in shards:
            position, keys = self.positions[shard], ShardKeys(shard, epoch)
            if position.n >= 0 and not position.stale:
                streams[keys.log] = f"{position.n}-0"
                by_name[keys.log.encode()] = (shard, False)
            streams[seen_key(shard)] = position.seen_id
            by_name[seen_key(shard).encode()] = (shard, True)
        waiting = any(self.positions[s].stale for s in shards)
        began = time.monotonic()
        reply = await self._reader.read(streams, ENTRIES, 100 if waiting else BLOCK_MS)
        if reply and time.monotonic() - began > SETTLE_S:
            # From where we stood, so that log and side stream are of one instant.
            await asyncio.sleep(SETTLE_S)
            reply = await self._reader.read(streams, ENTRIES, None)
        logs: dict[int, Entries] = {}
        sides: dict[int, Entries] = {}
        for name, entries in reply:
            shard, side = by_name[name]
            (sides if side else logs)[shard] = entries
        await self._take_logs(logs, epoch)
        self._take_sides(sides, behind={shard for shard, entries in logs.items() if len(entries) == ENTRIES})
        return bool(reply)

    async def _take_logs(self, logs: dict[int, Entries], epoch: int) -> None:
        """Applies entries of several shards, many at a time."""
        coming = _Coming()
        for shard, entries in logs.items():
            position = self.positions[shard]
            n = position.n
            for entry_id, fields in entries:
                if coming.size >= ROWS_AT_ONCE:
                    self._apply(coming)
                    coming = _Coming()
                    await asyncio.sleep(0)  # requests come first
                if position.stale or epoch != self.epoch:
                    break
                if int(fields[b"from"]) > n + 1:
                    self.gaps += 1
                    position.stale = True
                    log.warning("gap in the stream", extra={"shard": shard, "have": n, "next": int(fields[b"from"])})
                    break
                n = int(entry_id.partition(b"-")[0])
                coming.add(shard, n, fields)
        self._apply(coming)

    def _apply(self, coming: _Coming) -> None:
        now_ms = self.now_ms()
        if coming.records:
            self.world.put(coming.records, np.concatenate(coming.states), now_ms)
        elif coming.states:
            self.world.put_states(np.concatenate(coming.states), now_ms)
        for shard, n in coming.ends.items():
            self.applied_rows += n - self.positions[shard].n
            self.positions[shard].n = n
            self.lag_ms = max(0, now_ms - coming.oldest_ms)

    def _take_sides(self, sides: dict[int, Entries], behind: set[int]) -> None:
        """`behind`: shards of whose log the same read left entries for the next one, so beats may well know of more."""
        packed = [fields[b"c"] for entries in sides.values() for _, fields in entries if b"c" in fields]
        if packed:  # before the beats: those say that all before them was heard
            rows = np.concatenate([unpack_seen(piece) for piece in packed])
            nums, slots = rows["num"].astype(np.int64), rows["slot"].astype(np.int64)
            self.world.confirm(nums, slots, rows["seen_ms"], self.now_ms())
        for shard, entries in sides.items():
            position = self.positions[shard]
            for entry_id, fields in entries:
                position.seen_id = entry_id.decode()
                if b"c" in fields:
                    continue
                n, epoch = int(fields[b"n"]), int(fields[b"epoch"])
                if n <= position.n:
                    position.clock_ms = max(position.clock_ms, int(fields[b"clock_ms"]))
                    # The relay beats when it has carried all there is; ours is of an epoch before that.
                    position.void |= n < position.n and position.stale and epoch == self.epoch > position.epoch
                elif not position.stale and shard not in behind and epoch == self.epoch:
                    self._suspect(shard, n)

    def _suspect(self, shard: int, n: int) -> None:
        """The relay says it stands at `n`, and the stream brought us less: the tail was trimmed or lost, with nothing
        after it that could show the gap. Log and side stream are read at one instant and a beat stands after all that it
        counts, so one would do; a second one must agree before everything is read again."""
        position = self.positions[shard]
        if position.suspected_n == position.n:
            self.gaps += 1
            position.stale = True
            log.warning("stream fell silent", extra={"shard": shard, "have": position.n, "relay": n})
        position.suspected_n = position.n


async def _patiently() -> AsyncIterator[None]:
    """Turns for ever, pausing longer each time a turn ends quickly."""
    pause = PAUSE_S[0]
    while True:
        began = time.monotonic()
        yield
        pause = PAUSE_S[0] if time.monotonic() - began > 5 else min(2 * pause, PAUSE_S[1])
        await asyncio.sleep(pause)
