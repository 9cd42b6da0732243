"""The station model: OCPI's Location, EVSE and Connector, reduced to what a driver needs.

Names, enum values and meanings are OCPI 2.2.1's (module Locations, section 8). A `Station` is the *static*
record: statuses live beside it (`StatusReport`), because they change a thousand times as often.
Instants are integers: milliseconds since the Unix epoch, UTC. Absent is `None` or empty, never a guess.
"""

from __future__ import annotations

import zlib
from enum import IntEnum
from typing import Any
from urllib.parse import quote

import msgspec

SHARDS = 16  # fixed in the database for ever: shard(key) decides where a station's rows live


class Status(IntEnum):
    """OCPI 2.2.1 EVSE Status (8.4.22). The integers are our storage codes: append only, never renumber."""

    UNKNOWN = 0
    AVAILABLE = 1
    BLOCKED = 2
    CHARGING = 3
    INOPERATIVE = 4
    OUTOFORDER = 5
    PLANNED = 6
    REMOVED = 7
    RESERVED = 8


class Availability(IntEnum):
    """What a driver asks of a status: can I charge here now?"""

    UNKNOWN = 0
    FREE = 1
    BUSY = 2
    OUT_OF_SERVICE = 3
    GONE = 4  # REMOVED: not shown, not counted


AVAILABILITY: tuple[Availability, ...] = tuple(
    {
        Status.AVAILABLE: Availability.FREE,
        Status.BLOCKED: Availability.BUSY,
        Status.CHARGING: Availability.BUSY,
        Status.RESERVED: Availability.BUSY,
        Status.INOPERATIVE: Availability.OUT_OF_SERVICE,
        Status.OUTOFORDER: Availability.OUT_OF_SERVICE,
        Status.PLANNED: Availability.OUT_OF_SERVICE,
        Status.REMOVED: Availability.GONE,
    }.get(status, Availability.UNKNOWN)
    for status in Status
)
"""Availability of each status, indexed by its code."""


class DisplayText(msgspec.Struct, frozen=True, omit_defaults=True):
    language: str
    text: str


class RegularHours(msgspec.Struct, frozen=True):
    """OCPI RegularHours (8.4.21): weekday 1 = Monday … 7 = Sunday; "HH:MM" local time, end "24:00" allowed."""

    weekday: int
    period_begin: str
    period_end: str


class ExceptionalPeriod(msgspec.Struct, frozen=True):
    begin_ms: int
    end_ms: int


class Hours(msgspec.Struct, frozen=True, omit_defaults=True):
    """OCPI Hours (8.4.14)."""

    twentyfourseven: bool = False
    regular_hours: tuple[RegularHours, ...] = ()
    exceptional_openings: tuple[ExceptionalPeriod, ...] = ()
    exceptional_closings: tuple[ExceptionalPeriod, ...] = ()


class Connector(msgspec.Struct, frozen=True, omit_defaults=True):
    """One plug. `power_kw` is what `connector_power_kw` derives; the rest is as told."""

    id: str
    standard: str
    format: str | None = None
    power_type: str | None = None
    max_voltage: int | None = None
    max_amperage: int | None = None
    max_electric_power: int | None = None  # W
    power_kw: float | None = None
    tariff_ids: tuple[str, ...] = ()
    last_updated_ms: int | None = None


class Evse(msgspec.Struct, frozen=True, omit_defaults=True):
    """One charging point. `uid` is the operator's key within the location; `#k` (k from 1) where the source gave none.

    `slot` is our stable number of the EVSE within its station: given at first sight, never reused.
    Importers leave it at -1; the door to the database (mapsvc.ingest) assigns it.
    """

    uid: str
    slot: int = -1
    evse_id: str | None = None
    connectors: tuple[Connector, ...] = ()
    capabilities: tuple[str, ...] = ()
    floor_level: str | None = None
    physical_reference: str | None = None
    parking_restrictions: tuple[str, ...] = ()
    directions: tuple[DisplayText, ...] = ()
    lat: float | None = None
    lon: float | None = None
    last_updated_ms: int | None = None


class Station(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One place with a position. `party` is "CC*PID" (upper case) or a register's name (lower case, no star)."""

    party: str
    location_id: str
    lat: float
    lon: float
    last_updated_ms: int
    evses: tuple[Evse, ...] = ()
    publish: bool = True
    name: str | None = None
    address: str | None = None
    city: str | None = None
    postal_code: str | None = None
    state: str | None = None
    country: str | None = None  # ISO 3166-1 alpha-3
    parking_type: str | None = None
    operator: str | None = None
    suboperator: str | None = None
    owner: str | None = None
    operator_website: str | None = None
    operator_phone: str | None = None
    facilities: tuple[str, ...] = ()
    time_zone: str | None = None  # IANA name as told; never derived here
    opening_times: Hours | None = None
    opening_times_text: str | None = None  # as told, where a source gives prose only
    charging_when_closed: bool | None = None
    directions: tuple[DisplayText, ...] = ()
    images: tuple[str, ...] = ()
    green_energy: bool | None = None
    free_of_charge: bool | None = None
    price_text: str | None = None
    access_text: str | None = None
    source: str = ""  # the format it came from: "ocpi", "irve", "api", "generate"

    @property
    def key(self) -> str:
        return station_key(self.party, self.location_id)

    @property
    def id(self) -> str:
        return public_id(self.party, self.location_id)


class StatusReport(msgspec.Struct, frozen=True):
    """A status that came with a station's document, for the EVSE of that uid. `ts_ms` None: the document has none."""

    uid: str
    status: Status
    ts_ms: int | None = None


class Located(msgspec.Struct, frozen=True):
    """One imported station: the static record and the statuses that its document carried."""

    station: Station
    reports: tuple[StatusReport, ...] = ()


def station_key(party: str, location_id: str) -> str:
    """The identity of a station: OCPI ids are case-insensitive CiStrings, so the key is case-folded."""
    return f"{party}~{location_id}".casefold()


def public_id(party: str, location_id: str) -> str:
    """The id shown to clients: usable as one URL path segment as it stands."""
    return quote(f"{party}~{location_id}", safe="*~")


def shard_of(key: str) -> int:
    return zlib.crc32(key.encode()) % SHARDS


def connector_power_kw(
    power_type: str | None, voltage: int | None, amperage: int | None, max_electric_power: int | None
) -> float | None:
    """Power of a connector in kW: `max_electric_power` (W) when told, else derived; None when it cannot be known.

    OCPI 2.2.1 8.3.3: `max_voltage` is line-to-neutral for AC_3_PHASE. Feeds also give line-to-line (≥ 300 V for
    three phases), so: 3·V·A for a phase voltage, √3·V·A for a line voltage. Rounded to 0.1 kW.
    """
    if max_electric_power is not None and max_electric_power > 0:
        return round(max_electric_power / 1000, 1)
    if not voltage or not amperage or voltage < 0 or amperage < 0 or power_type is None:
        return None
    match power_type:
        case "AC_3_PHASE":
            watts = (3 if voltage < 300 else 3**0.5) * voltage * amperage
        case "AC_2_PHASE" | "AC_2_PHASE_SPLIT":
            watts = 2 * voltage * amperage if power_type == "AC_2_PHASE" and voltage < 300 else voltage * amperage
        case "AC_1_PHASE" | "DC":
            watts = voltage * amperage
        case _:
            return None
    return round(watts / 1000, 1)


def encode_doc(station: Station) -> bytes:
    """The station as JSON, keys as in this module: what PostgreSQL stores and Redis carries."""
    return msgspec.json.encode(station)


def summary_members(station: Station) -> bytes:
    """The members of a list item that only a new record of the station changes: JSON without the braces around it."""
    told = {
        "id": station.id,
        "name": station.name,
        "address": station.address,
        "city": station.city,
        "operator": station.operator,
        "lat": station.lat,
        "lon": station.lon,
    }
    return msgspec.json.encode(told)[1:-1]


_DECODER = msgspec.json.Decoder(Station)


def decode_doc(doc: bytes | str) -> Station:
    """Inverse of `encode_doc`; unknown keys are ignored. Raises msgspec.DecodeError or ValidationError."""
    return _DECODER.decode(doc)


def to_builtins(value: Any) -> Any:
    return msgspec.to_builtins(value)
