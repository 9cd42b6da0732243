"""The synthetic world: the same on every machine, of the same density at every size, and valid OCPI throughout."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import re
import subprocess
import sys
import time
import tracemalloc
from collections import Counter, deque
from pathlib import Path
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from geo.hours import compile_schedule
from geo.station import Located, Status, connector_power_kw, decode_doc, encode_doc
from mapsvc.generate_plan import FloatArray, World, plan, query_points
from mapsvc.generate_words import COUNTRY_ZONES
from mapsvc.generate_world import generate, populate, statuses

GOLDEN = "14d6d378ab6ec2c53a47ef7db2fb6f9ed3d0bc61b198fe4bdb579072b8b7e5c6"
"""SHA-256 of the documents of the first 1,000 stations of seed 1. A change of it changes every benchmark's world."""

STANDARDS = {"CHADEMO", "CHAOJI", "DOMESTIC_F", "IEC_62196_T2", "IEC_62196_T2_COMBO", "MCS", "NEMA_5_20", "TESLA_S"}
POWER_TYPES = {"AC_1_PHASE", "AC_2_PHASE", "AC_2_PHASE_SPLIT", "AC_3_PHASE", "DC"}
PARKING_TYPES = {
    "ALONG_MOTORWAY", "PARKING_GARAGE", "PARKING_LOT", "ON_DRIVEWAY", "ON_STREET", "UNDERGROUND_GARAGE", None,
}  # fmt: skip
RESTRICTIONS = {"EV_ONLY", "PLUGGED", "DISABLED", "CUSTOMERS", "MOTORCYCLES"}
CAPABILITIES = {
    "CHARGING_PROFILE_CAPABLE", "CHARGING_PREFERENCES_CAPABLE", "CHIP_CARD_SUPPORT", "CONTACTLESS_CARD_SUPPORT",
    "CREDIT_CARD_PAYABLE", "DEBIT_CARD_PAYABLE", "PED_TERMINAL", "REMOTE_START_STOP_CAPABLE", "RESERVABLE",
    "RFID_READER", "START_SESSION_CONNECTOR_REQUIRED", "TOKEN_GROUP_CAPABLE", "UNLOCK_CAPABLE",
}  # fmt: skip
FACILITIES = {
    "HOTEL", "RESTAURANT", "CAFE", "MALL", "SUPERMARKET", "SPORT", "RECREATION_AREA", "NATURE", "MUSEUM",
    "BIKE_SHARING", "BUS_STOP", "TAXI_STAND", "TRAM_STOP", "METRO_STATION", "TRAIN_STATION", "AIRPORT", "PARKING_LOT",
    "CARPOOL_PARKING", "FUEL_STATION", "WIFI",
}  # fmt: skip


@pytest.fixture(scope="module")
def region() -> list[Located]:
    return list(generate(10_000))


def digest(located: list[Located]) -> str:
    return hashlib.sha256(b"\n".join(encode_doc(one.station) for one in located)).hexdigest()


# --------------------------------------------------------------- the same again


def test_the_first_thousand_stations_are_the_golden_ones(region: list[Located]) -> None:
    assert digest(region[:1000]) == GOLDEN


def test_another_hash_seed_and_process_gives_the_same_world(region: list[Located]) -> None:
    script = (
        "import itertools\nfrom mapsvc.generate_world import generate\nfrom geo.station import encode_doc\nimport hashlib\n"
        "docs = [encode_doc(one.station) for one in itertools.islice(generate(10_000), 1000)]\n"
        "print(hashlib.sha256(b'\\n'.join(docs)).hexdigest())"
    )
    for hash_seed in ("1", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        ran = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert ran.stdout.strip() == digest(region[:1000])


def test_a_larger_world_contains_the_smaller_one_and_another_seed_is_another_world(region: list[Located]) -> None:
    assert list(itertools.islice(generate(30_000), 10_000)) == region
    other = [one.station.party for one in generate(1000, seed=2)]
    assert other != [one.station.party for one in generate(1000, seed=1)]
    assert [(t.lat, t.lon) for t in plan(1000, 1).towns] != [(t.lat, t.lon) for t in plan(1000, 2).towns]


# ------------------------------------------------------------- counts and shares


@pytest.mark.parametrize("stations", [0, 1, 2, 33, 34, 500, 1000, 12_345])
def test_counts_are_exact_and_there_are_three_evses_a_station(stations: int) -> None:
    world = [one.station for one in generate(stations)]
    assert len(world) == stations
    assert len({station.key for station in world}) == stations
    assert sum(len(station.evses) for station in world) == 3 * stations
    assert all(station.evses for station in world)


def test_worlds_of_a_few_stations_come_out_even_whatever_was_drawn() -> None:
    for stations, seed in itertools.product((1, 2, 3), range(40)):
        assert sum(len(one.station.evses) for one in generate(stations, seed)) == 3 * stations


@pytest.mark.parametrize("stations", [-1, 10**8])
def test_impossible_sizes_are_refused(stations: int) -> None:
    with pytest.raises(ValueError, match="stations must be"):
        plan(stations)


def test_shares_are_those_of_a_real_country(region: list[Located]) -> None:
    stations = [one.station for one in region]
    kinds = Counter(
        "none" if s.opening_times is None else "24/7" if s.opening_times.twentyfourseven else "regular"
        for s in stations
    )
    assert kinds["24/7"] == pytest.approx(7000, abs=150)
    assert kinds["regular"] == pytest.approx(2000, abs=150)
    assert sum(s.time_zone is not None for s in stations) == pytest.approx(8000, abs=150)
    assert sum(not s.publish for s in stations) == 10
    assert len({s.party for s in stations}) == 60
    assert Counter(s.party for s in stations).most_common(1)[0][1] == pytest.approx(10_000 / 4.68, rel=0.15)
    ac = sum(e.connectors[0].standard == "IEC_62196_T2" for s in stations for e in s.evses)
    assert 0.6 < ac / 30_000 < 0.85
    assert {c.standard for s in stations for e in s.evses for c in e.connectors} == STANDARDS
    mixed = sum(len({e.connectors[0].power_type for e in s.evses}) > 1 for s in stations)
    assert 200 < mixed < 1500, "some sites have slow posts beside the fast ones"


def test_the_surprises_of_real_feeds_are_in_it(region: list[Located]) -> None:
    stations = [one.station for one in region]
    assert sum(80 <= len(s.evses) <= 160 for s in stations) == 5
    spots = Counter((s.lat, s.lon) for s in stations)
    assert 5 < sum(n for n in spots.values() if n > 1) < 100
    assert any(85.06 < s.lat < 90 for s in stations)
    assert any(-90 < s.lat < -85.06 for s in stations)
    assert any(s.lon > 179.9 and s.lat < 0 for s in stations)
    assert any(s.lon < -179.9 and s.lat < 0 for s in stations)
    assert (0.0, 0.0) in spots
    names = "".join(s.name or "" for s in stations)
    assert all(mark in names for mark in "\"'🚗充\\<")
    assert sum(s.id.split("~", 1)[1] != s.location_id for s in stations) >= 30
    assert max(len(s.location_id) for s in stations) == 36
    uids = Counter(evse.uid for s in stations for evse in s.evses)
    assert uids["1"] > 100, "an uid alone must not identify an EVSE"
    assert sum(s.opening_times_text is not None for s in stations) > 300


def test_every_value_is_valid_ocpi(region: list[Located]) -> None:
    evse_ids: set[str] = set()
    for located in region:
        s = located.station
        assert located.reports == ()
        assert decode_doc(encode_doc(s)) == s
        assert re.fullmatch(r"[A-Z]{2}\*[A-Z0-9]{3}", s.party)
        assert 1 <= len(s.location_id) <= 36
        assert unquote(s.id) == f"{s.party}~{s.location_id}"
        assert -90 <= s.lat <= 90
        assert -180 <= s.lon <= 180
        assert len(s.name or "") <= 255
        assert re.fullmatch(r"X[A-Z]{2}", s.country or "")
        assert s.parking_type in PARKING_TYPES
        assert FACILITIES.issuperset(s.facilities)
        assert 1_735_689_600_000 <= s.last_updated_ms < 1_767_225_600_000
        if s.time_zone is not None:
            ZoneInfo(s.time_zone)
        if s.opening_times is not None:
            assert compile_schedule(s.opening_times, "Europe/Berlin") is not None
        assert len({evse.uid for evse in s.evses}) == len(s.evses)
        for evse in s.evses:
            assert len(evse.uid) <= 36
            assert CAPABILITIES.issuperset(evse.capabilities)
            assert RESTRICTIONS.issuperset(evse.parking_restrictions)
            if evse.evse_id is not None:
                assert re.fullmatch(r"[A-Z]{2}\*[A-Z]{3}\*E\d{7}\*\d{1,3}", evse.evse_id)
                assert evse.evse_id not in evse_ids
                evse_ids.add(evse.evse_id)
            assert evse.connectors
            for c in evse.connectors:
                assert c.standard in STANDARDS
                assert c.format in ("SOCKET", "CABLE")
                assert c.power_type in POWER_TYPES
                assert c.power_kw == connector_power_kw(
                    c.power_type, c.max_voltage, c.max_amperage, c.max_electric_power
                )
                assert c.power_kw
                assert c.tariff_ids


def test_every_country_has_a_zone_that_exists() -> None:
    for zone in COUNTRY_ZONES:
        ZoneInfo(zone)


def test_statuses_are_a_plausible_mix_begun_in_the_past(region: list[Located]) -> None:
    rng, now_ms, drawn = random.Random(1), 1_760_000_000_000, Counter[Status]()
    for located in region:
        reports = statuses(located, rng, now_ms)
        assert [report.uid for report in reports] == [evse.uid for evse in located.station.evses]
        assert all(report.ts_ms is not None and report.ts_ms <= now_ms for report in reports)
        drawn.update(report.status for report in reports)
    percent = {status.name: 100 * n / drawn.total() for status, n in drawn.items()}
    wanted = {"AVAILABLE": 62, "CHARGING": 25, "OUTOFORDER": 6, "INOPERATIVE": 3, "RESERVED": 2, "UNKNOWN": 2}
    assert percent == pytest.approx(wanted, abs=1)


# ------------------------------------------------------------------ the geography


def distances_km(lat: float, lon: float, lats: FloatArray, lons: FloatArray) -> FloatArray:
    p, q = np.radians(lats), np.radians(lat)
    h = np.sin((p - q) / 2) ** 2 + np.cos(p) * np.cos(q) * np.sin(np.radians(lons - lon) / 2) ** 2
    found: FloatArray = 2 * 6371.0088 * np.arcsin(np.sqrt(h))
    return found


def densities(world: World) -> tuple[float, float]:
    """Median number of stations within 2 and 10 km of where drivers ask."""
    places = sorted((one.station.lat, one.station.lon) for one in populate(world))
    lats, lons = np.array(places).T
    counts = []
    for lat, lon in query_points(world, 3000):
        low, high = np.searchsorted(lats, [lat - 0.1, lat + 0.1])
        apart = distances_km(lat, lon, lats[low:high], lons[low:high])
        counts.append(((apart < 2).sum(), (apart < 10).sum()))
    near, far = np.median(counts, axis=0).tolist()
    return near, far


def test_local_density_does_not_depend_on_the_size_of_the_world() -> None:
    small, large = densities(plan(10_000)), densities(plan(100_000))
    assert large == pytest.approx(small, rel=0.15)
    assert small[0] > 5


def test_roads_join_all_towns_and_run_from_middle_to_middle() -> None:
    for seed in range(1, 6):
        world = plan(30_000 + 1_500 * seed, seed)  # the last region is a partial one
        towards: dict[int, set[int]] = {k: set() for k in range(len(world.towns))}
        for link in world.links:
            towards[link.a].add(link.b)
            towards[link.b].add(link.a)
        seen, queue = {0}, deque([0])
        while queue:
            new = towards[queue.popleft()] - seen
            seen |= new
            queue += new
        assert len(seen) == len(world.towns)
        assert len({(link.a, link.b) for link in world.links}) == len(world.links)
        for link in world.links[::50]:
            road = world.road(link)
            a, b = world.towns[link.a], world.towns[link.b]
            assert road[0] == pytest.approx((a.lat, a.lon), abs=1e-6)
            assert road[-1] == pytest.approx((b.lat, b.lon), abs=1e-6)
            length = sum(float(distances_km(*p, *np.array(q)[:, None])[0]) for p, q in itertools.pairwise(road))
            assert 0.98 * link.length_km < length < 1.1 * link.length_km
            middle = np.array([[(a.lat + b.lat) / 2], [(a.lon + b.lon) / 2]])
            off_km = float(distances_km(*world.point_on(link, 0.5), *middle)[0])
            assert off_km == pytest.approx(abs(link.bend) / 2 * link.length_km, rel=0.02, abs=0.01)


def test_roads_lead_into_every_touching_region() -> None:
    world = plan(90_000)
    joined = {frozenset((world.towns[link.a].region, world.towns[link.b].region)) for link in world.links}
    for one, other in itertools.combinations(world.regions, 2):
        if distances_km(one.lat, one.lon, *np.array([[other.lat], [other.lon]]))[0] < 300:
            assert frozenset((one.number, other.number)) in joined


def test_a_world_of_less_than_a_region_takes_less_room_and_is_no_sparser() -> None:
    small, large = (np.median([link.length_km for link in plan(n).links]) for n in (1_500, 10_000))
    assert small == pytest.approx(large, rel=0.15)


def test_a_gabriel_graph_is_what_brute_force_says() -> None:
    world = plan(5_000, 3)
    scale = float(np.cos(np.radians(world.regions[0].lat)))
    xy = np.array([(town.lon * scale, town.lat) for town in world.towns])
    square = ((xy[:, None] - xy[None]) ** 2).sum(axis=2)
    expected = {
        (i, j)
        for i, j in itertools.combinations(range(len(xy)), 2)
        if not (np.delete(square[i] + square[j], [i, j]) < square[i, j] * (1 - 1e-9)).any()
    }
    assert {(link.a, link.b) for link in world.links if not link.motorway} <= expected
    assert expected <= {(link.a, link.b) for link in world.links}


def test_motorways_have_large_fast_sites_every_15_to_40_km(region: list[Located]) -> None:
    world = plan(10_000)
    stops = world.regions[0].stops
    assert len(stops) > 50
    for one, following in itertools.pairwise(stops):
        assert world.links[one.link].motorway
        if one.link == following.link:
            assert 14.9 < (following.t - one.t) * world.links[one.link].length_km < 40.1
    sites = [one.station for one in region if one.station.parking_type == "ALONG_MOTORWAY"]
    assert len(sites) == len(stops)
    assert all(6 <= len(site.evses) <= 20 for site in sites)
    assert all(any((c.power_kw or 0) >= 150 for e in site.evses for c in e.connectors) for site in sites)
    points = np.array([world.point_on(world.links[stop.link], stop.t) for stop in stops])
    assert all(distances_km(site.lat, site.lon, *points.T).min() < 0.3 for site in sites)


def test_query_points_are_distinct_seeded_and_where_stations_are() -> None:
    world = plan(20_000)
    points = query_points(world, 10_000)
    assert len(set(points)) == 10_000
    assert points == query_points(world, 10_000)
    assert points != query_points(world, 10_000, seed=2)
    lats, lons = np.array([(t.lat, t.lon) for t in world.towns]).T
    assert np.quantile([distances_km(*point, lats, lons).min() for point in points[:1000]], 0.99) < 25
    with pytest.raises(ValueError, match="empty"):
        query_points(plan(0), 1)


# ----------------------------------------------------------------------- the cost


def test_stations_stream_in_bounded_memory() -> None:
    peaks = []
    for stations in (10_000, 20_000):
        world = plan(stations)
        tracemalloc.start()
        deque(populate(world), maxlen=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_throughput_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.process_time()
    deque(generate(50_000), maxlen=0)
    with capsys.disabled():
        print(f"\ngenerate: {50_000 / (time.process_time() - started):,.0f} stations/s on one core")
