"""The nearest stations to a point: H3 shortlists, metres decide.

**Covers.** A query point lies in some small H3 cell q. For q we remember a *cover*: the rows of all stations within L of
q's centre. Every point of q is within r of that centre, so for any query in q all stations within D = L - r stand in the
cover: whatever is found closer than D is final. The cover is built so that D reaches the K-th nearest station, hence a
query is: one cell look-up, one distance to a few dozen candidates, one sort. If a filter leaves too few of them within
D, the next level has a larger K. The answer equals brute force; the tests compare them also over the antimeridian and at
the poles.

**Subsets.** What a filter asks of records alone (connectors, operators) changes as rarely as positions do, so each such
filter has covers of its own, which hold only stations that could match: a query costs the same, however rare they are. Of
the rarest all are listed, and none are covers.

Covers hold what records say only, so status changes cost nothing; a station that comes, goes or moves drops the covers whose
circle it stands in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from math import asin, inf, pi, sqrt
from typing import NamedTuple

import h3.api.basic_int as h3
import numpy as np
from numpy.typing import NDArray

from geo.columns import StationTable
from geo.point import EARTH_RADIUS_M, LatLon, chord2_of_metres, metres_of_chord2, unit_vector
from geo.spatial import COARSE_RES, FINE_RES, SpatialIndex, reach_m

MAX_RADIUS_M = 200_000.0

# (H3 resolution of q, K): each level answers more hits from a larger circle. The last holds all within MAX_RADIUS_M.
LEVELS: tuple[tuple[int, int], ...] = ((7, 32), (7, 96), (6, 500), (5, 5_000), (4, 1 << 60))
REACH = (
    1.0  # r by the distance to the K-th nearest: covers of all the world's cells are some eleven rows a station then
)
TELLING = 4  # stations in a cell that tell how dense they are there
FINEST_RES = 10  # 15,000 m² cells, below which stations stand on top of one another
SPARE = 4  # candidates for each hit that is wanted where statuses decide as well: a quarter of all is often free
MAX_COVERS = 150_000  # some 100 MB of entries
MAX_COVER_ROWS = 16_000_000  # 64 MB of rows; beyond either the oldest go and are built anew, which costs 0.3 ms each
DROPPED = 8  # one in so many goes then
MAX_SUBSETS = 64
SCANNED = 20_000  # stations looked at for one cover: if so many, it is worth counting who belongs to the subset at all
FEW = 16_384  # members of a subset that are cheaper to go through (0.1 ms) than to make covers of
MANY_PLACES = 64  # more stations than these coming at once (a snapshot, an import) drop all covers without a look

Rows = NDArray[np.int32]
Floats = NDArray[np.float64]
Choose = Callable[[Rows], NDArray[np.bool_]]


class Subset(NamedTuple):
    """The stations for which `belongs(rows)` holds, as long as their records stay as they are. Equal keys, equal subsets."""

    key: Hashable
    belongs: Choose


class Cover(NamedTuple):
    rows: Rows
    certain_m: float  # D: every station within this of any point of q stands in `rows`
    certain_chord2: float


_DIAMETER_M = 2 * EARTH_RADIUS_M


class Hits(NamedTuple):
    rows: Rows  # nearest first
    metres: list[float]
    searched: (
        Rows  # all of the subset that are as near as the last hit, or within the radius if the limit was not reached
    )
    places: NDArray[
        np.intp
    ]  # of the hits in `searched`, and in what `choose` was asked about last, which began with it


class _Book:
    """The covers of one subset; None: of all stations."""

    def __init__(self, subset: Subset | None) -> None:
        self.subset = subset
        self.covers: tuple[dict[int, Cover], ...] = tuple({} for _ in LEVELS)
        self.finer: tuple[dict[int, int], ...] = tuple({} for _ in LEVELS)  # cell of a level -> resolution by density
        self.share = 1.0  # of all stations, as the last cover had it
        self.few: Cover | None = None  # all that belong to it, if they are few
        self.counted = False


class NearbyIndex:
    def __init__(self, stations: StationTable, spatial: SpatialIndex, key_of: Callable[[int], str]) -> None:
        self._stations = stations
        self._spatial = spatial
        self._key_of = key_of
        self._all = _Book(None)
        self._books: OrderedDict[Hashable, _Book] = OrderedDict()
        self._held: list[tuple[_Book, int, int]] = []  # of each cover, parallel to the two arrays: circles to look in
        self._centres = np.zeros((256, 3))
        self._chord2s = np.zeros(256)
        self._cover_rows = 0

    def nearest(
        self,
        at: LatLon,
        radius_m: float,
        limit: int,
        subset: Subset | None = None,
        choose: Choose | None = None,
        spare: int = SPARE,
    ) -> Hits:
        """The `limit` nearest stations of the subset within `radius_m` (≤ MAX_RADIUS_M) for which `choose(rows)` holds; ties
        by id. `choose` is asked about candidates, nearest first, at most twice per level; `spare`: how many candidates for each
        hit it may be worth to begin with."""
        book = self._all if subset is None else self._book(subset)
        here = unit_vector(at)
        radius_chord2 = chord2_of_metres(radius_m)
        enough = limit if choose is None else spare * limit
        for level, (_, k) in enumerate(LEVELS):
            if k < limit:
                continue
            cover = book.few or self._cover(book, at, level)
            chord2 = self._chord2(cover.rows, here)
            bound = min(cover.certain_chord2, radius_chord2)
            most = max(128, 2 * enough)
            if len(chord2) > 2 * most:
                first = chord2.argpartition(most)[:most]
                order = first[chord2[first].argsort()]
                nearest = chord2[order]
                edge = float(nearest[-1])  # nothing beside these is nearer than the last of them
                hits = self._hits(cover.rows[order], nearest, min(bound, edge), limit, choose, closed=bound < edge)
                if len(hits.rows) == limit:
                    return hits
            order = chord2.argsort()
            hits = self._hits(cover.rows[order], chord2[order], bound, limit, choose, closed=True)
            if cover.certain_m >= radius_m or len(hits.rows) == limit:
                return hits
        raise AssertionError("the last level covers MAX_RADIUS_M")

    def _hits(
        self, rows: Rows, chord2: Floats, bound: float, limit: int, choose: Choose | None, *, closed: bool
    ) -> Hits:
        """Of candidates in ascending order, up to the bound: itself included if `closed`."""
        count = len(rows)
        if count and not chord2[-1] < bound:
            count = int(chord2.searchsorted(bound, "right" if closed else "left"))
        if choose is None:
            end = _with_ties(chord2, count, limit)
            places, hits, told = np.arange(end), rows[:end], chord2[:end].tolist()
            searched = rows[:end]
        else:
            places = choose(rows[:count]).nonzero()[0]
            end = _with_ties(chord2[places], len(places), limit) if len(places) > limit else len(places)
            places = places[:end]
            hits, told = rows[places], chord2[places].tolist()
            searched = rows[: count if end < limit else int(chord2[:count].searchsorted(told[-1], "right"))]
        if len(set(told)) < len(told):  # ids decide among those that are equally far
            keys = map(self._key_of, hits.tolist())
            ranked = sorted(zip(told, keys, range(len(told)), strict=True))
            at = np.array([place for _, _, place in ranked], np.intp)
            places, hits = np.asarray(places)[at], hits[at]
        metres = [_DIAMETER_M * asin(sqrt(c) / 2) for c in told[:limit]]  # c is far below 4: MAX_RADIUS_M
        return Hits(hits[:limit], metres, searched, places[:limit])

    # -- covers -------------------------------------------------------------------------------------------------------

    def _book(self, subset: Subset) -> _Book:
        book = self._books.get(subset.key)
        if book is None:
            if len(self._books) >= MAX_SUBSETS:
                _, dropped = self._books.popitem(last=False)
                self._forget(lambda held: held is dropped)
            book = self._books[subset.key] = _Book(subset)
        self._books.move_to_end(subset.key)
        return book

    def _cover(self, book: _Book, at: LatLon, level: int) -> Cover:
        res, k = LEVELS[level]
        cell = h3.latlng_to_cell(at.lat, at.lon, res)
        if level < 2:
            finer = book.finer[level].get(cell)
            if finer is None:
                if len(book.finer[level]) >= MAX_COVERS:
                    book.finer[level].clear()
                finer = book.finer[level][cell] = self._resolution(cell, k / book.share)
            if finer != res:
                res, cell = finer, h3.latlng_to_cell(at.lat, at.lon, finer)
        return book.covers[level].get(cell) or self._build(book, level, cell, res, k)

    def _resolution(self, cell: int, k: float) -> int:
        """How small q should be where `cell` (of FINE_RES) is: r about the distance to the K-th nearest."""
        bucket, res = self._spatial.fine.get(cell), FINE_RES
        if bucket is None or len(bucket) < TELLING:
            cell, res = h3.cell_to_parent(cell, COARSE_RES), COARSE_RES
            bucket = self._spatial.coarse.get(cell)
        kth_m = sqrt(k * h3.cell_area(cell, unit="m^2") / (pi * len(bucket))) if bucket else inf
        while res < FINEST_RES and reach_m(res) > REACH * kth_m:
            res += 1
        return res

    def _build(self, book: _Book, level: int, cell: int, res: int, k: int) -> Cover:
        centre = LatLon(*h3.cell_to_latlng(cell))
        here, r = unit_vector(centre), reach_m(res)
        cap = MAX_RADIUS_M + r + 1.0
        length_m = cap if k >= 1 << 60 else min(cap, 4 * r)
        while True:
            around = self._spatial.within(centre, length_m)
            if book.subset is not None and len(around) > SCANNED and not book.counted and self._count(book):
                assert book.few is not None
                return book.few
            rows = self._members(book, around)
            chord2 = self._chord2(rows, here)
            inside = chord2 <= chord2_of_metres(length_m)
            count = int(np.count_nonzero(inside))
            if length_m >= cap:
                break
            if count < k:
                # as far as the density seen so far suggests, at least half as far again, at most thrice
                length_m = min(cap, length_m * min(3.0, max(1.5, sqrt(1.3 * k / (count + 1)))))
                continue
            need = min(cap, float(metres_of_chord2(np.partition(chord2, k - 1)[k - 1])) + 2 * r)
            if need <= length_m:
                length_m = need
                inside = chord2 <= chord2_of_metres(length_m)
                break
            length_m = need
        if len(around):
            book.share = max(1e-3, len(rows) / len(around))
        # 1e-6 m of slack: a point on q's edge may be put into q by rounding
        certain_m = length_m - r - 1e-6
        cover = Cover(rows[inside], certain_m, chord2_of_metres(max(0.0, certain_m)))
        self._remember(book, level, cell, cover, here, chord2_of_metres(length_m + 1.0))
        return cover

    def _members(self, book: _Book, rows: Rows) -> Rows:
        return rows if book.subset is None else rows[book.subset.belongs(rows)]

    def _count(self, book: _Book) -> bool:
        """Whether the whole subset is few, which are listed then."""
        book.counted = True
        shown = np.flatnonzero(self._stations.shown[: self._stations.size]).astype(np.int32)
        self._list(book, self._members(book, shown))
        return book.few is not None

    def _list(self, book: _Book, rows: Rows) -> None:
        book.few = Cover(rows, inf, 4.0) if len(rows) <= FEW else None

    def _chord2(self, rows: Rows, here: Floats) -> Floats:
        away = self._stations.xyz.take(rows, 0) - here
        chord2: Floats = np.vecdot(away, away)
        return chord2

    def _remember(self, book: _Book, level: int, cell: int, cover: Cover, centre: Floats, chord2: float) -> None:
        while self._held and (len(self._held) >= MAX_COVERS or self._cover_rows + len(cover.rows) > MAX_COVER_ROWS):
            self._forget_at(np.arange(len(self._held)) <= len(self._held) // DROPPED)
        place = len(self._held)
        if place == len(self._chord2s):
            self._centres = np.concatenate((self._centres, np.zeros_like(self._centres)))
            self._chord2s = np.concatenate((self._chord2s, np.zeros_like(self._chord2s)))
        book.covers[level][cell] = cover
        self._held.append((book, level, cell))
        self._centres[place], self._chord2s[place] = centre, chord2
        self._cover_rows += len(cover.rows)

    # -- forgetting ---------------------------------------------------------------------------------------------------

    def invalidate(self, rows: Rows, xyz: Floats) -> None:
        """Stations came to, or went from, these unit vectors, shape (n, 3); `rows` are or were theirs."""
        for book in self._books.values():
            if book.few is not None:
                came = rows[self._stations.shown[rows]]
                stay = book.few.rows[~np.isin(book.few.rows, rows)]
                self._list(book, np.concatenate((stay, self._members(book, came))))
                book.counted = book.few is not None
        if not self._held:
            return
        if len(xyz) > MANY_PLACES:
            self._forget_covers()
            return
        count = len(self._held)
        hit = np.zeros(count, np.bool_)
        for position in xyz:
            away = self._centres[:count] - position
            hit |= np.vecdot(away, away) <= self._chord2s[:count]
        self._forget_at(hit)

    def _forget(self, which: Callable[[_Book], bool]) -> None:
        self._forget_at(np.fromiter((which(book) for book, _, _ in self._held), np.bool_, len(self._held)))

    def _forget_at(self, hit: NDArray[np.bool_]) -> None:
        if not hit.any():
            return
        for place in np.flatnonzero(hit).tolist():
            book, level, cell = self._held[place]
            self._cover_rows -= len(book.covers[level].pop(cell).rows)
        keep = np.flatnonzero(~hit)
        self._held = [self._held[place] for place in keep.tolist()]
        self._centres[: len(keep)], self._chord2s[: len(keep)] = self._centres[keep], self._chord2s[keep]

    def _forget_covers(self) -> None:
        for book in (self._all, *self._books.values()):
            for covers in book.covers:
                covers.clear()
        self._held.clear()
        self._cover_rows = 0


def _with_ties(chord2: Floats, count: int, limit: int) -> int:
    """How many of the first `count` are as near as the one at `limit`."""
    if count <= limit or chord2[limit] > chord2[limit - 1]:
        return min(count, limit)
    return int(chord2[:count].searchsorted(chord2[limit - 1], "right"))
