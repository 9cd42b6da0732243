"""One tick's changes as bytes: every station, tile and event is encoded once, however many subscribers get it.

An event says what is now, not what happened, so one that comes twice does no harm:
  * `change`: these stations match the filters, and look like this;
  * `leave`: these do not match (any more), or are gone from the area.
Both name the tiles touched, at the zoom that the subscriber looks at, with the ETag that the tile has from now on where that
is known: rendering every tile on earth that changes, for its hash alone, took more than all else together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from geo.columns import Rows
from geo.filters import NO_FILTER, Filter
from geo.point import Floats
from geo.select import could_match, select
from geo.spatial import cells_of
from geo.tilemath import Tile, pixels
from geo.world import World
from mapsvc.bodies import Bodies
from mapsvc.tiles import Tiles

Ints = NDArray[np.int64]


class Departure(NamedTuple):
    """A station that no longer stands at a position, or nowhere. `n`: its number now; `turn`, `at_ms`: when it went, by the
    hub's count and the clock."""

    id: str
    key: str
    shard: int
    n: int
    turn: int
    at_ms: int
    lat: float
    lon: float


class View(NamedTuple):
    """What subscribers of one area may share: the filters, and the zoom whose tiles are named."""

    wanted: Filter
    zoom: int


class Events(NamedTuple):
    """Encoded, empty where there is none to tell."""

    leave: bytes
    change: bytes


def joined(parts: Iterable[Events]) -> bytes:
    """Leaves before changes: a station that moved from one square to another ends as being there."""
    leaves, changes = zip(*parts, strict=True)
    return b"".join((*leaves, *changes))


class _Chosen(NamedTuple):
    """By position among the tick's rows: the summary of those that match; else the id of those to be told as gone."""

    items: list[bytes | None]
    gone: list[bytes | None]
    known: bytearray  # those asked for so far


class Tick:
    """`rows`: stations shown whose look may have changed; `fresh` (n,): those whose record is new, so that they may have
    matched a filter before by an attribute that never changes otherwise."""

    def __init__(
        self,
        world: World,
        bodies: Bodies,
        tiles: Tiles,
        rows: Rows,
        fresh: NDArray[np.bool_],
        departures: Sequence[Departure],
        now_ms: int,
    ) -> None:
        s = world.stations
        self.rows, self.departures = rows, departures
        self.lat: Floats = np.concatenate((s.lat[rows], [d.lat for d in departures]))
        self.lon: Floats = np.concatenate((s.lon[rows], [d.lon for d in departures]))
        self.keys = [world.key(row) for row in rows.tolist()] + [d.key for d in departures]
        self._fresh = fresh
        self._world, self._bodies, self._tiles, self._now_ms = world, bodies, tiles, now_ms
        self._cells: dict[int, NDArray[np.uint64]] = {}
        self._chosen: dict[Filter, _Chosen] = {}
        self._tiles_at: dict[int, tuple[list[int], list[int]]] = {}  # by zoom
        self._tile_refs: dict[tuple[Tile, Filter], bytes] = {}
        self._refs_by_view: dict[View, dict[int, bytes]] = {}

    def cells(self, res: int) -> NDArray[np.uint64]:
        """Of every position; finding them is dear, and many may watch cells."""
        found = self._cells.get(res)
        if found is None:
            found = self._cells[res] = cells_of(self.lat, self.lon, res)
        return found

    def events(self, which: Sequence[int], view: View) -> Events:
        """The events of these positions: indexes into the rows, then the departures."""
        n = len(self.rows)
        chosen = self._choose(view.wanted, [i for i in which if i < n])
        refs = self._refs(view, which)
        changed: list[bytes] = []
        left: list[bytes] = []
        changed_in: dict[bytes, None] = {}
        left_in: dict[bytes, None] = {}
        for i in which:
            item = chosen.items[i] if i < n else None
            if item is not None:
                changed.append(item)
                changed_in[refs[i]] = None
                continue
            gone = chosen.gone[i] if i < n else orjson.dumps(self.departures[i - n].id)
            if gone is not None:
                left.append(gone)
                left_in[refs[i]] = None
        leave = change = b""
        if left:
            leave = b'event: leave\ndata: {"ids":[%b],"tiles":[%b]}\n\n' % (b",".join(left), b",".join(left_in))
        if changed:
            stations, tiles = b",".join(changed), b",".join(changed_in)
            change = b'event: change\ndata: {"stations":[%b],"tiles":[%b]}\n\n' % (stations, tiles)
        return Events(leave, change)

    def _choose(self, wanted: Filter, which: Sequence[int]) -> _Chosen:
        """It costs what is asked for: many filters may each look at few stations."""
        count = len(self.rows)
        found = self._chosen.get(wanted)
        if found is None:
            found = self._chosen[wanted] = _Chosen([None] * count, [None] * count, bytearray(count))
        new = [i for i in which if not found.known[i]]
        if not new:
            return found
        items, gone, known = found
        at = np.array(new, np.intp)
        rows = self.rows[at]
        for i in new:
            known[i] = 1
        if not wanted:
            for i, summary in zip(new, self._bodies.summaries(rows).split(), strict=True):
                items[i] = summary
            return found
        chosen = select(self._world, rows, wanted)
        kept = np.flatnonzero(chosen.keep)
        summaries = self._bodies.filtered_summaries(rows[kept], chosen.counts[kept], chosen.max_kw[kept])
        for i, summary in zip(at[kept].tolist(), summaries.split(), strict=True):
            items[i] = summary
        # One that never could match was never told of, unless its record has just changed.
        lost = np.flatnonzero(~chosen.keep & (self._fresh[at] | could_match(self._world, rows, wanted)))
        for i, summary in zip(at[lost].tolist(), self._bodies.summaries(rows[lost]).split(), strict=True):
            gone[i] = _id_of(summary)
        return found

    def _refs(self, view: View, which: Sequence[int]) -> dict[int, bytes]:
        """The tile of each of these positions (and others) as JSON."""
        refs = self._refs_by_view.setdefault(view, {})
        new = [i for i in which if i not in refs]
        if new:
            at = self._tiles_at.get(view.zoom)
            if at is None:
                found = pixels(self.lat, self.lon, view.zoom)
                at = self._tiles_at[view.zoom] = found.x.tolist(), found.y.tolist()
            for i in new:
                refs[i] = self._ref(Tile(view.zoom, at[0][i], at[1][i]), view.wanted)
        return refs

    def _ref(self, tile: Tile, wanted: Filter) -> bytes:
        found = self._tile_refs.get((tile, wanted))
        if found is None:
            etag = self._tiles.etag_if_kept(tile, wanted, self._now_ms)
            found = b'{"z":%d,"x":%d,"y":%d,"etag":%b}' % (*tile, orjson.dumps(etag))
            self._tile_refs[(tile, wanted)] = found
        return found


def _id_of(summary: bytes) -> bytes:
    """The id of a summary as JSON: a summary begins with it (geo.station.summary_members), and inside a string the quote is
    escaped."""
    return summary[summary.index(b":") + 1 : summary.index(b',"name":')]


def snapshot_event(world: World, bodies: Bodies, rows: Rows, wanted: Filter, *, more: bool) -> bytes:
    """One page of the beginning: those of these stations that match. Nothing, when none does and more pages come."""
    if wanted != NO_FILTER:
        chosen = select(world, rows, wanted)
        kept = np.flatnonzero(chosen.keep)
        items = bodies.filtered_summaries(rows[kept], chosen.counts[kept], chosen.max_kw[kept])
    else:
        items = bodies.summaries(rows)
    if more and not items.joined:
        return b""
    return b'event: snapshot\ndata: {"stations":[%b],"more":%b}\n\n' % (items.joined, b"true" if more else b"false")
