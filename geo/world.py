"""The world in memory: every published station and the state of its EVSEs, kept current change by change.

Data      columns by station row and by EVSE row (geo.columns), orders by place (geo.spatial), interned profiles,
          schedules, operators and parties.
Invariants
  * A record or state is applied only if its `n` is higher than what stands here; so replays, duplicates and snapshots
    that are newer than the stream are harmless (promise R5).
  * masks, counts and max_kw of a row always equal what its EVSE rows say at the last `advance` (promise R7).
  * A station is in the orders by place exactly while it is shown.
  * Stations that come together get rows in the order of their cells: neighbours share the processor's cache lines.
Oracle    tests/geo/model_world.py, a dictionary of the same rules.
Observers are told of every change: whose bytes changed, and where stations came or went.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from geo.columns import NEVER_MS, EvseTable, Rows, StationTable, runs
from geo.expiry import ExpiryWheel
from geo.grid import grid_position, grid_tile_keys
from geo.names import Names
from geo.nearby import NearbyIndex
from geo.party_clocks import PartyClock, PartyClocks
from geo.point import Floats, LatLon, unit_vectors
from geo.profiles import ANY_CONNECTOR, MASK_SLOTS, Profiles
from geo.record import States, StationRecord
from geo.row_book import RowBook
from geo.schedules import Schedules
from geo.spatial import FINE_RES, TILE_ZOOM, SpatialIndex, cells_of
from geo.station import AVAILABILITY, Availability, Status, shard_of
from geo.texts import Texts

_CLASS_OF = np.array(AVAILABILITY, np.uint8)
_BIT = np.append(2.0 ** np.arange(MASK_SLOTS), 0.0)
_UNKNOWN, _GONE = np.uint8(Availability.UNKNOWN), int(Availability.GONE)  # looking into an enum costs as much as a sum


class Observer(Protocol):
    def changed(self, rows: Rows) -> None:
        """The statuses, counts or attributes of these stations changed; they stand where they stood."""

    def confirmed(self, rows: Rows) -> None:
        """Only the `seen_ms` of these stations moved."""

    def reshaped(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        """Stations went from these positions, or came there; `rows` were or are theirs."""


class EvseState(NamedTuple):
    """One EVSE as shown: `status` is UNKNOWN past the TTL, `reported` what was last told. Instants in ms, None: never."""

    slot: int
    status: Status
    reported: Status
    changed_ms: int | None
    seen_ms: int | None
    expires_ms: int | None


class World:
    def __init__(self) -> None:
        self.stations = StationTable()
        self.evses = EvseTable()
        self.profiles = Profiles()
        self.schedules = Schedules()
        self.spatial = SpatialIndex()
        self.docs, self.texts = Texts(), Texts()  # `doc` and `summary` of the records
        self._book = RowBook()
        self.nearby = NearbyIndex(self.stations, self._book.key)
        self.operators = Names()  # what `stations.operator` holds
        self.station_count = 0
        self._clocks = PartyClocks()
        self._removed_n: dict[int, int] = {}
        self._wheel = ExpiryWheel(self.evses)
        self._observers: list[Observer] = []

    # -- reading ------------------------------------------------------------------------------------------------------

    def find(self, key: str) -> int | None:
        """The row of a station by its case-folded key."""
        return self._book.find(key)

    def key(self, row: int) -> str:
        """Case-folded; of the station that stands, or stood last, in this row."""
        return self._book.key(row)

    def rows_of_nums(self, nums: NDArray[np.int64]) -> Rows:
        """Rows by `num`; -1 where there is none."""
        return self._book.rows_of(nums)

    @property
    def num_limit(self) -> int:
        """Every station's num is below this."""
        return self._book.num_limit

    def rows_by_num(self, start: int, stop: int) -> Rows:
        """Rows of the stations with start <= num < stop, in order of num."""
        return self._book.rows_between(start, stop)

    @property
    def parties(self) -> Names:
        """Names by what `stations.party` holds."""
        return self._clocks.names

    @property
    def clocks(self) -> PartyClocks:
        """By what `stations.party` holds."""
        return self._clocks

    def removed_n(self, num: int) -> int:
        """The number that ended a station; -1: not known."""
        return self._removed_n.get(num, -1)

    def shown_rows(self) -> Rows:
        return np.flatnonzero(self.stations.shown[: self.stations.size]).astype(np.int32)

    def evse_states(self, row: int) -> list[EvseState]:
        """Every EVSE of the station that is not REMOVED, by slot."""
        first, e = int(self.stations.first[row]), self.evses
        part = slice(first, first + int(self.stations.slots[row]))
        columns = (e.status[part], e.live[part], e.changed_ms[part], e.seen_ms[part], e.expires_ms[part])
        states = []
        for slot, (status, lives, changed, seen, expires) in enumerate(
            zip(*(c.tolist() for c in columns), strict=True)
        ):
            if status == Status.REMOVED:
                continue
            reported = Status(status)
            states.append(
                EvseState(
                    slot,
                    reported if lives else Status.UNKNOWN,
                    reported,
                    changed or None,
                    seen or None,
                    None if expires == NEVER_MS or not seen else expires,
                )
            )
        return states

    # -- changes ------------------------------------------------------------------------------------------------------

    def observe(self, observer: Observer) -> None:
        self._observers.append(observer)

    def put(self, records: Sequence[StationRecord], states: States, now_ms: int) -> None:
        """Station records with the states of all their EVSEs (or of any), and tombstones. Order does not matter."""
        latest = {r.num: r for r in sorted(records, key=lambda r: r.n) if self._is_news(r)}
        if latest:
            kept = self._take_out(latest)
            for record in latest.values():
                if record.removed:
                    self._removed_n[record.num] = record.n
            self._put_in([r for r in latest.values() if not r.removed], kept, now_ms)
        self.put_states(states, now_ms)

    def put_states(self, states: States, now_ms: int) -> None:
        """EVSE states in any number; those of unknown stations or slots, or with an `n` not higher, are ignored.

        `seen_ms` never goes back, except to "never reported": a confirmation may overtake the state that it confirms, and
        a snapshot may hold the same `n` confirmed later.
        """
        if len(states) == 0:
            return
        s = self.stations
        rows = self.rows_of_nums(states["num"].astype(np.int64))
        slot = states["slot"].astype(np.int64)
        known = (rows >= 0) & (slot < s.slots[rows])
        index = s.first[rows] + slot
        news = known & self._are_news(states, np.where(known, index, 0))
        if not news.any():
            return
        states, rows, index = states[news], rows[news], index[news]
        order = np.lexsort((states["seen_ms"], states["n"]))
        states, rows, index = states[order], rows[order], index[order]
        evses = np.unique(index)
        if len(evses) == len(index):
            self._assign(states, index)
        else:  # as if they had come one by one: how they are cut into batches makes no difference
            for turn in _turns(index):
                again = turn[self._are_news(states[turn], index[turn])]
                self._assign(states[again], index[again])
        self._settle(evses, now_ms)
        self._recount(np.unique(rows))

    def _are_news(self, states: States, evses: NDArray[np.int64]) -> NDArray[np.bool_]:
        n, stands = states["n"].astype(np.int64), self.evses.n[evses]
        news: NDArray[np.bool_] = (n > stands) | (n == stands) & (states["seen_ms"] > self.evses.seen_ms[evses])
        return news

    def _assign(self, states: States, evses: NDArray[np.int64]) -> None:
        """Each EVSE at most once."""
        e = self.evses
        seen_ms = np.where(e.n[evses] >= 0, e.seen_ms[evses], 0)  # below 0: forgotten, see forget_versions
        e.seen_ms[evses] = np.where(states["seen_ms"] > 0, np.maximum(states["seen_ms"], seen_ms), 0)
        e.n[evses] = states["n"]
        e.status[evses] = states["status"]
        e.changed_ms[evses] = states["changed_ms"]

    def confirm(
        self, nums: NDArray[np.int64], slots: NDArray[np.int64], seen_ms: NDArray[np.int64], now_ms: int
    ) -> None:
        """The same status again: only `seen_ms` moves (never back). One that had expired is live again."""
        s, e = self.stations, self.evses
        rows = self.rows_of_nums(nums)
        known = (rows >= 0) & (slots < s.slots[rows])
        rows, index, seen_ms = rows[known], s.first[rows[known]] + slots[known], seen_ms[known]
        later = (seen_ms > e.seen_ms[index]) & (e.seen_ms[index] > 0)
        rows, index = rows[later], index[later]
        if len(index) == 0:
            return
        np.maximum.at(e.seen_ms, index, seen_ms[later])
        self._resettle(np.unique(index), rows, now_ms)

    def set_parties(self, clocks: dict[str, PartyClock], now_ms: int) -> None:
        """TTLs and heartbeats. A heartbeat confirms every EVSE that the party ever reported; a new TTL holds at once."""
        for party, clock in clocks.items():
            index = self._clocks.index(party)
            if not self._clocks.set(index, clock):
                continue
            s = self.stations
            rows = np.flatnonzero(s.shown[: s.size] & (s.party[: s.size] == index)).astype(np.int32)
            evses = runs(s.first[rows], s.slots[rows])
            if len(evses):
                self._resettle(evses, rows, now_ms)

    def rows_of_shard(self, shard: int) -> Rows:
        s = self.stations
        return np.flatnonzero(s.shown[: s.size] & (s.shard[: s.size] == shard)).astype(np.int32)

    def keep_only(self, shard: int, nums: NDArray[np.int64], n: int) -> None:
        """Drops the shard's stations that a complete reading as of `n` did not hold, unless they are newer than that."""
        s, rows = self.stations, self.rows_of_shard(shard)
        rows = rows[(s.n[rows] <= n) & ~np.isin(s.num[rows], nums)]
        gone: list[int] = s.num[rows].tolist()
        self._take_out(gone)
        self._removed_n.update(dict.fromkeys(gone, n))

    def forget_versions(self, rows: Rows) -> None:
        """Whatever comes next for these stations counts, whatever its number."""
        s = self.stations
        s.n[rows] = -1
        self.evses.n[runs(s.first[rows], s.slots[rows])] = -1
        self._removed_n.clear()

    def advance(self, now_ms: int) -> None:
        """Lets time act: expired statuses become UNKNOWN, opening hours turn. Cheap when nothing is due."""
        over = self._wheel.expire(now_ms)
        if len(over):
            self._recount(np.unique(self.evses.station[over]))
        turned = self.schedules.advance(now_ms)
        if turned:
            s = self.stations
            hit = np.isin(s.schedule[: s.size], np.fromiter(turned, np.int32, len(turned))) & s.shown[: s.size]
            self._tell_changed(np.flatnonzero(hit).astype(np.int32))

    @property
    def next_due_ms(self) -> int:
        """When `advance` will have something to do."""
        return min(self._wheel.next_ms, self.schedules.next_ms)

    # -- the parts of a change ----------------------------------------------------------------------------------------

    def _is_news(self, record: StationRecord) -> bool:
        row = self._book.row_of(record.num)
        if row >= 0:
            return record.n > int(self.stations.n[row])
        return record.n > self._removed_n.get(record.num, -1)

    def _take_out(self, nums: Iterable[int]) -> dict[int, NDArray[np.int64]]:
        """Removes the stations that are to be replaced or end; returns their EVSE states by num, (slots, 4)."""
        s = self.stations
        gone = [row for num in nums if (row := self._book.row_of(num)) >= 0]
        kept: dict[int, NDArray[np.int64]] = {}
        if not gone:
            return kept
        rows = np.array(gone, np.int32)
        lat, lon = s.lat[rows].copy(), s.lon[rows].copy()
        e = self.evses
        tiles = grid_tile_keys(TILE_ZOOM, s.grid_x[rows], s.grid_y[rows]).tolist()
        for row, tile in zip(gone, tiles, strict=True):
            self.spatial.remove(row, int(s.cell[row]), tile)
            self.nearby.remove(row, LatLon(float(s.lat[row]), float(s.lon[row])))
            first, slots, num = int(s.first[row]), int(s.slots[row]), int(s.num[row])
            part = slice(first, first + slots)
            kept[num] = np.stack(
                (e.n[part], e.status[part].astype(np.int64), e.changed_ms[part], e.seen_ms[part]), axis=-1
            )
            e.station[part] = -1
            e.live[part] = False
            self._book.leave(num, row, first, slots)
            s.shown[row] = False
        self.station_count -= len(gone)
        self._tell_reshaped(rows, lat, lon)
        for texts in (self.docs, self.texts):  # after observers have seen whose they were
            texts.drop(rows)
        return kept

    def _put_in(self, records: Sequence[StationRecord], kept: dict[int, NDArray[np.int64]], now_ms: int) -> None:
        if not records:
            return
        s, e = self.stations, self.evses
        lat, lon = np.array([r.lat for r in records]), np.array([r.lon for r in records])
        cells = cells_of(lat, lon, FINE_RES)
        order = np.argsort(cells, kind="stable")
        records, lat, lon, cells = [records[i] for i in order.tolist()], lat[order], lon[order], cells[order]
        rows = self._claim_rows(len(records))
        s.num[rows] = [r.num for r in records]
        s.n[rows] = [r.n for r in records]
        s.lat[rows], s.lon[rows] = lat, lon
        s.xyz[rows] = unit_vectors(lat, lon)
        s.grid_x[rows], s.grid_y[rows] = grid_x, grid_y = grid_position(lat, lon)
        s.cell[rows] = cells
        s.shard[rows] = [shard_of(r.key) for r in records]
        s.party[rows] = [self._clocks.index(r.party) for r in records]
        s.operator[rows] = [self.operators.number(r.operator) for r in records]
        s.facilities[rows] = np.array([r.facilities for r in records], np.uint64)
        s.profile[rows] = profile = [self.profiles.intern(r.profile) for r in records]
        s.schedule[rows] = [self.schedules.intern(r.schedule, now_ms) for r in records]
        slots = np.array([len(self.profiles.profiles[p]) for p in profile], np.int32)
        s.slots[rows] = slots
        first = self._book.claim_evses(e, slots.tolist())
        s.first[rows] = first
        evses = runs(first, slots)
        e.station[evses] = np.repeat(rows, slots)
        for column in (e.n, e.status, e.changed_ms, e.seen_ms, e.live):
            column[evses] = 0
        for record, base, count in zip(records, first.tolist(), slots.tolist(), strict=True):
            states = kept.get(record.num)
            if states is not None:
                part = slice(base, base + min(count, len(states)))
                e.n[part], e.status[part], e.changed_ms[part], e.seen_ms[part] = states[: part.stop - base].T
        self._book.enter([r.key for r in records], [r.num for r in records], rows)
        self.docs.put(rows, [r.doc for r in records])
        self.texts.put(rows, [r.summary for r in records])
        s.shown[rows] = True
        self.station_count += len(rows)
        self.spatial.add(rows, cells, grid_tile_keys(TILE_ZOOM, grid_x, grid_y))
        self.nearby.add(rows, lat, lon)
        self._settle(evses, now_ms)
        self._recount(rows, tell=False)
        self._tell_reshaped(rows, lat, lon)

    def _claim_rows(self, count: int) -> Rows:
        reused = self._book.reuse(count)
        s = self.stations
        new = range(s.size, s.size + count - len(reused))
        s.reserve(new.stop)
        s.size = new.stop
        return np.array([*reused, *new], np.int32)

    def _settle(self, evses: NDArray[np.int64], now_ms: int) -> None:
        """Recomputes expiry and liveness of these EVSE rows from seen_ms, the party's TTL and its heartbeat."""
        e = self.evses
        party = self.stations.party[e.station[evses]]
        ttl_ms = self._clocks.ttl_ms[party]
        seen = e.seen_ms[evses]
        reported = seen > 0
        seen = e.seen_ms[evses] = np.where(reported, np.maximum(seen, self._clocks.heartbeat_ms[party]), 0)
        lives = reported & (ttl_ms >= 0)
        expires = e.expires_ms[evses] = np.where(lives, seen + ttl_ms, NEVER_MS)
        e.live[evses] = lives & (expires > now_ms)
        self._wheel.schedule(evses)

    def _resettle(self, evses: NDArray[np.int64], rows: Rows, now_ms: int) -> None:
        """Settles EVSEs (of stations `rows`) that say what they said, so that few, if any, look different afterwards."""
        e = self.evses
        was_live = e.live[evses]
        self._settle(evses, now_ms)
        flipped = evses[e.live[evses] != was_live]
        if len(flipped):
            self._recount(np.unique(e.station[flipped]))
        shown = evses[e.status[evses] != Status.REMOVED]
        np.maximum.at(self.stations.seen_ms, e.station[shown], e.seen_ms[shown])
        for observer in self._observers:
            observer.confirmed(rows)

    def _recount(self, rows: Rows, *, tell: bool = True) -> None:
        s, e = self.stations, self.evses
        first, slots = s.first[rows], s.slots[rows]
        index = runs(first, slots)
        ends = np.cumsum(slots)
        which = np.repeat(np.arange(len(rows)), slots)
        slot = np.arange(len(index)) - (ends - slots)[which]
        status = e.status[index]
        shown = np.where(e.live[index], _CLASS_OF[status], _UNKNOWN)
        shown[status == Status.REMOVED] = _GONE
        there = shown != _GONE
        kinds, place = _GONE + 1, which * (_GONE + 1) + shown
        counts = np.bincount(place, minlength=len(rows) * kinds).reshape(-1, kinds)[:, :_GONE]
        # Every slot is one bit, so that adding is or-ing, and floats add up to 53 of them exactly.
        masks = np.bincount(place, _BIT[np.minimum(slot, MASK_SLOTS)], len(rows) * kinds).astype(np.uint32)
        masks = masks.reshape(-1, kinds)[:, :_GONE]
        changed_ms, seen_ms = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
        filled = np.flatnonzero(slots)  # one without an EVSE is no segment
        if len(filled):
            starts = (ends - slots)[filled]
            reported = there & (e.seen_ms[index] > 0)
            changed_ms[filled] = np.maximum.reduceat(e.changed_ms[index] * reported, starts)
            seen_ms[filled] = np.maximum.reduceat(e.seen_ms[index] * reported, starts)
        s.masks[rows], s.counts[rows] = masks, counts
        s.changed_ms[rows], s.seen_ms[rows] = changed_ms, seen_ms
        table, profile = self.profiles.matches(ANY_CONNECTOR), s.profile[rows]
        s.max_kw[rows] = table.kw[profile]
        if not there.all():
            whole = np.bitwise_or.reduce(masks, axis=1) == table.mask[profile]
            for row in rows[~whole | (slots > MASK_SLOTS)].tolist():
                s.max_kw[row] = self._best_kw(row)
        if tell:
            self._tell_changed(rows)

    def _best_kw(self, row: int) -> float:
        """Of the plugs that can be had there, which those of a REMOVED EVSE cannot. 0: none is known."""
        s, plugs, profile = self.stations, self.profiles.plugs, int(self.stations.profile[row])
        part = slice(plugs.begin[profile], plugs.begin[profile + 1])
        there = self.evses.status[int(s.first[row]) + plugs.slot[part]] != Status.REMOVED
        return float(np.nan_to_num(plugs.kw[part][there]).max(initial=0.0))

    def _tell_changed(self, rows: Rows) -> None:
        if len(rows):
            for observer in self._observers:
                observer.changed(rows)

    def _tell_reshaped(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        for observer in self._observers:
            observer.reshaped(rows, lat, lon)


def _turns(values: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Positions, so that no turn holds a value twice, and equal values come in their order."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate((np.ones(1, np.bool_), ordered[1:] != ordered[:-1])))
    turn = np.arange(len(values)) - np.repeat(starts, np.diff(starts, append=len(values)))
    for k in range(int(turn.max()) + 1):
        yield order[turn == k]
