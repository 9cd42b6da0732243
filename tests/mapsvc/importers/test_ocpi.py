"""Each rule of tolerant OCPI reading, by a small sample."""

from __future__ import annotations

from typing import Any

import pytest

from geo.station import DisplayText, ExceptionalPeriod, Hours, RegularHours, Status, StatusReport
from mapsvc.importers.report import Outcome, Reason
from tests.mapsvc.importers.samples import (
    connector,
    evse,
    location,
    read,
    read_one,
    reasons,
    told,
    with_connector,
)

KEPT, DROPPED, SKIPPED = Outcome.KEPT, Outcome.DROPPED, Outcome.SKIPPED
MARCH_1_MS = 1_740_823_200_000


def test_a_clean_location_becomes_a_station_without_a_word() -> None:
    (located,), report = read([location(directions=[{"language": "NB", "text": "ved kaien"}])])
    station = located.station
    assert report.total == 0
    assert (station.party, station.location_id, station.key) == ("NO*FJO", "quay-1", "no*fjo~quay-1")
    assert (station.lat, station.lon, station.last_updated_ms) == (60.3943, 5.3259, MARCH_1_MS)
    assert (station.country, station.time_zone, station.parking_type) == ("NOR", "Europe/Oslo", "ON_STREET")
    assert station.directions == (DisplayText("nb", "ved kaien"),)
    (charger,) = station.evses
    assert (charger.uid, charger.evse_id, charger.slot, charger.capabilities) == (
        "a",
        "NO*FJO*E1",
        -1,
        ("RFID_READER",),
    )
    (plug,) = charger.connectors
    assert (plug.standard, plug.format, plug.power_kw, plug.tariff_ids) == ("IEC_62196_T2", "SOCKET", 22.1, ("t1",))
    assert located.reports == (StatusReport("a", Status.AVAILABLE, MARCH_1_MS),)


def test_a_2_1_1_location_has_type_voltage_and_tariff_id_and_takes_the_given_party() -> None:
    plug = connector(max_voltage=..., max_amperage=..., tariff_ids=..., voltage=230, amperage=16, tariff_id="7")
    old = location(
        country_code=...,
        party_id=...,
        publish=...,
        parking_type=...,
        type="PARKING_LOT",
        evses=[evse(connectors=[plug])],
    )
    station, report = read_one(old, party="no*abc")
    assert report.total == 0
    assert (station.party, station.parking_type, station.publish) == ("NO*ABC", "PARKING_LOT", True)
    assert station.evses[0].connectors[0].tariff_ids == ("7",)
    assert station.evses[0].connectors[0].power_kw == 11.0
    assert read_one(old | {"type": "OTHER"}, party="x")[0].parking_type is None


def test_without_any_party_a_location_is_skipped() -> None:
    located, report = read([location(party_id=None)])
    assert not located
    assert told(report) == [("/0/party_id", Reason.NO_PARTY, SKIPPED)]
    assert report.rows[0].id == "quay-1"


def test_a_party_that_is_none_is_not_taken_for_one() -> None:
    station, report = read_one(location(party_id="fj~o"), party="NO*ABC")
    assert station.party == "NO*ABC"
    assert reasons(report) == {Reason.WRONG_TYPE}
    assert read_one(location(country_code="no", party_id=" fjo "))[0].party == "NO*FJO"


# ---------------------------------------------------------------- position


@pytest.mark.parametrize(
    ("coordinates", "reason"),
    [
        (None, Reason.NO_COORDINATES),
        ({"longitude": "5.3"}, Reason.NO_COORDINATES),
        ("60.39,5.32", Reason.WRONG_TYPE),
        ({"latitude": "sixty", "longitude": "5.3"}, Reason.BAD_COORDINATES),
        ({"latitude": "nan", "longitude": "5.3"}, Reason.BAD_COORDINATES),
        ({"latitude": "inf", "longitude": "5.3"}, Reason.BAD_COORDINATES),
        ({"latitude": float("nan"), "longitude": 5.3}, Reason.BAD_COORDINATES),
        ({"latitude": "1_0.0", "longitude": "5.3"}, Reason.BAD_COORDINATES),
        ({"latitude": True, "longitude": "5.3"}, Reason.BAD_COORDINATES),
        ({"latitude": "90.1", "longitude": "5.3"}, Reason.OUT_OF_RANGE),
        ({"latitude": "35.6", "longitude": "180.5"}, Reason.OUT_OF_RANGE),
        ({"latitude": "0.0", "longitude": "-0"}, Reason.ZERO_COORDINATES),
    ],
)
def test_a_location_without_a_usable_position_is_skipped(coordinates: object, reason: Reason) -> None:
    located, report = read([location(coordinates=coordinates)])
    assert not located
    assert reason in reasons(report)
    assert SKIPPED in {row.outcome for row in report.rows}


def test_latitude_beyond_90_is_said_to_fit_if_swapped_but_not_swapped() -> None:
    located, report = read([location(coordinates={"latitude": "139.7", "longitude": "35.6"})])
    assert not located
    assert report.rows[0].detail == "latitude 139.7, longitude 35.6; in range if swapped"


def test_numeric_coordinates_and_a_decimal_comma_are_read() -> None:
    station, report = read_one(location(coordinates={"latitude": 60.5, "longitude": 5}))
    assert (station.lat, station.lon) == (60.5, 5.0)
    assert reasons(report) == {Reason.NUMERIC_COORDINATES}
    assert read_one(location(coordinates={"latitude": " 60,5 ", "longitude": "5,25"}))[0].lon == 5.25


def test_swapped_coordinates_are_reported_and_neither_corrected_nor_dropped() -> None:
    station, report = read_one(location(coordinates={"latitude": "5.325900", "longitude": "60.394300"}))
    assert (station.lat, station.lon) == (5.3259, 60.3943)
    assert told(report) == [("/0/coordinates", Reason.SWAPPED, KEPT)]
    assert report.rows[0].detail == "5.3259, 60.3943; country NOR"


def test_a_position_outside_its_country_is_reported() -> None:
    _, report = read_one(location(coordinates={"latitude": "-33.9", "longitude": "18.4"}))
    assert told(report) == [("/0/coordinates", Reason.OUTSIDE_COUNTRY, KEPT)]


def test_where_no_country_is_told_the_operator_s_finds_swapped_coordinates_only() -> None:
    swapped = {"latitude": "5.325900", "longitude": "60.394300"}
    abroad = {"latitude": "55.6", "longitude": "12.5"}
    assert Reason.SWAPPED in reasons(read_one(location(country=None, coordinates=swapped))[1])
    assert reasons(read_one(location(country=None, coordinates=abroad))[1]) == {Reason.MISSING}


def test_an_evse_keeps_its_own_position_and_loses_a_bad_one() -> None:
    chargers = [
        evse(uid="a", coordinates={"latitude": "60.3950", "longitude": "5.3260"}),
        evse(uid="b", coordinates={"latitude": "160.3950", "longitude": "5.3260"}),
    ]
    station, report = read_one(location(evses=chargers))
    assert [(each.lat, each.lon) for each in station.evses] == [(60.395, 5.326), (None, None)]
    assert told(report)[0] == ("/0/evses/1/coordinates/latitude", Reason.OUT_OF_RANGE, DROPPED)


# ---------------------------------------------------------------- identity


def test_of_two_locations_with_one_id_the_newer_stays_else_the_later() -> None:
    old = location(id="X", name="old", last_updated="2024-01-01T00:00:00Z")
    new = location(id="x", name="new")
    for documents, loser in (([old, new], "/0"), ([new, old], "/1"), ([new | {"name": "same age"}, new], "/0")):
        located, report = read(documents)
        assert [each.station.name for each in located] == ["new"]
        assert told(report) == [(loser, Reason.DUPLICATE_LOCATION, SKIPPED)]


def test_ids_are_trimmed_numbers_are_taken_and_long_ones_told() -> None:
    located, report = read([location(id=name, evses=[evse(evse_id=None)]) for name in (" 7 ", 12, "i" * 40, "i" * 300)])
    assert [each.station.location_id for each in located] == ["7", "12", "i" * 40]
    assert told(report) == [
        ("/1/id", Reason.NUMBER_AS_TEXT, KEPT),
        ("/2/id", Reason.ID_TOO_LONG, KEPT),
        ("/3/id", Reason.ID_TOO_LONG, DROPPED),
        ("/3/id", Reason.NO_ID, SKIPPED),
    ]


@pytest.mark.parametrize("name", [None, "", "  ", "\u0000\u0007", ["x"]])
def test_a_location_without_id_is_skipped(name: object) -> None:
    located, report = read([location(id=name), location()])
    assert len(located) == 1
    assert ("/0/id", Reason.NO_ID, SKIPPED) in told(report)


def test_evses_without_uid_get_a_number_that_no_uid_has() -> None:
    chargers = [evse(uid=None), evse(uid="#2"), evse(uid=...), evse(uid=" ")]
    (located,), report = read([location(evses=chargers)])
    assert [each.uid for each in located.station.evses] == ["#1", "#2", "#3", "#4"]
    assert [each.uid for each in located.reports] == ["#1", "#2", "#3", "#4"]
    assert told(report)[0] == ("/0/evses/0/uid", Reason.NO_UID, KEPT)
    assert report.by_reason[Reason.NO_UID] == 3


def test_of_two_evses_with_one_uid_the_newer_stays_else_the_later() -> None:
    old = evse(uid="U", status="CHARGING", evse_id="old", last_updated="2024-01-01T00:00:00Z")
    new = evse(uid="u", status="BLOCKED", evse_id="new")
    for chargers in ([old, new], [new, old], [new | {"evse_id": "same age"}, new]):
        (located,), report = read([location(evses=chargers)])
        assert [each.evse_id for each in located.station.evses] == ["new"]
        assert located.reports == (StatusReport("u", Status.BLOCKED, MARCH_1_MS),)
        assert reasons(report) == {Reason.DUPLICATE_UID}


def test_repeated_evse_ids_are_told_and_kept_across_the_file() -> None:
    located, report = read([location(), location(id="quay-2")])
    assert [each.station.evses[0].evse_id for each in located] == ["NO*FJO*E1", "NO*FJO*E1"]
    assert told(report) == [("/1", Reason.DUPLICATE_EVSE_ID, KEPT)]
    assert report.rows[0].detail == "NO*FJO*E1, also of quay-1/a"


def test_connectors_keep_apart() -> None:
    plugs = [connector(), connector(), connector(max_amperage=16), connector(id=None)]
    station, report = read_one(location(evses=[evse(connectors=plugs)]))
    assert [(plug.id, plug.max_amperage) for plug in station.evses[0].connectors] == [("1", 32), ("#1", 16), ("#2", 32)]
    assert told(report) == [
        ("/0/evses/0/connectors/1/id", Reason.DUPLICATE_CONNECTOR_ID, SKIPPED),
        ("/0/evses/0/connectors/2/id", Reason.DUPLICATE_CONNECTOR_ID, KEPT),
        ("/0/evses/0/connectors/3/id", Reason.NO_CONNECTOR_ID, KEPT),
    ]


@pytest.mark.parametrize("none", [None, [], ...])
def test_a_station_without_evses_is_kept(none: object) -> None:
    station, report = read_one(location(evses=none))
    assert station.evses == ()
    assert told(report) == [("/0/evses", Reason.NO_EVSES, KEPT)]


def test_an_evse_without_connectors_is_kept() -> None:
    station, report = read_one(location(evses=[evse(connectors=[])]))
    assert station.evses[0].connectors == ()
    assert told(report) == [("/0/evses/0/connectors", Reason.NO_CONNECTORS, KEPT)]


@pytest.mark.parametrize(
    ("publish", "expected"),
    [(True, True), (False, False), ("false", False), ("TRUE", True), (0, False), ("nein", False)],
)
def test_an_unpublished_station_stays_in_the_model_and_says_so(publish: object, expected: bool) -> None:
    station, report = read_one(location(publish=publish))
    assert station.publish is expected
    assert bool(report.total) is not isinstance(publish, bool)


def test_publish_absent_is_public_and_told_where_the_version_has_it() -> None:
    station, report = read_one(location(publish=...))
    assert station.publish
    assert told(report) == [("/0/publish", Reason.MISSING, KEPT)]


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("status", "expected", "reason"),
    [
        ("CHARGING", Status.CHARGING, None),
        (" out of order ", Status.OUTOFORDER, Reason.SPELLING),
        ("Available", Status.AVAILABLE, Reason.SPELLING),
        ("SUSPENDED_EV", Status.CHARGING, Reason.SPELLING),
        ("Faulted", Status.OUTOFORDER, Reason.SPELLING),
        ("Unavailable", Status.INOPERATIVE, Reason.SPELLING),
        ("FUNKY", Status.UNKNOWN, Reason.UNKNOWN_VALUE),
        (7, Status.UNKNOWN, Reason.WRONG_TYPE),
    ],
)
def test_statuses_are_recognised_and_what_is_none_is_unknown(status: object, expected: Status, reason: Reason) -> None:
    (located,), report = read([location(evses=[evse(status=status)])])
    assert [each.status for each in located.reports] == [expected]
    assert reasons(report) == ({reason} if reason else set())


def test_an_evse_without_status_or_date_reports_none() -> None:
    (located,), report = read([location(evses=[evse(status=None), evse(uid="b", evse_id=None, last_updated=None)])])
    assert located.reports == (StatusReport("b", Status.AVAILABLE, None),)
    assert told(report) == [
        ("/0/evses/0/status", Reason.MISSING, KEPT),
        ("/0/evses/1/last_updated", Reason.MISSING, KEPT),
    ]


def test_enum_values_in_other_spellings_are_read_and_unknown_ones_of_open_enums_kept() -> None:
    charger = evse(
        capabilities=["rfid reader", "RFID_READER", "PLUG & PLAY", None, 5],
        parking_restrictions=["ev-only", "TAXIS"],
        connectors=[
            connector(id="1", standard="iec 62196 t2 combo", format="cable", power_type="dc", max_electric_power=50000),
            connector(id="2", standard="SAE_J3400", power_type="DC"),
            connector(id="3", standard="quantum-plug", format="hole"),
            connector(id="4", standard=None),
            connector(id="5", standard="iec_60309_2_three_32"),
        ],
    )
    station, report = read_one(location(evses=[charger], facilities=["Hotel", "SPA"], parking_type="moon"))
    assert station.evses[0].capabilities == ("RFID_READER", "PLUG_PLAY")
    assert station.evses[0].parking_restrictions == ("EV_ONLY", "TAXIS")
    assert station.facilities == ("HOTEL", "SPA")
    assert station.parking_type is None
    first, second, third, fourth, fifth = station.evses[0].connectors
    assert (first.standard, first.format, first.power_type) == ("IEC_62196_T2_COMBO", "CABLE", "DC")
    assert (second.standard, third.standard, fourth.standard) == ("SAE_J3400", "QUANTUM_PLUG", "UNKNOWN")
    assert third.format is None
    assert fifth.standard == "IEC_60309_2_three_32"
    assert {Reason.SPELLING, Reason.UNKNOWN_VALUE, Reason.UNNAMED_PLUG} <= reasons(report)
    assert ("/0/evses/0/connectors/1/standard", Reason.UNKNOWN_VALUE, KEPT) not in told(report)


@pytest.mark.parametrize(
    ("changes", "power_kw", "watts", "reason"),
    [
        ({"max_electric_power": 11000}, 11.0, 11000, None),
        ({"max_electric_power": 22}, None, None, Reason.IMPLAUSIBLE_POWER),  # kW for W
        ({"max_electric_power": 22_000_000}, None, None, Reason.IMPLAUSIBLE_POWER),
        ({"max_electric_power": 0}, None, None, Reason.IMPLAUSIBLE_POWER),
        ({"max_electric_power": "11000"}, 11.0, 11000, Reason.TEXT_AS_NUMBER),
        ({"max_electric_power": "much"}, None, None, Reason.WRONG_TYPE),
        ({"max_voltage": 0, "max_amperage": 0}, None, None, Reason.IMPLAUSIBLE_NUMBER),
        ({"max_amperage": 32.4}, 22.1, None, Reason.NOT_AN_INTEGER),
        ({"max_voltage": 1900, "max_amperage": 3900}, None, None, Reason.IMPLAUSIBLE_POWER),
        ({"standard": "CHADEMO"}, None, None, Reason.POWER_TYPE_CONFLICT),
        ({"standard": "CHADEMO", "max_electric_power": 50000}, 50.0, 50000, Reason.POWER_TYPE_CONFLICT),
        ({"standard": "MCS", "power_type": "DC", "max_electric_power": 3_000_000}, 3000.0, 3_000_000, None),
    ],
)
def test_power_is_told_or_derived_and_an_implausible_one_is_unknown(
    changes: dict[str, Any], power_kw: float | None, watts: int | None, reason: Reason | None
) -> None:
    station, report = read_one(with_connector(**changes))
    plug = station.evses[0].connectors[0]
    assert (plug.power_kw, plug.max_electric_power) == (power_kw, watts)
    assert reasons(report) == ({reason} if reason else set())


@pytest.mark.parametrize(
    ("stamp", "expected_ms", "reason"),
    [
        ("2025-03-01T10:00:00Z", MARCH_1_MS, None),
        ("2025-03-01T10:00:00", MARCH_1_MS, None),
        ("2025-03-01t10:00:00.123456789z", MARCH_1_MS + 123, None),
        ("2025-03-01T10:00:00+00:00", MARCH_1_MS, None),
        ("2025-03-01 11:00:00+0100", MARCH_1_MS, Reason.TIMESTAMP_OFFSET),
        ("0001-01-01T00:00:00", 0, Reason.IMPOSSIBLE_TIMESTAMP),
        ("2025-02-30T00:00:00Z", 0, Reason.IMPOSSIBLE_TIMESTAMP),
        ("2999-01-01T00:00:00Z", 0, Reason.IMPOSSIBLE_TIMESTAMP),
        ("0001-01-01T00:00:00+14:00", 0, Reason.IMPOSSIBLE_TIMESTAMP),
        ("yesterday", 0, Reason.BAD_TIMESTAMP),
        ("2025-03-01", 0, Reason.BAD_TIMESTAMP),
        (1_740_823_200, 0, Reason.BAD_TIMESTAMP),
    ],
)
def test_timestamps(stamp: object, expected_ms: int, reason: Reason | None) -> None:
    station, report = read_one(location(last_updated=stamp, evses=None))
    assert station.last_updated_ms == expected_ms
    assert reasons(report) - {Reason.NO_EVSES} == ({reason} if reason else set()) | (
        set() if expected_ms else {Reason.NO_LAST_UPDATED}
    )


def test_without_last_updated_the_newest_part_dates_the_location_else_the_epoch() -> None:
    plugs = [connector(last_updated="2025-06-01T00:00:00Z")]
    station, report = read_one(location(last_updated=None, evses=[evse(connectors=plugs)]))
    assert station.last_updated_ms == 1_748_736_000_000
    assert told(report) == [("/0/last_updated", Reason.NO_LAST_UPDATED, KEPT)]
    assert read_one(location(last_updated=None, evses=[]))[0].last_updated_ms == 0


def test_texts_are_cleaned_and_cut() -> None:
    station, report = read_one(
        location(
            name=" A\u0000B\u009f \n<b>C</b>\t",
            address="x" * 600,
            city=5010,
            postal_code=["5013"],
            directions=[{"language": "en", "text": "left\r\n  then   right"}, "straight on", {"language": "en"}],
            operator="Fjord Lading",
        )
    )
    assert (station.name, station.city, station.postal_code) == ("AB C", "5010", None)
    assert station.address == "x" * 512
    assert station.directions == (DisplayText("en", "left\nthen right"),)
    assert station.operator == "Fjord Lading"
    assert reasons(report) == {
        Reason.CONTROL_CHARACTERS,
        Reason.MARKUP,
        Reason.TEXT_CUT,
        Reason.NUMBER_AS_TEXT,
        Reason.WRONG_TYPE,
        Reason.NOT_AN_OBJECT,
        Reason.MISSING,
    }


def test_a_lone_surrogate_does_not_get_into_the_model() -> None:
    station, _ = read_one(location(name="bad \ud800 name"))
    assert station.name == "bad name"


@pytest.mark.parametrize(
    ("told_country", "country", "reason"),
    [("NOR", "NOR", None), ("no", "NOR", Reason.SPELLING), ("Norge", None, Reason.UNKNOWN_COUNTRY)],
)
def test_countries(told_country: str, country: str | None, reason: Reason | None) -> None:
    station, report = read_one(location(country=told_country))
    assert station.country == country
    assert reasons(report) == ({reason} if reason else set())


def test_a_time_zone_that_is_none_is_dropped() -> None:
    station, report = read_one(location(time_zone="The Netherlands/Amsterdam"))
    assert station.time_zone is None
    assert told(report) == [("/0/time_zone", Reason.UNKNOWN_TIME_ZONE, DROPPED)]


def test_images_of_station_and_evses_energy_and_businesses() -> None:
    images = [{"url": "https://example.org/a 1.png"}, {"url": "javascript:alert(1)"}, {"url": "https://["}, {}]
    station, report = read_one(
        location(
            images=images,
            evses=[evse(images=[{"url": "http://example.org/b.png"}])],
            energy_mix={"is_green_energy": True},
            operator={"name": "Op", "website": "https://example.org", "phone_number": "1"},
            subOperator={"name": "Sub"},
            owner={"name": "Own"},
            charging_when_closed=False,
        )
    )
    assert station.images == ("https://example.org/a%201.png", "http://example.org/b.png")
    assert station.green_energy is True
    assert station.charging_when_closed is False
    assert (station.operator, station.operator_website, station.operator_phone) == ("Op", "https://example.org", "1")
    assert (station.suboperator, station.owner) == ("Sub", "Own")
    assert told(report) == [
        ("/0/subOperator", Reason.CAMEL_CASE, KEPT),
        ("/0/images/0/url", Reason.BAD_URL, KEPT),
        ("/0/images/1/url", Reason.BAD_URL, DROPPED),
        ("/0/images/2/url", Reason.BAD_URL, DROPPED),
    ]


# ---------------------------------------------------------------- hours


def period(weekday: int, begin: str, end: str) -> dict[str, object]:
    return {"weekday": weekday, "period_begin": begin, "period_end": end}


@pytest.mark.parametrize(
    ("hours", "expected", "reason"),
    [
        ({"twentyfourseven": True}, Hours(twentyfourseven=True), None),
        (
            {"twentyfourseven": False, "regular_hours": [period(2, "08:00", "20:00"), period(1, "7:30", "12:00:00")]},
            Hours(False, (RegularHours(1, "07:30", "12:00"), RegularHours(2, "08:00", "20:00"))),
            None,
        ),
        (
            {"regular_hours": [period(1, "10:00", "00:00")]},
            Hours(False, (RegularHours(1, "10:00", "24:00"),)),
            None,
        ),
        (
            {"regular_hours": [period(7, "22:00", "02:00")]},
            Hours(False, (RegularHours(1, "00:00", "02:00"), RegularHours(7, "22:00", "24:00"))),
            Reason.HOURS_PAST_MIDNIGHT,
        ),
        (
            {"twentyfourseven": False, "regular_hours": [period(day, "00:00", "00:00") for day in range(1, 8)]},
            Hours(twentyfourseven=True),
            None,
        ),
        ({"twentyfourseven": False}, None, Reason.CONTRADICTORY_HOURS),
        (
            {"twentyfourseven": True, "regular_hours": [period(1, "08:00", "20:00")]},
            Hours(twentyfourseven=True),
            Reason.CONTRADICTORY_HOURS,
        ),
        ({"regular_hours": [period(1, "08:00", "20:00"), period(0, "08:00", "20:00")]}, None, Reason.UNREADABLE_HOURS),
        ({"regular_hours": [period(1, "08:00", "20:00"), period(2, "8 a.m.", "20:00")]}, None, Reason.UNREADABLE_HOURS),
        ({"regular_hours": [period(1, "08:00", "25:00")]}, None, Reason.UNREADABLE_HOURS),
    ],
)
def test_opening_times(hours: object, expected: Hours | None, reason: Reason | None) -> None:
    station, report = read_one(location(opening_times=hours))
    assert station.opening_times == expected
    assert reason in reasons(report) if reason else not report.total


def test_exceptional_periods() -> None:
    openings = [{"period_begin": "2025-12-24T08:00:00Z", "period_end": "2025-12-24T12:00:00Z"}]
    closings = [
        {"period_begin": "2025-12-25T00:00:00Z", "period_end": "2025-12-26T00:00:00Z"},
        {"period_begin": "2025-12-28T00:00:00Z", "period_end": "2025-12-27T00:00:00Z"},
        {"period_begin": "soon", "period_end": "2025-12-27T00:00:00Z"},
    ]
    hours = {"twentyfourseven": False, "exceptional_openings": openings, "exceptional_closings": closings}
    station, report = read_one(location(opening_times=hours))
    assert station.opening_times == Hours(
        False,
        (),
        (ExceptionalPeriod(1_766_563_200_000, 1_766_577_600_000),),
        (ExceptionalPeriod(1_766_620_800_000, 1_766_707_200_000),),
    )
    assert reasons(report) == {Reason.CONTRADICTORY_HOURS, Reason.BAD_TIMESTAMP}


# ---------------------------------------------------------------- foreign dialects


def test_camel_case_keys_are_read_and_told_once() -> None:
    charger = evse(evse_id=..., physical_reference=..., evseId="NO*1", physicalReference="7")
    station, report = read_one(
        location(postal_code=..., postalCode="5013", time_zone=..., timeZone="Europe/Oslo", evses=[charger])
    )
    assert (station.postal_code, station.time_zone) == ("5013", "Europe/Oslo")
    assert (station.evses[0].evse_id, station.evses[0].physical_reference) == ("NO*1", "7")
    assert told(report) == [("/0/postalCode", Reason.CAMEL_CASE, KEPT)]
    assert report.rows[0].detail == "read as postal_code"
    assert read_one(location(cpId=7, vendorExtension={"a": 1}))[1].total == 0


def test_outlets_with_attributes_are_read_as_evses_with_a_connector() -> None:
    attributes = {"FORMAT": "SOCKET", "POWER_TYPE": "AC3", "MAX_VOLTAGE": "400", "MAX_AMPERAGE": "32"}
    document = {
        "id": 17,
        "name": "Level 3",
        "lastUpdatedAt": "2025-03-01T10:00:00.500",
        "position": {"latitude": 60.3943, "longitude": 5.3259},
        "postalAddress": {"street1": "Strandgaten", "street2": "1", "zip": "5013", "city": "Bergen", "country": "NO"},
        "tenant": {"name": "Fjord Lading"},
        "attributes": [{"key": "RENEWABLE_ENERGY", "value": "true"}, {"key": "X"}],
        "openingHours": [{"plainTextValue": "<p>alltid</p>"}],
        "outlets": [
            {
                "evseId": "NOFJOE1",
                "connectorId": 1,
                "modelName": "Typ 2 Buchse 22kW",
                "nativeStatus": "SUSPENDED_EV",
                "attributes": [{"key": key, "value": value} for key, value in attributes.items()],
            },
            {"evseId": "NOFJOE2", "connectorId": 2, "modelName": "some plug", "attributes": [{"key": "FORMAT"}]},
        ],
    }
    (located,), report = read([document], party="NO*FJO")
    station = located.station
    assert (station.location_id, station.last_updated_ms) == ("17", MARCH_1_MS + 500)
    assert (station.address, station.city, station.postal_code, station.country) == (
        "Strandgaten 1",
        "Bergen",
        "5013",
        "NOR",
    )
    assert (station.operator, station.green_energy, station.opening_times_text) == ("Fjord Lading", True, "alltid")
    first, second = station.evses
    assert (first.uid, first.evse_id, second.uid) == ("#1", "NOFJOE1", "#2")
    assert (first.connectors[0].id, first.connectors[0].standard, first.connectors[0].power_kw) == (
        "1",
        "IEC_62196_T2",
        22.2,
    )
    assert second.connectors[0].standard == "UNKNOWN"
    assert located.reports == (StatusReport("#1", Status.CHARGING, None),)
    assert {Reason.DIALECT, Reason.CAMEL_CASE, Reason.NO_UID, Reason.UNREADABLE_HOURS} <= reasons(report)
    assert report.by_reason[Reason.DIALECT] == 1


def test_items_that_are_no_objects_are_reported_and_the_others_live() -> None:
    located, report = read([None, 3, "x", [], location(evses=[7, evse(connectors=["x", connector()])])])
    assert len(located) == 1
    assert [len(each.connectors) for each in located[0].station.evses] == [1]
    assert told(report) == [(f"/{k}", Reason.NOT_AN_OBJECT, SKIPPED) for k in range(4)] + [
        ("/4/evses/0", Reason.NOT_AN_OBJECT, SKIPPED),
        ("/4/evses/1/connectors/0", Reason.NOT_AN_OBJECT, SKIPPED),
    ]


def test_a_lone_object_where_a_list_should_stand_is_a_list_of_one() -> None:
    station, report = read_one(location(evses=evse(connectors=connector())))
    assert len(station.evses[0].connectors) == 1
    assert told(report) == [
        ("/0/evses", Reason.WRONG_TYPE, KEPT),
        ("/0/evses/connectors", Reason.WRONG_TYPE, KEPT),
    ]
