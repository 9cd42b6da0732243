"""Where the locations of a file are found, and which files are none."""

from __future__ import annotations

import codecs
import json

import pytest

from mapsvc.importers import ocpi
from mapsvc.importers.ocpi_document import locations
from mapsvc.importers.report import Outcome, Reason, Report, UnreadableFile
from tests.mapsvc.importers.samples import LOCATION, location, read, told


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ([LOCATION], "/0"),
        ({"data": [LOCATION], "status_code": 1000}, "/data/0"),
        ({"status_code": 1000, "timestamp": "x", "data": [LOCATION]}, "/data/0"),
        ({"next": None, "items": [LOCATION]}, "/items/0"),
        ({"data": {"total": 1, "items": [LOCATION]}}, "/data/items/0"),
        ({"data": {"locations": [LOCATION]}, "status_code": "Success"}, "/data/locations/0"),
        ({"data": LOCATION}, "/data"),
        (LOCATION, ""),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-be"])
def test_envelopes_and_encodings(document: object, pointer: str, encoding: str) -> None:
    report = Report()
    text = json.dumps(document, ensure_ascii=False)
    assert [found.pointer for found in locations(text.encode(encoding), report)] == [pointer]
    assert report.total == 0
    assert len(list(ocpi.parse(text.encode(encoding), party=None, report=report))) == 1


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (codecs.BOM_UTF8 + b" \n", "empty"),
        (b"<html>", "not JSON: .* line 1, column 1"),
        (b'[{"id": "1"}', "ends too early"),
        (b'[{"id": "1"}]]', "not JSON: more text after the end"),
        (b'{"data": [}', "not JSON"),
        (b'{"data": [1 2]}', "a comma or ]"),
        (b"{data: []}", "a key should stand here"),
        (b'{"data" []}', "a colon should stand here"),
        (b'{"a": 1', "ends too early"),
        (b'{"a": "b', "not JSON"),
        (b"17", "no list of locations"),
        (b'"text"', "no list of locations"),
        (b"null", "no list of locations"),
        (b'{"status": "REMOVED", "last_updated": "2025-01-01T00:00:00Z"}', "no list of locations"),
        (b'{"uid": "1", "connectors": []}', "no list of locations"),
        (b'{"status_code": 2001, "status_message": "no key", "data": []}', "OCPI error, status_code 2001: no key"),
        (b"\x1f\x8b\x08\x00", "not JSON"),
        (bytes(range(256)), "not JSON"),
    ],
)
def test_files_that_are_unreadable_as_a_whole(raw: bytes, reason: str) -> None:
    with pytest.raises(UnreadableFile, match=reason):
        ocpi.parse(raw, party=None, report=Report())


def test_an_empty_list_is_no_error() -> None:
    assert read([])[0] == []
    assert read({"data": [], "status_code": 1000})[0] == []


def test_each_location_has_the_line_where_it_begins() -> None:
    text = json.dumps([location(), location(id="2", city=None)], indent=1)
    report = Report()
    list(ocpi.parse(text.encode(), party=None, report=report))
    (row,) = [row for row in report.rows if row.reason is Reason.MISSING]
    begins = [number for number, line in enumerate(text.splitlines(), 1) if line == " {"]
    assert (row.where, row.line) == ("/1/city", begins[1])


def test_a_further_page_is_told() -> None:
    _, report = read({"next": "cursor", "items": [LOCATION]})
    assert told(report) == [("/next", Reason.MORE_PAGES, Outcome.KEPT)]


def test_an_item_nested_too_deep_is_skipped_and_the_others_live() -> None:
    deep = '{"id": "x", "a]": "\\"[", "evses": ' + "[" * 20_000 + "]" * 20_000 + "}"
    text = f"[{json.dumps(LOCATION)}, {deep}, {json.dumps(location(id='2'))}]"
    report = Report()
    located = list(ocpi.parse(text.encode(), party=None, report=report))
    assert [each.station.location_id for each in located] == ["quay-1", "2"]
    assert told(report)[0] == ("/1", Reason.NESTED_TOO_DEEP, Outcome.SKIPPED)


def test_a_number_too_long_for_python_costs_its_item_only() -> None:
    text = f'[{"9" * 5000}, {{"id": {"9" * 5000}}}, {json.dumps(LOCATION)}]'
    report = Report()
    assert len(list(ocpi.parse(text.encode(), party=None, report=report))) == 1


def test_bytes_that_are_no_utf8_are_replaced_and_told() -> None:
    raw = json.dumps([location(name="Caf?")]).encode().replace(b"Caf?", b"Caf\xe9")
    report = Report()
    (located,) = ocpi.parse(raw, party=None, report=report)
    assert located.station.name == "Caf\ufffd"
    assert report.by_reason[Reason.ENCODING] == 1


def test_raw_line_breaks_in_strings_are_forgiven() -> None:
    raw = json.dumps([location(name="A@B")]).encode().replace(b"@", b"\n")
    (located,) = ocpi.parse(raw, party=None, report=Report())
    assert located.station.name == "A B"
