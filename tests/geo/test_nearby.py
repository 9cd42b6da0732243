"""The nearest stations against brute force: hard places, crowds, filters, and lists that follow every change.

Seeds are the tests' parameters; TORTURE=1 runs many more.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import h3.api.basic_int as h3
import numpy as np
import pytest
from numpy.typing import NDArray

import geo.nearby
import geo.sorted_rows
from geo.filters import encode_profile
from geo.nearby import MAX_RADIUS_M, Hits, Subset
from geo.point import LatLon
from geo.record import StationRecord, tombstone
from geo.world import World
from tests.geo.comparing import NOISE_M, assert_ranked, found
from tests.geo.model_world import R_M, Found
from tests.geo.test_spatial import anywhere, destination
from tests.geo.worlds import START_MS, TORTURE, packed

MANY = 20 if TORTURE else 1
LIMITS = (1, 2, 20, 33, 400, 1000)
MOST_LOOKS = 25  # from some metres to 200 km, each 1.4 times as far as the last at least
RADII_M = (1.0, 10.0, 300.0, 3_000.0, 10_000.0, 60_000.0, MAX_RADIUS_M)

NO_PLUGS = encode_profile(())

Place = tuple[float, float]
Floats = NDArray[np.float64]


class Members:
    """A subset's key: who belongs to it, by num. Equal only to itself."""

    def __init__(self, by_num: NDArray[np.bool_]) -> None:
        self.by_num = by_num


class Ground:
    """Stations by num on a world, and the same as columns for brute force."""

    def __init__(self) -> None:
        self.world = World()
        self.places: dict[int, Place] = {}
        self._n = 0
        self._columns: tuple[Floats, Floats, NDArray[np.int64], list[str]] | None = None

    def put(self, places: Mapping[int, Place | None]) -> None:
        """Stations come, move, or go (None), in one batch."""
        self._n += 1
        records = [
            tombstone(num, self._n) if at is None
            else StationRecord(num=num, n=self._n, lat=at[0], lon=at[1], key=key_of(num), party="p", profile=NO_PLUGS)
            for num, at in places.items()
        ]  # fmt: skip
        self.world.put(records, packed([]), START_MS)
        for num, at in places.items():
            if at is None:
                self.places.pop(num, None)
            else:
                self.places[num] = at
        self._columns = None

    def columns(self) -> tuple[Floats, Floats, NDArray[np.int64], list[str]]:
        if self._columns is None:
            places = np.array(list(self.places.values()), np.float64).reshape(-1, 2)
            nums = np.array(list(self.places), np.int64)
            self._columns = np.radians(places[:, 0]), np.radians(places[:, 1]), nums, [key_of(n) for n in self.places]
        return self._columns

    def within(
        self, at: Place, radius_m: float, keep: NDArray[np.bool_] | None = None, most: int = 10**9
    ) -> list[Found]:
        """Brute force: all within radius_m + NOISE_M for which keep[num], nearest first; at least the first `most`."""
        phi, lam, nums, keys = self.columns()
        phi0, lam0 = np.radians(at)
        h = np.sin((phi - phi0) / 2) ** 2 + np.cos(phi) * np.cos(phi0) * np.sin((lam - lam0) / 2) ** 2
        metres = 2 * R_M * np.arctan2(np.sqrt(h), np.sqrt(1 - h))
        near = metres <= radius_m + NOISE_M
        if keep is not None:
            near &= keep[nums]
        index = np.flatnonzero(near)
        if len(index) > most:
            index = index[metres[index] <= np.partition(metres[index], most - 1)[most - 1] + 100 * NOISE_M]
        return sorted(Found(float(metres[i]), keys[i], int(nums[i])) for i in index.tolist())

    def check_subset(self, at: Place, radius_m: float, limit: int, subset: Subset, both: NDArray[np.bool_]) -> None:
        """One question about a subset and one about some of its members (`both` by num), compared."""
        members = subset.key
        assert isinstance(members, Members)
        kept = both & members.by_num
        for spare in (1, 4):
            chosen = self.world.nearby.chosen(
                LatLon(*at), radius_m, limit, subset, lambda rows: both[self.world.stations.num[rows]], spare
            )
            assert_ranked(found(self.world, chosen.hits), self.within(at, radius_m, kept, limit), radius_m, limit)
            assert chosen.searched[chosen.places].tolist() == chosen.hits.rows.tolist()

    def check(self, at: Place, radius_m: float, limit: int, keep: NDArray[np.bool_] | None = None) -> Hits:
        """One question, compared; `keep` says by num which stations a filter lets through."""
        if keep is None:
            hits = self.world.nearby.nearest(LatLon(*at), radius_m, limit)
            assert_ranked(found(self.world, hits), self.within(at, radius_m, None, limit), radius_m, limit)
            return hits
        asked: list[int] = []

        def choose(rows: NDArray[np.int32]) -> NDArray[np.bool_]:
            asked.append(len(rows))
            chosen: NDArray[np.bool_] = keep[self.world.stations.num[rows]]
            return chosen

        hits, rows, places = self.world.nearby.chosen(LatLon(*at), radius_m, limit, None, choose)
        assert_ranked(found(self.world, hits), self.within(at, radius_m, keep, limit), radius_m, limit)
        assert len(asked) <= MOST_LOOKS
        # `searched` is all, filtered out or not, that is as near as the last hit, or within the radius if there are few.
        reach_m = hits.metres[-1] if len(hits.rows) == limit else radius_m
        around = self.within(at, reach_m)
        searched = set(self.world.stations.num[rows].tolist())
        assert searched <= {one.num for one in around}
        assert searched >= {one.num for one in around if one.metres <= reach_m - NOISE_M}
        assert rows[places].tolist() == hits.rows.tolist()
        return hits


def key_of(num: int) -> str:
    """Keys are ordered otherwise than nums, and unlike the order of arrival."""
    return f"p~{num * 7919 % 100_003:06d}-{num}"


def crowd(random: Random, around: Place, spread_m: float, count: int, first: int = 1) -> dict[int, Place | None]:
    return {
        first + i: destination(*around, random.uniform(0, 6.3), random.expovariate(1 / spread_m)) for i in range(count)
    }


def questions(random: Random, around: Place, spread_m: float, count: int) -> list[tuple[Place, float, int]]:
    return [
        (destination(*around, random.uniform(0, 6.3), random.expovariate(1 / spread_m)), random.choice(RADII_M),
         random.choice(LIMITS))
        for _ in range(count)
    ]  # fmt: skip


PENTAGONS = [h3.cell_to_latlng(cell) for cell in h3.get_pentagons(7)]
HARD_PLACES: dict[str, Place] = {
    "antimeridian": (-16.5, 180.0), "antimeridian, from the west": (64.0, -179.99), "north pole": (90.0, 0.0),
    "south pole": (-89.999, 33.0), "equator and prime meridian": (0.0, 0.0), "pentagon": PENTAGONS[0],
    "another pentagon": PENTAGONS[7], "mid-latitude": (48.8566, 2.3522),
}  # fmt: skip


@pytest.mark.parametrize("seed", range(MANY))
@pytest.mark.parametrize("spread_m", [50.0, 5_000.0, 80_000.0])
@pytest.mark.parametrize("place", HARD_PLACES)
def test_hard_places(place: str, spread_m: float, seed: int) -> None:
    random = Random(seed)
    ground, around = Ground(), HARD_PLACES[place]
    ground.put(crowd(random, around, spread_m, 700))
    keep = np.array([random.random() < 0.1 for _ in range(701)])
    for at, radius_m, limit in questions(random, around, spread_m, 25):
        ground.check(at, radius_m, limit)
        ground.check(at, radius_m, limit, keep)
    ground.check(around, MAX_RADIUS_M, 1000)


def test_the_poles_are_one_point_whatever_the_longitude() -> None:
    ground = Ground()
    ground.put({num: (90.0, -180.0 + 30 * num) for num in range(13)} | {13: (89.999, 0.0)})
    for lon in (-180.0, 0.0, 90.0, 180.0):
        assert len(ground.check((90.0, lon), 1.0, 1000).rows) == 13
        assert len(ground.check((89.9985, lon), 200.0, 1000).rows) == 13 + (lon == 0.0)


def test_both_sides_of_the_antimeridian_are_neighbours() -> None:
    ground = Ground()
    ground.put({1: (-16.5, 179.9999), 2: (-16.5, -179.9999), 3: (-16.5, 180.0), 4: (-16.5, -180.0), 5: (-16.5, 179.0)})
    for lon in (179.9999, -179.9999, 180.0, -180.0):
        assert len(ground.check((-16.5, lon), 100.0, 10).rows) == 4


@pytest.mark.parametrize("limit", [1, 2, 3, 31, 32, 33, 40, 41])
def test_stations_on_one_spot_are_ordered_by_id(limit: int) -> None:
    ground, spot = Ground(), (48.8566, 2.3522)
    ground.put(dict.fromkeys(range(1, 41), spot) | {41: (48.8567, 2.3522), 42: (48.8555, 2.3522)})
    for at in (spot, (48.8560, 2.3510), (48.9, 2.9)):
        hits = ground.check(at, 100_000.0, limit)
        on_spot = [key for row in hits.rows if (key := ground.world.key(row)) not in (key_of(41), key_of(42))]
        assert on_spot == sorted(map(key_of, range(1, 41)))[: len(on_spot)]


@pytest.mark.parametrize("at", [(0.0, 0.0), (90.0, 0.0), (-16.5, 180.0)])
def test_an_empty_world_has_nothing_near(at: Place) -> None:
    ground = Ground()
    for radius_m in RADII_M:
        hits = ground.check(at, radius_m, 1000)
        assert (len(hits.rows), len(hits.metres)) == (0, 0)


def test_a_sparse_world_is_searched_up_to_the_radius_and_no_further() -> None:
    random = Random(5)
    ground, around = Ground(), (10.0, 20.0)
    distances = (0.0, 0.9, 1.1, 299.0, 301.0, 59_999.0, 60_001.0, 199_999.0, 200_001.0)
    ground.put({num: destination(*around, num, metres) for num, metres in enumerate(distances, 1)})
    for radius_m in RADII_M:
        hits = ground.check(around, radius_m, 1000)
        assert len(hits.rows) == sum(metres <= radius_m for metres in distances)
    for at, radius_m, limit in questions(random, around, 100_000.0, 60):
        ground.check(at, radius_m, limit)


def test_five_thousand_stations_in_a_hundred_metres() -> None:
    random = Random(6)
    ground, around = Ground(), (52.52, 13.405)
    ground.put({
        num: destination(*around, random.uniform(0, 6.3), 100 * random.random() ** 0.5) for num in range(1, 5001)
    })  # fmt: skip
    keep = np.array([num % 97 == 0 for num in range(5001)])
    for at, radius_m, limit in questions(random, around, 200.0, 20 * MANY):
        ground.check(at, radius_m, limit)
        ground.check(at, radius_m, limit, keep)
    assert len(ground.check(around, 200.0, 1000).rows) == 1000


@pytest.mark.parametrize("seed", range(3 * MANY))
@pytest.mark.parametrize("most", [1, 5, 100])
@pytest.mark.parametrize("small", [1, 20, 10_000])
def test_stations_come_go_and_move_between_the_same_questions(
    seed: int, most: int, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the small part, in the large one, and merged all the time."""
    monkeypatch.setattr(geo.sorted_rows, "SMALL_AT_LEAST", small)
    random = Random(f"{seed} {most}")
    around = random.choice(list(HARD_PLACES.values()))
    ground = Ground()
    ground.put(crowd(random, around, 3_000.0, 300))
    asked = [*questions(random, around, 3_000.0, 6), (around, MAX_RADIUS_M, 1000), (around, 3_000.0, 20)]
    for _ in range(40):
        nums = [random.randint(1, 400) for _ in range(random.randint(1, most))]
        spread_m = random.choice((10.0, 3_000.0, 60_000.0, 210_000.0))
        fresh = crowd(random, around, spread_m, len(nums))
        ground.put({num: at if random.random() < 0.7 else None for num, at in zip(nums, fresh.values(), strict=True)})
        for at, radius_m, limit in asked:
            ground.check(at, radius_m, limit)


@pytest.mark.parametrize("seed", range(MANY))
@pytest.mark.parametrize("most", [0, 300, 10_000])
@pytest.mark.parametrize("small", [1, 10_000])
def test_subsets_while_stations_come_move_and_go(
    seed: int, most: int, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged look by look, listed, and some of each because there is no room for all."""
    monkeypatch.setattr(geo.nearby, "MAX_LISTED", most)
    monkeypatch.setattr(geo.sorted_rows, "SMALL_AT_LEAST", small)
    monkeypatch.setattr(geo.nearby, "MAX_SUBSETS", 3)
    random = Random(seed)
    rng = np.random.default_rng(seed)
    ground, around = Ground(), HARD_PLACES["antimeridian"]
    ground.put(crowd(random, around, 30_000.0, 1_000))

    def subset_of(share: float) -> Subset:
        members = Members(rng.random(1_300) < share)
        return Subset(members, lambda rows: members.by_num[ground.world.stations.num[rows]])

    subsets = [subset_of(share) for share in (0.002, 0.1, 0.2, 0.9, 0.0)]
    asked = questions(random, around, 30_000.0, 12)
    for turn in range(12):
        some = rng.random(1_300) < random.choice((0.1, 0.6, 1.0))
        for subset in rng.permutation(len(subsets)).tolist()[:3]:
            for at, radius_m, limit in asked:
                ground.check_subset(at, radius_m, limit, subsets[subset], some)
        count = random.choice((1, 5, 80))
        moved = crowd(random, around, 30_000.0, count)
        ground.put({random.randint(1, 1_200): at if random.random() < 0.7 else None for at in moved.values()})
        if turn == 6:
            ground.put(crowd(random, around, 100.0, 40, first=1_201))  # a crowd in one place
        index = ground.world.nearby
        assert len(index._books) <= 3
        listed = [book.listed for book in index._books.values() if book.listed is not None]
        assert any(map(len, listed)) == (most > 0)
        assert sum(map(len, listed)) <= 1.2 * most  # those that came since included


def test_ids_decide_among_hundreds_in_one_spot() -> None:
    ground, spot = Ground(), (48.8566, 2.3522)
    ground.put({num: spot if num <= 600 else destination(*spot, num, num / 10) for num in range(1, 900)})
    for limit in (1, 20, 31, 200, 599, 600, 601, 700):
        ground.check(spot, 1_000.0, limit)
        ground.check(destination(*spot, 1.0, 30.0), 1_000.0, limit, np.arange(900) % 3 > 0)


@pytest.mark.parametrize("seed", range(MANY))
def test_a_hundred_thousand_stations_in_towns_and_countryside(seed: int) -> None:
    random = Random(seed)
    rng = np.random.default_rng(seed)
    towns = np.array([anywhere(random) for _ in range(40)] + list(HARD_PLACES.values()))
    lat, lon = towns[rng.zipf(1.3, 100_000) % len(towns)].T
    spread = 10 ** rng.uniform(-4, 0.5, 100_000)
    lat = np.clip(lat + rng.normal(0, 1, 100_000) * spread, -90, 90)
    lon = (lon + rng.normal(0, 1, 100_000) * spread / np.maximum(0.02, np.cos(np.radians(lat))) + 180) % 360 - 180
    ground = Ground()
    ground.put(dict(enumerate(zip(lat.tolist(), lon.tolist(), strict=True), 1)))
    rare = rng.random(100_001) < 0.003
    for _ in range(150):
        at = ground.places[random.randint(1, 100_000)] if random.random() < 0.7 else anywhere(random)
        at = destination(*at, random.uniform(0, 6.3), random.expovariate(1 / 2_000))
        radius_m, limit = random.choice(RADII_M), random.choice(LIMITS)
        ground.check(at, radius_m, limit)
        ground.check(at, radius_m, limit, rare)
