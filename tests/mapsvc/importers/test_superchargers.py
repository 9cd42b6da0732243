"""Each rule of reading the list of Superchargers, by small sites of our own; then the real one."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.station import Station
from mapsvc.importers import superchargers
from mapsvc.importers.report import Outcome, Reason, Report, UnreadableFile
from tests.mapsvc.importers import data_tables
from tests.mapsvc.importers.samples import reasons, told
from tests.mapsvc.importers.test_fuzz import JSON, assert_fit

KEPT, DROPPED, SKIPPED = Outcome.KEPT, Outcome.DROPPED, Outcome.SKIPPED

SITE: dict[str, Any] = {
    "id": "sc:9",
    "lat": 47.37,
    "lon": 8.54,
    "network": "Tesla",
    "power_kw": 250,
    "stall_count": 2,
    "open_date": "2024-05-01",
    "close_date": None,
    "status": "OPEN",
    "open_to_others": True,
    "stall_versions": {"v3": 2, "accessible": 1, "trailerFriendly": 0},
    "plug_types": {"ccs2": 2},
    "country": "Switzerland",
    "name": "Seehof, Switzerland",
}


def read(*sites: object) -> tuple[list[Station], Report]:
    report = Report()
    located = list(superchargers.parse(json.dumps(sites).encode(), report=report))
    assert all(each.reports == () for each in located)
    return [each.station for each in located], report


def site(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (SITE | changes).items() if value is not ...}


def test_a_clean_site_becomes_a_station_without_a_word() -> None:
    (station,), report = read(SITE)
    assert report.rows == []
    assert (station.party, station.location_id, station.source) == ("superchargers", "sc:9", "superchargers")
    assert (station.lat, station.lon, station.country) == (47.37, 8.54, "CHE")
    assert (station.name, station.operator, station.address) == ("Seehof, Switzerland", "Tesla", None)
    assert (station.access_text, station.publish, station.last_updated_ms) == ("Open to all makes", True, 0)
    assert [each.uid for each in station.evses] == ["#1", "#2"]
    for evse in station.evses:
        (plug,) = evse.connectors
        assert (plug.standard, plug.format, plug.power_type, plug.power_kw) == (
            "IEC_62196_T2_COMBO",
            "CABLE",
            "DC",
            250.0,
        )


def stalls(**changes: Any) -> tuple[list[str], Report]:
    """The plugs and the power of each stall: "TESLA_S+CHADEMO 150"."""
    (station,), report = read(site(**changes))
    found = []
    for evse in station.evses:
        power = {plug.power_kw for plug in evse.connectors}
        assert len(power) <= 1
        shown = next(iter(power), None)
        found.append("+".join(c.standard for c in evse.connectors) + ("" if shown is None else f" {shown:g}"))
    return found, report


@pytest.mark.parametrize(
    ("plugs", "expected"),
    [
        ({"tpc": 0, "nacs": 3}, ["SAE_J3400"] * 3),
        ({"tpc": 3}, ["TESLA_S"] * 3),
        ({"gbt": 3}, ["GBT_DC"] * 3),
        ({"nacs": 3, "ccs1": 3, "multi": 3}, ["SAE_J3400+IEC_62196_T1_COMBO"] * 3),
        ({"ccs2": 2, "tpc": 1}, ["TESLA_S", "IEC_62196_T2_COMBO", "IEC_62196_T2_COMBO"]),
        ({"ccs2": 3, "type2": 1, "multi": 1}, ["IEC_62196_T2+IEC_62196_T2_COMBO", *["IEC_62196_T2_COMBO"] * 2]),
        ({"ccs2": 2, "tpc": 2, "multi": 1}, ["TESLA_S+IEC_62196_T2_COMBO", "TESLA_S", "IEC_62196_T2_COMBO"]),
    ],
)
def test_counts_of_plugs_are_laid_along_the_stalls(plugs: dict[str, int], expected: list[str]) -> None:
    found, report = stalls(stall_count=3, stall_versions={"v3": 3}, plug_types=plugs)
    assert found == [f"{each} 250" for each in expected]
    assert report.total == 0


def test_the_power_is_that_of_the_newest_stalls_where_there_are_several_generations() -> None:
    found, report = stalls(stall_count=3, stall_versions={"v3": 1, "v2": 2}, plug_types={"ccs2": 3, "type2": 2})
    both = "IEC_62196_T2+IEC_62196_T2_COMBO"
    assert found == [both, both, "IEC_62196_T2_COMBO 250"]
    assert told(report) == [("/0/stall_versions", Reason.NEWEST_POWER, KEPT)]


@pytest.mark.parametrize(
    ("changes", "expected", "why"),
    [
        ({"stall_count": None}, [], {Reason.NO_EVSES}),
        ({"stall_count": 10**6}, [], {Reason.NO_EVSES, Reason.IMPLAUSIBLE_NUMBER}),
        ({"stall_count": "two"}, [], {Reason.NO_EVSES, Reason.WRONG_TYPE}),
        ({"plug_types": {}}, ["", ""], {Reason.NO_CONNECTORS}),
        ({"plug_types": ...}, ["", ""], {Reason.NO_CONNECTORS, Reason.MISSING}),
        ({"plug_types": {"ccs2": 1}}, ["IEC_62196_T2_COMBO 250", ""], {Reason.NO_CONNECTORS}),
        ({"plug_types": {"ccs2": 5}}, ["IEC_62196_T2_COMBO 250"] * 2, {Reason.POINT_COUNT}),
        ({"plug_types": {"other": 2}}, ["UNKNOWN 250"] * 2, {Reason.UNNAMED_PLUG}),
        ({"plug_types": {"ccs2": 2, "warp": 1}}, ["IEC_62196_T2_COMBO 250"] * 2, {Reason.UNKNOWN_VALUE}),
        ({"power_kw": 250_000}, ["IEC_62196_T2_COMBO"] * 2, {Reason.IMPLAUSIBLE_POWER}),
        ({"power_kw": None}, ["IEC_62196_T2_COMBO"] * 2, set()),
        ({"stall_versions": ...}, ["IEC_62196_T2_COMBO 250"] * 2, {Reason.MISSING}),
    ],
)
def test_counts_that_are_odd(changes: dict[str, Any], expected: list[str], why: set[Reason]) -> None:
    found, report = stalls(**changes)
    assert (found, reasons(report)) == (expected, why)


@pytest.mark.parametrize(
    ("status", "others", "publish", "access", "why"),
    [
        ("OPEN", False, True, "For Tesla vehicles only", set()),
        ("EXPANDING", None, True, None, set()),
        ("CLOSED_TEMP", True, True, "Temporarily closed; open to all makes", set()),
        ("CLOSED_PERM", False, False, "For Tesla vehicles only", {Reason.NOT_IN_SERVICE}),
        ("CONSTRUCTION", None, False, None, {Reason.NOT_IN_SERVICE}),
        ("HAUNTED", None, True, None, {Reason.UNKNOWN_VALUE}),
        (None, None, True, None, {Reason.MISSING}),
    ],
)
def test_who_may_charge_and_whether_at_all(
    status: str | None, others: bool | None, publish: bool, access: str | None, why: set[Reason]
) -> None:
    (station,), report = read(site(status=status, open_to_others=others))
    assert (station.publish, station.access_text, reasons(report)) == (publish, access, why)


def test_positions_countries_and_ids() -> None:
    assert read(site(lat=8.54, lon=47.37))[1].by_reason == {Reason.SWAPPED: 1}
    assert read(site(lat=0, lon=0))[0] == []
    assert read(site(lat=None))[1].by_reason == {Reason.NO_COORDINATES: 1}
    (station,), report = read(site(country="Elbonia"))
    assert (station.country, reasons(report)) == (None, {Reason.UNKNOWN_COUNTRY})
    assert read(site(id=None))[1].by_reason == {Reason.NO_ID: 1}
    (station,), report = read(SITE, site(name="Later"), 7)
    assert station.name == "Later"
    assert [(row.where, row.reason, row.outcome) for row in report.rows] == [
        ("/0/id", Reason.DUPLICATE_LOCATION, SKIPPED),
        ("/2", Reason.NOT_AN_OBJECT, SKIPPED),
    ]


@pytest.mark.parametrize("raw", [b"", b"{}", b"[{]", b'"x"', b"\xff\xfe\x00"])
def test_files_that_are_unreadable_as_a_whole(raw: bytes) -> None:
    with pytest.raises(UnreadableFile):
        superchargers.parse(raw, report=Report())


@given(st.lists(st.dictionaries(st.sampled_from(list(SITE)), JSON, max_size=5) | JSON, max_size=4))
def test_sites_of_any_shape_end_in_stations_or_a_report(changes: list[object]) -> None:
    sites = [SITE | {"id": f"sc:{k}"} | each if isinstance(each, dict) else each for k, each in enumerate(changes)]
    report = Report()
    for located in superchargers.parse(json.dumps(sites).encode(), report=report):
        assert_fit(located)
    assert report.summary()


@given(st.binary(max_size=200))
def test_a_file_of_any_bytes(raw: bytes) -> None:
    try:
        list(superchargers.parse(raw, report=Report()))
    except UnreadableFile as error:
        assert error.reason


PLUGS = {
    "type2": "IEC_62196_T2",
    "tpc": "TESLA_S",
    "nacs": "SAE_J3400",
    "gbt": "GBT_DC",
    "ccs1": "IEC_62196_T1_COMBO",
    "ccs2": "IEC_62196_T2_COMBO",
    "other": "UNKNOWN",
}


def test_the_list_counts_as_a_plain_reading_of_it(shared_data: Path) -> None:
    name = "tesla/superchargers_2026-05.json.gz"
    sites = {each["id"]: each for each in json.loads(gzip.decompress((shared_data / name).read_bytes()))}
    report = Report()
    stations = {each.station.location_id: each.station for each in data_tables.read_register(shared_data, name, report)}
    assert len(stations) == 8_962
    assert {key: (each.lat, each.lon) for key, each in stations.items()} == {
        key: (each["lat"], each["lon"]) for key, each in sites.items()
    }
    in_two = 0
    for key, each in sites.items():
        station = stations[key]
        count = each["stall_count"] or 0
        assert len(station.evses) == count
        plugs = Counter(plug.standard for evse in station.evses for plug in evse.connectors)
        assert plugs == Counter(
            {PLUGS[plug]: min(k, count) for plug, k in each["plug_types"].items() if k and plug != "multi"}
        )
        in_two += sum(len(evse.connectors) > 1 for evse in station.evses) == each["plug_types"].get("multi", 0)
        powers = {plug.power_kw for evse in station.evses for plug in evse.connectors}
        assert powers <= {each["power_kw"], None}
        assert each["power_kw"] in powers or not count
        assert station.publish is (each["status"] != "CLOSED_PERM")
        assert station.country
    assert in_two == len(sites) - 3, "the number of stalls with two plugs, which nobody told the importer"
    assert sum(not each.publish for each in stations.values()) == 269
