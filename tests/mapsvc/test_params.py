"""The door for query strings: every parameter at its limits and beyond; whatever comes, only Problem is raised. R6, R11."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geo.connectors import CONNECTOR_TYPES
from geo.filters import FACILITIES, NO_FILTER, ConnectorFilter, Filter
from geo.point import Box
from mapsvc.bodies import STATION_MEMBERS, SUMMARY_MEMBERS
from mapsvc.parameter import MAX_QUERY, MAX_WORDS, Parameter, Schema, Table
from mapsvc.params import (
    BBOX,
    EVSE_ID,
    IDS,
    LIST,
    MAX_IDS,
    NEARBY,
    SORT,
    STATION,
    TILE,
    NearbyQuery,
    parse_list,
    parse_nearby,
    parse_nothing,
    parse_station,
    parse_tile_filter,
)
from mapsvc.problems import Problem
from mapsvc.shape import PLAIN, Shape
from tests.geo.worlds import examples

HERE = "lat=48.85&lon=2.35"
BOX = "bbox=2,48,3,49"
PARSERS: list[Callable[[str], Any]] = [parse_nearby, parse_list, parse_tile_filter, parse_station, parse_nothing]


def faults(parse: Callable[[str], Any], query: str) -> dict[str, str]:
    """What the answer says: parameter -> allowed. It is a 400 that can be sent."""
    with pytest.raises(Problem) as caught:
        parse(query)
    told = orjson.loads(caught.value.body())
    assert (told["status"], told["title"]) == (400, "Bad Request")
    return {fault["parameter"]: fault["allowed"] for fault in told["errors"]}


def filter_of(query: str) -> Filter:
    """The same filter at every door."""
    wanted = parse_tile_filter(query)
    assert parse_nearby(f"{HERE}&{query}").wanted == parse_list(f"{BOX}&{query}").wanted == wanted
    return wanted


# -- values at the limits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("lat=90&lon=180", "at", (90, 180)), ("lat=-90&lon=-180", "at", (-90, -180)), ("lat=-0&lon=1e-3", "at", (0, 0.001)),
        (f"{HERE}&radius_m=1", "radius_m", 1), (f"{HERE}&radius_m=200000", "radius_m", 200_000),
        (f"{HERE}&radius_m=2e5", "radius_m", 200_000), (HERE, "radius_m", 10_000),
        (f"{HERE}&limit=1", "limit", 1), (f"{HERE}&limit=1000", "limit", 1000), (f"{HERE}&limit=0020", "limit", 20),
        (HERE, "limit", 20), (f"{HERE}&sort=distance", "limit", 20),
    ],
)  # fmt: skip
def test_nearby_takes(query: str, field: str, value: object) -> None:
    assert getattr(parse_nearby(query), field) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lat", "90.0000001"), ("lat", "-90.0000001"), ("lon", "180.0000001"), ("lon", "-181"), ("lat", "91e0"),
        ("radius_m", "0.999"), ("radius_m", "0"), ("radius_m", "-1"), ("radius_m", "200000.001"), ("radius_m", "200001"),
        ("limit", "0"), ("limit", "1001"), ("limit", "-1"), ("limit", "20.0"), ("limit", "1e2"), ("limit", "9" * 400),
        ("limit", "0" * 17), ("sort", "drive_times"), ("sort", ""),
    ],
)  # fmt: skip
def test_nearby_refuses_one_more_and_names_it(name: str, value: str) -> None:
    told = {"lat": "1", "lon": "2", name: value}
    assert faults(parse_nearby, urlencode(told)).keys() == {name}


NOT_NUMBERS = ["nan", "NaN", "inf", "-inf", "Infinity", "1e999", "-1e999", "", " ", " 1", "1 ", "1_0", "0x10", "1,5",
               "١", "１", "²", "1.2.3", "--1", "e", "1e", "true", "null", "1\x00", "1\n", "1" * 33, "𝟙"]  # fmt: skip


@pytest.mark.parametrize("value", NOT_NUMBERS)
@pytest.mark.parametrize("name", ["lat", "lon", "radius_m", "limit", "min_power_kw", "max_power_kw"])
def test_what_is_no_number_is_refused_by_every_number(name: str, value: str) -> None:
    told = {"lat": "1", "lon": "2", name: value}
    assert faults(parse_nearby, urlencode(told, quote_via=quote)).keys() == {name}
    if name == "limit":
        for other in ("limit", "after"):
            assert faults(parse_list, f"{BOX}&{urlencode({other: value})}").keys() == {other}
    assert faults(parse_list, urlencode({"bbox": f"0,0,1{value},{value}z"})).keys() == {"bbox"}


def test_a_plus_is_a_blank_and_a_blank_is_no_sign() -> None:
    assert faults(parse_nearby, "lat=+1&lon=2").keys() == {"lat"}
    assert parse_nearby("lat=%2B1&lon=2").at == (1, 2)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", NO_FILTER),
        ("connector=chademo", Filter(ConnectorFilter(("CHADEMO",)))),
        ("connector=iec_62196_t2,CHADEMO,chademo", Filter(ConnectorFilter(("CHADEMO", "IEC_62196_T2")))),
        (f"connector={','.join(CONNECTOR_TYPES)}", Filter(ConnectorFilter(tuple(sorted(CONNECTOR_TYPES))))),
        ("min_power_kw=0", Filter(ConnectorFilter(min_power_kw=0.0))),
        ("max_power_kw=10000", Filter(ConnectorFilter(max_power_kw=10_000.0))),
        ("min_power_kw=22.1&max_power_kw=22.1", Filter(ConnectorFilter((), 22.1, 22.1))),
        ("available", Filter(available=1)), ("available=", Filter(available=1)), ("available=1", Filter(available=1)),
        ("available=1000", Filter(available=1000)),
        ("operator=Ionity", Filter(operators=("ionity",))),
        ("operator=STRASSE&exclude_operator=b,A, a", Filter(operators=("strasse",), exclude_operators=("a", "b"))),
        (f"operator={','.join(map(str, range(50)))}", Filter(operators=tuple(sorted(map(str, range(50)))))),
        ("operator=Stra%C3%9Fe", Filter(operators=("strasse",))),
        ("facility=cafe,HOTEL,Cafe", Filter(facilities=("CAFE", "HOTEL"))),
        (f"facility={','.join(FACILITIES)}", Filter(facilities=tuple(sorted(FACILITIES)))),
        *((f"open_now={text}", Filter(open_now=True)) for text in ("true", "TRUE", "1")),
        *((f"open_now={text}", NO_FILTER) for text in ("false", "False", "0")),
    ],
)  # fmt: skip
def test_filters_are_the_same_at_every_door_and_equal_when_they_mean_the_same(query: str, wanted: Filter) -> None:
    assert filter_of(query) == wanted
    assert hash(filter_of(query)) == hash(wanted)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connector", ""), ("connector", "CHADEMO,"), ("connector", "CHADEMO,,MCS"), ("connector", "TYPE2"),
        ("connector", ",".join(["CHADEMO"] * (MAX_WORDS + 1))), ("connector", "CHADEMO\u0130"), ("connector", "ｃhademo"),
        ("min_power_kw", "-0.001"), ("min_power_kw", "10000.1"), ("max_power_kw", "10001"), ("max_power_kw", "-1"),
        ("available", "0"), ("available", "1001"), ("available", "-1"), ("available", "1.0"), ("available", "true"),
        ("available", " "), ("available", "١"), ("available", "1_0"),
        ("operator", ""), ("operator", " "), ("operator", "a,,b"), ("operator", ",".join("a" * (MAX_WORDS + 1))),
        ("exclude_operator", ""), ("exclude_operator", ","), ("exclude_operator", ",".join("a" * (MAX_WORDS + 1))),
        ("facility", ""), ("facility", "SAUNA"), ("facility", "CAFE;HOTEL"), ("facility", ",".join(["CAFE"] * 51)),
        ("open_now", ""), ("open_now", "yes"), ("open_now", "2"), ("open_now", "tru\u0435"), ("open_now", "1 "),
    ],
)  # fmt: skip
def test_a_filter_out_of_range_is_refused_at_every_door_by_its_name(name: str, value: str) -> None:
    query = urlencode({name: value})
    for parse, before in ((parse_tile_filter, ""), (parse_nearby, f"{HERE}&"), (parse_list, f"{BOX}&")):
        told = faults(parse, before + query)
        assert told.keys() == {name}
        assert told[name]  # and says what is allowed


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("bbox=-180,-90,180,90", "box", Box(-180, -90, 180, 90)), ("bbox=179,0,-179,0", "box", Box(179, 0, -179, 0)),
        ("bbox=1, 2 ,3,%204", "box", Box(1, 2, 3, 4)), (BOX, "ids", None), (BOX, "limit", 100), (BOX, "after", -1),
        (f"{BOX}&limit=1000", "limit", 1000), (f"{BOX}&limit=1", "limit", 1), (f"{BOX}&after=0", "after", 0),
        (f"{BOX}&after={2**53}", "after", 2**53), ("ids=DE*ABC~L1", "ids", ("de*abc~l1",)), ("ids=x", "box", None),
        (f"ids={','.join(map(str, range(100)))}", "ids", tuple(map(str, range(100)))),
        (f"ids={'x' * 300}", "ids", ("x" * 300,)), ("ids=a%2Bb,c+d", "ids", ("a+b", "c d")),
        ("evse_id=DE*ABC*E1234*5", "evse_id", "deabce12345"), ("evse_id=de-abc e12345", "evse_id", "deabce12345"),
        ("evse_id=+49*810*0*1", "evse_id", "4981001"), ("evse_id=%2B49*810*0*1", "evse_id", "4981001"),
        (f"evse_id={'x' * 128}", "evse_id", "x" * 128), (BOX, "evse_id", None), ("evse_id=x", "ids", None),
    ],
)  # fmt: skip
def test_a_list_takes(query: str, field: str, value: object) -> None:
    assert getattr(parse_list(query), field) == value


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", {"bbox"}), (f"{BOX}&ids=a", {"bbox"}), (f"{BOX}&evse_id=a", {"bbox"}), ("ids=a&evse_id=a", {"bbox"}),
        (f"{BOX}&ids=a&evse_id=a", {"bbox"}), ("evse_id=", {"evse_id"}), ("evse_id=*-+%20*", {"evse_id"}),
        (f"evse_id={'x' * 129}", {"evse_id"}), ("bbox=", {"bbox"}), ("bbox=1,2,3", {"bbox"}),
        ("bbox=1,2,3,4,5", {"bbox"}), ("bbox=0,1,1,0", {"bbox"}), ("bbox=0,0,181,1", {"bbox"}), ("bbox=-181,0,1,1", {"bbox"}),
        ("bbox=0,-91,1,1", {"bbox"}), ("bbox=0,0,1,90.1", {"bbox"}), ("bbox=nan,0,1,1", {"bbox"}),
        ("bbox=0,0,1,1e400", {"bbox"}),
        ("ids=", {"ids"}), ("ids=a,", {"ids"}), (f"ids={','.join('a' * (MAX_IDS + 1))}", {"ids"}),
        (f"ids={'x' * 301}", {"ids"}), (f"{BOX}&limit=1001", {"limit"}), (f"{BOX}&limit=0", {"limit"}),
        (f"{BOX}&after=-1", {"after"}), (f"{BOX}&after={2**53 + 1}", {"after"}), (f"{BOX}&after=", {"after"}),
        (f"{BOX}&radius_m=5", {"radius_m"}), (f"{BOX}&lat=5", {"lat"}), (f"{BOX}&sort=distance", {"sort"}),
    ],
)  # fmt: skip
def test_a_list_refuses_and_names(query: str, names: set[str]) -> None:
    assert faults(parse_list, query).keys() == names


@pytest.mark.parametrize(
    ("query", "shape"),
    [
        ("", PLAIN), ("format=json", PLAIN), ("format=geojson", Shape(None, True)), ("fields=id", Shape(frozenset({"id"}))),
        ("fields=name, lat,name", Shape(frozenset({"name", "lat"}))),
        ("fields=lat&format=geojson", Shape(frozenset({"lat"}), True)),
    ],
)  # fmt: skip
def test_an_answer_takes_the_same_shapes_everywhere(query: str, shape: Shape) -> None:
    assert parse_nearby(f"{HERE}&{query}").shape == parse_list(f"{BOX}&{query}").shape == parse_station(query) == shape


@pytest.mark.parametrize(
    "query", ["fields=", "fields=colour", "fields=name,", "fields=Name", "format=", "format=GEOJSON"]
)
def test_a_shape_that_is_not_there_is_refused(query: str) -> None:
    for parse, before in ((parse_station, ""), (parse_nearby, f"{HERE}&"), (parse_list, f"{BOX}&")):
        assert faults(parse, before + query).keys() == {query.partition("=")[0]}


def test_unknown_fields_are_told_what_there_is() -> None:
    assert all(name in faults(parse_list, f"{BOX}&fields=x")["fields"] for name in SUMMARY_MEMBERS)
    assert all(name in faults(parse_station, "fields=x")["fields"] for name in STATION_MEMBERS)
    assert faults(parse_list, f"{BOX}&fields=distance_m").keys() == {"fields"}  # nearby only
    assert parse_nearby(f"{HERE}&fields=distance_m").shape == Shape(frozenset({"distance_m"}))


# -- parser and schema are one ----------------------------------------------------------------------------------------

TABLES: list[tuple[Table, Callable[[str], Any], str]] = [
    (NEARBY, parse_nearby, HERE), (LIST, parse_list, BOX), (STATION, parse_station, ""), (TILE, parse_tile_filter, ""),
]  # fmt: skip
ALL = [
    pytest.param(parameter, parse, base, id=f"{parse.__name__}-{parameter.name}")
    for table, parse, base in TABLES
    for parameter in table.parameters
]


def asked(parameter: Parameter[Any], base: str, text: str) -> str:
    """A request that is valid if this text is."""
    others = [pair for pair in base.split("&") if pair and pair.partition("=")[0] != parameter.name]
    if parameter in (BBOX, IDS, EVSE_ID):
        others = []
    return "&".join([*others, f"{parameter.name}={quote(text)}"])


def inside(schema: Schema) -> st.SearchStrategy[str]:
    """Texts of values that a schema allows."""
    match schema.get("type"):
        case "integer":
            return st.integers(schema["minimum"], schema["maximum"]).map(str)
        case "number":
            return st.floats(schema["minimum"], schema["maximum"]).map(repr)
        case "boolean":
            return st.sampled_from(("true", "false"))
        case "array" if "prefixItems" in schema:
            return st.tuples(*map(inside, schema["prefixItems"])).map(",".join)
        case "array":
            return st.lists(inside(schema["items"]), min_size=1, max_size=schema["maxItems"]).map(",".join)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    texts: st.SearchStrategy[str] = st.from_regex(str(schema["pattern"]))
    return texts.filter(lambda text: schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", 10**6))


def outside(schema: Schema) -> st.SearchStrategy[str]:
    """Texts that it does not, and that the parser does not take for others (another case, blanks around)."""
    low, high = schema.get("minimum", 0), schema.get("maximum", 0)
    words = st.text(st.characters(codec="utf-8", exclude_categories=["N"]), min_size=1).filter(str.strip)
    match schema.get("type"):
        case "integer":
            return st.integers(max_value=low - 1).map(str) | st.integers(high + 1).map(str) | words | st.just("1.5")
        case "number":
            below, above = st.floats(max_value=low, exclude_max=True), st.floats(high, exclude_min=True)
            return below.map(repr) | above.map(repr) | words | st.just("nan")
        case "boolean":
            return words.filter(lambda text: text.lower() not in ("true", "false"))
        case "array" if "prefixItems" in schema:
            parts = [inside(part) for part in schema["prefixItems"]]
            spoilt = [[*parts[:i], outside(schema["prefixItems"][i]), *parts[i + 1 :]] for i in range(4)]
            return st.one_of(*(st.tuples(*some).map(",".join) for some in (*spoilt, parts[:3], [*parts, parts[0]])))
        case "array":
            some, most = inside(schema["items"]), schema["maxItems"]
            bad = st.just("") if "enum" not in schema["items"] else outside(schema["items"])
            return st.tuples(some, bad).map(",".join) | st.lists(some, min_size=most + 1, max_size=most + 1).map(
                ",".join
            )
    if "enum" in schema:
        known = {word.casefold() for word in schema["enum"]}
        return words.filter(lambda text: text.strip().casefold() not in known and "," not in text)
    return st.text("*-+ ", min_size=1) | st.text(
        "x", min_size=schema["maxLength"] + 1, max_size=schema["maxLength"] + 9
    )


@pytest.mark.parametrize(("parameter", "parse", "base"), ALL)
def test_what_the_schema_allows_is_taken(parameter: Parameter[Any], parse: Callable[[str], Any], base: str) -> None:
    @examples(25)
    @given(inside(parameter.kind.schema))
    def taken(text: str) -> None:
        query = asked(parameter, base, text)
        if len(query) > MAX_QUERY:
            return
        if parameter is BBOX:
            _, south, _, north = map(float, text.split(","))
            if south > north:  # as its description says; no schema can
                assert "south" in faults(parse, query)["bbox"]
                return
        parse(query)

    taken()


@pytest.mark.parametrize(("parameter", "parse", "base"), ALL)
def test_what_the_schema_does_not_allow_is_refused_by_name(
    parameter: Parameter[Any], parse: Callable[[str], Any], base: str
) -> None:
    @examples(25)
    @given(outside(parameter.kind.schema))
    def refused(text: str) -> None:
        query = asked(parameter, base, text)
        if len(query) <= MAX_QUERY:
            assert faults(parse, query).keys() == {parameter.name}

    refused()


@pytest.mark.parametrize(("parameter", "parse", "base"), ALL)
def test_no_parameter_is_taken_and_then_ignored(
    parameter: Parameter[Any], parse: Callable[[str], Any], base: str
) -> None:
    told = parse(asked(parameter, base, parameter.example))
    if parameter is not SORT:  # there is one order yet
        assert told != parse(base)


def test_empty_is_told_where_it_is_taken() -> None:
    for table, parse, base in TABLES:
        for parameter in table.parameters:
            if parameter.may_be_empty:
                parse(asked(parameter, base, ""))
            else:
                assert faults(parse, asked(parameter, base, "")).keys() == {parameter.name}


# -- the query as a whole ---------------------------------------------------------------------------------------------


def test_all_faults_are_told_at_once() -> None:
    told = faults(parse_nearby, "lat=91&limit=0&connector=x&colour=red")
    assert told.keys() == {"lat", "lon", "limit", "connector", "colour"}
    assert told["lon"].startswith("required")
    assert told["colour"] == "nothing: unknown parameter"


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("name", ["colour", "LAT", "Connector", "lat%20", "", "a.b[0]", "é", "x" * 100])
def test_unknown_parameters_are_errors(parse: Callable[[str], Any], name: str) -> None:
    before = f"{HERE}&" if parse is parse_nearby else f"{BOX}&" if parse is parse_list else ""
    told = faults(parse, f"{before}{name}=1")
    assert len(told) == 1 and "unknown" in next(iter(told.values()))


@pytest.mark.parametrize("name", ["lat", "limit", "available", "connector"])
def test_a_parameter_stands_once(name: str) -> None:
    told = {"lat": "1", "lon": "2", "limit": "3", "available": "", "connector": "MCS"}
    query = f"{urlencode(told)}&{name}={told[name]}"
    assert faults(parse_nearby, query) == {name: "given once"}


def test_a_query_is_not_too_long_and_has_not_too_many_parts() -> None:
    room = MAX_QUERY - len("operator=")
    longest = f"operator={'x' * room}"
    assert len(parse_tile_filter(longest).operators[0]) == room
    assert "8192" in faults(parse_tile_filter, longest + "x")[""]
    many = faults(parse_tile_filter, "&".join(f"a{i}=1" for i in range(41)))
    assert "40" in many[""]
    assert len(faults(parse_tile_filter, "&".join(f"a{i}=1" for i in range(40)))) == 40


@pytest.mark.parametrize(
    "query", ["operator=%ff", "%ff=1", "operator=%ed%a0%80", "operator=\udcff", "\udcff=1", "a=%\udcff"]
)
def test_what_is_not_utf_8_is_refused(query: str) -> None:
    """A raw byte in a request line reaches us as a lone surrogate, which cannot be sent back."""
    for parse in PARSERS:
        assert faults(parse, query).keys() == {""}


NAMES = ("lat", "lon", "radius_m", "limit", "bbox", "ids", "after", "sort", "connector", "min_power_kw", "max_power_kw",
         "available", "operator", "exclude_operator", "facility", "open_now", "lat", "lon")  # fmt: skip
anything = st.text(st.characters(exclude_categories=()), max_size=20)
values = anything | st.sampled_from(NOT_NUMBERS) | st.floats().map(str) | st.integers().map(str) | st.just("0,0,1,1")
pairs = st.tuples(st.sampled_from(NAMES) | anything, values)
query_strings = anything | st.lists(pairs, max_size=8).map(
    lambda some: "&".join(f"{name}={quote(value, errors='replace')}" for name, value in some)
) | st.lists(pairs, max_size=8).map(lambda some: "&".join("=".join(pair) for pair in some))  # fmt: skip


@examples(400)
@given(query_strings)
@example("\udcff")
@example("operator=\ud800")
@example("%")
@example("&&==&;")
@example("lat=1&lon=2&operator=%00")
def test_whatever_comes_is_read_or_refused_with_a_problem_that_can_be_sent(query: str) -> None:
    for parse in PARSERS:
        try:
            read = parse(query)
        except Problem as problem:
            told = orjson.loads(problem.body())
            assert told["errors"] and all(fault["allowed"] for fault in told["errors"])
            assert problem.response().status == 400
        else:
            if isinstance(read, NearbyQuery):
                assert -90 <= read.at.lat <= 90 and 1 <= read.radius_m <= 200_000 and 1 <= read.limit <= 1000
            orjson.dumps(query)  # TileJSON repeats it
