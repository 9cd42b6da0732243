"""OCPI Location (2.2.1 §8.3.1; also 2.1.1's and 2.2's) to `geo.station.Located`."""

from __future__ import annotations

import re
from typing import NamedTuple

from geo.station import Evse, Located, Station
from geo.zones import find_offsets
from mapsvc.importers import countries
from mapsvc.importers.item import DROPPED, KEPT, SKIPPED, Item, Need
from mapsvc.importers.links import IMAGES_LIMIT, read_images, read_url
from mapsvc.importers.ocpi_dialects import adapt_location, opening_prose
from mapsvc.importers.ocpi_evse import read_directions, read_evses
from mapsvc.importers.ocpi_hours import read_hours
from mapsvc.importers.position import doubt_position, read_position
from mapsvc.importers.report import Reason
from mapsvc.importers.values import clean_text, parse_boolean
from mapsvc.importers.vocabulary import FACILITY, PARKING_TYPE

_COUNTRY_CODE = re.compile(r"[A-Z]{2}")
_PARTY_ID = re.compile(r"[A-Z0-9]{3}")  # ISO 15118-2: three letters or digits


def read_location(item: Item, party: str | None, source: str) -> Located | None:
    """The station, or None (noted) when it has no id, no party or no position."""
    adapt_location(item)
    location_id = item.identifier("id")
    item.faults.id = location_id
    if location_id is None:
        item.fault("id", Reason.NO_ID, SKIPPED, "required: text of at most 36 characters")
    party = _read_party(item, party)
    position = read_position(item, SKIPPED, required=True)
    country = _read_country(item)
    if position:
        home = countries.alpha3(party[:2]) if party and "*" in party else None
        doubt_position(item.faults, item.at("coordinates"), position, country, home)
    parts = read_evses(item)
    operator = _read_business(item, "operator")
    station = Station(
        party=party or "",
        location_id=location_id or "",
        lat=position[0] if position else 0.0,
        lon=position[1] if position else 0.0,
        last_updated_ms=_read_last_updated_ms(item, parts.evses),
        evses=parts.evses,
        publish=_read_publish(item),
        name=item.text("name"),
        address=item.text("address", Need.EXPECTED),
        city=item.text("city", Need.EXPECTED),
        postal_code=item.text("postal_code", limit=32),
        state=item.text("state", limit=64),
        country=country,
        parking_type=_read_parking_type(item),
        operator=operator.name,
        suboperator=_read_business(item, "suboperator").name,
        owner=_read_business(item, "owner").name,
        operator_website=operator.website,
        operator_phone=operator.phone or item.text("help_phone", limit=64),
        facilities=item.words("facilities", FACILITY),
        time_zone=_read_time_zone(item),
        opening_times=read_hours(hours) if (hours := item.child("opening_times")) else None,
        opening_times_text=_read_opening_prose(item),
        charging_when_closed=item.boolean("charging_when_closed"),
        directions=read_directions(item),
        images=tuple(dict.fromkeys((*read_images(item), *parts.images)))[:IMAGES_LIMIT],
        green_energy=mix.boolean("is_green_energy") if (mix := item.child("energy_mix")) else None,
        source=source,
    )
    known = location_id is not None and party is not None and position is not None
    return Located(station, parts.reports) if known else None


def _read_party(item: Item, party: str | None) -> str | None:
    """`country_code` and `party_id`, else the party given for the whole document."""
    told = []
    for name, pattern, allowed in (
        ("country_code", _COUNTRY_CODE, "two letters (ISO 3166-1 alpha-2)"),
        ("party_id", _PARTY_ID, "three letters or digits"),
    ):
        text = item.text(name, limit=64)
        code = text.upper() if text else None
        if code is None or pattern.fullmatch(code):
            told.append(code)
        else:
            told.append(None)
            item.fault(name, Reason.WRONG_TYPE, DROPPED, allowed, code)
    country_code, party_id = told
    if country_code and party_id:
        return f"{country_code}*{party_id}"
    if party is None:
        item.fault("party_id", Reason.NO_PARTY, SKIPPED, "required: country_code and party_id")
        return None
    return party.upper() if "*" in party else party.lower()


def _read_last_updated_ms(item: Item, evses: tuple[Evse, ...]) -> int:
    """§8.3.1: a change of an EVSE or connector changes its location's `last_updated` too. So the newest stamp of the
    parts is the least that the location's can be; where nothing is dated, 0, which any dated version supersedes."""
    told_ms = item.instant_ms("last_updated", Need.REQUIRED if item.faults.strict else Need.OPTIONAL)
    if told_ms is not None:
        return told_ms
    stamps = [evse.last_updated_ms for evse in evses]
    stamps += [connector.last_updated_ms for evse in evses for connector in evse.connectors]
    newest_ms = max((stamp for stamp in stamps if stamp), default=0)
    item.remark("last_updated", Reason.NO_LAST_UPDATED, KEPT, f"taken from its parts: {newest_ms} ms")
    return newest_ms


def _read_publish(item: Item) -> bool:
    """Absent is true: 2.1.1 has no such field, its locations are public. What cannot be read is false: a wish to hide
    that we do not understand is still one."""
    raw = item.get("publish")
    if raw is None:
        if item.get("party_id") is not None:  # 2.2 and later
            item.missing("publish", Need.REQUIRED, "true or false")
        return True
    item.boolean("publish")  # notes what is not a boolean
    return parse_boolean(raw) is True


def _read_country(item: Item) -> str | None:
    text = item.text("country", Need.EXPECTED)
    if text is None:
        return None
    code = countries.alpha3(text)
    if code != text:
        reason, outcome = (Reason.SPELLING, KEPT) if code else (Reason.UNKNOWN_COUNTRY, DROPPED)
        item.fault("country", reason, outcome, "an ISO 3166-1 alpha-3 code", text)
    return code


def _read_parking_type(item: Item) -> str | None:
    name = "parking_type" if item.get("parking_type") is not None else "type"  # 2.1.1
    if name == "type" and item.get("type") in ("OTHER", "UNKNOWN"):  # 2.1.1's words for none
        return None
    return item.word(name, PARKING_TYPE)


class _Business(NamedTuple):
    name: str | None = None
    website: str | None = None
    phone: str | None = None


def _read_business(item: Item, name: str) -> _Business:
    """BusinessDetails (§8.4.2). A bare text stands for the name."""
    if isinstance(item.get(name), str):
        item.fault(name, Reason.WRONG_TYPE, KEPT, "an object with a name")
        return _Business(item.text(name))
    business = item.child(name)
    if business is None:
        return _Business()
    phone = business.text("phone", limit=64) or business.text("phone_number", limit=64)
    return _Business(business.text("name"), read_url(business, "website"), phone)


def _read_time_zone(item: Item) -> str | None:
    zone = item.text("time_zone")
    if zone is None or find_offsets(zone) is not None:
        return zone
    item.fault("time_zone", Reason.UNKNOWN_TIME_ZONE, DROPPED, 'an IANA time zone, like "Europe/Oslo"', zone)
    return None


def _read_opening_prose(item: Item) -> str | None:
    prose = opening_prose(item)
    text = clean_text(prose)[0] if prose else None
    if text:
        item.remark("opening_hours", Reason.UNREADABLE_HOURS, KEPT, text)
    return text
