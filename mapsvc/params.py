"""From a query string to one typed query: the only door for what clients send with a GET.

Every parameter may stand once; an unknown one is an error. The tables at the end are what the parsers read by and what
/openapi.json describes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from geo.connectors import CONNECTOR_TYPES
from geo.evse_ids import normal
from geo.filters import FACILITIES, NO_FILTER, ConnectorFilter, Filter
from geo.nearby import MAX_RADIUS_M
from geo.point import Box, CoordinateError, LatLon
from mapsvc.bodies import NEARBY_MEMBERS, STATION_MEMBERS, SUMMARY_MEMBERS
from mapsvc.parameter import (
    FLAG,
    MAX_WORDS,
    Given,
    Kind,
    Parameter,
    Table,
    comma_list,
    free_words,
    names_of,
    number,
    one_of,
    plain_float,
    split_words,
    whole,
)
from mapsvc.shape import PLAIN, Shape

MAX_IDS = 100
MAX_ID = 300  # characters of a station id, percent-encoding undone
MAX_EVSE_ID = 128
MAX_AVAILABLE = 1000
MOST_KW = 10_000
NEARBY_LIMIT, MAX_NEARBY_LIMIT, MAX_DRIVE_LIMIT = 20, 1000, 100
BY_DISTANCE, BY_DRIVE = "distance", "drive_time"
LIST_LIMIT, MAX_LIST_LIMIT = 100, 1000
DEFAULT_RADIUS_M = 10_000.0


class NearbyQuery(NamedTuple):
    at: LatLon
    radius_m: float
    limit: int
    wanted: Filter
    shape: Shape
    by_drive: bool


class ListQuery(NamedTuple):
    """Exactly one of `box`, `ids` (case-folded station keys) and `evse_id` (in its normal form)."""

    box: Box | None
    ids: tuple[str, ...] | None
    evse_id: str | None
    limit: int
    after: int  # the `num` that the previous page ended with; -1: the first page
    wanted: Filter
    shape: Shape


# -- kinds that only one parameter has --------------------------------------------------------------------------------------


def _box(text: str) -> Box:
    parts = text.split(",")
    if len(parts) != 4:
        raise ValueError
    west, south, east, north = (plain_float(part.strip()) for part in parts)
    return Box.of(west, south, east, north)


_LONGITUDE, _LATITUDE = number(-180, 180), number(-90, 90)
_BOX = Kind(
    _box,
    "west,south,east,north in degrees; west > east crosses the antimeridian",
    {
        "type": "array",
        "prefixItems": [_LONGITUDE.schema, _LATITUDE.schema, _LONGITUDE.schema, _LATITUDE.schema],
        "items": False,
        "minItems": 4,
    },
)


def _ids(text: str) -> tuple[str, ...]:
    # An id is printed percent-encoded (geo.station.public_id), so a comma in it is no separator; the query's own encoding,
    # which a client's library adds, is gone by now. Plain characters that a client left alone stay what they are.
    found = [unquote(one) for one in text.split(",")]
    if len(found) > MAX_IDS or not all(0 < len(one) <= MAX_ID for one in found):
        raise ValueError
    return tuple(one.casefold() for one in found)


_IDS = Kind(
    _ids,
    f"1 to {MAX_IDS} station ids, comma-separated",
    comma_list({"type": "string", "minLength": 1, "maxLength": MAX_ID, "pattern": "^[^,]*$"}, MAX_IDS),
)


def _evse_id(text: str) -> str:
    found = normal(text)
    if not found or len(text) > MAX_EVSE_ID:
        raise ValueError
    return found


_EVSE_ID = Kind(
    _evse_id,
    f"an EVSE id such as DE*ABC*E1234*5, at most {MAX_EVSE_ID} characters",
    {"type": "string", "maxLength": MAX_EVSE_ID, "pattern": r"[^*+\s-]"},
)


_COUNT = whole(1, MAX_AVAILABLE, f"a whole number from 1 to {MAX_AVAILABLE}, or alone")
_AVAILABLE = Kind(lambda text: 1 if text == "" else _COUNT.parse(text), _COUNT.allowed, _COUNT.schema)


def _members_of(names: tuple[str, ...]) -> Kind[frozenset[str]]:
    def parse(text: str) -> frozenset[str]:
        found = frozenset(split_words(text))
        if not found <= known:
            raise ValueError
        return found

    known = frozenset(names)
    schema = comma_list({"type": "string", "enum": list(names)}, MAX_WORDS)
    return Kind(parse, f"names, comma-separated, of: {', '.join(names)}", schema)


# -- parameters -------------------------------------------------------------------------------------------------------------

LAT = Parameter("lat", _LATITUDE, "Latitude, degrees north.", "48.667")
LON = Parameter("lon", _LONGITUDE, "Longitude, degrees east.", "6.893")
RADIUS_M = Parameter(
    "radius_m", number(1, int(MAX_RADIUS_M)), "How far to look, metres as the crow flies.", "50000", DEFAULT_RADIUS_M
)
NEAREST = Parameter("limit", whole(1, MAX_NEARBY_LIMIT), "How many stations at most.", "3", NEARBY_LIMIT)
SORT = Parameter(
    "sort",
    one_of(BY_DISTANCE, BY_DRIVE),
    f"The order of the stations: by air line, or by how soon a car is there; then `limit` is at most {MAX_DRIVE_LIMIT}.",
    BY_DISTANCE,
    BY_DISTANCE,
)

BBOX = Parameter(
    "bbox",
    _BOX,
    "A box: west, south, east, north in degrees; west > east crosses the antimeridian, south must not exceed north. "
    "Exactly one of `bbox`, `ids` and `evse_id`.",
    "6.5,48.5,7.2,48.9",
    None,
)
IDS = Parameter(
    "ids",
    _IDS,
    "Ids as lists show them, in any case; unknown ones are left out. Exactly one of `bbox`, `ids` and `evse_id`.",
    "XH*NOH~00000000-0000-4e5c-a1b2-000000000000",
    None,
)
EVSE_ID = Parameter(
    "evse_id",
    _EVSE_ID,
    "The id on the charger or in its QR code, in any case, with or without its separators (`*`, `-`, blanks): the stations "
    "that have such an EVSE, usually one. Exactly one of `bbox`, `ids` and `evse_id`.",
    "DE*ABC*E1234*5",
    None,
)
PAGE = Parameter("limit", whole(1, MAX_LIST_LIMIT), "How many stations a page has at most.", "5", LIST_LIMIT)
AFTER = Parameter(
    "after",
    whole(0, 2**53, "the value of a Link rel=next"),
    "Where the page begins: as the Link of the last one has it.",
    "1",
    -1,
)

CONNECTOR = Parameter(
    "connector",
    names_of(CONNECTOR_TYPES),
    "OCPI connector types, any of which; counts are of the EVSEs that have one. On the same connector as the powers.",
    "IEC_62196_T2_COMBO",
    (),
)
MIN_POWER_KW = Parameter("min_power_kw", number(0, MOST_KW), "Least power, kW, of the same connector.", "100", None)
MAX_POWER_KW = Parameter("max_power_kw", number(0, MOST_KW), "Most power, kW, of the same connector.", "350", None)
AVAILABLE = Parameter(
    "available",
    _AVAILABLE,
    "Stations with at least so many EVSEs that are AVAILABLE now and have such a connector; alone: 1.",
    "1",
    0,
    may_be_empty=True,
)
OPERATOR = Parameter(
    "operator",
    free_words("party ids or operator names"),
    "Party ids or operator names, any of which, in any case.",
    "XH*NOH",
    (),
)
EXCLUDE_OPERATOR = Parameter(
    "exclude_operator",
    free_words("party ids or operator names"),
    "Party ids or operator names, none of which.",
    "XH*NOH",
    (),
)
FACILITY = Parameter("facility", names_of(FACILITIES), "OCPI facilities, any of which.", "CAFE,RESTAURANT", ())
OPEN_NOW = Parameter(
    "open_now",
    FLAG,
    "Only stations that are open now. Those whose hours nobody knows are left out and counted in `excluded_unknown_hours`.",
    "true",
    False,
)
FILTERS = (
    CONNECTOR, MIN_POWER_KW, MAX_POWER_KW, AVAILABLE, OPERATOR, EXCLUDE_OPERATOR, FACILITY, OPEN_NOW,
)  # fmt: skip

FORMAT = Parameter(
    "format", one_of("json", "geojson"), "GeoJSON (RFC 7946) has lon, lat in `geometry`.", "geojson", "json"
)


def _fields(names: tuple[str, ...]) -> Parameter[frozenset[str] | None]:
    return Parameter(
        "fields", _members_of(names), "Only these members of a station; `id` is always there.", "name,lat,lon", None
    )


NEARBY_FIELDS, LIST_FIELDS, STATION_FIELDS = map(_fields, (NEARBY_MEMBERS, SUMMARY_MEMBERS, STATION_MEMBERS))

# -- operations -------------------------------------------------------------------------------------------------------------

NEARBY = Table(LAT, LON, RADIUS_M, NEAREST, SORT, *FILTERS, NEARBY_FIELDS, FORMAT)
LIST = Table(BBOX, IDS, EVSE_ID, PAGE, AFTER, *FILTERS, LIST_FIELDS, FORMAT)
STATION = Table(STATION_FIELDS, FORMAT)
TILE = Table(*FILTERS)

FILTER_NAMES = frozenset(parameter.name for parameter in FILTERS)


MAX_REMEMBERED = 500  # characters
# As apps write positions; whatever looks otherwise is read the long way.
_PLACE_FIRST = re.compile(
    r"lat=(-?[0-9]{1,2}(?:\.[0-9]{1,15})?)&lon=(-?[0-9]{1,3}(?:\.[0-9]{1,15})?)((?:&.*)?)", re.DOTALL
)


def parse_nearby(query: str) -> NearbyQuery:
    """What follows the position is the same in many requests, and read once for them all."""
    if len(query) <= MAX_REMEMBERED and (match := _PLACE_FIRST.fullmatch(query)):
        lat, lon, rest = match.groups()
        try:
            at = LatLon.of(float(lat), float(lon))
        except CoordinateError:
            return _parse_nearby(query)  # tells all that is wrong with it
        return NearbyQuery(at, *_without_place(rest)[1:])
    return _parse_nearby(query)


@lru_cache(2048)
def _without_place(rest: str) -> NearbyQuery:
    return _parse_nearby(f"lat=0&lon=0{rest}")


def _parse_nearby(query: str) -> NearbyQuery:
    given = Given(query, NEARBY)
    by_drive = given[SORT] == BY_DRIVE
    if by_drive and given[NEAREST] > MAX_DRIVE_LIMIT:
        given.fault(NEAREST.name, f"a whole number from 1 to {MAX_DRIVE_LIMIT} with sort={BY_DRIVE}")
    given.done()
    at = LatLon.of(given[LAT], given[LON])
    return NearbyQuery(at, given[RADIUS_M], given[NEAREST], filter_of(given), _shape(given, NEARBY_FIELDS), by_drive)


def parse_list(query: str) -> ListQuery:
    given = Given(query, LIST)
    if len(given.names & {"bbox", "ids", "evse_id"}) != 1:
        given.fault("bbox", "exactly one of bbox, ids and evse_id")
    given.done()
    return ListQuery(
        given[BBOX],
        given[IDS],
        given[EVSE_ID],
        given[PAGE],
        given[AFTER],
        filter_of(given),
        _shape(given, LIST_FIELDS),
    )


def parse_station(query: str) -> Shape:
    given = Given(query, STATION)
    given.done()
    return _shape(given, STATION_FIELDS)


def parse_tile_filter(query: str) -> Filter:
    given = Given(query, TILE)
    given.done()
    return filter_of(given)


def parse_nothing(query: str) -> None:
    Given(query, Table()).done()


def filter_of(given: Given) -> Filter:
    """The filter among what was given, for any table with FILTERS in it."""
    if not given.has_any(FILTER_NAMES):
        return NO_FILTER
    return Filter(
        ConnectorFilter(given[CONNECTOR], given[MIN_POWER_KW], given[MAX_POWER_KW]),
        given[AVAILABLE],
        given[OPERATOR],
        given[EXCLUDE_OPERATOR],
        given[FACILITY],
        given[OPEN_NOW],
    )


def _shape(given: Given, fields: Parameter[frozenset[str] | None]) -> Shape:
    if not given.has_any(("fields", "format")):
        return PLAIN
    return Shape(given[fields], given[FORMAT] == "geojson")
