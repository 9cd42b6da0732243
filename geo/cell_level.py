"""All cells of one H3 resolution that ever held a station: their rows, and the tiles that their centres stand in.

A row stands in the slot where it was put first and stays there when its cell empties (a count of 0 hides it), so the
indexes only ever grow and a change writes only itself. `Aggregates.rebuild` starts anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo.cell_rows import COUNT, CellRows, combine
from geo.h3bits import Cells, centre_positions, descendant_range, parent_cells
from geo.key_index import KeyIndex, Slots
from geo.tilemath import Floats, Ints, Tile, tile_keys, world_pixels

GROWTH = 8  # room is made for an eighth more: the arrays are copied about 8 times while they grow e-fold


class CellLevel:
    def __init__(self, res: int, zoom: int, rows: CellRows) -> None:
        """`zoom`: the deepest one that shows cells of `res`. `rows` by rising cell. Raises ValueError."""
        self.res, self.zoom = res, zoom
        self._size = len(rows.cells)
        self._rows = rows
        self._u, self._v = centre_positions(rows.cells)
        self._by_cell: KeyIndex[np.uint64] = KeyIndex(rows.cells)
        self._by_tile: KeyIndex[np.int64] = KeyIndex(_tiles_at(self._u, self._v, zoom))

    def put(self, rows: CellRows) -> Cells:
        """Replaces the rows of these cells, each given once (count 0: now empty). Returns the cells that changed."""
        slots = self._by_cell.find(rows.cells)
        is_new = (slots < 0) & (rows.counts[COUNT] > 0)
        if is_new.any():
            self._append(rows.take(is_new))
        written = slots >= 0
        written[written] = self._differ(slots[written], rows.take(written))
        self._write(slots[written], rows.take(written))
        return rows.take(written | is_new).cells

    def _write(self, at: Slots | slice, rows: CellRows) -> None:
        self._rows.counts[:, at] = rows.counts
        self._rows.max_kw[at] = rows.max_kw
        self._rows.best_num[at] = rows.best_num
        self._rows.best_kw[at] = rows.best_kw

    def _differ(self, slots: Slots, rows: CellRows) -> NDArray[np.bool_]:
        old = self._rows.take(slots)
        differ: NDArray[np.bool_] = (
            np.any(old.counts != rows.counts, axis=0)
            | (old.max_kw != rows.max_kw)
            | (old.best_num != rows.best_num)
            | (old.best_kw != rows.best_kw)
        )
        return differ

    def _append(self, rows: CellRows) -> None:
        u, v = centre_positions(rows.cells)  # first, as it refuses what is not a cell
        end = self._size + len(u)
        if end > len(self._u):
            room = max(end, len(self._u) + len(self._u) // GROWTH)
            self._rows = CellRows(*(_grown(column, room) for column in self._rows))
            self._u, self._v = _grown(self._u, room), _grown(self._v, room)
        new = slice(self._size, end)
        self._u[new], self._v[new] = u, v
        self._rows.cells[new] = rows.cells
        self._write(new, rows)
        self._size = end
        self._by_cell.append(rows.cells)
        self._by_tile.append(_tiles_at(u, v, self.zoom))

    def rows(self) -> CellRows:
        """The rows of all cells with stations, in no particular order."""
        return self._rows.take(np.flatnonzero(self._rows.counts[COUNT, : self._size] > 0))

    def rows_below(self, cells: Cells, res: int) -> CellRows:
        """The rows of cells that descend from these cells of `res`, empty ones too, in no particular order."""
        return self._rows.take(self._by_cell.between(*descendant_range(cells, res, self.res)))

    def summed(self, parents: Cells, res: int) -> CellRows:
        """The rows of these cells of coarser resolution `res`, summed from the rows here."""
        rows = self.rows_below(parents, res)
        return combine(rows._replace(cells=parent_cells(rows.cells, res)))

    def in_tile(self, tile: Tile) -> tuple[CellRows, Floats, Floats]:
        """Rows, by rising cell, of the cells with stations whose centre the tile holds; and (u, v) of the centres."""
        key, deeper = tile.key, 2 * (self.zoom - tile.z)
        slots = self._by_tile.between(np.array([key << deeper]), np.array([(key + 1) << deeper]))
        slots = slots[self._rows.counts[COUNT, slots] > 0]
        slots = slots[np.argsort(self._rows.cells[slots])]
        return self._rows.take(slots), self._u[slots], self._v[slots]

    def tiles_of(self, cells: Cells, z: int) -> Ints:
        """Keys of the tiles at zoom `z` that hold the centres of these cells known here, each once, rising."""
        slots = self._by_cell.find(cells)
        return np.unique(_tiles_at(self._u[slots], self._v[slots], z))


def _tiles_at(u: Floats, v: Floats, z: int) -> Ints:
    at = world_pixels(u, v, z)
    return tile_keys(z, at.x, at.y)


def _grown(column: NDArray[Any], room: int) -> NDArray[Any]:
    """The column with `room` entries along its last axis."""
    grown = np.zeros((*column.shape[:-1], room), column.dtype)
    grown[..., : column.shape[-1]] = column
    return grown
