"""`import csv`: any table of stations, by a map of its columns.

Rows of one id are one station: registers repeat a station for each plug. What they say again is counted once; what they
say besides is added; where they contradict each other the first row's word stays and is told. The table has no status.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from geo.point import haversine_m
from geo.station import Evse, Located, Station
from mapsvc.importers import opening_hours
from mapsvc.importers.csv_options import CsvOptions, places_of
from mapsvc.importers.csv_row import TEXTS, Part, read_row
from mapsvc.importers.item import DROPPED, KEPT, SKIPPED, Faults
from mapsvc.importers.report import Reason, Report
from mapsvc.importers.table import RowItem, read_table

APART_M = 25.0  # parts of one station further apart are told
ELSEWHERE_M = 250.0  # and from here on they are another station that took the id


def parse(source: BinaryIO, *, party: str, options: CsvOptions, report: Report) -> Iterator[Located]:
    """The stations of a table. Raises `UnreadableFile` before any station."""
    table = read_table(
        source,
        report,
        lambda cells: places_of(options.columns, tuple(cells)) is not None,
        encoding=options.encoding or "utf-8",
        delimiter=options.delimiter,
    )
    places = places_of(options.columns, table.columns) or {}
    if "connector" not in places:  # once, not at each row
        report.add(
            "", None, "connector", Reason.MISSING, KEPT, "no column of plugs: they are UNKNOWN", table.heading_line
        )
    told = {field: table.columns[place] for field, place in places.items()}
    stations: dict[str, list[Part]] = {}
    for line, cells in table.rows:
        row = RowItem.row(Faults(report, line=line), {field: cells[place] for field, place in places.items()}, told)
        part = read_row(row, options)
        if part is not None:
            _add(stations.setdefault(part.location_id.casefold(), []), part)
    return iter([Located(_station(party, parts)) for parts in stations.values()])


def _add(parts: list[Part], part: Part) -> None:
    """Adds a row to its station, unless it repeats a row or lies elsewhere."""
    if not parts:
        parts.append(part)
        return
    row, line = part.row, parts[0].row.faults.line
    apart_m = haversine_m(parts[0].position, part.position)
    if apart_m > ELSEWHERE_M:
        row.remark("id", Reason.DUPLICATE_LOCATION, SKIPPED, f"{apart_m:.0f} m from line {line}, which is kept")
        return
    if apart_m > APART_M:
        row.remark("lat", Reason.POSITIONS_DIFFER, KEPT, f"{apart_m:.0f} m apart")
    same = next((other for other in parts if (other.points, other.plugs) == (part.points, part.plugs)), None)
    if same is not None:
        row.remark("id", Reason.REPEATED_ROW, DROPPED, f"as in line {same.row.faults.line}")
        part = part._replace(points=0)
    parts.append(part)


def _station(party: str, parts: list[Part]) -> Station:
    first = parts[0]
    texts = {field: _agreed(field, parts) for field in TEXTS}
    hours = opening_hours.parse(texts["hours"]) if texts["hours"] else None
    if texts["hours"] and hours is None:
        first.row.remark("hours", Reason.UNREADABLE_HOURS, KEPT, texts["hours"])
    return Station(
        party=party,
        location_id=first.location_id,
        lat=first.position.lat,
        lon=first.position.lon,
        last_updated_ms=max(part.updated_ms for part in parts),
        evses=_evses(parts),
        name=texts["name"],
        address=texts["address"],
        city=texts["city"],
        postal_code=texts["postal_code"],
        state=texts["state"],
        country=next((part.country for part in parts if part.country), None),
        operator=texts["operator"],
        opening_times=hours,
        opening_times_text=texts["hours"] if hours is None else None,
        price_text=texts["price"],
        access_text=texts["access"],
        source="csv",
    )


def _agreed(field: str, parts: list[Part]) -> str | None:
    told = list(dict.fromkeys(text for part in parts if (text := part.texts[field]) is not None))
    if len(told) > 1:
        parts[0].row.remark(field, Reason.CONFLICT, KEPT, f"kept the first of: {' | '.join(told)}")
    return told[0] if told else None


def _evses(parts: list[Part]) -> tuple[Evse, ...]:
    """`#1`, `#2`, …: the table counts points and names none."""
    fitted = [part for part in parts for _ in range(part.points)]
    here = parts[0].position
    return tuple(
        Evse(f"#{number}", connectors=part.plugs)
        if part.position == here
        else Evse(f"#{number}", connectors=part.plugs, lat=part.position.lat, lon=part.position.lon)
        for number, part in enumerate(fitted, 1)
    )
