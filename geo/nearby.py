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
from math import sqrt
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo.columns import StationTable
from geo.point import EARTH_RADIUS_M, LatLon
from geo.strips import Strips

MAX_RADIUS_M = 200_000.0
FIRST_LOOK = 1.3  # times the distance that density suggests: six of seven looks hold enough
FURTHER = (1.4, 4.0)  # least and most that the next look is longer by
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


_DIAMETER_M = 2 * EARTH_RADIUS_M
_PLACES = np.arange(1000)


class Hits(NamedTuple):
    rows: Rows  # nearest first
    metres: Floats
    searched: (
        Rows  # all of the subset that are as near as the last hit, or within the radius if the limit was not reached
    )
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
        by id. `choose` is asked about candidates, nearest first, once a look; `spare`: how many candidates for each hit it
        may be worth to begin with."""
        book = None if subset is None else self._book(subset)
        unlisted = book if book is not None and book.listed is None else None
        strips = book.listed if book is not None and book.listed is not None else self._all
        enough = limit if choose is None else spare * limit
        length_m = FIRST_LOOK * strips.reach_m(at, enough if unlisted is None else enough / unlisted.share)
        while True:
            length_m = min(radius_m, length_m)
            rows, chord2 = strips.near(at, length_m, self._stations.xyz)
            if unlisted is not None:
                belong = self._judge(unlisted, rows)
                rows, chord2 = rows[belong], chord2[belong]
            hits = self._hits(rows, chord2, limit, choose)
            if length_m >= radius_m or len(hits.rows) == limit:
                return hits
            least, most = FURTHER
            length_m *= min(most, max(least, sqrt(1.5 * enough / (len(rows) + 1))))

    def _hits(self, rows: Rows, chord2: Floats, limit: int, choose: Choose | None) -> Hits:
        """Of all candidates as near as the last of them, in ascending order."""
        count = len(rows)
        if choose is None:
            end = _with_ties(chord2, count, limit)
            places, hits, told = _PLACES[:end] if end <= len(_PLACES) else np.arange(end), rows[:end], chord2[:end]
            searched = hits
        else:
            places = choose(rows).nonzero()[0]
            end = _with_ties(chord2[places], len(places), limit) if len(places) > limit else len(places)
            places = places[:end]
            hits, told = rows[places], chord2[places]
            searched = rows[: count if end < limit else int(chord2.searchsorted(told[-1], "right"))]
        if _are_tied(told):  # ids decide among those that are equally far
            keys = map(self._key_of, hits.tolist())
            ranked = sorted(zip(told.tolist(), keys, range(len(told)), strict=True))
            at = np.array([place for _, _, place in ranked], np.intp)
            places, hits = places[at], hits[at]
        return Hits(hits[:limit], _metres_of(told[:limit]), searched, places[:limit])

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


@njit(cache=True)
def _metres_of(chord2: Floats) -> Floats:
    """Of squared chords far below 4: MAX_RADIUS_M."""
    return _DIAMETER_M * np.arcsin(0.5 * np.sqrt(chord2))


@njit(cache=True)
def _are_tied(rising: Floats) -> bool:
    for i in range(1, len(rising)):  # noqa: SIM110 (compiled)
        if rising[i] == rising[i - 1]:
            return True
    return False


@njit(cache=True)
def _with_ties(chord2: Floats, count: int, limit: int) -> int:
    """How many of the first `count` are as near as the one at `limit`."""
    end = min(count, limit)
    while 0 < end < count and chord2[end] == chord2[end - 1]:
        end += 1
    return end
