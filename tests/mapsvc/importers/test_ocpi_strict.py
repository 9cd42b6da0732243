"""Strict reading, for `PUT`: every fault is an error with a JSON pointer and what is allowed; all of them at once."""

from __future__ import annotations

import pytest

from mapsvc.importers import ocpi
from mapsvc.importers.report import LocationError, Report
from tests.mapsvc.importers.samples import connector, evse, location, strict_errors, with_connector


def test_a_correct_location_passes_and_says_nothing() -> None:
    report = Report()
    located = ocpi.parse_location(location(), party=None, report=report, strict=True, source="api")
    assert located is not None
    assert (located.station.source, report.total) == ("api", 0)


def test_all_errors_come_at_once_with_their_pointers() -> None:
    document = location(
        coordinates={"latitude": "91", "longitude": 5.3},
        last_updated="yesterday",
        publish="yes",
        evses=[
            evse(uid=None, status="OPEN", connectors=[connector(standard="Schuko", max_voltage="230")]),
            evse(uid="b"),
            evse(uid="B", capabilities=["rfid_reader"]),
            3,
        ],
    )
    errors = strict_errors(document)
    assert set(errors) == {
        "/coordinates/latitude",
        "/last_updated",
        "/publish",
        "/evses/0/uid",
        "/evses/0/status",
        "/evses/0/connectors/0/standard",
        "/evses/0/connectors/0/max_voltage",
        "/evses/2/uid",
        "/evses/2/capabilities/0",
        "/evses/3",
    }
    assert errors["/evses/0/status"].startswith("one of: AVAILABLE, BLOCKED, CHARGING")
    assert errors["/coordinates/latitude"] == 'a decimal text from "-90" to "90", like "50.770774"'


@pytest.mark.parametrize("name", ["id", "coordinates", "last_updated", "publish"])
def test_what_a_station_cannot_do_without_is_required(name: str) -> None:
    errors = strict_errors(location(**{name: ...}))
    assert list(errors) == [f"/{name}"]
    assert errors[f"/{name}"].startswith("required")


def test_what_it_can_do_without_is_not() -> None:
    bare = location(name=..., address=..., city=..., country=..., time_zone=..., evses=[])
    assert strict_errors(bare) == {}
    assert strict_errors(with_connector(format=..., power_type=..., max_voltage=..., last_updated=...)) == {}


def test_the_party_of_the_path_stands_in_for_an_older_body() -> None:
    assert list(strict_errors(location(party_id=...))) == ["/party_id"]
    assert strict_errors(location(country_code=..., party_id=..., publish=...), party="NO*FJO") == {}


@pytest.mark.parametrize("document", [None, [], "x", 3.5, True])
def test_what_is_no_object_is_an_error_at_the_root(document: object) -> None:
    assert strict_errors(document) == {"": "an object"}


def test_a_suspicion_is_reported_and_no_error() -> None:
    report = Report()
    document = location(coordinates={"latitude": "5.325900", "longitude": "60.394300"})
    assert ocpi.parse_location(document, party=None, report=report, strict=True)
    assert report.total == 1


def test_keys_in_camel_case_are_errors_and_keys_of_our_own_no_business_are_not() -> None:
    document = location(
        postal_code=..., postalCode="1", timeZone="x", vendorExtension=[1], evses=[evse(evse_id=..., evseId="e")]
    )
    assert strict_errors(document) == {"/postalCode": "the key postal_code", "/evses/0/evseId": "the key evse_id"}


def test_ids_beyond_36_characters_are_refused() -> None:
    assert strict_errors(location(id="i" * 37)) == {"/id": "at most 36 characters"}


def test_the_error_names_everything_in_its_text() -> None:
    with pytest.raises(LocationError, match="/id: required"):
        ocpi.parse_location({}, party=None, report=Report(), strict=True)
