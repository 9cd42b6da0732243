"""The French register IRVE: one charging point a row, grouped by `id_station_itinerance` into stations.

Rows of one station need not stand together, so all rows are read before the first station comes out; what is kept of a
row is small (its `Evse`, and a `Place` that the rows of a station share). The result depends on the rows alone, not on
their order, except where two rows are equally new and one must go: then the later one stays.

The register has no status: stations come without reports, which is UNKNOWN and never AVAILABLE.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from geo.point import LatLon, haversine_m
from geo.station import Evse, Hours, Located, Station
from mapsvc.importers import opening_hours
from mapsvc.importers.irve_row import COLUMNS, POINT_ID, Place, Point, read_row
from mapsvc.importers.irve_rows import rows
from mapsvc.importers.item import KEPT, SKIPPED, Faults
from mapsvc.importers.position import doubt_position
from mapsvc.importers.report import Outcome, Reason, Report

PARTY = "irve"
COUNTRY = "FRA"
APART_M = 25.0  # points of one station that lie further apart are told; nearer, they are bays of one car park
MIN_OPEN_MIN = 60  # hours of less than this a week ("Mo 00:00-00:01") are a form filled in for the form's sake


def parse(source: bytes | Iterable[bytes], *, report: Report) -> Iterator[Located]:
    """The stations of a register, from its bytes or its lines. Raises `UnreadableFile` before any station."""
    lines = source.splitlines(keepends=True) if isinstance(source, bytes) else source
    points = _newest(_points(lines, report), report)
    stations: dict[str, list[Point]] = {}
    for point in points:
        stations.setdefault(point.place.location_id.casefold(), []).append(point)
    located = (_station(group, report) for group in stations.values())
    return iter([Located(station) for station in located if station])


def _points(lines: Iterable[bytes], report: Report) -> Iterator[Point]:
    places: dict[Place, Place] = {}  # a station's rows mostly agree: one Place for all of them
    for line, row in rows(lines, report):
        point = read_row(Faults(report, line=line), line, row)
        if point:
            yield msgspec.structs.replace(point, place=places.setdefault(point.place, point.place))


def _newest(points: Iterable[Point], report: Report) -> list[Point]:
    """Each point of charge once, in the order of the file; points without an id are all kept."""
    kept: dict[str, Point] = {}
    for point in points:
        key = point.evse.uid.casefold() or f"\n{point.line}"
        before = kept.get(key)
        if before is not None:
            older = (point.date_ms or 0) < (before.date_ms or 0)
            loser, winner = (point, before) if older else (before, point)
            detail = f"{loser.evse.uid}; line {winner.line} is kept"
            _note(report, loser, POINT_ID, Reason.DUPLICATE_POINT, detail, SKIPPED)
            if older:
                continue
        kept[key] = point
    return list(kept.values())


def _station(group: list[Point], report: Report) -> Station | None:
    """The rows of one station, put together; None (noted) when no row has a usable position."""
    points = sorted(group, key=lambda point: (-(point.date_ms or 0), point.evse.uid))
    newest = points[0]
    place = _agreed(points, report)
    if place.position is None:
        _note(report, newest, "coordonneesXY", Reason.NO_COORDINATES, f"{len(points)} points", SKIPPED)
        return None
    _compare_positions(points, place.position, report)
    doubt_position(_faults(report, newest), "/coordonneesXY", place.position, COUNTRY)
    if place.point_count is not None and place.point_count != len(points):
        detail = f"{place.point_count} told, {len(points)} listed"
        _note(report, newest, "nbre_pdc", Reason.POINT_COUNT, detail)
    hours = _hours(place, newest, report)
    return Station(
        party=PARTY,
        location_id=place.location_id,
        lat=place.position.lat,
        lon=place.position.lon,
        last_updated_ms=newest.date_ms or 0,
        evses=_evses(points, place.position, report),
        name=place.name,
        address=place.address,
        city=place.city,
        postal_code=place.postal_code,
        country=COUNTRY,
        parking_type=place.parking_type,
        operator=place.operator,
        suboperator=place.suboperator,
        owner=place.owner,
        operator_phone=place.operator_phone,
        opening_times=hours,
        opening_times_text=place.hours if hours is None else None,
        free_of_charge=place.free_of_charge,
        price_text=place.price_text,
        access_text=place.access_text,
        source="irve",
    )


def _agreed(points: list[Point], report: Report) -> Place:
    """Field by field the newest row's word, and where it has none the next one's; who contradicts is told."""
    places = list(dict.fromkeys(point.place for point in points))
    if len(places) == 1:
        return places[0]
    chosen: dict[str, object] = {}
    for name in ("position", *COLUMNS):
        told = list(dict.fromkeys(value for place in places if (value := getattr(place, name)) is not None))
        chosen[name] = told[0] if told else None
        if len(told) > 1 and name in COLUMNS:
            values = " | ".join(str(value) for value in told)
            _note(report, points[0], COLUMNS[name], Reason.CONFLICT, f"kept the first of: {values}")
    return msgspec.structs.replace(places[0], **chosen)


def _compare_positions(points: list[Point], position: LatLon, report: Report) -> None:
    positions = dict.fromkeys(point.place.position for point in points if point.place.position)
    apart_m = max(haversine_m(position, other) for other in positions)
    if apart_m > APART_M:
        _note(report, points[0], "coordonneesXY", Reason.POSITIONS_DIFFER, f"{apart_m:.0f} m apart")


def _evses(points: list[Point], position: LatLon, report: Report) -> tuple[Evse, ...]:
    """Sorted by uid, so that a register that comes in another order next time is not another register. An EVSE has a
    position of its own where its row's differs from the station's."""
    named: list[Evse] = []
    for number, point in enumerate((point for point in points if not point.evse.uid), 1):
        _note(report, point, POINT_ID, Reason.NO_UID, f"#{number}")
        named.append(_placed(msgspec.structs.replace(point.evse, uid=f"#{number}"), point, position))
    named += [_placed(point.evse, point, position) for point in points if point.evse.uid]
    return tuple(sorted(named, key=lambda evse: evse.uid))


def _placed(evse: Evse, point: Point, position: LatLon) -> Evse:
    own = point.place.position
    return evse if own is None or own == position else msgspec.structs.replace(evse, lat=own.lat, lon=own.lon)


def _hours(place: Place, newest: Point, report: Report) -> Hours | None:
    if place.hours is None:
        return None
    hours = opening_hours.parse(place.hours)
    if hours is None:
        _note(report, newest, "horaires", Reason.UNREADABLE_HOURS, place.hours)
    elif opening_hours.open_minutes(hours) < MIN_OPEN_MIN:
        _note(report, newest, "horaires", Reason.IMPLAUSIBLE_HOURS, place.hours)
        return None
    return hours


def _note(report: Report, point: Point, field: str, reason: Reason, detail: str, outcome: Outcome = KEPT) -> None:
    report.add(f"/{field}", point.place.location_id, field, reason, outcome, detail, point.line)


def _faults(report: Report, point: Point) -> Faults:
    faults = Faults(report, line=point.line)
    faults.id = point.place.location_id
    return faults
