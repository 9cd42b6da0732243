"""The relay's side: batches of one shard into Redis, each as one script call and one stream entry.

Promise R5's first half: what the stream says is gapless, because the script applies a batch only right after its head.
"""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from cache.client import Argument, Cache, Call, Script
from cache.codec import SEEN, pack_record, pack_records
from cache.keys import CONTROL, LAYOUT, ShardKeys, seen_key
from geo.party_clocks import PartyClock
from geo.record import STATE, States, StationRecord

APPLY = Script("apply")
BEAT = Script("beat")
CLAIM = Script("claim")
TOUCH = Script("touch")

ABSENT = -1  # the shard's cache is not there: only a rebuild helps
LOG_BYTES = 16 << 20  # a shard's stream: two minutes at 20,000 updates/s over 16 shards are 6 MB
STOCK_PIECES = 32  # that a log found by a new relay is thought of
SEEN_ENTRIES = 4096  # a shard's side stream: at most one entry every 50 ms, so more than three minutes


class Placed(NamedTuple):
    """A station as it is now: its record (or tombstone), the states of all its EVSEs, and its cell (hex)."""

    record: StationRecord
    states: States
    cell: str


class Batch(NamedTuple):
    """Numbers `first`..`last` of one shard. `states` are single EVSE changes, `cells` (hex, by num) says where."""

    first: int
    last: int
    clock_ms: int
    states: States
    cells: dict[int, str]
    stations: list[Placed]


class StatesBatch(NamedTuple):
    """Numbers `first`..`last` of one shard, statuses all of them. `states` are of stations that may be seen, `cells` (hex)
    where each belongs."""

    first: int
    last: int
    clock_ms: int
    states: States
    cells: Sequence[str]


class ShardWriter:
    """Writes one shard of one epoch. One task at a time."""

    def __init__(self, cache: Cache, shard: int, epoch: int) -> None:
        self.keys = ShardKeys(shard, epoch)
        self._cache = cache
        self._entries: deque[tuple[int, int]] = deque()  # (last n, bytes) of what stands in the log
        self._bytes = 0

    async def head(self) -> int | None:
        """The last number applied; None when the cache of this shard is absent. Takes stock of the log as well."""
        n = await self._cache.run(CLAIM, [self.keys.head], [secrets.token_hex(4)])
        if n is None:
            return None
        self._bytes = int(await self._cache.call("MEMORY", "USAGE", self.keys.log, "SAMPLES", 5) or 0)
        oldest = await self._cache.call("XRANGE", self.keys.log, "-", "+", "COUNT", 1)
        first = int(oldest[0][0].partition(b"-")[0]) if oldest else int(n)
        # As if all entries were alike: trimmed piece by piece, so that readers a little behind find what they need.
        self._entries = deque(
            (first + (int(n) - first) * k // STOCK_PIECES, self._bytes // STOCK_PIECES)
            for k in range(1, STOCK_PIECES + 1)
        )
        return int(n)

    def states_call(self, batch: StatesBatch) -> Call:
        """What `apply_states` asks Redis to do."""
        keys = self._keys()
        keys += map(self.keys.evses, batch.cells)
        states = batch.states.tobytes()
        trim = self._trim_below(batch.last, len(states) + 64)
        return Call(keys, [batch.first, batch.last, batch.clock_ms, states, b"", trim, len(batch.states)])

    async def apply(self, batch: Batch) -> int:
        """The head after it: `batch.last` when applied, ABSENT, or whatever another relay had already reached."""
        written = {placed.record.num for placed in batch.stations}
        nums = batch.states["num"].tolist()
        # Not into a cell: those of stations that are written whole, or are not shown.
        is_placed = np.array([num in batch.cells and num not in written for num in nums], np.bool_)
        into_cells = batch.states[is_placed]
        keys = self._keys()
        keys += [self.keys.evses(batch.cells[num]) for num in into_cells["num"].tolist()]
        numbers: dict[str, int] = {}

        def key_number(key: str) -> int:
            if key not in numbers:
                keys.append(key)
                numbers[key] = len(keys)
            return numbers[key]

        operations: list[Argument] = []
        old_cells = await self._old_cells([placed.record.num for placed in batch.stations])
        for placed, old in zip(batch.stations, old_cells, strict=True):
            num, cell = placed.record.num, placed.cell
            for slot in placed.states["slot"].tolist():
                if old is not None and (old != cell or placed.record.removed):
                    operations += ("D", key_number(self.keys.evses(old)), f"{num}.{slot}")
            if old is not None and old != cell:
                operations += ("D", key_number(self.keys.stations(old)), str(num))
            operations += ("S", key_number(self.keys.stations(cell)), str(num), pack_record(placed.record))
            operations += ("C", cell, "P", str(num), cell)
            if placed.record.removed:
                continue
            for state in placed.states:
                field = f"{num}.{int(state['slot'])}"
                operations += ("S", key_number(self.keys.evses(cell)), field, state.tobytes())
        states = into_cells.tobytes() + batch.states[~is_placed].tobytes()
        # of stations that nobody may see, nothing but the number goes out
        states += b"".join(placed.states.tobytes() for placed in batch.stations if not placed.record.removed)
        records = pack_records(pack_record(p.record) for p in batch.stations) if batch.stations else b""
        trim = self._trim_below(batch.last, len(states) + len(records) + 64)
        args = [batch.first, batch.last, batch.clock_ms, states, records, trim, len(into_cells), *operations]
        return int(await self._cache.run(APPLY, keys, args))

    def _keys(self) -> list[str]:
        return [self.keys.head, self.keys.log, self.keys.cells, self.keys.places]

    async def _old_cells(self, nums: list[int]) -> list[str | None]:
        if not nums:
            return []
        found = await self._cache.call("HMGET", self.keys.places, *map(str, nums))
        return [None if cell is None else cell.decode() for cell in found]

    def _trim_below(self, last: int, size: int) -> int:
        """Bounds the log in bytes: the number below which entries may go; 0: none."""
        self._entries.append((last, size))
        self._bytes += size
        below = 0
        while self._bytes > LOG_BYTES and len(self._entries) > 1:
            n, freed = self._entries.popleft()
            self._bytes -= freed
            below = n + 1
        return below

    async def beat(self, n: int, clock_ms: int) -> int:
        """Says that at `clock_ms` (the database's) this shard stood at `n`: quiet, not dead. The head in Redis; when it is
        lower (ABSENT: not there) Redis is no longer what we left, and nothing was said."""
        keys = [self.keys.head, seen_key(self.keys.shard)]
        return int(await self._cache.run(BEAT, keys, [n, clock_ms, SEEN_ENTRIES, self.keys.epoch]))


async def apply_states(cache: Cache, work: Sequence[tuple[ShardWriter, StatesBatch]]) -> list[int | Exception]:
    """Batches of several shards in one round trip; for each what `ShardWriter.apply` returns, or why it failed: one shard's
    failure is not another's."""
    replies = await cache.run_all(APPLY, [writer.states_call(batch) for writer, batch in work])
    return [reply if isinstance(reply, Exception) else int(reply) for reply in replies]


def pack_seen(nums: list[int], slots: list[int], seen_ms: list[int]) -> bytes:
    """Confirmations for the side stream (cache.codec.SEEN)."""
    rows = np.zeros(len(nums), SEEN)
    rows["num"], rows["slot"], rows["seen_ms"] = nums, slots, seen_ms
    return rows.tobytes()


async def publish_seen(cache: Cache, shard: int, packed: bytes) -> None:
    """Confirmations to every replica, lossy."""
    await cache.call("XADD", seen_key(shard), "MAXLEN", "~", SEEN_ENTRIES, "*", "c", packed)


async def touch_seen(cache: Cache, keys: ShardKeys, rows: list[tuple[str, int, int, int]]) -> None:
    """(cell, num, slot, seen_ms): what the database now says, so that a replica that loads later knows it too."""
    names: dict[str, int] = {}
    args: list[Argument] = []
    for cell, num, slot, seen_ms in rows:
        number = names.setdefault(keys.evses(cell), len(names) + 1)
        args += (number, f"{num}.{slot}", seen_ms.to_bytes(8, "little"))
    if args:
        await cache.run(TOUCH, list(names), args)


async def publish_control(cache: Cache, epoch: int, parties: dict[str, PartyClock]) -> None:
    await cache.call("HSET", CONTROL, "epoch", epoch, "parties", msgspec.json.encode(parties))


def empty_states(count: int = 0) -> States:
    return np.zeros(count, STATE)


async def unlink_other_layouts(cache: Cache) -> int:
    """Drops what programs with another layout left behind; returns how many keys."""
    ours = re.compile(rb"\{s\d\d\}:v%d:" % LAYOUT)
    by_shard: dict[bytes, list[bytes]] = {}
    async for key in cache.client.scan_iter(match="{s[0-9][0-9]}:*", count=2000):
        if not ours.match(key):
            by_shard.setdefault(key[:5], []).append(key)
    for keys in by_shard.values():
        for start in range(0, len(keys), 500):
            await cache.pipeline([("UNLINK", key) for key in keys[start : start + 500]])
    return sum(map(len, by_shard.values()))
