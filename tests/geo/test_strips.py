"""Strips never miss a station and hardly name one too many: everywhere, poles and antimeridian included."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

import geo.strips
from geo.point import LatLon
from geo.strips import Strips
from tests.geo.model_world import haversine_m
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


@pytest.mark.parametrize("seed", range(30 * MANY))
def test_whatever_is_within_the_length_is_found_once(seed: int) -> None:
    random = Random(seed)
    around = random.choice([*EDGES, somewhere(random)])
    places = {row: destination(*around, random.uniform(0, 6.3), random.expovariate(1 / 60_000)) for row in range(400)}
    places |= {400 + row: at for row, at in enumerate(EDGES)}
    strips = filled(places)
    for length_m in LENGTHS_M:
        for at in (around, destination(*around, random.uniform(0, 6.3), random.expovariate(1 / 60_000))):
            found = strips.around(LatLon(*at), length_m).tolist()
            assert len(found) == len(set(found))
            inside = {row for row, place in places.items() if haversine_m(*at, *place) <= length_m}
            assert inside <= set(found), (at, length_m)


def test_what_is_named_lies_in_a_box_about_the_circle() -> None:
    random = Random(1)
    places = {row: (random.uniform(45, 50), random.uniform(0, 8)) for row in range(20_000)}
    strips = filled(places)
    for _ in range(50):
        at, length_m = LatLon(random.uniform(46, 49), random.uniform(1, 7)), random.choice((1_000.0, 30_000.0))
        for row in strips.around(at, length_m).tolist():
            assert haversine_m(*at, *places[row]) <= 2**0.5 * length_m * 1.01 + 2_500


@pytest.mark.parametrize("small", [1, 30, 10_000])
@pytest.mark.parametrize("seed", range(5 * MANY))
def test_it_holds_what_was_added_and_not_removed(seed: int, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geo.strips, "SMALL_AT_LEAST", small)
    random, strips = Random(seed), Strips()
    there: dict[int, tuple[float, float]] = {}
    for row in range(300):
        if there and random.random() < 0.4:
            gone = random.choice(list(there))
            strips.remove(gone, LatLon(*there.pop(gone)))
        else:
            twin = bool(there) and random.random() < 0.3
            there[row] = random.choice(list(there.values())) if twin else anywhere(random)
            strips.add(np.array([row], np.int32), *(np.array([x]) for x in there[row]))
        if row % 10 == 0:
            every = strips.around(LatLon(0.0, 0.0), 3e7).tolist()
            assert sorted(every) == sorted(there)
            even = strips.those(lambda rows: rows % 2 == 0)
            assert sorted(even.around(LatLon(0.0, 0.0), 3e7).tolist()) == sorted(row for row in there if row % 2 == 0)
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
