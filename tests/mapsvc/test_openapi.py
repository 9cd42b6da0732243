"""/openapi.json says what the service does: routes, parameters, answers. Its examples are executed; drift fails here. R6."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from geo.mvt import AGGREGATE_KEYS, STATIONS
from geo.station import Connector, DisplayText, Evse, ExceptionalPeriod, Hours, RegularHours, Station, Status
from mapsvc import params
from mapsvc.app import Worker, build
from mapsvc.bodies import DRIVE_MEMBERS, NEARBY_MEMBERS, STATION_MEMBERS
from mapsvc.ingest.reports import Malformed, parse
from mapsvc.live.query import LIVE, TABLE, parse_live
from mapsvc.metrics import Metrics
from mapsvc.openapi import operation, reads, roads, writes
from mapsvc.openapi.document import document, value_of
from mapsvc.openapi.reads import SOME_STATION
from mapsvc.parameter import Given, Parameter
from mapsvc.problems import Problem
from mapsvc.settings import Settings
from tests.geo.model_world import State, Told
from tests.geo.worlds import DAY, START_MS, make_evse, make_station, packed
from tests.mapsvc.documented import Json, assert_documented, assert_response, path_of
from tests.mapsvc.test_bodies import packed_record

Client = TestClient[web.Request, web.Application]

SETTINGS = Settings(redis_url="redis://127.0.0.1:1")  # nobody listens, and nobody is asked
BASE_URL = "https://maps.test/here"
NOT_OF_THE_API = {  # the map page and what it is made of
    ("GET", path) for path in ("/", "/page/{name}", "/page/lib/{name}", "/page/basemap/{z}/{x}/{y}.mvt")
}

RICH = Station(
    party="XH*NOH", location_id=SOME_STATION.partition("~")[2], lat=48.667, lon=6.893, last_updated_ms=START_MS + 1,
    name="Market", address="Place 1", city="Nancy", postal_code="54000", state="Meurthe", country="FRA",
    parking_type="ON_STREET", operator="Nobody", suboperator="Sub", owner="Owner", operator_website="https://nobody.test",
    operator_phone="+33 1", facilities=("CAFE",), time_zone="Europe/Paris",
    opening_times=Hours(regular_hours=(RegularHours(1, "08:00", "20:00"),),
                        exceptional_openings=(ExceptionalPeriod(START_MS, START_MS + 1000),),
                        exceptional_closings=(ExceptionalPeriod(START_MS + 9000, START_MS + 9001),)),
    opening_times_text="always", charging_when_closed=True, directions=(DisplayText("fr", "à gauche"),),
    images=("https://nobody.test/1.jpg",), green_energy=True, free_of_charge=False, price_text="0.30", access_text="free",
    source="ocpi",
    evses=(
        Evse("1", 0, "DE*ABC*E1234*5", (
            Connector("1", "IEC_62196_T2_COMBO", "CABLE", "DC", 920, 500, 150000, 150.0, ("T1",), START_MS),
            Connector("2", "MCS"),
        ), ("RESERVABLE",), "-1", "A", ("EV_ONLY",), (DisplayText("de", "links"),), 48.667, 6.893, START_MS),
        Evse("2", 1),
    ),
)  # fmt: skip
POOR = make_station(2, 48.67, 6.9, [make_evse(0)])
OPEN = make_station(3, 48.66, 6.89, [make_evse(0)], opening_times=DAY)


@pytest.fixture
async def worker() -> Worker:
    """The application as it is served, its world filled by hand."""
    worker = build(SETTINGS, Metrics("test"), BASE_URL)
    told = [Told(num, 1, station) for num, station in enumerate((RICH, POOR, OPEN), 1)]
    now_ms = worker.replica.now_ms()
    states = packed([State(num, 0, 2, Status.AVAILABLE, now_ms - 5, now_ms) for num in (1, 3)])
    worker.world.put([packed_record(one) for one in told], states, now_ms)
    for position in worker.replica.positions:
        position.target = position.n
    assert worker.replica.ready
    return worker


@pytest.fixture
async def client(worker: Worker) -> AsyncIterator[Client]:
    async with TestClient(TestServer(worker.application)) as client:
        yield client


@pytest.fixture
async def told(client: Client) -> Json:
    answer = await client.get("/openapi.json")
    assert (answer.status, answer.content_type) == (200, "application/json")
    return await answer.json()


async def ask(client: Client, told: Json, target: str, status: int = 200, method: str = "GET") -> Json:
    answer = await client.request(method, target)
    body = await answer.read()
    assert answer.status == status, body[:500]
    return assert_documented(told, method, path_of(told, target), answer.status, answer.headers, body)


# -- the document itself ----------------------------------------------------------------------------------------------


def test_the_document_is_valid_openapi_3_1(told: Json) -> None:
    assert told["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(told).iter_errors()] == []
    for schema in told["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere_and_every_schema_is_referred_to(told: Json) -> None:
    used = set(re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', orjson.dumps(told).decode()))
    layers = {f"TileLayer_{layer['id']}" for layer in told["paths"][reads.TILE.path]["get"]["x-vector-layers"]}
    assert used | layers == told["components"]["schemas"].keys()


def test_the_server_is_where_clients_reach_us(told: Json) -> None:
    assert told["servers"] == [{"url": BASE_URL}]


def test_the_document_is_closed_to_what_it_does_not_know() -> None:
    """The validator of these tests would notice a member that is not told."""
    told = document([reads.HEALTHZ], BASE_URL)
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    assert_documented(told, "GET", "/healthz", 200, headers, b'{"status":"alive"}')
    for wrong in (b'{"status":"alive","more":1}', b"{}", b'{"status":"dead"}'):
        with pytest.raises(AssertionError):
            assert_documented(told, "GET", "/healthz", 200, headers, wrong)
    with pytest.raises(AssertionError):
        assert_documented(told, "GET", "/healthz", 200, {**headers, "X-More": "1"}, b'{"status":"alive"}')


# -- routes and parameters --------------------------------------------------------------------------------------------


def test_every_route_is_described_and_everything_described_is_a_route(worker: Worker, told: Json) -> None:
    routes = {
        (route.method, route.resource.canonical)
        for route in worker.application.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    described = {(method.upper(), path) for path, methods in told["paths"].items() for method in methods}
    assert routes - NOT_OF_THE_API == described


def test_every_get_takes_head_too(worker: Worker) -> None:
    routes = [(route.method, route.resource) for route in worker.application.router.routes()]
    assert all(("HEAD", resource) in routes for method, resource in routes if method == "GET")


READERS = {
    reads.NEARBY: (params.parse_nearby, params.NEARBY), reads.STATIONS: (params.parse_list, params.LIST),
    reads.STATION: (params.parse_station, params.STATION), reads.TILE: (params.parse_tile_filter, params.TILE),
    reads.TILEJSON: (params.parse_tile_filter, params.TILE), reads.OPENAPI: (params.parse_nothing, None),
    reads.DOCS: (params.parse_nothing, None), LIVE: (parse_live, TABLE),
}  # fmt: skip


@pytest.mark.parametrize("one", READERS, ids=lambda one: one.id)
def test_the_parameters_described_are_those_that_the_parser_takes(
    one: operation.Operation, told: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked of the parser itself: which names it does not call unknown, and which it misses."""
    parse = READERS[one][0]
    described = {p["name"]: p for p in told["paths"][one.path]["get"]["parameters"] if p["in"] == "query"}
    every = {parameter.name for _, table in READERS.values() if table for parameter in table.parameters}
    taken = set()
    for name in every | described.keys() | {"colour"}:
        try:
            parse(f"{name}=x")
        except Problem as problem:
            if (name, "nothing: unknown parameter") in problem.faults:
                continue
        taken.add(name)
    assert taken == described.keys()
    missed: set[str] = set()
    try:
        parse("")
    except Problem as problem:
        missed = {fault.where for fault in problem.faults if fault.allowed.startswith("required")}
    assert missed == {name for name, parameter in described.items() if parameter["required"]}
    read: set[str] = set()
    get = Given.__getitem__

    def noted(self: Given, parameter: Parameter[Any]) -> Any:
        read.add(parameter.name)
        return get(self, parameter)

    monkeypatch.setattr(Given, "__getitem__", noted)
    some = {
        "nearby": "lat=1&lon=2&available&fields=id",
        "stations": "ids=x&available&fields=id",
        "station": "fields=id",
        "live": "bbox=0,0,1,1&available",
    }
    parse(some.get(one.id, "available" if described else ""))
    assert read | {"sort"} >= described.keys()  # sort has one value yet


async def test_path_parameters_are_those_of_the_path(told: Json) -> None:
    for path, methods in told["paths"].items():
        for one in methods.values():
            names = [p["name"] for p in one["parameters"] if p["in"] == "path"]
            assert names == re.findall(r"\{(\w+)\}", path)


def test_defaults_are_told_where_they_can_be_sent(told: Json) -> None:
    defaults = {
        (p["name"], p["schema"].get("default"))
        for p in told["paths"]["/v1/nearby"]["get"]["parameters"]
        if "default" in p["schema"]
    }
    assert defaults == {
        ("radius_m", 10_000),
        ("limit", 20),
        ("sort", "distance"),
        ("open_now", False),
        ("format", "json"),
    }


@pytest.mark.parametrize("part", [reads, roads, writes])
def test_examples_of_parameters_are_valid(part: Any) -> None:
    for one in vars(part).values():
        if isinstance(one, operation.Operation):
            for parameter in one.parameters:
                value = value_of(parameter.example, parameter.kind.schema)
                Draft202012Validator(parameter.kind.schema).validate(value)


# -- what is answered -------------------------------------------------------------------------------------------------


async def test_every_example_answers_200_as_described(client: Client, told: Json) -> None:
    asked = 0
    for path, methods in told["paths"].items():
        if "get" in methods and "text/event-stream" not in orjson.dumps(methods["get"]["responses"]).decode():
            assert methods["get"]["x-examples"]
            for target in methods["get"]["x-examples"]:
                assert path_of(told, target) == path
                # This worker has no road graph: tests/e2e/test_roads.py asks these again of one that has.
                await ask(client, told, target, 503 if methods["get"]["tags"] == [roads.TAG] else 200)
                asked += 1
    assert asked >= 24


async def test_every_parameter_works_as_its_example_has_it(client: Client, told: Json) -> None:
    for one in (reads.NEARBY, reads.STATIONS, reads.STATION, reads.TILEJSON):
        path = one.path.replace("{id}", SOME_STATION)
        needed = [f"{p.name}={p.example}" for p in one.parameters if p.required and p.where == "query"]
        for parameter in one.parameters:
            if parameter.where == "query":
                query = [f"{parameter.name}={parameter.example}"]
                if one is reads.STATIONS and parameter.name not in ("bbox", "ids", "evse_id"):
                    query.append("bbox=6,48,7,49")
                await ask(client, told, f"{path}?{'&'.join(dict.fromkeys([*needed, *query]))}")


async def test_answers_are_as_described_member_by_member(client: Client, told: Json) -> None:
    details = await ask(client, told, f"/v1/stations/{SOME_STATION}")
    assert details.keys() == set(STATION_MEMBERS)  # RICH has everything
    evse = told["components"]["schemas"]["Evse"]["properties"]
    assert details["evses"][0].keys() == evse.keys()
    assert (
        details["evses"][0]["connectors"][0].keys() == told["components"]["schemas"]["Connector"]["properties"].keys()
    )
    assert (
        details["opening_times"].keys() | {"twentyfourseven"}
        == told["components"]["schemas"]["Hours"]["properties"].keys()
    )
    near = await ask(client, told, "/v1/nearby?lat=48.667&lon=6.893")
    assert (
        near["stations"][0].keys() | set(DRIVE_MEMBERS)
        == set(NEARBY_MEMBERS)
        == told["components"]["schemas"]["StationSummary"]["properties"].keys()
    )
    await ask(client, told, "/v1/stations/irve~L2")


async def test_the_next_page_is_announced(client: Client, told: Json) -> None:
    answer = await client.get("/v1/stations?bbox=6,48,7,49&limit=1&format=geojson&fields=name")
    page = assert_documented(told, "GET", "/v1/stations", answer.status, answer.headers, await answer.read())
    link = str(answer.links["next"]["url"])
    assert link.startswith(f"{BASE_URL}/v1/stations?")
    following = await ask(client, told, link.removeprefix(BASE_URL))
    assert [one["type"] for one in (page, following)] == ["FeatureCollection"] * 2
    assert page["features"][0]["id"] != following["features"][0]["id"]


NEEDED = {"/v1/nearby": "?lat=1&lon=2", "/v1/stations": "?bbox=0,0,1,1"}


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/v1/nearby", 400), ("GET", "/v1/nearby?lat=91&lon=0&colour=red", 400),
        ("GET", f"/v1/nearby?{'x' * 7900}", 400),
        ("GET", "/v1/stations?bbox=1,2,3", 400), ("GET", "/v1/stations?bbox=0,0,1,1&ids=x", 400),
        ("GET", "/v1/stations/nobody", 404), ("GET", f"/v1/stations/{SOME_STATION}?x=1", 400),
        ("GET", "/v1/tiles/stations.json?x=1", 400), ("GET", "/v1/tiles/stations/99/0/0.mvt", 400),
        ("GET", "/v1/tiles/stations/a/0/0.mvt", 404), ("GET", "/openapi.json?x", 400), ("GET", "/docs?x=1", 400),
        ("POST", "/v1/status", 503), ("POST", "/v1/heartbeat", 503), ("PUT", "/v1/stations/x", 503),
        ("DELETE", "/v1/stations/x", 503),
    ],
)  # fmt: skip
async def test_problems_are_as_described(client: Client, told: Json, method: str, target: str, status: int) -> None:
    problem = await ask(client, told, target, status, method)
    assert problem["status"] == status
    assert status != 400 or problem["errors"][0]["allowed"]


async def test_a_wrong_method_is_any_other_error(client: Client, told: Json) -> None:
    answer = await client.patch("/v1/nearby")
    assert answer.status == 405
    response = told["paths"]["/v1/nearby"]["get"]["responses"]["default"]
    assert_response(told, response, answer.headers, await answer.read())


async def test_a_worker_without_stations_says_so_as_described(worker: Worker, told: Json) -> None:
    fresh = build(SETTINGS, Metrics("test"), BASE_URL)
    async with TestClient(TestServer(fresh.application)) as client:
        for target in ("/v1/nearby?lat=1&lon=2", "/v1/stations?evse_id=x", "/v1/tiles/stations/0/0/0.mvt", "/readyz"):
            await ask(client, told, target, 503)


async def test_too_many_requests_are_refused_as_described(told: Json) -> None:
    strict = build(dataclasses.replace(SETTINGS, rate_limit=1), Metrics("test"), BASE_URL)
    async with TestClient(TestServer(strict.application)) as client:
        statuses = [(await client.get("/healthz")).status for _ in range(5)]
        assert 429 in statuses
        await ask(client, told, "/healthz", 429)
    for methods in told["paths"].values():
        for one in methods.values():
            assert "429" in one["responses"]  # the limit stands before every handler


async def test_who_has_the_document_gets_a_304(client: Client) -> None:
    for path in ("/openapi.json", "/docs"):
        first = await client.get(path)
        assert first.headers["Cache-Control"] == "public, max-age=300"
        again = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status, await again.read()) == (304, b"")


# -- schemas beside those of answers ----------------------------------------------------------------------------------


def test_the_tile_schema_is_the_tiles(told: Json) -> None:
    layers = {layer["id"]: set(layer["fields"]) for layer in told["paths"][reads.TILE.path]["get"]["x-vector-layers"]}
    assert layers == {"stations": set(STATIONS.keys), "aggregates": set(AGGREGATE_KEYS)}
    for layer, fields in layers.items():
        assert told["components"]["schemas"][f"TileLayer_{layer}"]["properties"].keys() == fields


def test_what_the_schema_of_an_update_allows_is_well_formed(told: Json) -> None:
    schema = told["components"]["schemas"]["StatusUpdate"]
    check = Draft202012Validator(schema)
    fine = {
        "evse_uid": "1",
        "status": "CHARGING",
        "source_ts": "2026-01-31T12:00:00Z",
        "source_epoch": 1,
        "source_seq": 2,
    }
    wrong: list[dict[str, Any]] = [
        {"evse_uid": ""}, {"evse_uid": 1}, {"evse_uid": "x" * 129}, {"status": "BUSY"}, {"status": None}, {"more": 1},
        {"location_id": ""}, {"source_seq": -1}, {"source_seq": 2**53}, {"source_epoch": 1.5},
    ]  # fmt: skip
    for changes in ({}, *wrong):
        update = fine | changes
        (row,) = parse(orjson.dumps([update]))
        assert check.is_valid(update) != isinstance(row, Malformed), update
    for name in fine.keys() | {"location_id"}:
        update = {key: value for key, value in fine.items() if key != name}
        (row,) = parse(orjson.dumps(update))
        assert check.is_valid(update) != isinstance(row, Malformed), update


def test_examples_of_bodies_fit_their_schemas(told: Json) -> None:
    for methods in told["paths"].values():
        for one in methods.values():
            for media in one.get("requestBody", {}).get("content", {}).values():
                schema = media["schema"] | {"components": told["components"]}
                Draft202012Validator(schema).validate(media["example"])


def test_no_member_of_a_station_is_without_a_name() -> None:
    told = {field.name for field in msgspec.structs.fields(Station)} - {"publish", "last_updated_ms"}
    assert set(STATION_MEMBERS) == told | {"id", "last_updated", "evse_counts", "open_now"}
