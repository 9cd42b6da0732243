"""The stations below some cells summed up through a filter, in pieces, so that others may have their turns in between.

Nothing is kept from one tile to the next: looking at a million stations takes some 10 ms, in the order of their cells, which is
the order of their rows as well where they came together (geo.world).
"""

from __future__ import annotations

import numpy as np

from geo.cell_rows import CellRows
from geo.filters import Filter
from geo.h3bits import Cells, descendant_range
from geo.judge import no_sums, sum_up
from geo.select import columns_of, sieve_of
from geo.spatial import FINE_RES
from geo.world import World


class CellSums:
    def __init__(self, world: World, wanted: Filter, cells: Cells, res: int) -> None:
        """`cells` of resolution `res`, each once."""
        self._world = world
        self._wanted = wanted
        self._cells = cells
        self._low, self._high = descendant_range(cells, res, FINE_RES)
        self._sums = no_sums(len(cells))

    def add(self, piece: slice) -> None:
        """What stands below these of the cells now; each cell once."""
        w, nums = self._world, self._world.stations.num
        columns, sieve = columns_of(w), sieve_of(w, self._wanted)
        for keys, rows in w.spatial.cells.parts():
            first, end = np.searchsorted(keys, self._low[piece]), np.searchsorted(keys, self._high[piece])
            sum_up(columns, sieve, nums, rows, first, end, self._sums, piece.start)

    @property
    def rows(self) -> CellRows:
        """One for each cell, those without a station that matches among them."""
        return CellRows(self._cells, *self._sums)
