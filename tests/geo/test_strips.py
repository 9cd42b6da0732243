"""Strips find just what is near: everywhere, poles and antimeridian included."""

from __future__ import annotations

from math import asin, sqrt
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

import geo.sorted_rows
from geo.point import LatLon, unit_vectors
from geo.strips import Strips
from tests.geo.comparing import NOISE_M
from tests.geo.model_world import R_M, haversine_m
from tests.geo.test_spatial import anywhere, destination, somewhere
from tests.geo.worlds import TORTURE

MANY = 20 if TORTURE else 1
EDGES = [(90.0, 0.0), (-90.0, 77.0), (0.0, 180.0), (0.0, -180.0), (45.0, 180.0), (89.999, -180.0), (0.015625, 0.0)]
LENGTHS_M = (0.0, 1.0, 300.0, 5_000.0, 200_000.0)


def filled(places: dict[int, tuple[float, float]]) -> Strips:
    strips = Strips()
    lat, lon = np.array(list(places.values())).reshape(-1, 2).T
    strips.add(np.array(list(places), np.int32), lat, lon)
    return strips


def vectors(places: dict[int, tuple[float, float]]) -> NDArray[np.float64]:
    """By row."""
    found = np.zeros((max(places, default=0) + 1, 3))
    for row, at in places.items():
        found[row] = unit_vectors(*(np.array([x]) for x in at))[0]
    return found


@pytest.mark.parametrize("seed", range(30 * MANY))
def test_what_is_within_the_length_is_found_once_and_nothing_else(seed: int) -> None:
    random = Random(seed)
    around = random.choice([*EDGES, somewhere(random)])
    places = {row: destination(*around, random.uniform(0, 6.3), random.expovariate(1 / 60_000)) for row in range(400)}
    places |= {400 + row: at for row, at in enumerate(EDGES)}
    strips, xyz = filled(places), vectors(places)
    for length_m in LENGTHS_M:
        for at in (around, destination(*around, random.uniform(0, 6.3), random.expovariate(1 / 60_000))):
            rows, chord2 = (part.tolist() for part in strips.within(LatLon(*at), length_m, xyz))
            away = {row: haversine_m(*at, *place) for row, place in places.items()}
            assert len(rows) == len(set(rows))
            assert {row for row in places if away[row] <= length_m - NOISE_M} <= set(rows), (at, length_m)
            assert set(rows) <= {row for row in places if away[row] <= length_m + NOISE_M}, (at, length_m)
            for row, c in zip(rows, chord2, strict=True):
                assert abs(2 * R_M * asin(sqrt(c) / 2) - away[row]) <= NOISE_M
            assert chord2 == sorted(chord2)
            for limit in (1, 7, 200, 1000):
                nearest = strips.nearest(LatLon(*at), length_m, limit, xyz)
                first, far = (part.tolist() for part in nearest.near)
                assert nearest.is_tied == (len(set(far)) < len(far))
                assert np.allclose(nearest.metres, [away[row] for row in first], atol=NOISE_M, rtol=0)
                assert (first, far) == (rows[: len(first)], chord2[: len(far)])
                assert len(first) >= min(limit, len(rows))
                assert len(first) <= limit or far[limit - 1] == far[-1]
                assert len(first) == len(rows) or chord2[len(far)] > far[-1]


def test_there_is_room_for_any_number() -> None:
    places = dict.fromkeys(range(20_000), (48.0, 2.0))
    rows, _ = filled(places).within(LatLon(48.0, 2.0), 10.0, vectors(places))
    assert sorted(rows.tolist()) == sorted(places)
    rows = filled(places).nearest(LatLon(48.0, 2.0), 10.0, 1, vectors(places)).near.rows
    assert sorted(rows.tolist()) == sorted(places)


@pytest.mark.parametrize("small", [1, 30, 10_000])
@pytest.mark.parametrize("seed", range(5 * MANY))
def test_it_holds_what_was_added_and_not_removed(seed: int, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geo.sorted_rows, "SMALL_AT_LEAST", small)
    random, strips = Random(seed), Strips()
    there: dict[int, tuple[float, float]] = {}

    def every(strips: Strips) -> list[int]:
        rows, _ = strips.within(LatLon(0.0, 0.0), 2e7, vectors(there))
        return sorted(rows.tolist())

    for row in range(300):
        if there and random.random() < 0.4:
            gone = random.choice(list(there))
            strips.remove(gone, LatLon(*there.pop(gone)))
        else:
            twin = bool(there) and random.random() < 0.3
            there[row] = random.choice(list(there.values())) if twin else anywhere(random)
            strips.add(np.array([row], np.int32), *(np.array([x]) for x in there[row]))
        if row % 10 == 0:
            assert every(strips) == sorted(there)
            assert every(strips.those(lambda rows: rows % 2 == 0)) == sorted(row for row in there if row % 2 == 0)
    with pytest.raises(KeyError):
        strips.remove(10**6, LatLon(1.0, 1.0))


def test_density_is_told_within_a_factor_of_two() -> None:
    """So that the first look is seldom too short, and never reads ten times too much."""
    random = Random(2)
    for spread_deg in (0.05, 1.0, 8.0):
        places = {row: (random.uniform(45, 45 + spread_deg), random.uniform(0, spread_deg)) for row in range(5_000)}
        strips, told = filled(places), []
        for _ in range(200):
            at = LatLon(*(45 + spread_deg * random.uniform(0.2, 0.8), spread_deg * random.uniform(0.2, 0.8)))
            kth_m = sorted(haversine_m(*at, *place) for place in places.values())[19]
            told.append(strips.reach_m(at, 20) / kth_m)
        assert 0.7 < float(np.median(told)) < 1.4
        assert np.mean([0.5 < ratio < 2 for ratio in told]) > 0.9
