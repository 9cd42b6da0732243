"""The nearest stations to a point: strips shortlist (geo.strips), metres decide.

A look goes as far out as the density of stations suggests, and further while it does not hold enough; whatever is found within
the length of a look is final, as a look misses nothing. The answer equals brute force; the tests compare them also over the
antimeridian and at the poles.

**Subsets.** What a filter asks of records alone (connectors, operators) changes rarely. A look for such a filter judges what
it finds, and goes further out the rarer its stations are. Once as many stations were judged for it as there are, its own are
listed in strips of their own: then a query costs the same, however rare they are.

Nothing here depends on statuses, and nothing is remembered of places.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo.columns import StationTable
from geo.point import LatLon
from geo.strips import FIRST_LOOK, Near, Strips, further, metres_of

MAX_RADIUS_M = 200_000.0
SPARE = 2  # candidates for each hit that is wanted where statuses decide as well: a quarter of all is often free
MAX_SUBSETS = 64
MAX_LISTED = 4_000_000  # stations in the strips of all subsets: 48 MB

Rows = NDArray[np.int32]
Floats = NDArray[np.float64]
Choose = Callable[[Rows], NDArray[np.bool_]]


class Subset(NamedTuple):
    """The stations for which `belongs(rows)` holds, as long as their records stay as they are. Equal keys, equal subsets."""

    key: Hashable
    belongs: Choose


class Hits(NamedTuple):
    rows: Rows  # nearest first
    metres: Floats


class Chosen(NamedTuple):
    hits: Hits
    searched: Rows  # all of the subset as near as the last hit, or within the radius if the limit was not reached
    places: NDArray[
        np.intp
    ]  # of the hits in `searched`, and in what `choose` was asked about last, which began with it


class _Book:
    """What is known of one subset."""

    def __init__(self, subset: Subset) -> None:
        self.subset = subset
        self.share = 1.0  # of all stations, as the last look had it
        self.judged = 0  # stations that were looked at for it
        self.listed: Strips | None = None


class NearbyIndex:
    def __init__(self, stations: StationTable, key_of: Callable[[int], str]) -> None:
        self._stations = stations
        self._key_of = key_of
        self._all = Strips()
        self._books: OrderedDict[Hashable, _Book] = OrderedDict()

    def nearest(self, at: LatLon, radius_m: float, limit: int) -> Hits:
        """The `limit` nearest stations within `radius_m` (≤ MAX_RADIUS_M); ties by id."""
        near, metres, is_tied = self._all.nearest(at, radius_m, limit, self._stations.xyz)
        if not is_tied:
            return Hits(near.rows, metres)
        ranks = self._ranks(near, limit)
        return Hits(near.rows[ranks], metres[ranks])

    def chosen(
        self, at: LatLon, radius_m: float, limit: int, subset: Subset | None, choose: Choose, spare: int = SPARE
    ) -> Chosen:
        """The `limit` nearest stations of the subset within `radius_m` for which `choose(rows)` holds; ties by id. `choose` is
        asked about candidates, nearest first, once a look; `spare`: how many candidates for each hit it may be worth to
        begin with."""
        book = None if subset is None else self._book(subset)
        unlisted = book if book is not None and book.listed is None else None
        strips = book.listed if book is not None and book.listed is not None else self._all
        enough = spare * limit
        length_m = FIRST_LOOK * strips.reach_m(at, enough if unlisted is None else enough / unlisted.share)
        while True:
            length_m = min(radius_m, length_m)
            near = strips.within(at, length_m, self._stations.xyz)
            if unlisted is not None:
                belong = self._judge(unlisted, near.rows)
                near = Near(near.rows[belong], near.chord2[belong])
            places = choose(near.rows).nonzero()[0]
            if length_m >= radius_m or len(places) >= limit:
                return self._chosen(near, places, limit)
            length_m *= further(enough, len(near.rows))

    def _chosen(self, near: Near, places: NDArray[np.intp], limit: int) -> Chosen:
        count = len(near.rows)
        if len(places) >= limit:  # all candidates that are as far as the last hit
            farthest = near.chord2[places[limit - 1]]
            count = int(near.chord2.searchsorted(farthest, "right"))
            places = places[: int(places.searchsorted(count))]
        hits = Near(near.rows[places], near.chord2[places])
        metres = np.empty(len(places))
        ranks = self._ranks(hits, limit) if metres_of(hits.chord2, metres) else slice(limit)
        return Chosen(Hits(hits.rows[ranks], metres[ranks]), near.rows[:count], places[ranks])

    def _ranks(self, near: Near, limit: int) -> NDArray[np.intp]:
        """Of candidates in ascending order, those as far as the last hit among them: where the hits are, ties by id."""
        keys = map(self._key_of, near.rows.tolist())
        ranked = sorted(zip(near.chord2.tolist(), keys, range(len(near.rows)), strict=True))
        return np.array([place for _, _, place in ranked[:limit]], np.intp)

    # -- subsets ------------------------------------------------------------------------------------------------------

    def _book(self, subset: Subset) -> _Book:
        book = self._books.get(subset.key)
        if book is None:
            if len(self._books) >= MAX_SUBSETS:
                self._books.popitem(last=False)
            book = self._books[subset.key] = _Book(subset)
        self._books.move_to_end(subset.key)
        return book

    def _judge(self, book: _Book, rows: Rows) -> NDArray[np.bool_]:
        """Which of the rows belong to the subset. Listing all that do costs no more than has been spent on it."""
        belong = book.subset.belongs(rows)
        book.judged += len(rows)
        if len(rows):
            book.share = max(1e-4, (int(np.count_nonzero(belong)) + 1) / (len(rows) + 1))
        if book.judged > len(self._all) and book.listed is None:
            book.judged = 0
            listed = self._all.those(book.subset.belongs)
            if len(listed) + sum(len(other.listed) for other in self._books.values() if other.listed) <= MAX_LISTED:
                book.listed = listed
        return belong

    # -- coming and going ---------------------------------------------------------------------------------------------

    def add(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        """Stations whose columns say all about them already."""
        self._all.add(rows, lat, lon)
        for book in self._books.values():
            if book.listed is not None:
                belong = book.subset.belongs(rows)
                if belong.any():
                    book.listed.add(rows[belong], lat[belong], lon[belong])

    def remove(self, row: int, at: LatLon) -> None:
        """To be called while its columns still say so."""
        self._all.remove(row, at)
        one = np.array([row], np.int32)
        for book in self._books.values():
            if book.listed is not None and book.subset.belongs(one)[0]:
                book.listed.remove(row, at)
