"""What S5 and S6 send and read: bodies, parts, probes in answers and tiles."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from geo.mvt import STATIONS, floor_index
from geo.station import Availability
from geo.tilemath import pixels
from loadtests.bench.ingest.evses import PROBE_ZOOM, Evse, Found, Probe, num_at, unambiguous
from loadtests.bench.ingest.producer import STAMP, STATUSES, Part, body_of, now_stamp, parts_of
from loadtests.places import Found as Station
from tests.geo.points import encode_points

EVSES = [Evse("FR*TST", f"L{k}", f'u"{k}') for k in range(7)]
HERE, THERE = (48.85661, 2.35222), (48.85761, 2.35322)


def test_a_body_is_an_array_of_updates_and_an_instant_has_the_length_of_its_place() -> None:
    assert len(now_stamp()) == len(STAMP)
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now_stamp())
    told = json.loads(body_of(EVSES, "CHARGING").replace(STAMP, b"2026-11-20T00:00:00.000Z"))
    assert told[1] == {
        "evse_uid": 'u"1', "location_id": "L1", "status": "CHARGING", "source_ts": "2026-11-20T00:00:00.000Z"
    }  # fmt: skip


def test_a_part_changes_its_statuses_only_once_they_are_acknowledged() -> None:
    part = Part(EVSES)

    def status() -> str:
        return str(json.loads(part.body())[0]["status"])

    assert status() == status() == STATUSES[0]
    part.acknowledged()
    assert status() == STATUSES[1]
    part.acknowledged()
    assert status() == STATUSES[0]


def test_every_evse_is_in_one_part() -> None:
    parts = parts_of(EVSES, 3)
    assert [part.size for part in parts] == [3, 3, 1]
    uids = [update["evse_uid"] for part in parts for update in json.loads(part.body())]
    assert uids == [evse.uid for evse in EVSES]


def test_a_location_that_two_parties_use_is_reported_by_nobody() -> None:
    ids = ("FR*AAA~L1", "FR*BBB~l1", "FR*AAA~L2", "FR*BBB~L%203")
    assert [one.id for one in unambiguous([Station(id, 0.0, 0.0) for id in ids])] == ["FR*AAA~L2", "FR*BBB~L%203"]


def tile(status: Availability, nums: tuple[int, ...] = (300, 7)) -> bytes:
    lat, lon = np.array([HERE[0], THERE[0]])[: len(nums)], np.array([HERE[1], THERE[1]])[: len(nums)]
    at = pixels(lat, lon, PROBE_ZOOM)
    tags = np.array([[status, 1, 0, 0, 0, 1, 50]] * len(nums))
    return bytes(encode_points(STATIONS, np.array(nums), at.px, at.py, floor_index(tags)).data)


def test_a_probe_is_found_in_its_tile_by_its_place_and_then_by_its_number() -> None:
    assert num_at(tile(Availability.FREE), *HERE) == 300
    assert num_at(tile(Availability.FREE), *THERE) == 7
    assert num_at(tile(Availability.FREE), 48.8, 2.3) is None
    probe = Probe("FR*TST~L1", 300, "L1", "u", *HERE)
    assert probe.free_in_tile(tile(Availability.FREE))
    assert not probe.free_in_tile(tile(Availability.OUT_OF_SERVICE))
    with pytest.raises(ValueError, match="not found"):
        probe.free_in_tile(tile(Availability.FREE, (301, 7)))


def test_a_probe_is_read_for_itself_and_not_for_its_neighbour() -> None:
    probe = Probe("FR*TST~L1", 300, "L1", "u", *HERE)
    stations = [{"id": "FR*TST~L2", "evses": {"available": 1}}, {"id": probe.id, "evses": {"available": 0}}]
    assert not probe.free_in_nearby(json.dumps({"stations": stations}).encode())


def test_what_was_found_is_kept_as_it_is(tmp_path: Path) -> None:
    found = Found(["FR*TST"], EVSES, [Probe("FR*TST~L1", 300, "L1", "u", *HERE)], "/v1/tiles/stations/13/1/2.mvt")
    found.save(tmp_path / "found.json")
    assert Found.load(tmp_path / "found.json") == found
