"""All stations in the order of their cells, so that whatever lies below some coarse cells is found at once.

H3 orders the descendants of a cell together (geo.h3bits), so one order serves every resolution. It is made when somebody
needs it, and anew after stations came, went or moved: sorting what is nearly sorted is a merge.
"""

from __future__ import annotations

import numpy as np

from geo.columns import Rows, runs
from geo.h3bits import Cells, descendant_range
from geo.point import Floats
from geo.spatial import FINE_RES
from geo.world import World


class CellOrder:
    """It observes the world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rows: Rows = np.zeros(0, np.int32)
        self._cells: Cells = np.zeros(0, np.uint64)
        self._is_current = False
        world.observe(self)

    def changed(self, rows: Rows) -> None:
        """They stand where they stood."""

    def confirmed(self, rows: Rows) -> None:
        """Likewise."""

    def reshaped(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        self._is_current = False

    def below(self, cells: Cells, res: int) -> Rows:
        """The stations below these cells of `res`, by rising cell. The array is not written to later on, so that a station
        which goes, or moves, still stands in it."""
        self._bring_up()
        low, high = descendant_range(np.unique(cells), res, FINE_RES)
        first, end = np.searchsorted(self._cells, low), np.searchsorted(self._cells, high)
        if int((end - first).sum()) == len(self._rows):
            return self._rows
        return self._rows[runs(first.astype(np.int32), (end - first).astype(np.int32))]

    def whole_cells(self, most: int) -> list[Rows]:
        """All stations by rising cell, in pieces of some `most` that do not cut a cell in two."""
        self._bring_up()
        cuts = np.searchsorted(self._cells, self._cells[most::most])
        return [piece for piece in np.split(self._rows, np.unique(cuts)) if len(piece)]

    def _bring_up(self) -> None:
        if self._is_current:
            return
        w = self._world
        known = self._rows[w.stations.shown[self._rows]]
        is_new = w.stations.shown[: w.stations.size].copy()
        is_new[known] = False
        rows = np.concatenate((known, np.flatnonzero(is_new).astype(np.int32)))
        cells = w.fine_cells[rows]
        order = np.argsort(cells, kind="stable")
        self._rows, self._cells = rows[order], cells[order]
        self._is_current = True
