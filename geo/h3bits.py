"""H3 indexes as 64-bit integers, many at a time: parents, descendants and ids by bit arithmetic instead of library calls.

Layout of a cell index (https://h3geo.org/docs/core-library/h3Indexing): bits 59-62 mode 1, 52-55 resolution, 45-51 base
cell, then 15 digits of 3 bits, coarsest first; the digits finer than the resolution are 7. Hence among cells of one
resolution the numeric order is that of the tree: the descendants of a cell are one range, and parents of sorted cells
are sorted. The parent relation is *logical*: a child may stick out of its parent.
"""

from __future__ import annotations

import h3.api.basic_int as h3
import numpy as np
from numpy.typing import NDArray

from geo.tilemath import Floats, Ints, world_position

Cells = NDArray[np.uint64]

COARSE_RES = 5  # of the cell that the database keeps of a station

_MODE_CELL = 1 << 59
_RES_SHIFT = 52
_ID_MASK = (1 << _RES_SHIFT) - 1


def _unused(res: int) -> int:
    """The bits of the digits finer than `res`, which are all ones."""
    return (1 << 3 * (15 - res)) - 1


def _of_res(cells: Cells, res: int) -> Cells:
    """The same base cell and digits under the header of another resolution."""
    return cells & np.uint64(_ID_MASK) | np.uint64(_MODE_CELL | res << _RES_SHIFT)


def check_cells(cells: Cells, res: int) -> None:
    """ValueError unless all look like cells of `res` (base cells and digits themselves are not checked)."""
    if cells.dtype != np.uint64 or cells.ndim != 1:
        raise ValueError("cells must be a one-dimensional array of uint64")
    marks = ~_ID_MASK & (1 << 64) - 1 | _unused(res)
    if not np.all(cells & np.uint64(marks) == np.uint64(_MODE_CELL | res << _RES_SHIFT | _unused(res))):
        raise ValueError(f"cells must be H3 cells of resolution {res}")


def parent_cells(cells: Cells, res: int) -> Cells:
    """`h3.cell_to_parent` of each cell, for cells of resolution `res` or finer."""
    return _of_res(cells, res) | np.uint64(_unused(res))


def descendant_range(cells: Cells, res: int, finer: int) -> tuple[Cells, Cells]:
    """Where the descendants of resolution `finer` >= `res` lie in numeric order: from low up to below high.

    A cell of `res` == `finer` is its own only descendant.
    """
    last = _of_res(cells, finer)  # 7 in place of the finer digits: above every descendant, unless it is the cell itself
    return last & ~np.uint64(_unused(res) ^ _unused(finer)), last + np.uint64(1)


def feature_ids(cells: Cells) -> Ints:
    """Ids for vector tiles, which must stay below 2^53: base cell and digits, the low 52 bits.

    They tell all cells of all resolutions apart, since the number of 7s at the end is the resolution, and stand still
    as long as H3 does. `cell_of_feature_id` is the way back, for clients that subscribe to cells.
    """
    return (cells & np.uint64(_ID_MASK)).astype(np.int64)


def cell_of_feature_id(feature_id: int) -> int:
    """The cell of an id given by `feature_ids`. Raises ValueError for any other number."""
    if 0 <= feature_id <= _ID_MASK:
        trailing_ones = ((feature_id + 1) & ~feature_id).bit_length() - 1
        cell = feature_id | _MODE_CELL | 15 - min(trailing_ones // 3, 15) << _RES_SHIFT
        if h3.is_valid_cell(cell):
            return cell
    raise ValueError("not the feature id of an H3 cell")


def centre_positions(cells: Cells) -> tuple[Floats, Floats]:
    """(u, v) of geo.tilemath of the cells' centres; 0.8 µs a cell. Raises ValueError for what is not a cell."""
    latlng = h3.cell_to_latlng
    degrees = np.fromiter((x for cell in cells.tolist() for x in latlng(cell)), np.float64, 2 * len(cells))
    return world_position(degrees[0::2], degrees[1::2])
