"""Vector tiles out of the world: prepared, patched in place, rendered on demand for filters.

Unfiltered station tiles (z 11 to 14) are kept with the offsets of their status bytes; a status change patches them.
Unfiltered aggregate tiles (z 0 to 10) follow the aggregates, which are brought up to date when somebody asks.
Filtered tiles are rendered on demand into a bounded LRU. Aggregates of them are summed up from the stations themselves, coarse
ones from sums that are kept (geo.kept_sums); those that sum up much of the world take turns with other requests.
A tile is republished at most every 100 ms, an aggregate tile at most once a second: a viewer sees no difference, and a busy
city costs no more than a quiet one.
Invariant: patched bytes equal freshly rendered bytes (R5). The ETag is a hash of the very bytes sent, so it is the same on
every worker and changes exactly when they do.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from geo.aggregates import BASE_RES, MAX_AGGREGATE_ZOOM, RES_OF_ZOOM, Aggregates, Placed, encode_cells
from geo.cell_rows import COUNT, Members
from geo.cell_sums import CellSums
from geo.columns import Rows
from geo.filters import Filter
from geo.grid import grid_tile_keys
from geo.h3bits import Cells, parent_cells
from geo.kept_sums import SUM_RES, KeptSums, Summing
from geo.mvt import patch
from geo.point import Floats
from geo.select import select
from geo.spatial import FINE_RES, TILE_ZOOM
from geo.station import Availability
from geo.station_layer import encode_stations, station_tags
from geo.tilemath import Tile
from geo.world import World
from mapsvc.problems import Unavailable

MAX_ZOOM = 14  # a grid unit is 0.6 m there; clients overzoom beyond
MIN_STATION_ZOOM = MAX_AGGREGATE_ZOOM + 1
STATION_EVERY_MS, AGGREGATE_EVERY_MS = 100, 1000
LOOKED_AT_MS = 10_000  # whoever looks at a tile of changing stations asks for it again within that time
CACHE_BYTES = 64 << 20  # prepared tiles of one worker
GZIP_FROM_BYTES = 1000  # what is smaller is sent in one packet as it is
SUMMED_ROWS = 250_000  # stations summed up through a filter in one go: 2 to 3 ms
MAX_WAITING = 32  # requests for such tiles
# Cells that the aggregates may be behind by when a tile needs no more of them than where cells are; 11 ms to bring them up.
MANY_DIRTY = 2000
_ZOOM_OF_SUMS = RES_OF_ZOOM.index(SUM_RES)

assert FINE_RES == BASE_RES and TILE_ZOOM == MAX_ZOOM


_key_of = lru_cache(1 << 16)(attrgetter("key"))  # interleaving bits takes 2 µs


class Published:
    """A tile as it is sent; packed when somebody first wants it so."""

    __slots__ = ("_packed", "body", "etag", "gzip_etag")

    def __init__(self, body: bytes) -> None:
        self.body = body
        # The hash of the content, and the encoding: who knows one of them knows the other.
        content = xxhash.xxh3_64_hexdigest(body)
        self.etag, self.gzip_etag = f'"{content}"', f'"{content}-gz"'
        self._packed: bytes | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Published) and self.body == other.body

    def __hash__(self) -> int:
        return hash(self.etag)

    @property
    def shrinks(self) -> bool:
        return len(self.body) >= GZIP_FROM_BYTES

    @property
    def gzipped(self) -> bytes:
        if self._packed is None:
            # gzip with mtime 0: equal bytes on every worker. A window no larger than the body: the usual quarter of a
            # megabyte of tables would push everything else out of the processor's cache.
            bits = min(15, max(9, len(self.body).bit_length()))
            deflate = zlib.compressobj(1, zlib.DEFLATED, 16 + bits, max(1, min(8, bits - 6)))
            self._packed = deflate.compress(self.body) + deflate.flush()
        return self._packed


_NO_OFFSETS, _NO_ROWS = np.zeros(0, np.int64), np.zeros(0, np.int32)


class _Kept:
    """A tile in the cache."""

    __slots__ = ("asked_ms", "at_ms", "data", "dirty", "offsets", "published", "rows", "stale", "version")

    def __init__(self, published: Published, at_ms: int) -> None:
        self.published = published
        self.at_ms = at_ms  # as of when it was true
        self.asked_ms = at_ms  # when somebody last wanted it
        self.stale = False  # must be rendered anew
        self.version = -1
        self.dirty: set[int] = set()  # rows whose status bytes have to be patched
        self.data = bytearray()
        self.offsets: NDArray[np.int64] = _NO_OFFSETS
        self.rows: Rows = _NO_ROWS

    @property
    def nbytes(self) -> int:
        return 500 + 3 * len(self.published.body) + 12 * len(self.rows)


class _Making(NamedTuple):
    """An aggregate tile that is being summed up through a filter."""

    tile: Tile
    wanted: Filter
    placed: Placed
    sums: CellSums | Summing
    pieces: list[slice]  # of what `sums` adds up
    version: int  # as of which change of the world


class Tiles:
    """The tiles of one world; it observes the world."""

    def __init__(self, world: World) -> None:
        self._world = world
        # By tile and filter; an unfiltered tile by its key alone, as hashing a filter costs more than the look-up.
        self._kept: OrderedDict[int | tuple[int, Filter], _Kept] = OrderedDict()
        self._bytes = 0
        self._aggregates = Aggregates()
        self._kept_sums = KeptSums(world)
        self._dirty_cells: set[int] = set()
        self._new_cells: set[int] = set()  # those where stations came or went: the aggregates may not know them yet
        self._aggregated_ms = 0
        self._turn = asyncio.Lock()  # who sums up much of the world
        self._waiting = 0
        self._version = 0  # counts changes of the world
        self._cells_version = 0  # counts updates of the aggregates
        world.observe(self)
        self._dirty_cells.update(world.stations.cell[world.shown_rows()].tolist())
        self._new_cells.update(self._dirty_cells)

    @property
    def cached_bytes(self) -> int:
        return self._bytes

    def warm(self, now_ms: int) -> None:
        """Does what the first request would have to wait for: sums up the whole world."""
        self._bring_aggregates_up(now_ms)

    def etag_if_kept(self, tile: Tile, wanted: Filter, now_ms: int) -> str | None:
        """The ETag of a station tile with all that has changed, without an encoding; None for one that nobody asked for of
        late, and for aggregates, which follow within a second."""
        kept = self._kept.get((_key_of(tile), wanted) if wanted else _key_of(tile))
        if tile.z < MIN_STATION_ZOOM or kept is None or now_ms - kept.asked_ms > LOOKED_AT_MS:
            return None
        return self.get(tile, wanted, now_ms, at_once=True).etag

    def get(self, tile: Tile, wanted: Filter, now_ms: int, *, at_once: bool = False) -> Published:
        """The tile now. Tile numbers are valid and z is at most MAX_ZOOM. `at_once`: even if it was published a moment
        ago."""
        found = self._find(tile, wanted, now_ms, at_once)
        if found is not None:
            return found
        making = self._begin(tile, wanted)
        for piece in making.pieces:
            making.sums.add(piece)
        return self._finish(making, now_ms)

    def find(self, tile: Tile, wanted: Filter, now_ms: int) -> Published | None:
        """The same; None if it would hold up others, see `get_in_turns`."""
        found = self._find(tile, wanted, now_ms, False)
        if found is not None:
            return found
        making = self._begin(tile, wanted)
        if len(making.pieces) > 1:
            return None
        making.sums.add(making.pieces[0])
        return self._finish(making, now_ms)

    async def get_in_turns(self, tile: Tile, wanted: Filter, now_ms: Callable[[], int]) -> Published:
        """The same as `get`, with turns for others. One such tile is made at a time. Raises Unavailable."""
        if self._waiting >= MAX_WAITING:
            raise Unavailable("Too many such tiles are being made.")
        self._waiting += 1
        try:
            async with self._turn:
                found = self.find(tile, wanted, now_ms())
                if found is not None:
                    return found
                began_ms, making = now_ms(), self._begin(tile, wanted)
                for piece in making.pieces:
                    await asyncio.sleep(0)
                    making.sums.add(piece)
                return self._finish(making, began_ms)
        finally:
            self._waiting -= 1

    def _find(self, tile: Tile, wanted: Filter, now_ms: int, at_once: bool) -> Published | None:
        """What is kept, brought up to date, or rendered; None for what has to be summed up through a filter."""
        every_ms = STATION_EVERY_MS if tile.z >= MIN_STATION_ZOOM else AGGREGATE_EVERY_MS
        key = (_key_of(tile), wanted) if wanted else _key_of(tile)
        kept = self._kept.get(key)
        asked_ms = now_ms
        if kept is not None:
            if at_once:
                asked_ms = kept.asked_ms
            else:
                self._kept.move_to_end(key)
                kept.asked_ms = now_ms
            if now_ms - kept.at_ms < every_ms and now_ms >= kept.at_ms and not at_once:
                return kept.published
            if self._is_current(tile, wanted, kept, now_ms):
                return kept.published
        if kept is not None and kept.dirty and not kept.stale:
            self._bytes -= kept.nbytes
            self._patch(kept, now_ms)
            self._bytes += kept.nbytes
            return kept.published
        rendered = self._render(tile, wanted, now_ms)
        if rendered is None:
            return None
        rendered.asked_ms = asked_ms
        return self._keep(tile, wanted, rendered)

    def _keep(self, tile: Tile, wanted: Filter, kept: _Kept) -> Published:
        key = (_key_of(tile), wanted) if wanted else _key_of(tile)
        old = self._kept.pop(key, None)
        if old is not None:
            self._bytes -= old.nbytes
        self._kept[key] = kept
        self._bytes += kept.nbytes
        while self._bytes > CACHE_BYTES and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return kept.published

    def _is_current(self, tile: Tile, wanted: Filter, kept: _Kept, now_ms: int) -> bool:
        if wanted:
            return kept.version == self._version
        if tile.z < MIN_STATION_ZOOM:
            self._bring_aggregates_up(now_ms)
            return kept.version == self._cells_version
        return not kept.stale and not kept.dirty

    # -- observing the world ------------------------------------------------------------------------------------------

    def changed(self, rows: Rows) -> None:
        s = self._world.stations
        cells = s.cell[rows]
        self._version += 1
        self._kept_sums.changed(cells)
        self._dirty_cells.update(cells.tolist())
        if not self._kept:
            return
        deepest_ones = grid_tile_keys(MAX_ZOOM, s.grid_x[rows], s.grid_y[rows]).tolist()
        for row, deepest in zip(rows.tolist(), deepest_ones, strict=True):
            for shift in range(0, 2 * (MAX_ZOOM - MIN_STATION_ZOOM) + 1, 2):
                kept = self._kept.get(deepest >> shift)
                if kept is not None:
                    kept.dirty.add(row)

    def confirmed(self, rows: Rows) -> None:
        """Tiles hold no instants."""

    def reshaped(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        self._version += 1
        s = self._world.stations  # of those that went, it still says where they stood
        cells = s.cell[rows]
        self._kept_sums.changed(cells)
        self._dirty_cells.update(cells.tolist())
        self._new_cells.update(cells.tolist())
        if not self._kept:
            return
        for deepest in set(grid_tile_keys(MAX_ZOOM, s.grid_x[rows], s.grid_y[rows]).tolist()):
            for shift in range(0, 2 * (MAX_ZOOM - MIN_STATION_ZOOM) + 1, 2):
                kept = self._kept.get(deepest >> shift)
                if kept is not None:
                    kept.stale = True

    # -- rendering ----------------------------------------------------------------------------------------------------

    def _render(self, tile: Tile, wanted: Filter, now_ms: int) -> _Kept | None:
        if tile.z < MIN_STATION_ZOOM:
            if not wanted or len(self._dirty_cells) > MANY_DIRTY:
                self._bring_aggregates_up(now_ms)
            if wanted:
                return None
            kept = _Kept(Published(self._aggregates.render(*tile)), self._aggregated_ms)
            kept.version = self._cells_version
            return kept
        s = self._world.stations
        rows = self._world.spatial.in_tile(tile, s.num)
        if wanted:
            chosen = select(self._world, rows, wanted)
            keep = chosen.keep
            layer = encode_stations(s, tile.z, rows[keep], chosen.counts[keep], chosen.max_kw[keep])
            kept = _Kept(Published(bytes(layer.data)), now_ms)
            kept.version = self._version
            return kept
        layer = encode_stations(s, tile.z, rows)
        kept = _Kept(Published(bytes(layer.data)), now_ms)
        kept.data, kept.offsets, kept.rows = layer.data, layer.tag_offset, rows
        return kept

    def _patch(self, kept: _Kept, now_ms: int) -> None:
        s = self._world.stations
        dirty = np.fromiter(kept.dirty, np.int32, len(kept.dirty))
        where = np.flatnonzero(np.isin(kept.rows, dirty))
        rows = kept.rows[where]
        patch(kept.data, kept.offsets[where], station_tags(s.counts[rows], s.max_kw[rows]))
        kept.dirty.clear()
        kept.at_ms = now_ms
        if kept.data != kept.published.body:
            kept.published = Published(bytes(kept.data))

    def _bring_aggregates_up(self, now_ms: int) -> None:
        if not self._dirty_cells or 0 <= now_ms - self._aggregated_ms < AGGREGATE_EVERY_MS:
            return
        dirty = np.fromiter(self._dirty_cells, np.uint64, len(self._dirty_cells))
        self._dirty_cells.clear()
        self._new_cells.clear()
        self._aggregated_ms = now_ms
        s, rows = self._world.stations, self._world.spatial.in_cells(np.unique(dirty), BASE_RES)
        counts = s.counts[rows]
        self._aggregates.update(
            dirty,
            Members(
                s.cell[rows],
                s.num[rows],
                counts[:, Availability.FREE],
                counts[:, Availability.BUSY],
                counts[:, Availability.OUT_OF_SERVICE],
                counts[:, Availability.UNKNOWN],
                s.max_kw[rows],
            ),
        )
        self._cells_version += 1

    # -- sums through a filter ----------------------------------------------------------------------------------------

    def _begin(self, tile: Tile, wanted: Filter) -> _Making:
        """An aggregate tile, in pieces of some SUMMED_ROWS stations, one at least."""
        new = np.fromiter(self._new_cells, np.uint64, len(self._new_cells))
        placed, res = self._aggregates.placed(*tile, new), RES_OF_ZOOM[tile.z]
        sums: CellSums | Summing
        if res < SUM_RES:
            sums = self._kept_sums.begin(wanted, placed.cells, res, lambda: self._cells_of_sums(new))
            stations = sums.stations
        else:
            sums, stations = CellSums(self._world, wanted, placed.cells, res), placed.stations
        cuts = np.flatnonzero(np.diff((np.cumsum(stations) - stations) // SUMMED_ROWS)) + 1
        edges = [0, *cuts.tolist(), len(stations)]
        return _Making(tile, wanted, placed, sums, [slice(*ends) for ends in pairwise(edges)], self._version)

    def _cells_of_sums(self, new: Cells) -> Cells:
        return np.concatenate((self._aggregates.rows(_ZOOM_OF_SUMS).cells, parent_cells(new, SUM_RES)))

    def _finish(self, making: _Making, now_ms: int) -> Published:
        rows = making.sums.rows
        there = rows.counts[COUNT] > 0
        placed = making.placed
        body = encode_cells(making.tile, rows.take(there), placed.u[there], placed.v[there])
        kept = _Kept(Published(body), now_ms)
        kept.version = making.version
        return self._keep(making.tile, making.wanted, kept)
