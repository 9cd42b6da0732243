"""Where we ask, and what we tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from loadtests.bench.questions import local_density, metres, nearby_paths, nudged, query_points
from loadtests.bench.updates import BATCH, STATUSES, Lane
from tests.loadtests.bench.little_world import LAT, LON, STATIONS, STEP_DEG, STEP_M, snapshot


def test_points_are_seeded_all_different_and_near_stations(tmp_path: Path) -> None:
    world = snapshot(tmp_path)
    points = query_points(world, 500)
    assert len(set(points)) == 500
    assert points == query_points(world, 500)
    assert points != query_points(world, 500, seed=2)
    assert max(metres(world, at).min() for at in points) < 6_000


def test_a_place_is_asked_about_at_points_a_few_steps_apart(tmp_path: Path) -> None:
    places = query_points(snapshot(tmp_path), 50)
    points = nudged(places, 4, seed=1)
    assert len(set(points)) == 200
    assert np.abs(np.array(points[50:100]) - np.array(places)).max() < 0.003
    assert not set(points) & set(nudged(places, 1, seed=2))


def test_distances_are_those_of_the_sphere(tmp_path: Path) -> None:
    assert metres(snapshot(tmp_path), (LAT, LON)) == pytest.approx([k * STEP_M for k in range(STATIONS)], abs=0.1)


def test_local_density_counts_stations_within_the_radius(tmp_path: Path) -> None:
    assert local_density(snapshot(tmp_path), [(LAT, LON), (LAT + 90 * STEP_DEG, LON)]) == STATIONS / 2


def test_a_path_says_where_and_what() -> None:
    assert nearby_paths([(1.5, -2.0)], "&available=1") == ["/v1/nearby?lat=1.500000&lon=-2.000000&limit=20&available=1"]


def test_every_update_changes_its_evses_status_and_all_can_be_undone() -> None:
    evses = [{"uid": str(k), "location_id": f"L{k}", "status": 1} for k in range(BATCH + 7)]
    lane = Lane(evses, seed=1)
    seen = {evse["uid"]: "AVAILABLE" for evse in evses}
    for _ in range(20):
        for update in lane.batch():
            assert update["status"] in STATUSES.values()
            assert update["status"] != seen[update["evse_uid"]]
            seen[update["evse_uid"]] = update["status"]
    for batch in lane.restoring():
        seen |= {update["evse_uid"]: update["status"] for update in batch}
    assert set(seen.values()) == {"AVAILABLE"}
