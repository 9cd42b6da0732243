"""Sums through filters that are in use, kept by cell: looking at the whole world again costs what changed since the last time.

Data      the cells of SUM_RES where stations stand or stood, rising, each with the version at which it last changed; of each
          filter in use the sums below these cells, and as of which version each of them is (-1: never summed up).
Invariant a sum as of version v holds for as long as its cell did not change after v.
Bounds    MAX_HELD sums of all filters together; the filter that was not asked for longest goes first. Stations that come where
          no cell was known make all be forgotten: rare once a world is loaded.
Oracle    geo.cell_sums over the same cells; tests/mapsvc/test_tiles.py compares whole tiles after every change.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit

from geo.cell_rows import CellRows
from geo.columns import runs
from geo.filters import Filter
from geo.h3bits import Cells, descendant_range, parent_cells
from geo.judge import Ints, Sums, no_sums, sum_up
from geo.select import columns_of, sieve_of
from geo.sorted_rows import Part
from geo.spatial import FINE_RES
from geo.tilemath import Ints as Places
from geo.world import World

SUM_RES = 4  # 1,770 km2: few cells to add up, and a change concerns few stations
MAX_HELD = 200_000  # sums of all filters, 64 bytes each


class Stretches(NamedTuple):
    """Of a sorted part, by cell: from where up to where its stations stand below that cell."""

    part: Part
    first: Places
    end: Places


class _Known:
    """The cells, and when they changed."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self.low, self.high = descendant_range(cells, SUM_RES, FINE_RES)
        self.version = 0
        self.changed_at = np.zeros(len(cells), np.int64)
        self._stretches: list[Stretches] = []

    def touch(self, cells: Cells) -> bool:
        """These of SUM_RES have changed. False: one of them is not known."""
        places = self.cells.searchsorted(cells)
        if len(self.cells) == 0 or not np.array_equal(self.cells[np.minimum(places, len(self.cells) - 1)], cells):
            return False
        self.version += 1
        self.changed_at[places] = self.version
        return True

    def stretches(self, world: World) -> list[Stretches]:
        """Where the stations below each cell are. Parts that are as they were are not searched again."""
        found = {id(one.part): one for one in self._stretches}
        self._stretches = [
            found.get(id(part)) or Stretches(part, part.keys.searchsorted(self.low), part.keys.searchsorted(self.high))
            for part in world.spatial.cells.parts()
        ]
        return self._stretches


class _Book:
    """The sums of one filter."""

    def __init__(self, count: int) -> None:
        self.sums = no_sums(count)
        self.as_of = np.full(count, -1, np.int64)

    def put(self, places: Places, sums: Sums, version: int) -> None:
        self.sums.counts[:, places] = sums.counts
        self.sums.max_kw[places] = sums.max_kw
        self.sums.best_num[places] = sums.best_num
        self.sums.best_kw[places] = sums.best_kw
        self.as_of[places] = version


class Summing:
    """One tile's sums in the making. `stations` (n,): about how many are below each of the n cells that are due; `add` takes
    slices of these, each once, and others may have their turns in between."""

    def __init__(self, world: World, wanted: Filter, known: _Known, book: _Book, cells: Cells, res: int) -> None:
        self._world, self._wanted, self._known, self._book, self._cells = world, wanted, known, book, cells
        low, high = descendant_range(cells, res, SUM_RES)
        self._first, self._end = known.cells.searchsorted(low), known.cells.searchsorted(high)
        below = runs(self._first.astype(np.int32), (self._end - self._first).astype(np.int32))
        self._due = below[book.as_of[below] < known.changed_at[below]]
        self.stations: Places = np.zeros(len(self._due), np.int64)
        for _, first, end in known.stretches(world):
            self.stations += end[self._due] - first[self._due]

    def add(self, piece: slice) -> None:
        w, known, places = self._world, self._known, self._due[piece]
        columns, sieve, nums, sums = columns_of(w), sieve_of(w, self._wanted), w.stations.num, no_sums(len(places))
        for part, first, end in known.stretches(w):
            sum_up(columns, sieve, nums, part.rows, first[places], end[places], sums, 0)
        self._book.put(places, sums, known.version)

    @property
    def rows(self) -> CellRows:
        """One for each cell of the tile, those without a station that matches among them."""
        sums = no_sums(len(self._cells))
        _fold(self._book.sums, self._first, self._end, sums)
        return CellRows(self._cells, *sums)


class KeptSums:
    """Of one world, whose changes it must be told."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: _Known | None = None
        self._books: OrderedDict[Filter, _Book] = OrderedDict()

    def changed(self, cells: Cells) -> None:
        """Stations of these cells of FINE_RES changed, came or went. Costs next to nothing while no filter is in use."""
        if self._known is not None and not self._known.touch(parent_cells(cells, SUM_RES)):
            self._known = None
            self._books.clear()

    def begin(self, wanted: Filter, cells: Cells, res: int, standing: Callable[[], Cells]) -> Summing:
        """The sums below these cells of a resolution coarser than SUM_RES. `standing`: cells of SUM_RES, all that have
        stations among them, for the first time."""
        if self._known is None:
            self._known = _Known(np.unique(standing()))
        book = self._books.get(wanted)
        if book is None:
            book = self._books[wanted] = _Book(len(self._known.cells))
            while len(self._books) > 1 and len(self._books) * len(self._known.cells) > MAX_HELD:
                self._books.popitem(last=False)
        self._books.move_to_end(wanted)
        return Summing(self._world, wanted, self._known, book, cells, res)


@njit(cache=True)
def _fold(fine: Sums, first: Ints, end: Ints, coarse: Sums) -> None:
    """Adds up the sums first_i : end_i."""
    for i in range(len(first)):
        for place in range(first[i], end[i]):
            for kind in range(5):
                coarse.counts[kind, i] += fine.counts[kind, place]
            coarse.max_kw[i] = max(coarse.max_kw[i], fine.max_kw[place])
            kw, num = fine.best_kw[place], fine.best_num[place]
            if num >= 0 and (kw > coarse.best_kw[i] or (kw == coarse.best_kw[i] and num < coarse.best_num[i])):
                coarse.best_kw[i], coarse.best_num[i] = kw, num
