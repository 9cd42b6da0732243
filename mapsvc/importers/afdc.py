"""The register of the US Department of Energy, AFDC: one row a station of the United States or Canada.

Its full table (75 columns) and any extract of it that keeps the names of its columns, a plain list of names, positions
and ids too. Column names are those of https://afdc.energy.gov/data_download, in any case; the API writes them with
underscores. The register has no status: stations come without reports, which is UNKNOWN and never AVAILABLE.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from geo.point import LatLon
from geo.station import DisplayText, Located, Station
from mapsvc.importers import countries, us_hours
from mapsvc.importers.afdc_points import COUNTS, read_evses
from mapsvc.importers.afdc_words import FACILITIES, PARKING_TYPES
from mapsvc.importers.item import DROPPED, KEPT, SKIPPED, Faults
from mapsvc.importers.links import read_url
from mapsvc.importers.position import read_cells
from mapsvc.importers.repeated import newest
from mapsvc.importers.report import Reason, Report
from mapsvc.importers.table import RowItem, read_table
from mapsvc.importers.values import parse_instant_ms, parse_number

PARTY = "afdc"
HOMES = ("USA", "CAN")  # where its stations are, those of a list without the column Country too
NEEDED = frozenset(("id", "latitude", "longitude"))
NO_ANSWER = frozenset(("na", "n/a", "none", "-"))
NOT_NETWORKED = "non-networked"
ZIP_LENGTH = 5


class _Box(NamedTuple):
    south: float
    west: float
    north: float
    east: float

    def contains(self, position: LatLon) -> bool:
        return self.south <= position.lat <= self.north and self.west <= position.lon <= self.east


CODES_FROM_0 = (_Box(38.8, -75.6, 47.5, -66.9), _Box(17.6, -68.0, 18.6, -64.5))
"""Where postal codes begin with 0: from New Jersey to Maine, Puerto Rico and the Virgin Islands."""


def parse(source: BinaryIO, *, report: Report) -> Iterator[Located]:
    """The stations of a register. Raises `UnreadableFile` before any station."""
    table = read_table(source, report, lambda cells: {_name(cell) for cell in cells} >= NEEDED)
    told: dict[str, str] = {}
    places: dict[str, int] = {}
    for place, column in enumerate(table.columns):
        places.setdefault(_name(column), place)
        told.setdefault(_name(column), column)
    counted = not places.keys().isdisjoint(COUNTS)
    if not counted:  # once, not at each of 50,000 rows
        detail = "no columns that count charging points: the stations have none"
        report.add("", None, COUNTS[0], Reason.MISSING, KEPT, detail, table.heading_line)

    def stations() -> Iterator[tuple[Faults, str, Station]]:
        for line, cells in table.rows:
            faults = Faults(report, line=line)
            row = RowItem.row(faults, {name: cells[place] for name, place in places.items()}, told)
            if row.cell("fuel type code").upper() not in ("", "ELEC"):
                continue  # the register is of all alternative fuels
            station = _station(row, counted)
            if station is not None:
                yield faults, row.at("id"), station

    return iter([Located(station) for station in newest(stations())])


def _name(column: str) -> str:
    return re.sub(r"[\s_]+", " ", column.strip()).casefold()


def _station(row: RowItem, counted: bool) -> Station | None:
    location_id = row.identifier("id")
    row.faults.id = location_id
    if location_id is None:
        row.fault("id", Reason.NO_ID, SKIPPED, "required")
        return None
    country = _country(row)
    position = read_cells(
        row,
        ("latitude", parse_number(row.get("latitude"))),
        ("longitude", parse_number(row.get("longitude"))),
        (country,) if country in HOMES else HOMES,
    )
    if position is None:
        return None
    network, price, facility = _answer(row, "ev network"), row.text("ev pricing"), row.cell("facility type").upper()
    hours_text = row.text("access days time")
    hours, remark = us_hours.read(hours_text or "")
    if hours_text and hours is None:
        row.remark("access days time", Reason.UNREADABLE_HOURS, KEPT, hours_text)
    directions = row.text("intersection directions")
    return Station(
        party=PARTY,
        location_id=location_id,
        lat=position.lat,
        lon=position.lon,
        last_updated_ms=_updated_ms(row),
        evses=read_evses(row) if counted else (),
        publish=_is_public(row),
        name=row.text("station name"),
        address=row.text("street address"),
        city=row.text("city"),
        postal_code=_postal_code(row, country, position),
        state=row.text("state"),
        country=country,
        parking_type=PARKING_TYPES.get(facility),
        operator=None if network and network.casefold() == NOT_NETWORKED else network,
        operator_website=read_url(row, "ev network web"),
        operator_phone=_answer(row, "station phone"),
        facilities=(FACILITIES[facility],) if facility in FACILITIES else (),
        opening_times=hours,
        # Whom "24 hours daily; guest use only" is for stays to be read beside the hours.
        opening_times_text=hours_text if hours is None or remark else None,
        directions=(DisplayText("en", directions),) if directions else (),
        free_of_charge=True if price and price.casefold() == "free" else None,
        price_text=price,
        access_text=_access(row),
        source="afdc",
    )


def _answer(row: RowItem, name: str) -> str | None:
    text = row.text(name)
    return None if text is None or text.casefold() in NO_ANSWER else text


def _country(row: RowItem) -> str | None:
    told = row.cell("country")
    country = countries.alpha3(told) if told else None
    if told and country is None:
        row.remark("country", Reason.UNKNOWN_COUNTRY, DROPPED, told)
    return country


def _postal_code(row: RowItem, country: str | None, position: LatLon) -> str | None:
    """US codes have five digits; a spreadsheet took the zeros from those of New England, New Jersey and Puerto Rico.
    Elsewhere another digit is missing, and which one is not known."""
    code = row.text("zip")
    if code is None or not code.isdecimal() or len(code) >= ZIP_LENGTH or country not in (None, "USA"):
        return code
    if len(code) >= 3 and any(box.contains(position) for box in CODES_FROM_0):
        row.remark("zip", Reason.LEADING_ZEROS, KEPT, code)
        return code.zfill(ZIP_LENGTH)
    row.remark("zip", Reason.UNKNOWN_VALUE, KEPT, code)
    return code


def _is_public(row: RowItem) -> bool:
    """E: available. T: temporarily unavailable, which is shown and said. P: planned. Private ones serve fleets only."""
    status = row.cell("status code").upper()
    if status not in ("", "E", "P", "T"):
        row.remark("status code", Reason.UNKNOWN_VALUE, DROPPED, status)
    if status == "P":
        row.remark(
            "status code", Reason.NOT_IN_SERVICE, KEPT, f"planned for {row.cell('expected date') or 'some time'}"
        )
    access = row.cell("access code") or row.cell("groups with access code")
    return status != "P" and not access.casefold().startswith("private")


def _access(row: RowItem) -> str | None:
    words = [row.text("groups with access code") or (row.cell("access code").capitalize() or None)]
    if row.cell("restricted access").casefold() == "true":
        words.append("access is restricted")
    if row.cell("status code").upper() == "T":
        words.append("temporarily unavailable")
    return "; ".join(word for word in words if word) or None


def _updated_ms(row: RowItem) -> int:
    """ "2025-02-12 00:16:32 UTC", else the date last confirmed; 0 where the list has neither column."""
    reasons: Sequence[Reason] = ()
    for name, suffix in (("updated at", ""), ("date last confirmed", "T00:00:00Z")):
        told = row.cell(name)
        if told:
            told_ms, reasons = parse_instant_ms(told.removesuffix(" UTC") + suffix)
            if told_ms is not None:
                return told_ms
            row.remark(name, reasons[0], DROPPED, told)
    if "updated at" in row.members:
        row.remark("updated at", Reason.NO_LAST_UPDATED, KEPT)
    return 0
