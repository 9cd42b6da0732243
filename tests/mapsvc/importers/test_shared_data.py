"""All real files at once, against an independent reading of them. Skipped where ../shared/data is missing."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from geo.station import Located, decode_doc, encode_doc
from mapsvc.importers import ocpi
from mapsvc.importers.ocpi_document import locations
from mapsvc.importers.report import Outcome, Reason, Report, UnreadableFile
from tests.mapsvc.importers import data_tables, oracle

FEEDS = 13
SKIPS = {Reason.NO_COORDINATES}  # the only reason for which these files lose a station


def read_all(shared: Path) -> dict[str, tuple[list[Located], Report, oracle.Count]]:
    found = {}
    for path in (*data_tables.feeds(shared), data_tables.register(shared)):
        report = Report()
        located = data_tables.read_file(path, report)
        found[path.name] = located, report, (oracle.read_irve if "irve" in path.name else oracle.read_ocpi)(path)
    return found


@pytest.fixture(scope="module")
def everything(shared_data: Path) -> dict[str, tuple[list[Located], Report, oracle.Count]]:
    return read_all(shared_data)


Everything = dict[str, tuple[list[Located], Report, oracle.Count]]


def test_counts_and_positions_equal_an_independent_reading(everything: Everything) -> None:
    assert len(everything) == FEEDS + 1
    for name, (located, report, expected) in everything.items():
        stations = [each.station for each in located]
        assert {each.location_id: (each.lat, each.lon) for each in stations} == expected.positions, name
        assert sum(len(each.evses) for each in stations) == expected.evses, name
        assert sum(len(evse.connectors) for each in stations for evse in each.evses) == expected.connectors, name
        assert sum(not each.publish for each in stations) == expected.unpublished, name
        told = Counter(each.status.name for one in located for each in one.reports)
        assert told == expected.statuses, name
        skipped = [row for row in report.rows if row.outcome is Outcome.SKIPPED]
        assert {row.reason for row in skipped} <= SKIPS, name
        if "irve" not in name:
            assert expected.listed == len(stations) + len(skipped), name


def test_the_register_s_power_is_on_every_plug_that_can_carry_it(everything: Everything, shared_data: Path) -> None:
    limits = {"ef": 4.0, "2": 44.0}
    expected: dict[tuple[str, str], float | None] = {}
    for row in oracle.irve_rows(data_tables.register(shared_data)):
        power_kw = float(row["puissance_nominale"])
        for plug in oracle.PLUGS:
            if row[f"prise_type_{plug}"] == "True":
                carried = power_kw <= limits.get(plug, 1000)
                expected[row["id_pdc_itinerance"], plug] = round(power_kw, 1) if carried else None
    located = everything["irve-statique.json.gz"][0]
    evses = [evse for each in located for evse in each.station.evses]
    assert {(evse.uid, plug.id): plug.power_kw for evse in evses for plug in evse.connectors} == expected
    unknown = Counter(plug.standard for evse in evses for plug in evse.connectors if plug.power_kw is None)
    assert unknown == {"DOMESTIC_E": 3_736, "IEC_62196_T2": 1_110}, "docs/data.md says so"


def test_what_sources_md_says_is_so(everything: Everything) -> None:
    register = everything["irve-statique.json.gz"][0]
    assert len(register) == 5_571
    assert sum(len(each.station.evses) for each in register) == 29_109
    assert sum(not each.station.publish for located, _, _ in everything.values() for each in located) == 11


def test_all_files_can_be_imported_together(everything: Everything) -> None:
    keys = [each.station.key for located, _, _ in everything.values() for each in located]
    assert len(set(keys)) == len(keys)
    for located, _, _ in everything.values():
        for each in located:
            assert decode_doc(encode_doc(each.station)) == each.station


def test_registers_have_no_status_and_feeds_have(everything: Everything) -> None:
    for name, (located, _, _) in everything.items():
        assert any(each.reports for each in located) is ("irve" not in name), name


def test_every_known_defect_is_reported(everything: Everything) -> None:
    """FACTS.md's list of what real feeds break, each by the file that breaks it."""
    defects = {
        "heilbronn_neckarbogen.json": {Reason.CAMEL_CASE, Reason.NO_COORDINATES, Reason.NUMERIC_COORDINATES},
        "chargecloud_ludwigsburg_request_1.json": {Reason.MORE_PAGES},
        "ocpi_2_1_1_locations-fastned.json": {
            Reason.DUPLICATE_EVSE_ID,
            Reason.NO_EVSES,
            Reason.UNKNOWN_TIME_ZONE,
            Reason.OUTSIDE_COUNTRY,
        },
        "ocpi_2_2_1_locations-sitronics.json": {Reason.NO_UID, Reason.IMPOSSIBLE_TIMESTAMP},
        "ocpi_2_2_1_locations-ev24.json": {Reason.IMPLAUSIBLE_POWER, Reason.UNKNOWN_COUNTRY},
        "ocpi_2_2_locations-otopriz.json": {Reason.NO_LAST_UPDATED},
        "ocpi_2_2_locations-evio.json": {Reason.NUMERIC_COORDINATES, Reason.POWER_TYPE_CONFLICT},
        "irve-statique.json.gz": {Reason.CONFLICT, Reason.IMPLAUSIBLE_HOURS, Reason.POINT_COUNT},
    }
    for name, expected in defects.items():
        assert expected <= set(everything[name][1].by_reason), name


def test_without_party_the_feeds_that_name_none_give_nothing_but_lines(shared_data: Path) -> None:
    for name in data_tables.PARTIES:
        raw = (shared_data / "ocpi" / "feeds" / name).read_bytes()
        report = Report()
        assert not list(ocpi.parse(raw, party=None, report=report))
        listed = len(locations(raw, Report()))
        assert report.by_reason[Reason.NO_PARTY] == listed


def test_the_specification_s_examples_are_read_without_a_word_and_pass_strictly(shared_data: Path) -> None:
    whole = 0
    for path in data_tables.examples(shared_data):
        report = Report()
        try:
            (found,) = locations(path.read_bytes(), report)
        except UnreadableFile:
            assert "coordinates" not in path.read_text(encoding="utf-8")
            continue
        whole += 1
        tolerant = ocpi.parse_location(found.value, party=None, report=report)
        assert tolerant == ocpi.parse_location(found.value, party=None, report=report, strict=True)
        assert report.total == 0, path
    assert whole == 12


def test_the_figures_in_the_document_are_those_of_a_run(shared_data: Path) -> None:
    document = data_tables.DOCUMENT.read_text(encoding="utf-8")
    hint = "run: python -m tests.mapsvc.importers.data_tables"
    assert data_tables.figures_of(document).startswith(data_tables.tables(shared_data)), hint


def test_the_reasons_in_the_document_are_all_there_are() -> None:
    assert data_tables.reasons() in data_tables.DOCUMENT.read_text(encoding="utf-8")


def test_a_register_of_29_000_points_takes_seconds(shared_data: Path) -> None:
    begin = time.perf_counter()
    data_tables.read_file(data_tables.register(shared_data), Report())
    assert time.perf_counter() - begin < 30  # 2 s on two quiet cores; the margin is for a busy machine
