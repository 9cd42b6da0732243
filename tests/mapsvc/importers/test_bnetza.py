"""Each rule of reading the German register, by small spreadsheets of our own; then the real one."""

from __future__ import annotations

import io
import random
import zipfile
from collections import Counter
from datetime import date
from pathlib import Path

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapsvc.importers import bnetza, bnetza_sheet
from mapsvc.importers.report import Outcome, Reason, Report, UnreadableFile
from tests.mapsvc.importers import data_tables
from tests.mapsvc.importers.samples import reasons, told
from tests.mapsvc.importers.tabular import BNETZA_PREAMBLE, BNETZA_ROW, bnetza_row, read_bnetza, xlsx_bytes
from tests.mapsvc.importers.test_fuzz import assert_fit

KEPT, DROPPED, SKIPPED = Outcome.KEPT, Outcome.DROPPED, Outcome.SKIPPED


def test_a_clean_row_becomes_a_station_without_a_word() -> None:
    (station,), report = read_bnetza(BNETZA_ROW)
    assert report.rows == []
    assert (station.party, station.source, station.country) == ("bnetza", "bnetza", "DEU")
    assert (station.lat, station.lon, station.name) == (54.3203, 10.1332, None)
    assert (station.operator, station.address) == ("Stadtwerke Musterstadt", "Am Kanal 3")
    assert (station.postal_code, station.city, station.state) == ("24103", "Kiel", "Schleswig-Holstein")
    assert station.last_updated_ms == 1_563_494_400_000, "2019-07-19"
    fast, slow = station.evses
    assert (fast.uid, slow.uid) == ("#1", "#2")
    assert [(c.standard, c.format, c.power_type, c.power_kw) for c in fast.connectors] == [
        ("IEC_62196_T2_COMBO", "CABLE", "DC", 50.0),
        ("CHADEMO", "CABLE", "DC", 50.0),
    ]
    assert [(c.standard, c.format, c.power_type, c.power_kw) for c in slow.connectors] == [
        ("IEC_62196_T2", "SOCKET", None, 22.0)
    ]


def test_devices_of_one_operator_at_one_place_are_one_station_in_any_order() -> None:
    rows = [
        bnetza_row(),
        bnetza_row(),  # the same once more: a second device, as the register names none
        bnetza_row(date=date(2019, 1, 1), p2=11),
        bnetza_row(operator="Andere GmbH"),
        bnetza_row(lat=54.3204),
    ]
    expected, report = read_bnetza(*rows)
    assert sorted(len(each.evses) for each in expected) == [2, 2, 6]
    assert report.total == 0
    for seed in range(5):
        random.Random(seed).shuffle(rows)
        stations, _ = read_bnetza(*rows)
        assert {each.location_id: each for each in stations} == {each.location_id: each for each in expected}


@pytest.mark.parametrize(
    ("plugs", "power", "expected", "why"),
    [
        ("AC Steckdose Typ 2, AC Schuko", 22, [("IEC_62196_T2", 22.0), ("DOMESTIC_F", None)], set()),
        ("AC Steckdose Typ 2, DC Kupplung Combo", 50, [("IEC_62196_T2", None), ("IEC_62196_T2_COMBO", 50.0)], set()),
        ("AC Schuko", 3.7, [("DOMESTIC_F", 3.7)], set()),
        ("AC Schuko", 22, [("DOMESTIC_F", None)], {Reason.IMPLAUSIBLE_POWER}),
        ("AC Kupplung Typ 2", 22000, [("IEC_62196_T2", None)], {Reason.IMPLAUSIBLE_POWER}),
        ("AC CEE 3 polig", 3.6, [("IEC_60309_2_single_16", 3.6)], set()),
        ("AC CEE 5 polig", 11, [("UNKNOWN", 11.0)], {Reason.UNNAMED_PLUG}),
        ("DC Kupplung Combo, 0", 150, [("IEC_62196_T2_COMBO", 150.0)], {Reason.UNKNOWN_VALUE}),
        ("Starkstrom", 22, [], {Reason.UNKNOWN_VALUE, Reason.NO_CONNECTORS}),
        ("AC Steckdose Typ 2", "", [("IEC_62196_T2", None)], {Reason.MISSING}),
        ("AC Steckdose Typ 2", "viel", [("IEC_62196_T2", None)], {Reason.WRONG_TYPE}),
        ("DC Fahrzeugkupplung Typ Combo 2 (CCS); AC Typ 2 Steckdose", "300; 22",
         [("IEC_62196_T2_COMBO", 300.0), ("IEC_62196_T2", 22.0)], set()),
        ("DC Tesla Fahrzeugkupplung (Typ 2)", 150, [("IEC_62196_T2", 150.0)], set()),
    ],
)  # fmt: skip
def test_plugs_and_their_power(
    plugs: str, power: object, expected: list[tuple[str, float | None]], why: set[Reason]
) -> None:
    (station,), report = read_bnetza(bnetza_row(plugs1=plugs, p1=power, plugs2=None, p2=None, count=1))
    (evse,) = station.evses
    assert ([(c.standard, c.power_kw) for c in evse.connectors], reasons(report)) == (expected, why)
    assert all(row.line == 6 and row.id == station.location_id for row in report.rows)


def test_another_number_of_points_than_told_and_codes_without_their_zero() -> None:
    _, report = read_bnetza(bnetza_row(count=4))
    assert told(report) == [("/Anzahl Ladepunkte", Reason.POINT_COUNT, KEPT)]
    for place, state, code, reason in (
        ("1067 Dresden", "Sachsen", "01067", Reason.LEADING_ZEROS),
        ("4711 Musterdorf", "Bayern", "4711", Reason.UNKNOWN_VALUE),  # another digit is missing
        ("123456 Musterstadt", "Bayern", "123456", Reason.UNKNOWN_VALUE),
    ):
        (station,), report = read_bnetza(bnetza_row(place=place, state=state))
        assert (station.postal_code, reasons(report)) == (code, {reason})
    (station,), _ = read_bnetza(bnetza_row(place="Kiel"))
    assert (station.postal_code, station.city) == (None, "Kiel")


@pytest.mark.parametrize(
    ("lat", "lon", "reason", "kept"),
    [
        (10.1332, 54.3203, Reason.SWAPPED, True),
        (48.2, 16.4, Reason.OUTSIDE_COUNTRY, True),
        (54.3, 0, Reason.ZERO_COORDINATES, False),
        (954.3, 10.1, Reason.OUT_OF_RANGE, False),
        (None, 10.1, Reason.NO_COORDINATES, False),
        ("Kiel", 10.1, Reason.BAD_COORDINATES, False),
        ("54,3203", "10,1332", None, True),
    ],
)
def test_positions(lat: object, lon: object, reason: Reason | None, kept: bool) -> None:
    stations, report = read_bnetza(bnetza_row(lat=lat, lon=lon))
    assert (bool(stations), reasons(report)) == (kept, {reason} if reason else set())


def test_a_later_edition_names_devices_and_points_and_has_more_columns() -> None:
    row = {
        "Ladeeinrichtungs-ID": 1010338,
        "Betreiber": "Stadtwerke Musterstadt",
        "Anzeigename (Karte)": "Kanal",
        "Straße": "Am Kanal",
        "Hausnummer": 3,
        "Postleitzahl": 24103,
        "Ort": "Kiel",
        "Bundesland": "Schleswig-Holstein",
        "Breitengrad": 54.3203,
        "Längengrad": 10.1332,
        "Öffnungszeiten": "24/7",
        "Anzahl Ladepunkte": 2,
        "Steckertypen1": "AC Typ 2 Steckdose",
        "Nennleistung Stecker1": 22,
        "EVSE-ID1": "DE*XYZ*E1",
        "Steckertypen2": "AC Typ 2 Steckdose",
        "Nennleistung Stecker2": 22,
        "EVSE-ID2": "de*xyz*e1",
    }
    (station,), report = read_bnetza(row, preamble=())
    assert (station.name, station.address, station.postal_code) == ("Kanal", "Am Kanal 3", "24103")
    assert station.opening_times is not None
    assert station.opening_times.twentyfourseven
    assert [(each.uid, each.evse_id) for each in station.evses] == [("DE*XYZ*E1", "DE*XYZ*E1"), ("#1", "de*xyz*e1")]
    assert (station.last_updated_ms, reasons(report)) == (0, {Reason.NO_LAST_UPDATED})


def test_files_that_are_unreadable_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as parts:
        parts.writestr("letter.txt", "Dear Sir or Madam")
    whole = xlsx_bytes([*BNETZA_PREAMBLE, list(BNETZA_ROW), list(BNETZA_ROW.values())])
    for raw in (b"", b"Betreiber;Adresse", zipped.getvalue(), whole[: len(whole) // 2], xlsx_bytes([["Stand"], ["x"]])):
        with pytest.raises(UnreadableFile):
            bnetza.parse(io.BytesIO(raw), report=Report())
    monkeypatch.setattr(bnetza_sheet, "MOST_UNPACKED_BYTES", 1000)
    with pytest.raises(UnreadableFile, match="unpacks to more"):
        bnetza.parse(io.BytesIO(whole), report=Report())


def test_a_sheet_that_is_damaged_inside_is_unreadable() -> None:
    whole = xlsx_bytes([*BNETZA_PREAMBLE, list(BNETZA_ROW), *[list(BNETZA_ROW.values())] * 50])
    torn = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(torn, "w") as out:
        for part in source.infolist():
            content = source.read(part)
            out.writestr(part, content[: len(content) * 2 // 3] if "sheet1" in part.filename else content)
    torn.seek(0)
    with pytest.raises(UnreadableFile, match="damaged spreadsheet"):
        bnetza.parse(torn, report=Report())


VALUE = (
    st.none()
    | st.text(st.characters(categories=["L", "N", "P", "Z"]), max_size=12)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
)


@given(st.lists(st.dictionaries(st.sampled_from(list(BNETZA_ROW)), VALUE, max_size=6), min_size=1, max_size=3))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_rows_of_any_cells_end_in_stations_or_a_report(changes: list[dict[str, object]]) -> None:
    stations, _ = read_bnetza(*(BNETZA_ROW | change for change in changes))
    assert len({each.location_id for each in stations}) == len(stations)


@given(st.binary(max_size=200), st.integers(0, 10_000))
@settings(max_examples=150)
def test_a_file_of_any_bytes(noise: bytes, at: int) -> None:
    whole = WHOLE
    cut = at % len(whole)
    for raw in (noise, whole[:cut] + noise + whole[cut + len(noise) :]):
        try:
            for each in bnetza.parse(io.BytesIO(raw), report=Report()):
                assert_fit(each)
        except UnreadableFile as error:
            assert error.reason


WHOLE = xlsx_bytes([*BNETZA_PREAMBLE, list(BNETZA_ROW), list(BNETZA_ROW.values())])


def test_the_register_counts_as_a_plain_reading_of_it(shared_data: Path) -> None:
    name = "de/Ladesaeulenkarte_2019-07-19.xlsx"
    sheet = openpyxl.load_workbook(shared_data / name, read_only=True).worksheets[0]
    rows = [row for number, row in enumerate(sheet.iter_rows(values_only=True), 1) if number > 6]
    stations = [each.station for each in data_tables.read_register(shared_data, name, Report())]
    assert len(rows) == 9_690
    places = {tuple(" ".join(str(cell).split()).casefold() for cell in (*row[:3], row[4], row[5])) for row in rows}
    assert len({each.location_id for each in stations}) == len(stations) == len(places) == 8_815
    assert {(each.lat, each.lon) for each in stations} == {(row[5], row[4]) for row in rows}
    assert sum(len(each.evses) for each in stations) == sum(row[9] for row in rows) == 19_029
    plugs = Counter(word.strip() for row in rows for at in (10, 13, 16, 19) for word in str(row[at]).split(","))
    found = Counter(c.standard for each in stations for evse in each.evses for c in evse.connectors)
    assert found == {
        "IEC_62196_T2": plugs["AC Steckdose Typ 2"] + plugs["AC Kupplung Typ 2"],
        "IEC_62196_T2_COMBO": plugs["DC Kupplung Combo"],
        "CHADEMO": plugs["DC CHAdeMO"],
        "DOMESTIC_F": plugs["AC Schuko"],
        "IEC_60309_2_single_16": plugs["AC CEE 3 polig"],
        "UNKNOWN": plugs["AC CEE 5 polig"],
        "IEC_62196_T1": plugs["Steckdose Typ 1"],
    }
    fast = Counter(row[at + 1] for row in rows for at in (10, 13, 16, 19) if "DC Kupplung Combo" in str(row[at]))
    assert fast == Counter(
        c.power_kw for each in stations for evse in each.evses for c in evse.connectors if "T2_COMBO" in c.standard
    )
