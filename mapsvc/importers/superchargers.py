"""Tesla's Superchargers, a JSON list of sites: one object a site, with counts of stalls, plugs and hardware.

The list has no live status: stations come without reports, which is UNKNOWN. It has no address either: a site's name is
its town, and often the house it stands at.
"""

from __future__ import annotations

from collections.abc import Iterator

from geo.station import Located, Station
from mapsvc.importers import countries, ocpi_document
from mapsvc.importers.item import DROPPED, KEPT, SKIPPED, Faults, Item
from mapsvc.importers.position import read_cells
from mapsvc.importers.repeated import newest
from mapsvc.importers.report import Reason, Report
from mapsvc.importers.supercharger_stalls import read_evses
from mapsvc.importers.values import parse_number

PARTY = "superchargers"

OPEN = frozenset(("OPEN", "EXPANDING"))
CLOSED_FOR_NOW = "CLOSED_TEMP"
NOT_IN_SERVICE = frozenset(("CLOSED_PERM", "CONSTRUCTION", "PERMIT", "PLAN", "VOTING"))

# The list names countries in English, and so does ISO 3166 but for a few.
COUNTRIES = {
    name: code
    for code, name in (
        line.split(" ", 1)
        for line in """ARE United Arab Emirates
AUS Australia
AUT Austria
BEL Belgium
BGR Bulgaria
CAN Canada
CHE Switzerland
CHL Chile
CHN China
COL Colombia
CZE Czech Republic
DEU Germany
DNK Denmark
ESP Spain
EST Estonia
FIN Finland
FRA France
GBR United Kingdom
GRC Greece
HKG Hong Kong
HRV Croatia
HUN Hungary
IND India
IRL Ireland
ISL Iceland
ISR Israel
ITA Italy
JOR Jordan
JPN Japan
KAZ Kazakhstan
KOR South Korea
LIE Liechtenstein
LTU Lithuania
LUX Luxembourg
LVA Latvia
MAC Macau
MAR Morocco
MEX Mexico
MYS Malaysia
NLD Netherlands
NOR Norway
NZL New Zealand
PHL Philippines
POL Poland
PRI Puerto Rico
PRT Portugal
QAT Qatar
ROU Romania
SAU Saudi Arabia
SGP Singapore
SRB Serbia
SVK Slovakia
SVN Slovenia
SWE Sweden
THA Thailand
TUR Turkey
TWN Taiwan
UKR Ukraine
USA USA""".splitlines()
    )
}


def parse(raw: bytes, *, report: Report) -> Iterator[Located]:
    """The stations of a list. Raises `UnreadableFile` before any station."""

    def stations() -> Iterator[tuple[Faults, str, Station]]:
        for found in ocpi_document.locations(raw, report):
            faults = Faults(report, line=found.line)
            item = Item.of(faults, found.pointer, found.value)
            station = _station(item) if item else None
            if station is not None:
                yield faults, f"{found.pointer}/id", station

    return iter([Located(station) for station in newest(stations())])


def _station(item: Item) -> Station | None:
    location_id = item.identifier("id")
    item.faults.id = location_id
    if location_id is None:
        item.fault("id", Reason.NO_ID, SKIPPED, "required")
        return None
    country = _country(item)
    lat, lon = parse_number(item.get("lat")), parse_number(item.get("lon"))
    position = read_cells(item, ("lat", lat), ("lon", lon), (country,) if country else ())
    if position is None:
        return None
    status = item.text("status")
    return Station(
        party=PARTY,
        location_id=location_id,
        lat=position.lat,
        lon=position.lon,
        last_updated_ms=0,  # the list tells when a site opened, not when it was looked at
        evses=read_evses(item),
        publish=_is_in_service(item, status),
        name=item.text("name"),
        country=country,
        operator=item.text("network"),
        access_text=_access(item, status),
        source="superchargers",
    )


def _country(item: Item) -> str | None:
    told = item.text("country")
    country = COUNTRIES.get(told) or countries.alpha3(told) if told else None
    if told and country is None:
        item.remark("country", Reason.UNKNOWN_COUNTRY, DROPPED, told)
    return country


def _is_in_service(item: Item, status: str | None) -> bool:
    if status in NOT_IN_SERVICE:
        item.remark("status", Reason.NOT_IN_SERVICE, KEPT, status or "")
        return False
    if status not in OPEN and status != CLOSED_FOR_NOW:
        item.remark("status", Reason.UNKNOWN_VALUE if status else Reason.MISSING, DROPPED, status or "")
    return True


def _access(item: Item, status: str | None) -> str | None:
    others = item.boolean("open_to_others")
    words = ["temporarily closed"] if status == CLOSED_FOR_NOW else []
    if others is not None:
        words.append("open to all makes" if others else "for Tesla vehicles only")
    text = "; ".join(words)
    return text[:1].upper() + text[1:] or None
