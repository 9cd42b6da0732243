"""Stations summed up by cell: the rows of an aggregate layer, and how they add up.

`CellRows` is a commutative monoid under `combine`: rows of equal cells add up to one, in any order and grouping, with
the same result to the last bit (counts are integers, maxima and the best station are picked, not computed). So a coarse
cell may be summed from its stations or from its children, and an update may redo any part.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo.h3bits import Cells
from geo.tilemath import Ints

COUNT, FREE, BUSY, OUT_OF_SERVICE, UNKNOWN = range(5)

MAX_KW = 10**9  # no station comes near; beyond, a float would not fit the tile's integers
_NO_NUM = np.iinfo(np.int64).max


class CellRows(NamedTuple):
    """One row per cell; m rows.

    `counts` (5, m): stations, then EVSEs free, busy, out of service, unknown. `max_kw`: the largest power, 0 if none is
    known. `best_num`, `best_kw`: the best free station (highest power, then lowest num); -1, -1 where none is free.
    """

    cells: Cells
    counts: NDArray[np.signedinteger[Any]]
    max_kw: NDArray[np.float32]
    best_num: Ints
    best_kw: NDArray[np.float32]

    def take(self, rows: NDArray[Any]) -> CellRows:
        """These rows, by numbers or by a mask."""
        return CellRows(
            self.cells[rows], self.counts[:, rows], self.max_kw[rows], self.best_num[rows], self.best_kw[rows]
        )


class Members(NamedTuple):
    """Stations, all arrays of shape (n,): cell, num, EVSEs by availability, the largest power (0 if not known)."""

    cells: Cells
    nums: Ints
    free: NDArray[np.integer[Any]]
    busy: NDArray[np.integer[Any]]
    out_of_service: NDArray[np.integer[Any]]
    unknown: NDArray[np.integer[Any]]
    max_kw: NDArray[np.floating[Any]]


def empty_rows(cells: Cells) -> CellRows:
    """Rows of cells without stations."""
    m = len(cells)
    none = np.full(m, -1, np.float32)
    return CellRows(cells, np.zeros((5, m), np.int32), np.zeros(m, np.float32), np.full(m, -1, np.int64), none)


def joined(one: CellRows, other: CellRows) -> CellRows:
    """The rows of both, one after the other."""
    return CellRows(
        np.concatenate((one.cells, other.cells)),
        np.concatenate((one.counts, other.counts), axis=1),
        np.concatenate((one.max_kw, other.max_kw)),
        np.concatenate((one.best_num, other.best_num)),
        np.concatenate((one.best_kw, other.best_kw)),
    )


def aggregate_rows(members: Members) -> CellRows:
    """The rows of the cells that these stations are in, by rising cell. Cells of any one resolution; for a coarser one
    give `parent_cells(cells, res)`. Raises ValueError.
    """
    n = len(members.cells)
    if any(column.shape != (n,) for column in members):
        raise ValueError("the columns of members must be of one length")
    if n == 0:
        return empty_rows(members.cells)
    evses, max_kw = members[2:6], members.max_kw.astype(np.float32)
    if members.nums.dtype.kind != "i" or any(column.dtype.kind not in "iu" for column in evses):
        raise ValueError("nums must be signed integers and counts integers")
    if any(column.min() < 0 for column in (members.nums, *evses)):
        raise ValueError("nums and counts of members must be from 0")
    if any(column.sum(dtype=np.float64) >= 1 << 31 for column in evses):  # a float, for integers would wrap around
        raise ValueError("the EVSEs of members must be fewer than 2^31")
    if not np.all((max_kw >= 0) & (max_kw < MAX_KW)):  # asked this way round NaN fails too
        raise ValueError(f"powers of members must be numbers from 0 to below {MAX_KW} kW")
    counts = np.empty((5, n), np.int32)
    counts[COUNT] = 1
    for row, column in zip(counts[FREE:], evses, strict=True):
        row[:] = column
    free = counts[FREE] > 0
    return combine(
        CellRows(
            members.cells,
            counts,
            max_kw,
            np.where(free, members.nums, -1),
            np.where(free, max_kw, np.float32(-1)),
        )
    )


def combine(rows: CellRows) -> CellRows:
    """Rows of equal cells summed up to one; by rising cell."""
    if len(rows.cells) == 0:
        return rows
    if np.any(rows.cells[1:] < rows.cells[:-1]):
        rows = rows.take(np.argsort(rows.cells, kind="stable"))
    is_first = np.concatenate((np.ones(1, np.bool_), rows.cells[1:] != rows.cells[:-1]))
    starts = np.flatnonzero(is_first)
    best_kw = np.maximum.reduceat(rows.best_kw, starts)
    # Of a cell without a free station all kW are -1, all nums are -1, and so is the least of them.
    is_best = rows.best_kw == np.repeat(best_kw, np.diff(starts, append=len(rows.cells)))
    best_num = np.minimum.reduceat(np.where(is_best, rows.best_num, _NO_NUM), starts)
    return CellRows(
        rows.cells[starts],
        np.add.reduceat(rows.counts, starts, axis=1, dtype=np.int32),
        np.maximum.reduceat(rows.max_kw, starts),
        best_num,
        best_kw,
    )
