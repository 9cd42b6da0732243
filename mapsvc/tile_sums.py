"""The aggregates of filters that people look through, kept current as those of the whole world are.

Summing a filter over a million stations takes 0.2 s, and a map that shows a country through it asks for some
dozen tiles each second. So a filter that is asked for again gets aggregates of its own. They are made in slices between two
other things, and until all is in, and whenever they lag, tiles are summed from the stations: the bytes are the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

import numpy as np

from geo.aggregates import Aggregates
from geo.cell_order import CellOrder
from geo.cell_rows import Members
from geo.columns import Rows
from geo.filters import Filter
from geo.spatial import rows_of
from geo.tilemath import Tile
from geo.world import World

MAX_SUMS = 4  # some 30 MB each over a million stations
CANDIDATES = 64  # filters asked for once
SLICE = 400  # cells brought up in one go: 5 ms where they are new
SLICE_ROWS = 700  # stations of new cells, likewise
PIECES_AT_ONCE = 2  # of SLICE_ROWS, that a request may take in: 10 ms
AT_ONCE = 2_000  # cells that a request may bring up: 10 ms
FORGOTTEN_MS = 60_000  # a filter that nobody asks for any more

MembersOf = Callable[[Rows, Filter], Members]
"""Those of these stations that match, with cells of BASE_RES."""


class _Sums:
    def __init__(self, pieces: list[Rows], now_ms: int) -> None:
        self.aggregates = Aggregates()
        self.pieces = pieces  # of the world's stations, by whole cells, that are not in yet
        self.dirty: set[int] = set()  # cells of which something changed since
        self.asked_ms = now_ms


class TileSums:
    def __init__(self, world: World, order: CellOrder, members_of: MembersOf) -> None:
        self._world = world
        self._order = order
        self._members_of = members_of
        self._sums: dict[Filter, _Sums] = {}
        self._once: OrderedDict[Filter, None] = OrderedDict()

    def changed(self, cells: Iterable[int]) -> None:
        """Something changed in these cells of BASE_RES."""
        for sums in self._sums.values():
            sums.dirty.update(cells)

    def render(self, tile: Tile, wanted: Filter, now_ms: int) -> bytes | None:
        """The tile now; None: it has to be summed from the stations."""
        sums = self._sums.get(wanted)
        if sums is None:
            self._note(wanted, now_ms)
            return None
        sums.asked_ms = now_ms
        if len(sums.pieces) > PIECES_AT_ONCE or len(sums.dirty) > AT_ONCE:
            return None
        while sums.pieces:
            self._take_in(wanted, sums)
        self._bring_up(wanted, sums, len(sums.dirty))
        return sums.aggregates.render(*tile)

    def tend(self, now_ms: int) -> None:
        """To be called some fifty times a second: a few milliseconds of what is left to do."""
        for wanted, sums in list(self._sums.items()):
            if now_ms - sums.asked_ms > FORGOTTEN_MS:
                del self._sums[wanted]
            elif sums.pieces:
                self._take_in(wanted, sums)
                return
            elif len(sums.dirty) > SLICE:
                self._bring_up(wanted, sums, SLICE)
                return

    def _note(self, wanted: Filter, now_ms: int) -> None:
        if wanted not in self._once:
            self._once[wanted] = None
            if len(self._once) > CANDIDATES:
                self._once.popitem(last=False)
        elif len(self._sums) < MAX_SUMS:
            del self._once[wanted]
            self._sums[wanted] = _Sums(self._order.whole_cells(SLICE_ROWS), now_ms)

    def _take_in(self, wanted: Filter, sums: _Sums) -> None:
        """The next piece. Where a station came, went or moved since the pieces were cut the sums may be wrong: such cells are
        dirty, and come again before anything is shown."""
        rows = sums.pieces.pop()
        members = self._members_of(rows[self._world.stations.shown[rows]], wanted)
        sums.aggregates.update(np.unique(members.cells), members)

    def _bring_up(self, wanted: Filter, sums: _Sums, most: int) -> None:
        if not sums.dirty:
            return
        dirty = [sums.dirty.pop() for _ in range(min(most, len(sums.dirty)))]
        rows = rows_of(self._world.spatial.fine, dirty)
        sums.aggregates.update(np.array(dirty, np.uint64), self._members_of(rows, wanted))
