"""The one door for positions of imported stations: finite, in range, not the placeholder 0, 0 (OCPI 2.2.1 §8.4.13)."""

from __future__ import annotations

from collections.abc import Collection

from geo.point import LatLon
from mapsvc.importers import countries
from mapsvc.importers.item import KEPT, SKIPPED, Faults, Item, shown
from mapsvc.importers.report import Outcome, Reason
from mapsvc.importers.values import parse_number

ALLOWED_LAT = 'a decimal text from "-90" to "90", like "50.770774"'
ALLOWED_LON = 'a decimal text from "-180" to "180", like "-126.104965"'


def read_position(item: Item, outcome: Outcome, *, required: bool) -> LatLon | None:
    """`coordinates` of a location or an EVSE; `outcome` is what a bad one costs."""
    place = item.child("coordinates")
    if place is None:
        if required:
            item.fault("coordinates", Reason.NO_COORDINATES, outcome, "required: an object of latitude and longitude")
        return None
    lat_raw, lon_raw = place.get("latitude"), place.get("longitude")
    lat, lon = parse_number(lat_raw), parse_number(lon_raw)
    for name, raw, value, allowed in (
        ("latitude", lat_raw, lat, ALLOWED_LAT),
        ("longitude", lon_raw, lon, ALLOWED_LON),
    ):
        if value is None:
            absent = raw is None or raw == ""
            reason = Reason.NO_COORDINATES if absent else Reason.BAD_COORDINATES
            place.fault(name, reason, outcome, allowed, "" if absent else shown(raw))
    if lat is None or lon is None:
        return None
    if not isinstance(lat_raw, str) or not isinstance(lon_raw, str):
        place.fault("latitude", Reason.NUMERIC_COORDINATES, KEPT, ALLOWED_LAT, f"{shown(lat_raw)}, {shown(lon_raw)}")
    return check_range(place.faults, place.pointer, lat, lon, outcome)


def check_range(faults: Faults, pointer: str, lat: float, lon: float, outcome: Outcome) -> LatLon | None:
    """The position if it is one on Earth, and not 0, 0."""
    if abs(lat) <= 90 and abs(lon) <= 180:
        if lat != 0 or lon != 0:
            return LatLon.of(lat, lon)
        faults.fault(pointer, Reason.ZERO_COORDINATES, outcome, "a position other than 0, 0", f"{lat}, {lon}")
        return None
    swapped = "; in range if swapped" if abs(lon) <= 90 and abs(lat) <= 180 else ""
    detail = f"latitude {lat}, longitude {lon}{swapped}"
    if abs(lat) > 90:
        faults.fault(f"{pointer}/latitude", Reason.OUT_OF_RANGE, outcome, ALLOWED_LAT, detail)
    if abs(lon) > 180:
        faults.fault(f"{pointer}/longitude", Reason.OUT_OF_RANGE, outcome, ALLOWED_LON, detail)
    return None


def doubt_position(
    faults: Faults, pointer: str, position: LatLon, country: str | None, home: str | None = None
) -> None:
    """Reports a position that lies outside its country. It stays as told: a suspicion is no knowledge.

    `home`, the operator's country, stands in where no country is told, but only to find swapped coordinates: operators
    do build abroad.
    """
    named = country or home
    reason = countries.doubt(*position, named) if named else None
    if reason and (country or reason is Reason.SWAPPED):
        faults.remark(pointer, reason, KEPT, f"{position[0]}, {position[1]}; country {named}")


def read_cells(
    item: Item,
    lat: tuple[str, float | None],
    lon: tuple[str, float | None],
    accepted: Collection[str],
) -> LatLon | None:
    """The position in two cells of a table, each with its column and the number read from it; None (noted): skipped.

    `accepted`: the countries (alpha-3) that the row or the register is about, one of which the position should be in. A
    single coordinate of exactly 0 outside of them is a placeholder; inside (Greenwich) it is a place like any other.
    """
    for column, value in (lat, lon):
        if value is None:
            raw = item.get(column)
            absent = raw is None or not str(raw).strip()
            reason = Reason.NO_COORDINATES if absent else Reason.BAD_COORDINATES
            item.remark(column, reason, SKIPPED, "" if absent else shown(raw))
    if lat[1] is None or lon[1] is None:
        return None
    detail = f"{lat[1]}, {lon[1]}"
    beyond = [column for (column, value), most in ((lat, 90), (lon, 180)) if abs(value or 0) > most]
    swapped = "; in range if swapped" if abs(lon[1]) <= 90 and abs(lat[1]) <= 180 else ""
    for column in beyond:
        item.remark(column, Reason.OUT_OF_RANGE, SKIPPED, detail + swapped)
    if beyond:
        return None
    position, pointer = LatLon.of(lat[1], lon[1]), item.at(lat[0])
    if position == (0, 0):
        item.faults.remark(pointer, Reason.ZERO_COORDINATES, SKIPPED, detail)
        return None
    zero = position.lat == 0 or position.lon == 0
    doubts = [countries.doubt(*position, country) for country in accepted]
    if zero and not doubts:
        item.faults.remark(pointer, Reason.ZERO_COORDINATES, KEPT, detail)
    elif doubts and None not in doubts:
        if zero:
            item.faults.remark(pointer, Reason.ZERO_COORDINATES, SKIPPED, detail)
            return None
        reason = Reason.SWAPPED if Reason.SWAPPED in doubts else Reason.OUTSIDE_COUNTRY
        item.faults.remark(pointer, reason, KEPT, f"{detail}; country {' or '.join(accepted)}")
    return position
