"""A made-up database and its relay: what Redis should hold, batch by batch, and every mishap that can befall it.

Batches are remembered, so that a Redis that came back older can be brought forward again, as the relay does from the
outbox.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import h3.api.basic_int as h3
import numpy as np

from cache import writer as module
from cache.client import Cache, Script
from cache.codec import pack_doc, pack_record
from cache.keys import ShardKeys
from cache.writer import Batch, Placed, ShardWriter, empty_states, publish_control
from geo.h3bits import COARSE_RES
from geo.party_clocks import PartyClock
from geo.record import STATE, States, make_record, tombstone
from geo.station import SHARDS, Station, Status
from geo.station import shard_of as shard_of_key
from geo.world import World
from mapsvc.cached_form import cell_name
from mapsvc.door import with_slots
from tests.e2e.stack import PARTY, station_at

EVSES = 2


class _Losing(Script):
    """A batch that is in the cells and counted, while its entry is gone before any reader could see it."""

    def __init__(self) -> None:
        super().__init__("apply")
        gone = "redis.call('XDEL', KEYS[2], ARGV[2] .. '-0')"
        self.text = f"local function apply()\n{self.text}\nend\nlocal head = apply()\n{gone}\nreturn head\n"
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


LOSING = _Losing()


class Held(NamedTuple):
    """A station of the truth."""

    station: Station
    n: int
    states: dict[int, tuple[int, int]]  # slot -> (status, n)


class Source:
    """Stations of all shards, numbered as the database would."""

    def __init__(self, url: str, epoch: int = 1) -> None:
        self.cache = Cache(url)
        self.epoch = epoch
        self.clock_ms = 1_800_000_000_000
        self.n = [0] * SHARDS
        self.held: dict[int, Held] = {}  # by num
        self.gone: dict[int, Placed] = {}
        self.history: list[list[Batch]] = [[] for _ in range(SHARDS)]
        self.parties = {PARTY: PartyClock(900, 0)}
        self.writers: list[ShardWriter] = []

    async def begin(self) -> None:
        await self._write_cells()
        await publish_control(self.cache, self.epoch, self.parties)

    async def close(self) -> None:
        await self.cache.close()

    # -- changes ------------------------------------------------------------------------------------------------------

    async def put(self, nums: Iterable[int], *, moved_by: float = 0.0, lost: bool = False) -> None:
        """Stations as documents: new, changed or moved (degrees to the north)."""
        for num in nums:
            old = self.held.get(num)
            station = with_slots(station_at(num, EVSES, lat=48.0 + num / 50 + moved_by, lon=2.0), {})
            shard = shard_of_key(station.key)
            n = self.n[shard] + 1
            states = old.states if old else {slot: (int(Status.UNKNOWN), n) for slot in range(EVSES)}
            self.held[num] = Held(station, n, states)
            await self._send(shard, Batch(n, n, self.clock_ms, empty_states(), {}, [self.placed(num)]), lost)

    async def remove(self, nums: Iterable[int], *, lost: bool = False) -> None:
        for num in nums:
            old = self.held.pop(num)
            shard = shard_of_key(old.station.key)
            n = self.n[shard] + 1
            states = self._states(num, {slot: (int(Status.REMOVED), n) for slot in old.states})
            gone = self.gone[num] = Placed(tombstone(num, n), states, self._cell(old.station))
            await self._send(shard, Batch(n, n, self.clock_ms, empty_states(), {}, [gone]), lost)

    async def report(self, num: int, slot: int, status: Status, *, lost: bool = False) -> None:
        old = self.held[num]
        shard = shard_of_key(old.station.key)
        n = self.n[shard] + 1
        old.states[slot] = (int(status), n)
        states = self._states(num, {slot: (int(status), n)})
        await self._send(shard, Batch(n, n, self.clock_ms, states, {num: self._cell(old.station)}, []), lost)

    def report_unsent(self, num: int, slot: int, status: Status) -> None:
        """A change that no stream carries: the next rebuild has it."""
        shard = shard_of_key(self.held[num].station.key)
        self.n[shard] += 1
        self.held[num].states[slot] = (int(status), self.n[shard])

    async def beat(self) -> None:
        self.clock_ms += 1000
        for shard, writer in enumerate(self.writers):
            await writer.beat(self.n[shard], self.clock_ms)

    async def _send(self, shard: int, batch: Batch, lost: bool) -> None:
        self.n[shard] = batch.last
        self.history[shard].append(batch)
        module.APPLY, script = LOSING if lost else module.APPLY, module.APPLY
        try:
            assert await self.writers[shard].apply(batch) == batch.last
        finally:
            module.APPLY = script

    # -- mishaps and repairs ------------------------------------------------------------------------------------------

    async def rebuild(self, *, unlink: bool = True, epoch: int | None = None, void: bool = False) -> None:
        """A new epoch of all that is true now; the old one's keys go, the head first."""
        old, self.epoch = self.epoch, epoch or self.epoch + 1
        await self._write_cells(void=void)
        await publish_control(self.cache, self.epoch, self.parties)
        if unlink:
            await self.unlink(old)

    async def unlink(self, epoch: int) -> None:
        for shard in range(SHARDS):
            keys = ShardKeys(shard, epoch)
            await self.cache.call("UNLINK", keys.head)
            cells = [cell.decode() for cell in await self.cache.call("SMEMBERS", keys.cells)]
            for name in (*map(keys.stations, cells), *map(keys.evses, cells), keys.log, keys.places, keys.cells):
                await self.cache.call("UNLINK", name)

    async def _write_cells(self, *, void: bool = False) -> None:
        for num, held in self.held.items():
            keys = ShardKeys(shard_of_key(held.station.key), self.epoch)
            placed = self.placed(num)
            await self.cache.call("SADD", keys.cells, placed.cell)
            await self.cache.call("HSET", keys.stations(placed.cell), num, pack_record(placed.record))
            await self.cache.call("HSET", keys.places, num, placed.cell)
            for state in placed.states:
                await self.cache.call("HSET", keys.evses(placed.cell), f"{num}.{int(state['slot'])}", state.tobytes())
        self.writers = []
        for shard in range(SHARDS):
            keys = ShardKeys(shard, self.epoch)
            head = ("n", self.n[shard], "clock_ms", self.clock_ms, "void", int(void))
            await self.cache.call("HSET", keys.head, *head)
            self.writers.append(ShardWriter(self.cache, shard, self.epoch))

    async def lose_log(self, shard: int) -> None:
        await self.cache.call("DEL", ShardKeys(shard, self.epoch).log)

    async def trim_log(self, shard: int) -> None:
        await self.cache.call("XTRIM", ShardKeys(shard, self.epoch).log, "MAXLEN", "=", 0)

    async def copy(self) -> dict[bytes, bytes]:
        """All of Redis as it is now."""
        return {key: await self.cache.call("DUMP", key) for key in await self.cache.call("KEYS", "*")}

    async def restore(self, copy: dict[bytes, bytes]) -> None:
        """Redis as it was, at one instant, and the script cache gone with the rest."""
        pipe = self.cache.client.pipeline(transaction=True)
        pipe.execute_command("FLUSHALL")
        for key, value in copy.items():
            pipe.execute_command("RESTORE", key, 0, value)
        await pipe.execute()
        await self.cache.call("SCRIPT", "FLUSH")

    async def bring_forward(self) -> None:
        """What the relay does when it finds a lower head: everything after it again, in batches of another size."""
        await publish_control(self.cache, self.epoch, self.parties)
        for shard in range(SHARDS):
            self.writers[shard] = writer = ShardWriter(self.cache, shard, self.epoch)
            head = await writer.head()
            assert head is not None
            behind = [batch for batch in self.history[shard] if batch.first > head]
            for start in range(0, len(behind), 3):
                part = behind[start : start + 3]
                assert await writer.apply(self._merged(part)) == part[-1].last

    def _merged(self, batches: Sequence[Batch]) -> Batch:
        """Several batches as one, as the relay makes them of any rows: it reads stations as they are by now."""
        nums = sorted({placed.record.num for batch in batches for placed in batch.stations})
        stations = [self.placed(num) if num in self.held else self.gone[num] for num in nums]
        cells = {num: cell for batch in batches for num, cell in batch.cells.items() if num in self.held}
        states = np.concatenate([batch.states for batch in batches])
        states = states[np.isin(states["num"], list(self.held))]
        cells = {num: self._cell(self.held[num].station) for num in cells}
        return Batch(batches[0].first, batches[-1].last, batches[-1].clock_ms, states, cells, stations)

    # -- the truth ----------------------------------------------------------------------------------------------------

    def placed(self, num: int) -> Placed:
        held = self.held[num]
        record = make_record(held.station, num, held.n, pack_doc, lambda told, lat, lon: told)
        return Placed(record, self._states(num, held.states), self._cell(held.station))

    def _states(self, num: int, states: dict[int, tuple[int, int]]) -> States:
        rows = np.zeros(len(states), STATE)
        rows["num"], rows["slot"] = num, list(states)
        rows["status"], rows["n"] = [s for s, _ in states.values()], [n for _, n in states.values()]
        rows["changed_ms"] = rows["seen_ms"] = np.where(rows["status"] == Status.UNKNOWN, 0, self.clock_ms)
        return rows

    @staticmethod
    def _cell(station: Station) -> str:
        return cell_name(h3.latlng_to_cell(station.lat, station.lon, COARSE_RES))

    def truth(self) -> dict[int, tuple[float, dict[int, int]]]:
        return {
            num: (held.station.lat, {slot: status for slot, (status, _) in held.states.items()})
            for num, held in self.held.items()
        }


def of_world(world: World) -> dict[int, tuple[float, dict[int, int]]]:
    """A replica's world in the truth's words."""
    s, e = world.stations, world.evses
    return {
        int(s.num[row]): (
            float(s.lat[row]),
            {slot: int(e.status[s.first[row] + slot]) for slot in range(int(s.slots[row]))},
        )
        for row in world.shown_rows().tolist()
    }
