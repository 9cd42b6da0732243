"""Each rule of reading AFDC, by small tables of our own; then the real ones, against a plain reading of them."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.station import DisplayText, Hours, RegularHours
from mapsvc.importers import afdc, us_hours
from mapsvc.importers.report import Outcome, Reason, Report, UnreadableFile
from tests.mapsvc.importers import data_tables
from tests.mapsvc.importers.samples import reasons, told
from tests.mapsvc.importers.tabular import AFDC_ROW, afdc_row, csv_bytes, read_afdc
from tests.mapsvc.importers.test_fuzz import assert_fit

KEPT, DROPPED, SKIPPED = Outcome.KEPT, Outcome.DROPPED, Outcome.SKIPPED


def test_a_clean_row_becomes_a_station_without_a_word_and_without_a_status() -> None:
    report = Report()
    (located,) = afdc.parse(io.BytesIO(csv_bytes([AFDC_ROW])), report=report)
    station = located.station
    assert (report.rows, located.reports) == ([], ())
    assert (station.party, station.location_id, station.source) == ("afdc", "7001", "afdc")
    assert (station.lat, station.lon, station.country) == (43.6567, -70.25, "USA")
    assert (station.name, station.address, station.city) == ("Harbor Deck", "1 Pier Rd", "Portland")
    assert (station.state, station.postal_code, station.operator) == ("ME", "04101", "Lumen")
    assert (station.operator_website, station.operator_phone) == ("https://lumen.example", "555-0100")
    assert (station.price_text, station.free_of_charge, station.access_text) == ("$0.30 per kWh", None, "Public")
    assert (station.opening_times, station.opening_times_text) == (Hours(twentyfourseven=True), None)
    assert (station.parking_type, station.publish) == ("PARKING_GARAGE", True)
    assert station.directions == (DisplayText("en", "Second floor"),)
    assert station.last_updated_ms == 1_738_404_000_000


def points(**changes: str) -> tuple[list[tuple[str, list[str], str | None]], Report]:
    (station,), report = read_afdc(afdc_row(**changes))
    found = []
    for evse in station.evses:
        assert all(plug.power_kw is None for plug in evse.connectors), "the register has no power"
        kinds = {plug.power_type for plug in evse.connectors}
        found.append((evse.uid, [plug.standard for plug in evse.connectors], kinds.pop() if kinds else None))
    return found, report


def test_every_point_of_a_level_has_the_plugs_of_that_level() -> None:
    found, report = points()
    fast = ["IEC_62196_T1_COMBO", "CHADEMO"]
    assert found == [("#DC-1", fast, "DC"), ("#L2-1", ["IEC_62196_T1"], None), ("#L2-2", ["IEC_62196_T1"], None)]
    assert report.total == 0
    found, report = points(EV_Level1_EVSE_Num="1", EV_DC_Fast_Count="0", EV_Connector_Types="NEMA520 J1772 NEMA515")
    assert found[-1] == ("#L1-1", ["NEMA_5_20", "DOMESTIC_B"], "AC_1_PHASE")
    assert found[0] == ("#L2-1", ["IEC_62196_T1"], None)
    assert report.total == 0


@pytest.mark.parametrize(
    ("level2", "fast", "types", "expected"),
    [
        ("1", "", "TESLA", [["SAE_J3400"]]),
        ("", "1", "TESLA", [["SAE_J3400"]]),
        ("1", "1", "TESLA J1772", [["SAE_J3400"], ["IEC_62196_T1"]]),
        ("1", "1", "TESLA J1772COMBO", [["IEC_62196_T1_COMBO"], ["SAE_J3400"]]),
    ],
)
def test_a_plug_of_two_levels_is_at_the_one_that_has_no_other(
    level2: str, fast: str, types: str, expected: list[list[str]]
) -> None:
    found, report = points(EV_Level2_EVSE_Num=level2, EV_DC_Fast_Count=fast, EV_Connector_Types=types)
    assert ([plugs for _, plugs, _ in found], report.total) == (expected, 0)


def test_a_plug_whose_level_is_not_told_is_at_all_that_can_have_it_and_told() -> None:
    found, report = points(EV_Level2_EVSE_Num="1", EV_Connector_Types="TESLA J1772 J1772COMBO")
    assert [plugs for _, plugs, _ in found] == [["IEC_62196_T1_COMBO", "SAE_J3400"], ["IEC_62196_T1", "SAE_J3400"]]
    assert told(report) == [("/EV Connector Types", Reason.PLUG_LEVEL, KEPT)]
    found, report = points(EV_Level2_EVSE_Num="1", EV_DC_Fast_Count="", EV_Connector_Types="J1772 CHADEMO WARP")
    assert [plugs for _, plugs, _ in found] == [["IEC_62196_T1"]]
    assert [(row.reason, row.outcome) for row in report.rows] == [
        (Reason.UNKNOWN_VALUE, DROPPED),
        (Reason.PLUG_LEVEL, DROPPED),
    ]


def test_counts_that_are_none_and_points_without_plugs() -> None:
    found, report = points(EV_Level2_EVSE_Num="", EV_DC_Fast_Count="0")
    assert (found, reasons(report)) == ([], {Reason.NO_EVSES})
    found, report = points(EV_Level2_EVSE_Num="1", EV_DC_Fast_Count="", EV_Connector_Types="")
    assert (found, reasons(report)) == ([("#L2-1", [], None)], {Reason.NO_CONNECTORS})
    for count, reason in (
        ("many", Reason.WRONG_TYPE),
        ("-2", Reason.IMPLAUSIBLE_NUMBER),
        ("2.5", Reason.IMPLAUSIBLE_NUMBER),
        ("100000", Reason.IMPLAUSIBLE_NUMBER),
    ):
        found, report = points(EV_Level2_EVSE_Num=count, EV_Connector_Types="J1772COMBO")
        assert [uid for uid, _, _ in found] == ["#DC-1"]
        assert told(report) == [("/EV Level2 EVSE Num", reason, DROPPED)]


def test_other_fuels_are_not_ours_and_no_dirt() -> None:
    stations, report = read_afdc(afdc_row(Fuel_Type_Code="CNG"), afdc_row(ID="2", Fuel_Type_Code="elec"))
    assert ([each.location_id for each in stations], report.total) == (["2"], 0)


@pytest.mark.parametrize(
    ("changes", "publish", "access", "why"),
    [
        ({"Status_Code": "P", "Expected_Date": "2026-01-01"}, False, "Public", {Reason.NOT_IN_SERVICE}),
        ({"Status_Code": "T"}, True, "Public; temporarily unavailable", set()),
        ({"Status_Code": "Q"}, True, "Public", {Reason.UNKNOWN_VALUE}),
        ({"Access_Code": "private", "Groups_With_Access_Code": "Private"}, False, "Private", set()),
        ({"Access_Code": "", "Groups_With_Access_Code": "Private - Fleet customers only"}, False, None, set()),
        ({"Restricted_Access": "true"}, True, "Public; access is restricted", set()),
    ],
)
def test_who_may_charge_and_whether_at_all(
    changes: dict[str, str], publish: bool, access: str | None, why: set[Reason]
) -> None:
    (station,), report = read_afdc(afdc_row(**changes))
    assert (station.publish, reasons(report)) == (publish, why)
    assert station.access_text == (access or changes["Groups_With_Access_Code"])


def test_cards_places_prices_and_answers_that_are_none() -> None:
    row = afdc_row(
        Cards_Accepted="A Debit V",
        Facility_Type="HOTEL",
        EV_Pricing="FREE",
        EV_Network="Non-Networked",
        Station_Phone="NA",
        Country="CA",
        ZIP="B3H 1A1",
        Latitude="44.64",
        Longitude="-63.57",
    )
    (station,), report = read_afdc(row)
    assert station.evses[0].capabilities == ("CREDIT_CARD_PAYABLE", "DEBIT_CARD_PAYABLE")
    assert (station.facilities, station.parking_type, station.free_of_charge) == (("HOTEL",), None, True)
    assert (station.operator, station.operator_phone, station.country) == (None, None, "CAN")
    assert (station.postal_code, report.total) == ("B3H 1A1", 0)


@pytest.mark.parametrize(
    ("lat", "lon", "code", "shown", "reason"),
    [
        ("43.65", "-70.25", "4101", "04101", Reason.LEADING_ZEROS),
        ("18.40", "-66.10", "926", "00926", Reason.LEADING_ZEROS),
        ("43.04", "-88.04", "5320", "5320", Reason.UNKNOWN_VALUE),  # Milwaukee: another digit is missing
        ("43.65", "-70.25", "0", "0", Reason.UNKNOWN_VALUE),
        ("43.65", "-70.25", "04101", "04101", None),
    ],
)
def test_zeros_are_put_back_only_where_codes_begin_with_them(
    lat: str, lon: str, code: str, shown: str, reason: Reason | None
) -> None:
    (station,), report = read_afdc(afdc_row(Latitude=lat, Longitude=lon, ZIP=code))
    assert station.postal_code == shown
    assert told(report) == ([("/ZIP", reason, KEPT)] if reason else [])


@pytest.mark.parametrize(
    ("lat", "lon", "reasons_told", "kept"),
    [
        ("41.5", "0", [Reason.ZERO_COORDINATES], False),
        ("0", "0", [Reason.ZERO_COORDINATES], False),
        ("-70.25", "43.65", [Reason.SWAPPED], True),
        ("48.2", "16.4", [Reason.OUTSIDE_COUNTRY], True),
        ("43.65", "-270.25", [Reason.OUT_OF_RANGE], False),
        ("143.65", "-270.25", [Reason.OUT_OF_RANGE, Reason.OUT_OF_RANGE], False),
        ("", "-70.25", [Reason.NO_COORDINATES], False),
        ("north", "west", [Reason.BAD_COORDINATES, Reason.BAD_COORDINATES], False),
    ],
)
def test_positions(lat: str, lon: str, reasons_told: list[Reason], kept: bool) -> None:
    stations, report = read_afdc(afdc_row(Latitude=lat, Longitude=lon))
    assert (bool(stations), [row.reason for row in report.rows]) == (kept, reasons_told)
    assert {row.outcome for row in report.rows} == {KEPT if kept else SKIPPED}
    assert all(row.id == "7001" and row.line == 2 for row in report.rows)


def test_a_plain_list_of_positions_is_a_register_too_and_what_it_lacks_is_told_once() -> None:
    raw = b"\xef\xbb\xbfstation_name,ZIP,Latitude,Longitude,id\nOne,97201,45.5,-122.6,1\nTwo,97201,45.6,-122.6,2\n"
    report = Report()
    found = [each.station for each in afdc.parse(io.BytesIO(raw), report=report)]
    assert [(each.location_id, each.name, each.evses, each.last_updated_ms) for each in found] == [
        ("1", "One", (), 0),
        ("2", "Two", (), 0),
    ]
    assert [(row.line, row.reason) for row in report.rows] == [(1, Reason.MISSING)]


def test_the_same_id_twice_keeps_the_newer_else_the_later() -> None:
    old, new = afdc_row(Updated_At="2024-01-01 00:00:00 UTC", City="Old"), afdc_row(City="New")
    for rows, loser in (((old, new), 2), ((new, old), 3), ((new, afdc_row(City="New")), 2)):
        (station,), report = read_afdc(*rows)
        assert station.city == "New"
        assert [(row.line, row.reason, row.outcome, row.id) for row in report.rows] == [
            (loser, Reason.DUPLICATE_LOCATION, SKIPPED, "7001")
        ]
    assert read_afdc(afdc_row(ID=""))[1].by_reason == {Reason.NO_ID: 1}


def test_when_a_row_was_updated() -> None:
    (station,), report = read_afdc(afdc_row(Updated_At="0000-00-00 00:00:00 UTC"))
    assert station.last_updated_ms == 1_738_281_600_000, "the date last confirmed"
    assert told(report) == [("/Updated At", Reason.IMPOSSIBLE_TIMESTAMP, DROPPED)]
    (station,), report = read_afdc(afdc_row(Updated_At="", Date_Last_Confirmed=""))
    assert (station.last_updated_ms, reasons(report)) == (0, {Reason.NO_LAST_UPDATED})


# ---------------------------------------------------------------- hours

WEEK = range(1, 8)


def daily(begin: str, end: str, days: object = WEEK) -> Hours:
    return Hours(regular_hours=tuple(RegularHours(day, begin, end) for day in days))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24 hours daily", Hours(twentyfourseven=True)),
        ("24 Hours daily; for guests only.", Hours(twentyfourseven=True)),
        ("24 hours daily; students only 5am-5pm", None),
        ("24 hours daily; closed on holidays", None),
        ("6am-9pm daily; May through October", None),
        ("for guests only", None),
        ("24/7", Hours(twentyfourseven=True)),
        ("8am-5pm M-F, 24 hours Sat-Sun", "weekend"),
        ("6am-11pm daily. Please ask at the desk.", daily("06:00", "23:00")),
        ("6am-11pm daily", daily("06:00", "23:00")),
        ("8am-6pm M-F", daily("08:00", "18:00", range(1, 6))),
        ("Mon 12:00am - 12:00am; Tue 3:30pm - 12:00am", "mixed"),
        ("M-F 7am-noon; Sat closed", daily("07:00", "12:00", range(1, 6))),
        ("Sat-Mon 9:00am - 5:00pm", daily("09:00", "17:00", (1, 6, 7))),
        ("Mon 8:00am - 5:00pm; Sun 24 hours", "sunday"),
        ("8am-5pm", None),
        ("M-F 8am-5pm daily", None),
        ("13am-5pm daily", None),
        ("Dealership business hours", None),
        ("dawn-dusk daily", None),
        ("", None),
    ],
)
def test_american_hours_are_read_exactly_or_not_at_all(text: str, expected: Hours | str | None) -> None:
    if expected == "mixed":
        expected = Hours(regular_hours=(RegularHours(1, "00:00", "24:00"), RegularHours(2, "15:30", "24:00")))
    elif expected == "sunday":
        expected = Hours(regular_hours=(RegularHours(1, "08:00", "17:00"), RegularHours(7, "00:00", "24:00")))
    elif expected == "weekend":
        whole_days = tuple(RegularHours(day, "00:00", "24:00") for day in (6, 7))
        expected = Hours(regular_hours=(*daily("08:00", "17:00", range(1, 6)).regular_hours, *whole_days))
    assert us_hours.parse(text) == expected


@given(st.text(alphabet="MonTueSat 0123456789:apm-;,dilycose", max_size=40))
def test_hours_of_any_text(text: str) -> None:
    us_hours.read(text)


def test_hours_that_are_prose_stay_text_and_a_remark_beside_hours_too() -> None:
    (station,), report = read_afdc(afdc_row(Access_Days_Time="Dealership business hours"))
    assert (station.opening_times, station.opening_times_text) == (None, "Dealership business hours")
    assert told(report) == [("/Access Days Time", Reason.UNREADABLE_HOURS, KEPT)]
    (station,), report = read_afdc(afdc_row(Access_Days_Time="24 hours daily; guest use only"))
    assert station.opening_times == Hours(twentyfourseven=True)
    assert (station.opening_times_text, report.total) == ("24 hours daily; guest use only", 0)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("raw", [b"", b"\n\n", b"Station Name,ZIP\nx,y\n", b"{}", bytes(range(256)), b"\xff\xfe"])
def test_files_that_are_unreadable_as_a_whole(raw: bytes) -> None:
    with pytest.raises(UnreadableFile):
        afdc.parse(io.BytesIO(raw), report=Report())


CELL = st.text(max_size=12) | st.sampled_from(
    ["nan", "1e999", "-1", "\x00", '"', "\ud800".encode("utf-8", "replace").decode()]
)


@given(st.lists(st.dictionaries(st.sampled_from(list(AFDC_ROW)), CELL, max_size=8), min_size=1, max_size=4))
def test_rows_of_any_cells_end_in_stations_or_a_report(changes: list[dict[str, str]]) -> None:
    report = Report()
    rows = [AFDC_ROW | {"ID": str(k)} | change for k, change in enumerate(changes)]
    raw = csv_bytes(rows, encoding="utf-8")
    for each in afdc.parse(io.BytesIO(raw), report=report):
        assert_fit(each)
        assert each.reports == ()


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: csv_bytes([AFDC_ROW]) + tail))
def test_a_file_of_any_bytes(raw: bytes) -> None:
    try:
        for each in afdc.parse(io.BytesIO(raw), report=Report()):
            assert_fit(each)
    except UnreadableFile as error:
        assert error.reason


# ---------------------------------------------------------------- the real tables


def plain_rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_full_table_counts_as_a_plain_reading_of_it(shared_data: Path) -> None:
    name = "us_afdc/ny_2025.csv.gz"
    rows = [row for row in plain_rows(shared_data / name) if row["Fuel Type Code"] == "ELEC"]
    stations = {
        each.station.location_id: each.station for each in data_tables.read_register(shared_data, name, Report())
    }
    assert {key: (each.lat, each.lon) for key, each in stations.items()} == {
        row["ID"]: (float(row["Latitude"]), float(row["Longitude"])) for row in rows
    }
    expected: Counter[str] = Counter()
    level2 = {"J1772": "IEC_62196_T1", "TESLA": "SAE_J3400"}
    fast = {"J1772COMBO": "IEC_62196_T1_COMBO", "CHADEMO": "CHADEMO", "TESLA": "SAE_J3400"}
    evses = 0
    for row in rows:
        counts = [int(row[column] or 0) for column in ("EV Level1 EVSE Num", "EV Level2 EVSE Num", "EV DC Fast Count")]
        evses += sum(counts)
        assert len(stations[row["ID"]].evses) == sum(counts)
        for code in row["EV Connector Types"].split():  # of this file no TESLA is at a station of both levels
            expected[level2.get(code, "")] += counts[1]
            expected[fast.get(code, "")] += counts[2]
            expected["NEMA_5_20"] += counts[0] * (code == "NEMA520")
    del expected[""]
    plugs = Counter(p.standard for each in stations.values() for evse in each.evses for p in evse.connectors)
    assert plugs == expected
    assert sum(len(each.evses) for each in stations.values()) == evses == 16_788
    always = sum(row["Access Days Time"] == "24 hours daily" for row in rows)
    assert sum(each.opening_times == Hours(twentyfourseven=True) for each in stations.values()) >= always == 3_817


def test_the_plain_list_loses_one_station_the_one_on_the_prime_meridian(shared_data: Path) -> None:
    name = "us_afdc/us_2022_min.csv.gz"
    rows = plain_rows(shared_data / name)
    report = Report()
    stations = {each.station.location_id: each.station for each in data_tables.read_register(shared_data, name, report)}
    on_meridian = {row["ID"] for row in rows if float(row["Longitude"]) == 0}
    assert {row["ID"] for row in rows} - stations.keys() == on_meridian
    assert (len(stations), len(on_meridian)) == (50_269, 1)
    assert [row.id for row in report.rows if row.outcome is SKIPPED] == list(on_meridian)
    for row in rows:
        if row["ID"] not in on_meridian:
            station = stations[row["ID"]]
            assert (station.lat, station.lon) == (float(row["Latitude"]), float(row["Longitude"]))
            assert station.name == (" ".join(row["Station Name"].split()) or None)
