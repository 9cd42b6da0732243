"""The nearest stations to a point: H3 shortlists, metres decide.

**Covers.** A query point lies in some small H3 cell q. For q we remember a *cover*: the rows of all stations within L of
q's centre. Every point of q is within r of that centre, so for any query in q all stations within D = L - r stand in the
cover: whatever is found closer than D is final. The cover is built so that D reaches the K-th nearest station, hence a
query is: one cell look-up, one distance to a few dozen candidates, one sort. If a filter leaves too few of them within
D, the next, coarser level has a larger K. The answer equals brute force; the tests compare them also over the
antimeridian and at the poles.

Covers hold positions only, so status changes cost nothing; a station that comes, goes or moves drops the covers whose
circle it stands in.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, pi, sqrt
from typing import NamedTuple

import h3.api.basic_int as h3
import numpy as np
from numpy.typing import NDArray

from geo.columns import StationTable
from geo.point import LatLon, chord2_of_metres, metres_of_chord2, unit_vector
from geo.spatial import SpatialIndex, reach_m

MAX_RADIUS_M = 200_000.0

# (H3 resolution of q, K): each level answers more hits from a larger circle. The last holds all within MAX_RADIUS_M.
LEVELS: tuple[tuple[int, int], ...] = ((7, 32), (6, 400), (5, 5_000), (4, 1 << 60))
FINEST_RES = 10  # 15,000 m² cells, below which stations stand on top of one another
MAX_COVERS = 60_000  # about 30 MB of entries
MAX_COVER_ROWS = 8_000_000  # 32 MB of rows; beyond either all go and are built anew, one such query costs about 0.2 ms
MANY_PLACES = 64  # more stations than these coming at once (a snapshot, an import) drop all covers without a look

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
        self._finer: dict[int, int] = {}  # level-0 cell -> the finer resolution that its density asks for
        self._forget_all()

    def _forget_all(self) -> None:
        self._covers: dict[int, Cover] = {}
        self._cells: list[int] = []  # of each cover, parallel to the two arrays: circles to look for a position in
        self._centres = np.zeros((256, 3))
        self._chord2s = np.zeros(256)
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
        cell = h3.latlng_to_cell(at.lat, at.lon, res)
        if level == 0:
            finer = self._finer.get(cell)
            if finer is None:
                if len(self._finer) >= MAX_COVERS:
                    self._finer.clear()
                finer = self._finer[cell] = self._resolution(cell, k)
            if finer > res:
                res, cell = finer, h3.latlng_to_cell(at.lat, at.lon, finer)
        return self._covers.get(cell) or self._build(cell, res, k)

    def _resolution(self, cell: int, k: int) -> int:
        """How small q should be where `cell` is: r about half the distance to the K-th nearest, so that covers are short."""
        bucket = self._spatial.fine.get(cell)
        res = LEVELS[0][0]
        kth_m = sqrt(k * h3.cell_area(cell, unit="m^2") / (pi * len(bucket))) if bucket else inf
        while res < FINEST_RES and reach_m(res) > 0.7 * kth_m:
            res += 1
        return res

    def _build(self, cell: int, res: int, k: int) -> Cover:
        centre = LatLon(*h3.cell_to_latlng(cell))
        here, r = unit_vector(centre), reach_m(res)
        cap = MAX_RADIUS_M + r + 1.0
        length_m = cap if k >= 1 << 60 else min(cap, 4 * r)
        while True:
            rows = self._spatial.within(centre, length_m)
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
        # 1e-6 m of slack: a point on q's edge may be put into q by rounding
        cover = Cover(rows[inside], length_m - r - 1e-6)
        self._remember(cell, cover, here, chord2_of_metres(length_m + 1.0))
        return cover

    def _remember(self, cell: int, cover: Cover, centre: NDArray[np.float64], chord2: float) -> None:
        if len(self._covers) >= MAX_COVERS or self._cover_rows + len(cover.rows) > MAX_COVER_ROWS:
            self._forget_all()
        place = len(self._cells)
        if place == len(self._chord2s):
            self._centres = np.concatenate((self._centres, np.zeros_like(self._centres)))
            self._chord2s = np.concatenate((self._chord2s, np.zeros_like(self._chord2s)))
        self._covers[cell] = cover
        self._cells.append(cell)
        self._centres[place], self._chord2s[place] = centre, chord2
        self._cover_rows += len(cover.rows)

    def invalidate(self, xyz: NDArray[np.float64]) -> None:
        """Stations came, went or moved at these unit vectors, shape (n, 3)."""
        if not self._cells:
            return
        if len(xyz) > MANY_PLACES:
            self._forget_all()
            return
        count = len(self._cells)
        hit = np.zeros(count, np.bool_)
        for position in xyz:
            away = self._centres[:count] - position
            hit |= np.einsum("ij,ij->i", away, away) <= self._chord2s[:count]
        if not hit.any():
            return
        for place in np.flatnonzero(hit).tolist():
            self._cover_rows -= len(self._covers.pop(self._cells[place]).rows)
        keep = np.flatnonzero(~hit)
        self._cells = [self._cells[place] for place in keep.tolist()]
        self._centres[: len(keep)], self._chord2s[: len(keep)] = self._centres[keep], self._chord2s[keep]
