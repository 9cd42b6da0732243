"""Stations through the one door: what an import, a PUT and the generator have in common.

For each station: read what stands, give slots to EVSEs that are new, compare, and hand what differs to `apply_batch`
together with the statuses that the document carried. `expected_n` makes this safe without holding a lock meanwhile: a
station that somebody else wrote in between comes back as a conflict and is compared again.
Order    by `last_updated`: an older document is late and changes nothing; of equal ones the later receipt wins.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import h3.api.basic_int as h3
import msgspec

from geo.h3bits import COARSE_RES
from geo.station import Evse, Located, Station, StatusReport, decode_doc, encode_doc, shard_of
from sql import queries
from sql.door import BatchResult, EvseRow, StationRow, StatusOutcome, StatusRow, apply_batch

STATIONS_AT_ONCE = 100  # of one shard in one batch: holds the shard's lock for about 20 ms, so statuses hardly wait
ROWS_AT_ONCE = 900  # stations + statuses of one batch; sql.door.BATCH_ROWS is the limit
FUTURE_MS = 120_000  # a stamp further ahead of the database's clock is refused: it would block every later update
TRIES = 5


class Fate(StrEnum):
    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    LATE = "late"
    REMOVED = "removed"


class Written(NamedTuple):
    """What became of one station. `n`: its number, None when nothing was written. `futures`: statuses refused."""

    fate: Fate
    n: int | None
    futures: int = 0


class Tally:
    """Counts of an import, by what was counted and what became of it."""

    def __init__(self) -> None:
        self.stations: Counter[str] = Counter()
        self.evses: Counter[str] = Counter()
        self.connectors: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()

    def compare(self, old: Station | None, new: Station) -> None:
        """EVSEs and connectors of a station, new against old, matched by uid and connector id."""
        before = {evse.uid.casefold(): evse for evse in old.evses} if old else {}
        after = {evse.uid.casefold(): evse for evse in new.evses}
        _tally(self.evses, before, after)
        plugs_before = {(uid, c.id): c for uid, evse in before.items() for c in evse.connectors}
        plugs_after = {(uid, c.id): c for uid, evse in after.items() for c in evse.connectors}
        _tally(self.connectors, plugs_before, plugs_after)


def _tally(counts: Counter[str], before: dict[Any, Any], after: dict[Any, Any]) -> None:
    for key, value in after.items():
        counts["new" if key not in before else "unchanged" if before[key] == value else "changed"] += 1
    counts["vanished"] += len(before.keys() - after.keys())


class _Existing(NamedTuple):
    num: int
    n: int
    station: Station
    removed: bool
    last_updated_ms: int
    slots: dict[str, int]  # uid_key -> slot, gone EVSEs included
    uids: dict[int, str]  # slot -> uid, of those that are not gone


class _Planned(NamedTuple):
    place: int  # in the caller's list
    fate: Fate
    row: StationRow | None
    statuses: list[StatusRow]
    futures: int
    old: Station | None
    new: Station | None


class Memory(Protocol):
    """What the process holds of confirmations that the database does not know yet (mapsvc.ingest.writers)."""

    def recall(self, shard: int, rows: Sequence[StatusRow]) -> list[StatusRow]: ...

    def learn(self, shard: int, rows: Sequence[StatusRow], outcomes: Sequence[StatusOutcome]) -> None: ...


class Door:
    """Writes stations. `pool` is an asyncpg pool or connection."""

    def __init__(self, pool: Any, memory: Memory | None = None) -> None:
        self._pool = pool
        self._memory = memory
        self._parties: dict[str, tuple[str, int | None]] = {}  # id -> (order_by, ttl_s)
        self.tally = Tally()

    async def add_parties(self, parties: Iterable[str], *, live: bool) -> None:
        """Parties that are not there yet are made: `live` ones report statuses (TTL 900 s), registers do not."""
        missing = sorted(set(parties) - self._parties.keys())
        if missing:
            kind, ttl_s = ("operator", 900) if live else ("register", None)
            await self._pool.fetch(queries.PARTY_ADD, missing, kind, ttl_s)
            await self._read_parties()

    async def _read_parties(self) -> None:
        rows = await self._pool.fetch(queries.PARTIES)
        self._parties = {row["id"]: (row["order_by"], row["ttl_s"]) for row in rows}

    async def put(self, located: Sequence[Located]) -> list[Written]:
        """Writes stations; the outcome of each, in order. Every station is committed when this returns."""
        return await self._write([(item.station.key, item) for item in located])

    async def remove(self, keys: Sequence[str]) -> list[Written]:
        """Marks stations REMOVED, with all their EVSEs. One that is not there is UNCHANGED."""
        return await self._write([(key, None) for key in keys])

    async def _write(self, wanted: Sequence[tuple[str, Located | None]]) -> list[Written]:
        await self._read_parties()
        now_ms: int = await self._pool.fetchval(queries.CLOCK_MS)
        results: list[Written | None] = [None] * len(wanted)
        by_shard: dict[int, list[int]] = {}
        for index, (key, _) in enumerate(wanted):
            by_shard.setdefault(shard_of(key), []).append(index)

        async def shard_work(shard: int, todo: list[int]) -> None:
            for start in range(0, len(todo), STATIONS_AT_ONCE):
                await self._write_part(shard, wanted, todo[start : start + STATIONS_AT_ONCE], now_ms, results)

        await asyncio.gather(*(shard_work(shard, todo) for shard, todo in by_shard.items()))
        return [result for result in results if result is not None]

    async def _write_part(
        self,
        shard: int,
        wanted: Sequence[tuple[str, Located | None]],
        todo: list[int],
        now_ms: int,
        results: list[Written | None],
    ) -> None:
        for _ in range(TRIES):
            existing = await self._existing([wanted[i][0] for i in todo])
            fresh = [i for i in todo if wanted[i][1] is not None and wanted[i][0] not in existing]
            nums = [row["num"] for row in await self._pool.fetch(queries.STATION_NUMS, len(fresh))] if fresh else []
            new_num = dict(zip(fresh, nums, strict=True))
            plans: list[_Planned] = []
            seen: set[str] = set()
            again: list[int] = []
            for i in todo:
                key, item = wanted[i]
                if key in seen:
                    again.append(i)  # twice in one batch: the second one is compared with the first one's result
                    continue
                seen.add(key)
                plans.append(self._plan(i, item, existing.get(key), new_num.get(i), now_ms))
            conflicts = await self._apply(shard, plans, now_ms, results)
            todo = conflicts + again
            if not todo:
                return
        raise TimeoutError("stations kept changing under the writer")

    async def _existing(self, keys: list[str]) -> dict[str, _Existing]:
        rows = await self._pool.fetch(queries.STATION_DOCS_BY_KEY, keys)
        return {
            row["key"]: _Existing(
                row["num"],
                row["n"],
                decode_doc(row["doc"]),
                row["removed"],
                row["last_updated_ms"],
                dict(zip(row["uid_keys"], row["slots"], strict=True)),
                {s: u for s, u, gone in zip(row["slots"], row["uids"], row["gone"], strict=True) if not gone},
            )
            for row in rows
        }

    def _plan(self, place: int, item: Located | None, old: _Existing | None, num: int | None, now_ms: int) -> _Planned:
        if item is None:
            if old is None or old.removed:
                return _Planned(place, Fate.UNCHANGED, None, [], 0, None, None)
            row = station_row(old.station, old.num, old.n, removed=True, last_updated_ms=old.last_updated_ms)
            return _Planned(place, Fate.REMOVED, row, [], 0, old.station, None)
        if old is not None and not old.removed and item.station.last_updated_ms < old.last_updated_ms:
            return _Planned(place, Fate.LATE, None, [], 0, old.station, None)
        station = with_slots(item.station, old.slots if old else {})
        row_num = old.num if old else num
        assert row_num is not None
        statuses, futures = self._statuses(station, row_num, item.reports, now_ms)
        if old is not None and not old.removed and old.station == station:
            return _Planned(place, Fate.UNCHANGED, None, statuses, futures, old.station, station)
        gone = (
            {slot: uid for slot, uid in old.uids.items() if slot not in {e.slot for e in station.evses}} if old else {}
        )
        row = station_row(station, row_num, old.n if old else None, gone=gone)
        fate = Fate.NEW if old is None or old.removed else Fate.CHANGED
        return _Planned(place, fate, row, statuses, futures, old.station if old and not old.removed else None, station)

    def _statuses(
        self, station: Station, num: int, reports: Iterable[StatusReport], now_ms: int
    ) -> tuple[list[StatusRow], int]:
        order_by, ttl_s = self._parties[station.party]
        if order_by != "ts" or ttl_s is None:
            return [], 0  # a document has no sequence numbers; a register's statuses are not live
        slots = {evse.uid.casefold(): evse.slot for evse in station.evses}
        rows, futures = [], 0
        for report in reports:
            ts_ms = report.ts_ms if report.ts_ms is not None else station.last_updated_ms
            if ts_ms > now_ms + FUTURE_MS:
                futures += 1
                continue
            uid_key = report.uid.casefold()
            rows.append(
                StatusRow(
                    num,
                    slots[uid_key],
                    uid_key,
                    int(report.status),
                    ts_ms,
                    0,
                    ts_ms,
                    now_ms,
                    confirm_after_ms=ttl_s * 250,
                )
            )
        return rows, futures

    async def _apply(self, shard: int, plans: list[_Planned], now_ms: int, results: list[Written | None]) -> list[int]:
        """Writes the plans in batches the door takes; the indexes of those that met a conflict."""
        conflicts: list[int] = []
        start = 0
        while start < len(plans):
            end, rows = start, 0
            while end < len(plans):
                weight = (plans[end].row is not None) + len(plans[end].statuses)
                if end > start and rows + weight > ROWS_AT_ONCE:
                    break
                rows, end = rows + weight, end + 1
            conflicts += await self._apply_batch(shard, plans[start:end], now_ms, results)
            start = end
        return conflicts

    async def _apply_batch(
        self, shard: int, plans: list[_Planned], now_ms: int, results: list[Written | None]
    ) -> list[int]:
        with_row = [plan for plan in plans if plan.row is not None]
        statuses = [row for plan in plans for row in plan.statuses]
        outcome: dict[int, int | None] = {}
        if with_row or statuses:
            told = await self._commit(
                shard, statuses[:ROWS_AT_ONCE], [p.row for p in with_row if p.row is not None], now_ms
            )
            for extra in range(ROWS_AT_ONCE, len(statuses), ROWS_AT_ONCE):  # one station of more than 900 EVSEs
                await self._commit(shard, statuses[extra : extra + ROWS_AT_ONCE], [], now_ms)
            outcome = {p.place: r.n for p, r in zip(with_row, told.stations, strict=True) if r.outcome == "applied"}
        conflicts = []
        for plan in plans:
            if plan.row is not None and plan.place not in outcome:
                conflicts.append(plan.place)
                continue
            results[plan.place] = Written(plan.fate, outcome.get(plan.place), plan.futures)
            self.tally.stations[plan.fate] += 1
            self.tally.statuses["future"] += plan.futures
            if plan.new is not None:
                self.tally.compare(plan.old, plan.new)
        return conflicts

    async def _commit(
        self, shard: int, statuses: list[StatusRow], stations: list[StationRow], now_ms: int
    ) -> BatchResult:
        if self._memory is not None:
            statuses = self._memory.recall(shard, statuses)
        result = await apply_batch(self._pool, shard, statuses, stations, now_ms)
        self.tally.statuses.update(outcome.outcome for outcome in result.statuses)
        if self._memory is not None:
            self._memory.learn(shard, statuses, result.statuses)
        return result


def with_slots(station: Station, known: dict[str, int]) -> Station:
    """Every EVSE gets the slot that its uid ever had, or the next free one; EVSEs in order of slot.

    Raises ValueError if two EVSEs have one uid.
    """
    if len({evse.uid.casefold() for evse in station.evses}) < len(station.evses):
        raise ValueError(f"station {station.key!r} has two EVSEs of one uid")
    following = max(known.values(), default=-1) + 1
    evses: list[Evse] = []
    for evse in station.evses:
        slot = known.get(evse.uid.casefold())
        if slot is None:
            slot, following = following, following + 1
        evses.append(msgspec.structs.replace(evse, slot=slot))
    return msgspec.structs.replace(station, evses=tuple(sorted(evses, key=lambda e: e.slot)))


def station_row(
    station: Station,
    num: int,
    expected_n: int | None,
    *,
    removed: bool = False,
    gone: dict[int, str] | None = None,
    last_updated_ms: int | None = None,
) -> StationRow:
    """`gone`: slot -> uid of the EVSEs that vanished from the document."""
    evses = [EvseRow(e.slot, e.uid, e.uid.casefold(), e.evse_id) for e in station.evses]
    evses += [EvseRow(slot, uid, uid.casefold(), None, gone=True) for slot, uid in (gone or {}).items()]
    return StationRow(
        num=num,
        expected_n=expected_n,
        key=station.key,
        party=station.party,
        location_id=station.location_id,
        doc=encode_doc(station).decode(),
        lat=station.lat,
        lon=station.lon,
        publish=station.publish,
        removed=removed,
        last_updated_ms=station.last_updated_ms if last_updated_ms is None else last_updated_ms,
        cell=h3.latlng_to_cell(station.lat, station.lon, COARSE_RES),
        evses=() if removed else evses,
    )
