"""Lists page by page: which stations a box holds, in order of `num`, and the first so many that pass a filter.

A page costs in proportion to what it has to look at, not to the world: a small box is read from the order of tiles, a
large one is walked in order of `num` from the page's beginning until the page is full.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo.columns import Rows
from geo.filters import Filter
from geo.point import Box
from geo.select import Counts, select
from geo.tilemath import pixels
from geo.world import World

BOX_ZOOM = 11
MANY_TILES = 4096  # a box over more tiles of BOX_ZOOM than this is walked
WALK_NUMS = 8192  # station numbers looked at in one step of a walk: about 0.3 ms


class Page(NamedTuple):
    """`rows` in order of num with their counts and powers; `excluded`: left out on the way for unknown hours, up to the
    last of `rows`, as the next page begins right after it; up to the end if there is no more."""

    rows: Rows
    counts: Counts
    max_kw: NDArray[np.float32]
    excluded: int
    more: bool


def page_of(world: World, parts: Iterable[Rows], wanted: Filter, limit: int) -> Page:
    """The first `limit` stations of `parts` (rows in order of num) that the filter keeps."""
    kept: list[Rows] = []
    counts: list[Counts] = []
    max_kw: list[NDArray[np.float32]] = []
    excluded, since_last, room = 0, 0, limit
    for rows in parts:
        chosen = select(world, rows, wanted)
        passing = np.flatnonzero(chosen.keep)
        full = len(passing) > room
        passing = passing[:room]
        unknown = np.flatnonzero(chosen.unknown_hours)
        if len(passing):
            excluded += since_last + int(np.count_nonzero(unknown < passing[-1]))
            since_last = int(np.count_nonzero(unknown > passing[-1]))
        else:
            since_last += len(unknown)
        kept.append(rows[passing])
        counts.append(chosen.counts[passing])
        max_kw.append(chosen.max_kw[passing])
        room -= len(passing)
        if full:
            return Page(np.concatenate(kept), np.concatenate(counts), np.concatenate(max_kw), excluded, True)
    if not kept:
        return Page(np.zeros(0, np.int32), np.zeros((0, 4), np.uint16), np.zeros(0, np.float32), 0, False)
    return Page(np.concatenate(kept), np.concatenate(counts), np.concatenate(max_kw), excluded + since_last, False)


def rows_of_keys(world: World, keys: Iterable[str], after: int) -> Iterator[Rows]:
    """The stations of these case-folded keys, unknown ones left out, in order of num."""
    return in_order(world, (row for key in keys if (row := world.find(key)) is not None), after)


def in_order(world: World, rows: Iterable[int], after: int) -> Iterator[Rows]:
    """These stations, once each, in order of num."""
    yield _in_order(world, np.unique(np.fromiter(rows, np.int32)), after)


def rows_in_box(world: World, box: Box, after: int) -> Iterator[Rows]:
    """The stations in a box with a `num` above `after`, in order of num, in parts."""
    s = world.stations
    near = _near(world, box)
    if near is not None:
        yield _in_order(world, near[box.contains(s.lat[near], s.lon[near])], after)
        return
    start = after + 1
    while start < world.num_limit:
        rows = world.rows_by_num(start, start + WALK_NUMS)
        yield rows[box.contains(s.lat[rows], s.lon[rows])]
        start += WALK_NUMS


def _near(world: World, box: Box) -> Rows | None:
    """Rows of the tiles that the box touches; None if these are many."""
    found: list[Rows] = []
    for part in box.parts():
        corners = pixels([part.north, part.south], [part.west, min(part.east, 179.999999)], BOX_ZOOM)
        west, north = int(corners.x[0]), int(corners.y[0])
        width, height = int(corners.x[1]) - west + 1, int(corners.y[1]) - north + 1
        if width * height > MANY_TILES:
            return None
        found.append(world.spatial.in_tiles(BOX_ZOOM, west, north, width, height))
        if part.east == 180.0:  # what stands on the antimeridian itself is in the first column
            found.append(world.spatial.in_tiles(BOX_ZOOM, 0, north, 1, height))
    return np.unique(np.concatenate(found))


def _in_order(world: World, rows: Rows, after: int) -> Rows:
    nums = world.stations.num[rows]
    order = np.argsort(nums)
    return rows[order[nums[order] > after]]
