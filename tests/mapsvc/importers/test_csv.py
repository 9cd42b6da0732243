"""`import csv`: each rule by small tables of our own, one table with all ills at once, and the German fast chargers."""

from __future__ import annotations

import argparse
import csv
import gzip
import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.station import Hours
from mapsvc.importers import csv_options, csv_register
from mapsvc.importers.csv_options import CsvOptions, column_map
from mapsvc.importers.report import Outcome, Reason, Report, UnreadableFile
from tests.mapsvc.importers import data_tables
from tests.mapsvc.importers.samples import reasons, told
from tests.mapsvc.importers.tabular import read_csv
from tests.mapsvc.importers.test_fuzz import assert_fit, assert_writable

KEPT, DROPPED, SKIPPED = Outcome.KEPT, Outcome.DROPPED, Outcome.SKIPPED

MAP = "name=Name,lat=Lat,lon=Lon,id=Id,power_kw=kW,connector=Plug,evses=Points"
HEADING = "Id,Name,Lat,Lon,kW,Plug,Points\n"


def read(*rows: str, columns: str = MAP, heading: str = HEADING, **options: Any) -> Any:
    return read_csv((heading + "".join(f"{row}\n" for row in rows)).encode(), columns, **options)


def plugs(station: Any) -> list[list[tuple[str, float | None]]]:
    return [[(plug.standard, plug.power_kw) for plug in evse.connectors] for evse in station.evses]


def test_a_clean_row_becomes_a_station_without_a_word() -> None:
    (station,), report = read("a1,Quay,54.3,10.1,22,Type 2,2")
    assert report.rows == []
    assert (station.party, station.location_id, station.name, station.source) == ("list", "a1", "Quay", "csv")
    assert (station.lat, station.lon, station.country, station.last_updated_ms) == (54.3, 10.1, None, 0)
    assert [evse.uid for evse in station.evses] == ["#1", "#2"]
    assert plugs(station) == [[("IEC_62196_T2", 22.0)]] * 2


def test_all_other_fields() -> None:
    columns = (
        "name=N,lat=B,lon=L,operator=O,address=A,city=C,postal_code=P,state=S,country=K,hours=H,price=E,access=Z,"
        "updated=U"
    )
    heading = "N;B;L;O;A;C;P;S;K;H;E;Z;U;;\n"
    row = "Kai;54,3;10,1;Werk;Weg 1;Kiel;24103;SH;de;Mo-Fr 08:00-18:00;0,39 €;frei;2025-01-31;;"
    (station,), report = read(row, columns=columns, heading=heading)
    assert {row.reason for row in report.rows} == {Reason.MISSING}, "no column of plugs"
    assert (station.operator, station.address, station.city) == ("Werk", "Weg 1", "Kiel")
    assert (station.postal_code, station.state, station.country) == ("24103", "SH", "DEU")
    assert (station.price_text, station.access_text, station.lat) == ("0,39 €", "frei", 54.3)
    assert isinstance(station.opening_times, Hours)
    assert (station.last_updated_ms, station.evses) == (1_738_281_600_000, ())


# ---------------------------------------------------------------- what is told of the table


def test_the_map_may_name_any_heading_and_number_the_rest() -> None:
    told_map = column_map('name=Name, of the place,lat=Lat = north,lon=#3, id = "Id"')
    assert told_map == {"name": "Name, of the place", "lat": "Lat = north", "lon": "#3", "id": '"Id"'}
    raw = b'"Name, of the place",lat = NORTH,Name\nQuay,54.3,10.1\n'
    (station,), _ = read_csv(raw, "name=Name, of the place,lat=Lat = north,lon=#3")
    assert (station.name, station.lat, station.lon) == ("Quay", 54.3, 10.1)


@pytest.mark.parametrize(
    "text", ["", "name", "Name=a,lat=b,lon=c", "name=a,lat=b", "name=a,lat=,lon=c", "name=a,name=b,lat=c,lon=d"]
)
def test_maps_that_are_none(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        column_map(text)


def test_other_arguments_that_are_none() -> None:
    for parse, bad in (
        (csv_options.delimiter, ("", "ab", "x", '"', "\n")),
        (csv_options.encoding, ("", "klingon", "base64", "hex", "\x00", "zlib")),
        (csv_options.country, ("", "Polska", "XX")),
    ):
        for text in bad:
            with pytest.raises(argparse.ArgumentTypeError):
                parse(text)
    assert (csv_options.delimiter("tab"), csv_options.country("de")) == ("\t", "DEU")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_delimiters_are_found_and_encodings_told_by_a_bom_or_the_caller(delimiter: str, encoding: str) -> None:
    lines = [
        ["Stand: heute"],
        ["Id", "Name", "Lat", "Lon", "kW", "Plug", "Points"],
        ["1", "Größe", "54", "10", "", "", "0"],
    ]
    raw = "\r\n".join(delimiter.join(line) for line in lines).encode(encoding)
    (station,), _ = read_csv(raw, MAP, encoding="cp1252" if encoding == "cp1252" else None)
    assert station.name == "Größe"
    with pytest.raises(UnreadableFile):
        read_csv(raw, MAP, delimiter="!", encoding="cp1252")


@pytest.mark.parametrize(
    ("decimal", "lat", "kw", "expected"),
    [
        (None, '"54,3"', "22.5", (54.3, 22.5)),
        (",", '"54,3"', '"22,5"', (54.3, 22.5)),
        (".", "54.3", '"1,000"', (54.3, 1000.0)),
        (",", '"54,3"', "1.000", (54.3, 1000.0)),
    ],
)
def test_decimal_signs(decimal: str | None, lat: str, kw: str, expected: tuple[float, float]) -> None:
    (station,), report = read(f"1,x,{lat},10.1,{kw},CCS2,1".replace("10.1", "10"), decimal=decimal)
    assert (station.lat, station.evses[0].connectors[0].power_kw) == expected
    assert report.total == 0
    assert read("1,x,54.300.123,10,,,0", decimal=",")[1].by_reason == {Reason.OUT_OF_RANGE: 1}


# ---------------------------------------------------------------- plugs, power, points


@pytest.mark.parametrize(
    ("words", "where", "expected"),
    [
        ("Type 2", "54,10", ["IEC_62196_T2"]),
        ("IEC_62196_T2_COMBO", "54,10", ["IEC_62196_T2_COMBO"]),
        ("domestic f", "54,10", ["DOMESTIC_F"]),
        ('"CCS, CHAdeMO; Typ 2"', "54,10", ["IEC_62196_T2_COMBO", "CHADEMO", "IEC_62196_T2"]),
        ("CCS", "45,-122", ["IEC_62196_T1_COMBO"]),
        ("CCS", "35.7,139.7", ["UNKNOWN"]),
        ("NACS/J1772", "45,-122", ["SAE_J3400", "IEC_62196_T1"]),
        ("Gardena + Gardena", "54,10", ["UNKNOWN"]),
        ("", "54,10", []),
    ],
)
def test_plugs_by_the_names_that_people_give_them(words: str, where: str, expected: list[str]) -> None:
    (station,), report = read(f"1,x,{where},,{words},1")
    assert [plug.standard for plug in station.evses[0].connectors] == expected
    assert (Reason.UNNAMED_PLUG in report.by_reason) is ("UNKNOWN" in expected)


@pytest.mark.parametrize(
    ("kw", "plug", "points", "expected", "why"),
    [
        ("50", "", "2", [[("UNKNOWN", 50.0)]] * 2, set()),
        ("50", "CCS2|Type 2", "1", [[("IEC_62196_T2_COMBO", 50.0), ("IEC_62196_T2", None)]], set()),
        ("150", "Type 2", "1", [[("IEC_62196_T2", None)]], {Reason.IMPLAUSIBLE_POWER}),
        ("5050", "CCS2", "1", [[("IEC_62196_T2_COMBO", None)]], {Reason.IMPLAUSIBLE_POWER}),
        ("0", "CCS2", "1", [[("IEC_62196_T2_COMBO", None)]], {Reason.IMPLAUSIBLE_POWER}),
        ("fast", "CCS2", "1", [[("IEC_62196_T2_COMBO", None)]], {Reason.WRONG_TYPE}),
        ("", "CCS2", "", [[("IEC_62196_T2_COMBO", None)]], {Reason.MISSING}),
        ("", "", "", [], {Reason.MISSING}),
        ("", "", "2", [[], []], set()),
        ("", "CCS2", "0", [], set()),
        ("", "CCS2", "-1", [[("IEC_62196_T2_COMBO", None)]], {Reason.IMPLAUSIBLE_NUMBER}),
        ("", "CCS2", "99999999", [[("IEC_62196_T2_COMBO", None)]], {Reason.IMPLAUSIBLE_NUMBER}),
        ("", "CCS2", "two", [[("IEC_62196_T2_COMBO", None)]], {Reason.WRONG_TYPE}),
    ],
)
def test_power_and_number_of_points(kw: str, plug: str, points: str, expected: Any, why: set[Reason]) -> None:
    (station,), report = read(f"1,x,54,10,{kw},{plug},{points}")
    assert (plugs(station), reasons(report)) == (expected, why)


# ---------------------------------------------------------------- identity


def test_rows_of_one_id_add_their_plugs_and_repeat_nothing() -> None:
    (station,), report = read(
        "A1,Quay,54.3,10.1,50,CCS2,2",
        "a1,Quay,54.3,10.1,22,Type 2,1",
        "A1,Quay,54.3,10.1,50,CCS2,2",
    )
    assert plugs(station) == [[("IEC_62196_T2_COMBO", 50.0)]] * 2 + [[("IEC_62196_T2", 22.0)]]
    assert [evse.uid for evse in station.evses] == ["#1", "#2", "#3"]
    assert [(row.line, row.reason, row.outcome) for row in report.rows] == [(4, Reason.REPEATED_ROW, DROPPED)]


def test_rows_of_one_id_that_contradict_each_other_are_told() -> None:
    (station,), report = read("1,Quay,54.3,10.1,50,CCS2,1", "1,Pier,54.301,10.1,22,CCS2,1")
    assert station.name == "Quay"
    assert [(evse.lat, evse.lon) for evse in station.evses] == [(None, None), (54.301, 10.1)]
    assert reasons(report) == {Reason.CONFLICT, Reason.POSITIONS_DIFFER}
    (station,), report = read("1,Quay,54.3,10.1,50,CCS2,1", "1,Pier,48.1,11.5,22,CCS2,1")
    assert (len(station.evses), told(report)) == (1, [("/Id", Reason.DUPLICATE_LOCATION, SKIPPED)])
    assert (report.rows[0].line, report.rows[0].id) == (3, "1")


def test_without_ids_a_station_is_its_name_at_its_place() -> None:
    columns = MAP.replace("id=Id,", "")
    one, _ = read("1,Quay,54.3,10.1,50,CCS2,1", "2,Pier,54.3,10.1,50,CCS2,1", columns=columns)
    two, _ = read("9,Pier,54.3,10.1,50,CCS2,1", "8, quay ,54.3,10.1,11,CCS2,1", columns=columns)
    assert {each.location_id for each in one} == {each.location_id for each in two}
    assert len({each.location_id for each in one}) == 2
    assert read(",Quay,54.3,10.1,50,CCS2,1")[1].by_reason == {Reason.NO_ID: 1}


@pytest.mark.parametrize(
    ("lat", "lon", "country", "reason", "kept"),
    [
        ("54.3", "10.1", "DEU", None, True),
        ("10.1", "54.3", "DEU", Reason.SWAPPED, True),
        ("10.1", "54.3", None, None, True),
        ("48.2", "16.4", "DEU", Reason.OUTSIDE_COUNTRY, True),
        ("0", "10.1", "DEU", Reason.ZERO_COORDINATES, False),
        ("51.48", "0", "GBR", None, True),
        ("51.48", "0", None, Reason.ZERO_COORDINATES, True),
        ("0", "0", None, Reason.ZERO_COORDINATES, False),
        ("91", "10", None, Reason.OUT_OF_RANGE, False),
        ("54.3", "181", None, Reason.OUT_OF_RANGE, False),
        ("nan", "10", None, Reason.BAD_COORDINATES, False),
        ("1e400", "10", None, Reason.BAD_COORDINATES, False),
        ("", "10", None, Reason.NO_COORDINATES, False),
    ],
)
def test_positions(lat: str, lon: str, country: str | None, reason: Reason | None, kept: bool) -> None:
    stations, report = read(f"1,x,{lat},{lon},,,0", country=country)
    assert (bool(stations), reasons(report)) == (kept, {reason} if reason else set())


# ---------------------------------------------------------------- damaged tables


def test_an_unclosed_quote_costs_its_own_row_only() -> None:
    stations, report = read(
        *(f'{k},"Name {k}' + ("" if k in (3, 400) else '"') + f",54.3,10.{k},,,0" for k in range(1, 401))
    )
    assert {each.location_id for each in stations} == {str(k) for k in range(1, 401)} - {"3", "400"}
    assert [(row.line, row.reason, row.outcome) for row in report.rows] == [
        (4, Reason.NOT_CSV, SKIPPED),
        (401, Reason.NOT_CSV, SKIPPED),
    ]
    stations, report = read(
        '1,"Name 1,54,10,,,0', "2,Name 2,54,10,,,0", f'3,"{"x" * 200_000}",54,10,,,0', "4,y,54,10,,,0"
    )
    assert [each.location_id for each in stations] == ["2", "4"]
    assert [row.line for row in report.rows] == [2, 4]


def test_an_unclosed_quote_does_not_read_to_the_end_of_a_large_file() -> None:
    stations, report = read('0,"Name,54,10,,,0', *(f"{k},Name,54,10,,,0" for k in range(1, 3_000)))
    assert len(stations) == 2_999
    assert [(row.line, row.detail) for row in report.rows] == [(2, "a quote is not closed within 1000 lines")]


def test_two_rows_that_a_quote_makes_one_are_told_by_their_width() -> None:
    stations, report = read('1,"Name 1,54,10,,,0', '2,Name 2,54,10,,1",0', "3,Name 3,54,10,,,0")
    assert [each.location_id for each in stations] == ["2", "3"]
    assert (report.rows[0].line, report.rows[0].reason) == (2, Reason.NOT_CSV)


def test_a_stray_quote_within_a_line_is_read_as_it_stands() -> None:
    stations, report = read('1,"Quay" north,54,10,,,0', '2,5" hose,54,10,,,0', '3,"a ""b""",54,10,,,0')
    assert ([each.name for each in stations], report.total) == (["Quay north", '5" hose', 'a "b"'], 0)


def test_rows_of_another_width() -> None:
    stations, report = read("1,x,54,10,,,0,,,", "2,x,54,10", "3,Quay, north,54,10,,,0", "", ",,,,,,")
    assert [each.location_id for each in stations] == ["1", "2"]
    assert [(row.line, row.reason, row.outcome) for row in report.rows] == [
        (3, Reason.CELL_COUNT, KEPT),
        (3, Reason.MISSING, KEPT),
        (4, Reason.CELL_COUNT, SKIPPED),
    ]


def hostile() -> bytes:
    """158 columns, a BOM, line breaks in fields, decimal commas, dates of zeros, and every wrong position there is."""
    others = [f"Spalte {k}" for k in range(149)]
    heading = ["Ladeort", "Breite", "Länge", "Nr", "Leistung", "Stecker", "Punkte", "Stand", "Betreiber", *others]
    assert len(heading) == 158
    rows: list[list[str]] = []

    def add(number: str, lat: str, lon: str, **changes: str) -> None:
        cells = {
            "Ladeort": f"Ort {number}",
            "Leistung": "22,0",
            "Stecker": "Typ 2",
            "Punkte": "2",
            "Stand": "2025-01-31",
        }
        cells |= {"Breite": lat, "Länge": lon, "Nr": number, "Betreiber": "Werke"} | changes
        rows.append([cells.get(name, f'"{name}"\nnoch "eine" Zeile; usw.') for name in heading])

    add("1", "54,30", "10,10")
    add("2", "54,31", "10,11", Ladeort="Am\r\nHafen\n3", Stand="0000-00-00")
    add("3", "10,10", "54,30")
    add("4", "154,30", "10,10")
    add("5", "54,30", "")
    add("6", "0", "0")
    add("7", "0,0", "10,10")
    add("1", "54,30", "10,10")
    add("1", "48,10", "11,50")
    add("", "54,30", "10,12")
    add("8", "54,32", "10,12", Leistung="22000", Stecker="Gardena", Punkte="viele", Stand="31.12.2024")
    add("9", "54,33", "10,13", Ladeort="<b>Laden\x07</b>" + "x" * 600)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";")
    writer.writerow(heading)
    writer.writerows(rows)
    text.write('10;"Ort 10;54,34;10,14\r\n')  # a quote that nobody closes
    writer.writerow(["Ort 11", "54,35", "10,15", "11", "11", "Typ 2", "1", "2025-01-31", "W\udcfcrke", *others])
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", "surrogateescape")


HOSTILE_MAP = (
    "name=Ladeort,lat=Breite,lon=Länge,id=Nr,power_kw=Leistung,connector=Stecker,evses=Punkte,updated=Stand,"
    "operator=Betreiber"
)


def test_a_table_with_all_ills_at_once_is_survived_with_a_report() -> None:
    stations, report = read_csv(hostile(), HOSTILE_MAP, delimiter=";", decimal=",", country="DEU")
    by_id = {each.location_id: each for each in stations}
    assert list(by_id) == ["1", "2", "3", "8", "9", "11"]
    assert (by_id["2"].name, by_id["2"].last_updated_ms) == ("Am Hafen 3", 0)
    assert plugs(by_id["1"]) == [[("IEC_62196_T2", 22.0)]] * 2
    assert plugs(by_id["8"]) == [[("UNKNOWN", None)]]
    assert (by_id["3"].lat, by_id["3"].lon) == (10.1, 54.3), "a suspicion is no knowledge"
    assert by_id["11"].operator == "W\ufffdrke"
    assert len(by_id["9"].name or "") == 512
    assert Counter((row.id, row.reason, row.outcome) for row in report.rows) == Counter(
        [
            ("2", Reason.IMPOSSIBLE_TIMESTAMP, DROPPED),
            ("3", Reason.SWAPPED, KEPT),
            ("4", Reason.OUT_OF_RANGE, SKIPPED),
            ("5", Reason.NO_COORDINATES, SKIPPED),
            ("6", Reason.ZERO_COORDINATES, SKIPPED),
            ("7", Reason.ZERO_COORDINATES, SKIPPED),
            ("1", Reason.REPEATED_ROW, DROPPED),
            ("1", Reason.DUPLICATE_LOCATION, SKIPPED),
            (None, Reason.NO_ID, SKIPPED),
            ("8", Reason.IMPLAUSIBLE_POWER, DROPPED),
            ("8", Reason.UNNAMED_PLUG, KEPT),
            ("8", Reason.WRONG_TYPE, DROPPED),
            ("8", Reason.BAD_TIMESTAMP, DROPPED),
            ("9", Reason.CONTROL_CHARACTERS, KEPT),
            ("9", Reason.MARKUP, KEPT),
            ("9", Reason.TEXT_CUT, KEPT),
            (None, Reason.NOT_CSV, SKIPPED),
            (None, Reason.ENCODING, KEPT),
        ]
    )
    assert all(row.line for row in report.rows)
    lines = hostile().decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    for row in report.rows:
        if row.reason is Reason.IMPOSSIBLE_TIMESTAMP:
            assert row.line is not None
            assert lines[row.line - 1].startswith('"Am'), "the line on which the row begins"
    assert_writable(report)


@pytest.mark.parametrize("raw", [b"", b"\n\n ", b"Name;Lat\n", b"<html>", bytes(range(256)), b"\xff\xfe", b"\x00" * 99])
def test_files_that_are_unreadable_as_a_whole(raw: bytes) -> None:
    with pytest.raises(UnreadableFile):
        read_csv(raw, MAP)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "idna", "punycode", "cp037"])
def test_a_file_that_is_not_in_the_encoding_is_unreadable_or_has_no_heading(encoding: str) -> None:
    with pytest.raises(UnreadableFile):
        read_csv(HEADING.encode() + b"1,x,54,10,,,0\n\xff\xfe\xfa", MAP, encoding=encoding)


CELLS = st.text(max_size=10) | st.sampled_from(
    ['"', '"a', "54.3", "1e400", "0000-00-00", "CCS,CCS", "-0", "\x00", "\r", "99999999999"]
)


@given(
    st.lists(st.lists(CELLS, max_size=9), max_size=6),
    st.sampled_from([None, ",", "."]),
    st.sampled_from([None, "DEU"]),
)
@settings(max_examples=200)
def test_rows_of_any_cells_end_in_stations_or_a_report(
    rows: list[list[str]], decimal: str | None, land: str | None
) -> None:
    text = HEADING + "".join(",".join(row) + "\n" for row in rows)
    options = CsvOptions(column_map(MAP), decimal=decimal, country=land)
    report = Report()
    raw = text.encode("utf-8", "replace")
    for located in csv_register.parse(io.BytesIO(raw), party="list", options=options, report=report):
        assert_fit(located)
    assert report.summary()


@given(st.binary(max_size=300), st.sampled_from(["utf-8", "utf-16", "cp1252", "shift_jis", "utf-7"]))
@settings(max_examples=200)
def test_a_file_of_any_bytes(noise: bytes, encoding: str) -> None:
    for raw in (noise, (HEADING + "1,x,54,10,,,1\n").encode(encoding) + noise):
        try:
            read_csv(raw, MAP, encoding=encoding)
        except UnreadableFile as error:
            assert error.reason


# ---------------------------------------------------------------- the real table


def test_the_german_fast_chargers_count_as_a_plain_reading_of_them(shared_data: Path) -> None:
    name = "de/fast_chargers_2026-02-20.csv.gz"
    with gzip.open(shared_data / name, "rt", encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    report = Report()
    stations = {each.station.location_id: each.station for each in data_tables.read_register(shared_data, name, report)}
    assert (len(rows), len(stations)) == (16_485, 16_451)
    said: dict[str, set[tuple[int, float | None]]] = {}
    for row in rows:
        power = float(row["max_individual_power_kw"])
        entry = int(row["charging_points_count"]), power if 1 <= power <= 1000 else None
        said.setdefault(row["station_id"], set()).add(entry)
    assert stations.keys() == said.keys()
    for key, entries in said.items():
        evses = stations[key].evses
        assert len(evses) == sum(count for count, _ in entries)
        assert {plug.power_kw for evse in evses for plug in evse.connectors} == {power for _, power in entries}
    implausible = sum(float(row["max_individual_power_kw"]) > 1000 for row in rows)
    assert report.by_reason[Reason.IMPLAUSIBLE_POWER] == implausible == 2_524
    first = {row["station_id"]: row for row in reversed(rows)}
    for key, station in stations.items():
        assert (station.lat, station.lon) == (float(first[key]["lat"]), float(first[key]["lon"]))
        assert station.operator == " ".join(first[key]["operator"].split())
