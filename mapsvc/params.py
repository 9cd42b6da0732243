"""From a query string to one typed query: the only door for what clients send with a GET.

Every parameter may stand once; an unknown one is an error. All faults of a request are reported together, each with the
parameter's name and what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote

from geo.connectors import CONNECTOR_BY_FOLDED
from geo.filters import FACILITIES, FACILITY_BIT, ConnectorFilter, Filter
from geo.nearby import MAX_RADIUS_M
from geo.point import Box, CoordinateError, LatLon
from mapsvc.problems import Fault, Problem

MAX_QUERY = 8192  # characters
MAX_FIELDS = 40
MAX_WORDS = 50  # alternatives in one comma list
MAX_IDS = 100
NEARBY_LIMIT, MAX_NEARBY_LIMIT = 20, 1000
LIST_LIMIT, MAX_LIST_LIMIT = 100, 1000
DEFAULT_RADIUS_M = 10_000.0

FILTER_NAMES = frozenset(
    {"connector", "min_power_kw", "max_power_kw", "available", "operator", "exclude_operator", "facility", "open_now"}
)

T = TypeVar("T")


class NearbyQuery(NamedTuple):
    at: LatLon
    radius_m: float
    limit: int
    wanted: Filter


class ListQuery(NamedTuple):
    """Exactly one of `box` and `ids` (case-folded station keys)."""

    box: Box | None
    ids: tuple[str, ...] | None
    limit: int
    after: int  # the `num` that the previous page ended with; -1: the first page
    wanted: Filter


class Params:
    """The parameters of one request, taken one by one; `done` raises what was wrong with any of them."""

    def __init__(self, query: str) -> None:
        self._values: dict[str, str] = {}
        self._faults: list[Fault] = []
        if len(query) > MAX_QUERY:
            raise Problem("The query is too long.", [Fault("", f"at most {MAX_QUERY} characters")])
        try:
            query.encode()  # a raw byte of a request line comes as a lone surrogate, and nothing could repeat it
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
        except ValueError as error:
            allowed = f"at most {MAX_FIELDS} name=value pairs in UTF-8, joined by &"
            raise Problem("The query cannot be read.", [Fault("", allowed)]) from error
        for name, value in pairs:
            if name in self._values:
                self._fault(name, "given once")
            self._values[name] = value

    def _fault(self, name: str, allowed: str) -> None:
        self._faults.append(Fault(name[:64], allowed))

    def take(self, name: str, parse: Callable[[str], T], allowed: str, default: T) -> T:
        """The parsed value; `parse` raises ValueError for what is not `allowed`."""
        text = self._values.pop(name, None)
        if text is None:
            return default
        try:
            return parse(text)
        except CoordinateError as error:
            self._fault(name, str(error))
        except ValueError:
            self._fault(name, allowed)
        return default

    def need(self, name: str, parse: Callable[[str], T], allowed: str, stand_in: T) -> T:
        """Like `take`, but the parameter must be there; `stand_in` keeps parsing going after a fault."""
        if name not in self._values:
            self._fault(name, f"required: {allowed}")
            return stand_in
        return self.take(name, parse, allowed, stand_in)

    def has(self, name: str) -> bool:
        return name in self._values

    def fault(self, name: str, allowed: str) -> None:
        self._fault(name, allowed)

    def done(self) -> None:
        """Raises Problem if anything was wrong, unknown parameters included."""
        for name in self._values:
            self._fault(name, "nothing: unknown parameter")
        if self._faults:
            raise Problem("The request is not valid.", self._faults)


def number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = _plain_float(text)
        # Asked this way round NaN fails too. Don't change.
        if not low <= value <= high:
            raise ValueError
        return value

    return parse


def whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 16 and low <= int(text) <= high):
            raise ValueError
        return int(text)

    return parse


def _plain_float(text: str) -> float:
    # float() takes "1_0", " 1 ", "infinity" and other scripts' digits; a coordinate is none of these.
    if len(text) > 32 or not text or not set(text) <= set("0123456789+-.eE"):
        raise ValueError
    return float(text)


def words(text: str) -> list[str]:
    found = [word.strip() for word in text.split(",")]
    if not all(found) or len(found) > MAX_WORDS:
        raise ValueError
    return found


def _connectors(text: str) -> tuple[str, ...]:
    try:
        return tuple(sorted({CONNECTOR_BY_FOLDED[word.casefold()] for word in words(text)}))
    except KeyError as error:
        raise ValueError from error


def _facilities(text: str) -> tuple[str, ...]:
    found = {word.upper() for word in words(text)}
    if not found <= FACILITY_BIT.keys():
        raise ValueError
    return tuple(sorted(found))


def _operators(text: str) -> tuple[str, ...]:
    return tuple(sorted({word.casefold() for word in words(text)}))


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError
    return text.lower() in ("true", "1")


def _available(text: str) -> int:
    return 1 if text == "" else whole(1, 1000)(text)


_KW = number(0, 10_000)


def take_filter(params: Params) -> Filter:
    connector = ConnectorFilter(
        params.take(
            "connector", _connectors, f"names, comma-separated, of: {', '.join(CONNECTOR_BY_FOLDED.values())}", ()
        ),
        params.take("min_power_kw", _optional(_KW), "a number from 0 to 10000", None),
        params.take("max_power_kw", _optional(_KW), "a number from 0 to 10000", None),
    )
    return Filter(
        connector,
        params.take("available", _available, "a whole number from 1 to 1000, or alone", 0),
        params.take("operator", _operators, f"1 to {MAX_WORDS} party ids or operator names, comma-separated", ()),
        params.take(
            "exclude_operator", _operators, f"1 to {MAX_WORDS} party ids or operator names, comma-separated", ()
        ),
        params.take("facility", _facilities, f"names, comma-separated, of: {', '.join(FACILITIES)}", ()),
        params.take("open_now", _flag, "true or false", False),
    )


def _optional(parse: Callable[[str], float]) -> Callable[[str], float | None]:
    return parse


def parse_nearby(query: str) -> NearbyQuery:
    params = Params(query)
    lat = params.need("lat", number(-90, 90), "a number from -90 to 90", 0.0)
    lon = params.need("lon", number(-180, 180), "a number from -180 to 180", 0.0)
    radius_m = params.take(
        "radius_m", number(1, MAX_RADIUS_M), f"a number from 1 to {MAX_RADIUS_M:.0f}", DEFAULT_RADIUS_M
    )
    limit = params.take(
        "limit", whole(1, MAX_NEARBY_LIMIT), f"a whole number from 1 to {MAX_NEARBY_LIMIT}", NEARBY_LIMIT
    )
    params.take("sort", _one("distance"), "distance", "distance")
    wanted = take_filter(params)
    params.done()
    return NearbyQuery(LatLon.of(lat, lon), radius_m, limit, wanted)


def _one(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError
        return text

    return parse


def _box(text: str) -> Box:
    parts = text.split(",")
    if len(parts) != 4:
        raise ValueError
    west, south, east, north = (_plain_float(part.strip()) for part in parts)
    return Box.of(west, south, east, north)


def _ids(text: str) -> tuple[str, ...]:
    # An id is printed percent-encoded (geo.station.public_id), so a comma in it is no separator; the query's own encoding,
    # which a client's library adds, is gone by now. Plain characters that a client left alone stay what they are.
    found = [unquote(one) for one in text.split(",")]
    if len(found) > MAX_IDS or not all(0 < len(one) <= 300 for one in found):
        raise ValueError
    return tuple(one.casefold() for one in found)


_WORLD = Box(-180.0, -90.0, 180.0, 90.0)


def parse_list(query: str) -> ListQuery:
    params = Params(query)
    if params.has("bbox") == params.has("ids"):
        params.fault("bbox", "exactly one of bbox and ids")
    box = params.take("bbox", _box, "west,south,east,north in degrees; west > east crosses the antimeridian", _WORLD)
    no_ids: tuple[str, ...] = ()
    ids = params.take("ids", _ids, f"1 to {MAX_IDS} station ids, comma-separated", no_ids)
    limit = params.take("limit", whole(1, MAX_LIST_LIMIT), f"a whole number from 1 to {MAX_LIST_LIMIT}", LIST_LIMIT)
    after = params.take("after", whole(0, 2**53), "the value of a Link rel=next", -1)
    wanted = take_filter(params)
    params.done()
    return ListQuery(None if ids else box, ids or None, limit, after, wanted)


def parse_tile_filter(query: str) -> Filter:
    params = Params(query)
    wanted = take_filter(params)
    params.done()
    return wanted


def parse_nothing(query: str) -> None:
    Params(query).done()
