"""Tables of our own for the tests of registers, and how they are read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import openpyxl

from geo.station import Station
from mapsvc.importers import afdc, bnetza, csv_register
from mapsvc.importers.csv_options import CsvOptions, column_map
from mapsvc.importers.report import Report


def csv_bytes(rows: Sequence[Mapping[str, object]], delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(encoding)


def xlsx_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


AFDC_ROW = {
    "Fuel Type Code": "ELEC",
    "Station Name": "Harbor Deck",
    "Street Address": "1 Pier Rd",
    "Intersection Directions": "Second floor",
    "City": "Portland",
    "State": "ME",
    "ZIP": "04101",
    "Station Phone": "555-0100",
    "Status Code": "E",
    "Expected Date": "",
    "Groups With Access Code": "Public",
    "Access Days Time": "24 hours daily",
    "Cards Accepted": "",
    "EV Level1 EVSE Num": "",
    "EV Level2 EVSE Num": "2",
    "EV DC Fast Count": "1",
    "EV Network": "Lumen",
    "EV Network Web": "https://lumen.example",
    "Latitude": "43.6567",
    "Longitude": "-70.2500",
    "Date Last Confirmed": "2025-01-31",
    "ID": "7001",
    "Updated At": "2025-02-01 10:00:00 UTC",
    "EV Connector Types": "J1772 J1772COMBO CHADEMO",
    "Country": "US",
    "Access Code": "public",
    "Facility Type": "PARKING_GARAGE",
    "EV Pricing": "$0.30 per kWh",
    "Restricted Access": "false",
}


def afdc_row(**changes: str) -> dict[str, str]:
    """`AFDC_ROW` with cells replaced; underscores in a keyword are blanks of the column's name."""
    by_name = {name.casefold(): name for name in AFDC_ROW}
    return AFDC_ROW | {by_name[name.replace("_", " ").casefold()]: value for name, value in changes.items()}


def read_afdc(*rows: Mapping[str, object]) -> tuple[list[Station], Report]:
    report = Report()
    return [each.station for each in afdc.parse(io.BytesIO(csv_bytes(rows)), report=report)], report


BNETZA_HEADING = (
    "Betreiber", "Adresse", "Postleitzahl Ort", "Bundesland", "Längengrad [DG]", "Breitengrad [DG]",
    "Inbetriebnahmedatum", "Anschlussleistung [kW]", "Art der Ladeeinrichtung", "Anzahl Ladepunkte",
    "Steckertypen1", "P1 [kW]", "Public Key1", "Steckertypen2", "P2 [kW]", "Public Key2",
)  # fmt: skip
BNETZA_PREAMBLE: tuple[Sequence[object], ...] = (("Ladesäulenregister",), (), ("Stand: 19.07.2019",), ())
BNETZA_ROW: dict[str, Any] = dict(
    zip(
        BNETZA_HEADING,
        (
            "Stadtwerke Musterstadt", "Am Kanal 3", "24103 Kiel", "Schleswig-Holstein", 10.1332, 54.3203,
            date(2018, 5, 1), 72, "Schnellladeeinrichtung", 2,
            "DC Kupplung Combo, DC CHAdeMO", 50, "", "AC Steckdose Typ 2", 22, "",
        ),
        strict=True,
    )
)  # fmt: skip


def bnetza_row(**changes: object) -> dict[str, Any]:
    """`BNETZA_ROW` with cells replaced, by short names."""
    names = {
        "operator": "Betreiber", "address": "Adresse", "place": "Postleitzahl Ort", "state": "Bundesland",
        "lat": "Breitengrad [DG]", "lon": "Längengrad [DG]", "date": "Inbetriebnahmedatum",
        "count": "Anzahl Ladepunkte", "plugs1": "Steckertypen1", "p1": "P1 [kW]", "plugs2": "Steckertypen2",
        "p2": "P2 [kW]",
    }  # fmt: skip
    return BNETZA_ROW | {names[name]: value for name, value in changes.items()}


def read_bnetza(
    *rows: Mapping[str, object], preamble: Iterable[Sequence[object]] = BNETZA_PREAMBLE
) -> tuple[list[Station], Report]:
    report = Report()
    raw = xlsx_bytes([*preamble, list(rows[0]), *(list(row.values()) for row in rows)])
    return [each.station for each in bnetza.parse(io.BytesIO(raw), report=report)], report


def read_csv(raw: bytes, columns: str, **options: Any) -> tuple[list[Station], Report]:
    report = Report()
    told = CsvOptions(column_map(columns), **options)
    located = csv_register.parse(io.BytesIO(raw), party="list", options=told, report=report)
    return [each.station for each in located], report
