"""The nearest stations to a point: H3 shortlists, metres decide.

**Covers.** A query point lies in some small H3 cell q. For q we remember a *cover*: the rows of all stations within L of
q's centre. Every point of q is within r of that centre, so for any query in q all stations within D = L - r stand in the
cover: whatever is found closer than D is final. The cover is built so that D reaches the K-th nearest station, hence a
query is: one cell look-up, one distance to a few dozen candidates, one sort. If a filter leaves too few of them within
D, the next, coarser level has a larger K. The answer equals brute force; the tests compare them also over the
antimeridian and at the poles.

Covers hold positions only, so status changes cost nothing; a station that comes, goes or moves drops the covers whose
circle it may touch (found through the coarse cells that they were built from).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import h3.api.basic_int as h3
import numpy as np
from numpy.typing import NDArray

from geo.columns import StationTable
from geo.point import LatLon, chord2_of_metres, metres_of_chord2, unit_vector
from geo.spatial import COARSE_RES, SpatialIndex, cells_within, reach_m

MAX_RADIUS_M = 200_000.0

# (H3 resolution of q, K): each level answers more hits from a larger circle. The last holds all within MAX_RADIUS_M.
LEVELS: tuple[tuple[int, int], ...] = ((7, 32), (6, 400), (5, 5_000), (4, 1 << 60))
SPLIT_ROWS = 400  # a level-0 cover longer than this is split into finer cells: short covers answer faster …
FINEST_RES = 10  # … down to 15,000 m² cells, below which stations stand on top of one another
MAX_COVER_ROWS = 8_000_000  # 32 MB of covers, then they are built anew: one such query costs about 0.1 ms

Rows = NDArray[np.int32]
Choose = Callable[[Rows], NDArray[np.bool_]]


class Cover(NamedTuple):
    rows: Rows
    certain_m: float  # D: every station within this of any point of q stands in `rows`


class Hits(NamedTuple):
    rows: Rows  # nearest first
    metres: NDArray[np.float64]
    searched: Rows  # all stations that are as near as the last hit, or within the radius if the limit was not reached


class NearbyIndex:
    def __init__(self, stations: StationTable, spatial: SpatialIndex, key_of: Callable[[int], str]) -> None:
        self._stations = stations
        self._spatial = spatial
        self._key_of = key_of
        self._covers: dict[int, Cover | int] = {}  # cell -> its cover, or the finer resolution to use instead
        self._users: dict[int, set[int]] = {}  # coarse cell -> the covers' cells whose circle may touch it
        self._cover_rows = 0

    def nearest(self, at: LatLon, radius_m: float, limit: int, choose: Choose | None = None) -> Hits:
        """The `limit` nearest stations within `radius_m` (≤ MAX_RADIUS_M) for which `choose(rows)` holds; ties by id.

        `choose` is asked about candidate rows at most once per level.
        """
        here = unit_vector(at)
        radius_chord2 = chord2_of_metres(radius_m)
        for level, (_, k) in enumerate(LEVELS):
            if limit > k:
                continue
            rows, certain_m = self._cover(at, level)
            chord2 = self._chord2(rows, here)
            within = min(radius_m, certain_m)
            near = chord2 <= (radius_chord2 if within == radius_m else chord2_of_metres(within))
            rows, chord2 = rows[near], chord2[near]
            searched, all_chord2 = rows, chord2
            if choose is not None and len(rows):
                fit = choose(rows)
                rows, chord2 = rows[fit], chord2[fit]
            if len(rows) >= limit or certain_m >= radius_m:
                if len(rows) >= limit:
                    searched = searched[all_chord2 <= np.partition(chord2, limit - 1)[limit - 1]]
                return Hits(*self._first(rows, chord2, limit), searched)
        raise AssertionError("the last level covers MAX_RADIUS_M")

    def _chord2(self, rows: Rows, here: NDArray[np.float64]) -> NDArray[np.float64]:
        away = self._stations.xyz[rows] - here
        chord2: NDArray[np.float64] = np.einsum("ij,ij->i", away, away)
        return chord2

    def _first(self, rows: Rows, chord2: NDArray[np.float64], limit: int) -> tuple[Rows, NDArray[np.float64]]:
        if len(rows) > limit:
            # keep all that tie with the last place: ids decide among them
            near = chord2 <= np.partition(chord2, limit - 1)[limit - 1]
            rows, chord2 = rows[near], chord2[near]
        order = np.argsort(chord2, kind="stable")
        rows, chord2 = rows[order], chord2[order]
        if len(rows) > 1 and (chord2[1:] == chord2[:-1]).any():
            ranked = sorted(zip(chord2.tolist(), map(self._key_of, rows.tolist()), rows.tolist(), strict=True))
            rows = np.fromiter((row for _, _, row in ranked), np.int32, len(ranked))
        return rows[:limit], metres_of_chord2(chord2[:limit])

    def _cover(self, at: LatLon, level: int) -> Cover:
        res, k = LEVELS[level]
        while True:
            cell = h3.latlng_to_cell(at.lat, at.lon, res)
            found = self._covers.get(cell)
            if found is None:
                found = self._build(cell, res, k, splits=level == 0)
            if isinstance(found, Cover):
                return found
            res = found

    def _build(self, cell: int, res: int, k: int, *, splits: bool) -> Cover | int:
        centre = LatLon(*h3.cell_to_latlng(cell))
        r = reach_m(res)
        cap = MAX_RADIUS_M + r + 1.0
        here = unit_vector(centre)
        length_m = cap if k >= 1 << 60 else min(cap, 3 * r)
        while True:
            rows = self._spatial.within(centre, length_m)
            metres = metres_of_chord2(self._chord2(rows, here))
            inside = metres <= length_m
            if length_m >= cap:
                break
            if int(inside.sum()) >= k:
                need = min(cap, float(np.partition(metres, k - 1)[k - 1]) + 2 * r)
                if need <= length_m:
                    length_m = need
                    inside = metres <= length_m
                    break
                length_m = need
            else:
                length_m = min(cap, 2.5 * length_m)
        rows = rows[inside]
        if splits and len(rows) > SPLIT_ROWS and res < FINEST_RES:
            self._remember(cell, res + 1, centre, 0.0)
            return res + 1
        # 1e-6 m of slack: a point on q's edge may be put into q by rounding
        cover = Cover(rows, length_m - r - 1e-6)
        self._remember(cell, cover, centre, length_m)
        return cover

    def _remember(self, cell: int, cover: Cover | int, centre: LatLon, length_m: float) -> None:
        self._covers[cell] = cover
        if isinstance(cover, Cover):
            self._cover_rows += len(cover.rows) + 32  # 32: the entry's own weight, in rows
            for coarse in cells_within(centre, length_m, COARSE_RES):
                self._users.setdefault(coarse, set()).add(cell)
        else:
            self._users.setdefault(h3.latlng_to_cell(centre.lat, centre.lon, COARSE_RES), set()).add(cell)
        if self._cover_rows > MAX_COVER_ROWS:
            self._covers, self._users, self._cover_rows = {}, {}, 0

    def _forget(self, cell: int) -> None:
        gone = self._covers.pop(cell, None)
        if isinstance(gone, Cover):
            self._cover_rows -= len(gone.rows) + 32

    def invalidate(self, coarse_cells: set[int]) -> None:
        """Stations came, went or moved in these COARSE_RES cells."""
        for coarse in coarse_cells:
            for cell in self._users.pop(coarse, ()):
                self._forget(cell)
