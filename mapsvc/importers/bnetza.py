"""The German register of charging points (Ladesäulenregister der Bundesnetzagentur), as spreadsheet.

A row is one charging device ("Ladeeinrichtung") with its points side by side: `Steckertypen1`, `P1 [kW]`, … Devices of
one operator at one address and position are one station. The editions differ in their columns; those of 2019 number
nothing, later ones name devices and points. The register has no status: stations come without reports, which is UNKNOWN.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import BinaryIO, NamedTuple

from geo.point import LatLon
from geo.station import Evse, Located, Station
from mapsvc.importers import opening_hours
from mapsvc.importers.bnetza_points import Columns, point_columns, read_points
from mapsvc.importers.bnetza_sheet import Cells, sheet_rows
from mapsvc.importers.item import KEPT, Faults
from mapsvc.importers.position import read_cells
from mapsvc.importers.report import Reason, Report, UnreadableFile
from mapsvc.importers.table import RowItem
from mapsvc.importers.values import parse_number

PARTY = "bnetza"
COUNTRY = "DEU"
CODE_LENGTH = 5  # of a postal code
CODES_FROM_0 = frozenset(("Brandenburg", "Sachsen", "Sachsen-Anhalt", "Thüringen"))  # where some begin with 0
PREAMBLE_ROWS = 50  # titles and dates above the heading, at most

LAT, LON = "breitengrad", "längengrad"
_PLACE = re.compile(r"(\d{4,6})\s+(\S.*)")
_AS_OF = re.compile(r"Stand\D{0,12}(\d{1,2})\.(\d{1,2})\.(20\d\d)")


class _Device(NamedTuple):
    """A row. `sort` makes the order of devices within a station that of their contents, not that of the file."""

    row: RowItem
    location_id: str
    position: LatLon
    sort: tuple[str, ...]
    evses: tuple[Evse, ...]


def parse(source: BinaryIO, *, report: Report) -> Iterator[Located]:
    """The stations of a register. Raises `UnreadableFile` before any station."""
    rows = sheet_rows(source)
    as_of_ms = 0
    for number, cells in rows:
        names = [_name(cell) for cell in cells]
        if LAT in names and LON in names:
            break
        as_of_ms = as_of_ms or _as_of_ms(cells)
        if number > PREAMBLE_ROWS:
            raise UnreadableFile("no heading with the columns Breitengrad and Längengrad")
    else:
        raise UnreadableFile("no heading with the columns Breitengrad and Längengrad")
    if not as_of_ms:
        report.add("", None, "Stand", Reason.NO_LAST_UPDATED, KEPT, "no date above the heading", number)
    stations: dict[str, list[_Device]] = {}
    for device in _devices(rows, cells, names, report):
        stations.setdefault(device.location_id, []).append(device)
    return iter([Located(_station(group, as_of_ms)) for group in stations.values()])


def _name(heading: str) -> str:
    """ "Längengrad [DG]" is "längengrad"; the unit of a power is part of no name either."""
    return " ".join(re.sub(r"\[.*?\]", "", heading).split()).casefold()


def _as_of_ms(cells: Sequence[str]) -> int:
    match = _AS_OF.search(" ".join(cells))
    if match is None:
        return 0
    day, month, year = (int(part) for part in match.groups())
    try:
        return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1000
    except ValueError:  # the 31st of June
        return 0


def _devices(rows: Iterator[tuple[int, Cells]], heading: Cells, names: list[str], report: Report) -> Iterator[_Device]:
    told = dict(zip(reversed(names), reversed(heading), strict=True))
    columns = point_columns(names)
    for number, cells in rows:
        cells += [""] * (len(names) - len(cells))
        row = RowItem.row(
            Faults(report, line=number), dict(zip(reversed(names), reversed(cells[: len(names)]), strict=True)), told
        )
        device = _device(row, cells, columns)
        if device is not None:
            yield device


def _device(row: RowItem, cells: Cells, columns: list[Columns]) -> _Device | None:
    lat, lon = parse_number(row.get(LAT)), parse_number(row.get(LON))
    row.faults.id = location_id = _location_id(row, lat, lon)
    position = read_cells(row, (LAT, lat), (LON, lon), (COUNTRY,))
    if position is None:
        return None
    if not row.cell("betreiber"):
        row.remark("betreiber", Reason.MISSING, KEPT)
    sort = (row.cell("ladeeinrichtungs-id"), row.cell("inbetriebnahmedatum"), *cells)
    return _Device(row, location_id, position, sort, read_points(row, columns))


def _location_id(row: RowItem, lat: float | None, lon: float | None) -> str:
    """What makes devices one station: the register has no id of places. A place that moves is another one."""
    columns = ("betreiber", "adresse", "strasse", "hausnummer", "postleitzahl ort", "postleitzahl", "ort")
    words = (" ".join(row.cell(column).split()).casefold() for column in columns)
    said = "\n".join((*words, repr(lat), repr(lon)))
    return hashlib.blake2b(said.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _station(group: list[_Device], as_of_ms: int) -> Station:
    devices = sorted(group, key=lambda device: device.sort)
    row, position = devices[0].row, devices[0].position
    postal_code, city = _place(row)
    street = (row.text("adresse"), row.text("strasse"), row.text("hausnummer"))
    hours_text = row.text("öffnungszeiten")
    hours = opening_hours.parse(hours_text) if hours_text else None
    return Station(
        party=PARTY,
        location_id=devices[0].location_id,
        lat=position.lat,
        lon=position.lon,
        last_updated_ms=as_of_ms,
        evses=_evses(devices),
        name=row.text("anzeigename (karte)"),
        address=" ".join(part for part in street if part) or None,
        city=city,
        postal_code=postal_code,
        state=row.text("bundesland"),
        country=COUNTRY,
        operator=row.text("betreiber"),
        opening_times=hours,
        opening_times_text=hours_text if hours is None else None,
        source="bnetza",
    )


def _place(row: RowItem) -> tuple[str | None, str | None]:
    """Postal code and town, from one column ("68159 Mannheim") or two. German codes have five digits."""
    code, city = row.text("postleitzahl"), row.text("ort")
    column = "postleitzahl"
    if code is None and city is None:
        column = "postleitzahl ort"
        both = row.text(column)
        match = _PLACE.fullmatch(both or "")
        if match is None:
            return None, both
        code, city = match[1], match[2]
    if code is not None and not (len(code) == CODE_LENGTH and code.isdecimal()):
        lost = len(code) == CODE_LENGTH - 1 and code.isdecimal() and row.cell("bundesland") in CODES_FROM_0
        row.remark(column, Reason.LEADING_ZEROS if lost else Reason.UNKNOWN_VALUE, KEPT, code)
        code = f"0{code}" if lost else code
    return code, city


def _evses(devices: list[_Device]) -> tuple[Evse, ...]:
    """Points in the order of devices; what has no id of its own, or one that is taken, is `#k`."""
    points = [evse for device in devices for evse in device.evses]
    taken: set[str] = set()
    told = {evse.uid.casefold() for evse in points}
    free = (uid for k in count(1) if (uid := f"#{k}") not in told)
    named: list[Evse] = []
    for evse in points:
        uid = evse.uid if evse.uid and evse.uid.casefold() not in taken else next(free)
        taken.add(uid.casefold())
        named.append(Evse(uid, evse_id=evse.evse_id, connectors=evse.connectors))
    return tuple(named)
