"""The operations that read."""

from __future__ import annotations

from mapsvc.openapi.operation import JSON_TYPE, Operation, Response, ref
from mapsvc.parameter import Kind, Parameter, whole
from mapsvc.params import LIST, MAX_ID
from mapsvc.params import NEARBY as NEARBY_TABLE
from mapsvc.params import STATION as STATION_TABLE
from mapsvc.params import TILE as TILE_TABLE
from mapsvc.replies import GEOJSON, MVT
from mapsvc.tilejson import VECTOR_LAYERS
from mapsvc.tiles import MAX_ZOOM

TAG_READ, TAG_TILES, TAG_SERVICE = "Stations", "Tiles", "Service"
SOME_STATION = "XH*NOH~00000000-0000-4e5c-a1b2-000000000000"

CACHED = ("ETag", "Cache-Control", "Vary")
UNCACHED = ("Cache-Control", "Vary")
NOT_MODIFIED = Response("You have it already: the ETag in If-None-Match still stands.", headers=CACHED)

STATION_ID = Parameter(
    "id",
    Kind(str, "party~location", {"type": "string", "minLength": 1, "maxLength": MAX_ID}),
    "`party~location` as lists show it, in any case.",
    SOME_STATION,
    where="path",
)


def tile_number(name: str, most: int, description: str, example: str) -> Parameter[int]:
    return Parameter(name, whole(0, most), description, example, where="path")


LAST_TILE = (1 << MAX_ZOOM) - 1

NEARBY = Operation(
    id="nearby",
    method="GET",
    path="/v1/nearby",
    tag=TAG_READ,
    summary="The stations around a position, nearest first",
    description="Distances are great-circle metres, ties are in order of id; counts and powers follow the filters. With "
    "`sort=drive_time` the stations that a car reaches soonest, within the radius by air line; where drive times are not to be "
    "had, the answer is by air line and says `degraded`.",
    parameters=NEARBY_TABLE.parameters,
    responses={
        200: Response("The stations.", {JSON_TYPE: ref("StationList"), GEOJSON: ref("StationFeatures")}, UNCACHED)
    },
    refusals=(400, 429, 503),
    examples=(
        "/v1/nearby?lat=48.667&lon=6.893",
        "/v1/nearby?lat=48.667&lon=6.893&radius_m=50000&limit=3&connector=IEC_62196_T2_COMBO&min_power_kw=100&available",
        "/v1/nearby?lat=48.667&lon=6.893&open_now=true&fields=name,lat,lon,distance_m",
        "/v1/nearby?lat=48.667&lon=6.893&format=geojson",
        "/v1/nearby?lat=48.667&lon=6.893&sort=drive_time&limit=10",
    ),
)

STATIONS = Operation(
    id="stations",
    method="GET",
    path="/v1/stations",
    tag=TAG_READ,
    summary="The stations of a box, of some ids, or of an EVSE id, page by page",
    description="Exactly one of `bbox`, `ids` and `evse_id`. Pages are in a fixed order; follow the Link until there is none.",
    parameters=LIST.parameters,
    responses={
        200: Response("A page.", {JSON_TYPE: ref("StationList"), GEOJSON: ref("StationFeatures")}, ("Link", *UNCACHED))
    },
    refusals=(400, 429, 503),
    examples=(
        "/v1/stations?bbox=6.5,48.5,7.2,48.9&limit=5&open_now=true",
        f"/v1/stations?ids={SOME_STATION}",
        "/v1/stations?evse_id=de-abc-e1234-5",
        "/v1/stations?bbox=179,-20,-179,-10&format=geojson&fields=name,evses",
    ),
)

STATION = Operation(
    id="station",
    method="GET",
    path="/v1/stations/{id}",
    tag=TAG_READ,
    summary="All about one station",
    description="EVSEs, connectors, hours, prices, and statuses with their instants. Instants are absolute, never ages.",
    parameters=(STATION_ID, *STATION_TABLE.parameters),
    responses={
        200: Response("The station.", {JSON_TYPE: ref("Station"), GEOJSON: ref("StationDetailsFeature")}, CACHED),
        304: NOT_MODIFIED,
    },
    refusals=(400, 404, 429, 503),
    examples=(
        f"/v1/stations/{SOME_STATION}",
        f"/v1/stations/{SOME_STATION}?fields=name,evses",
        f"/v1/stations/{SOME_STATION}?format=geojson",
    ),
)

TILEJSON = Operation(
    id="tilejson",
    method="GET",
    path="/v1/tiles/stations.json",
    tag=TAG_TILES,
    summary="TileJSON 3.0.0 of the vector tiles",
    description="With filters, the tiles that it names have them too.",
    parameters=TILE_TABLE.parameters,
    responses={200: Response("TileJSON.", {JSON_TYPE: ref("TileJSON")}, CACHED), 304: NOT_MODIFIED},
    refusals=(400, 429),
    examples=("/v1/tiles/stations.json", "/v1/tiles/stations.json?available&min_power_kw=150"),
)

TILE = Operation(
    id="tile",
    method="GET",
    path="/v1/tiles/stations/{z}/{x}/{y}.mvt",
    route_path=r"/v1/tiles/stations/{z:[0-9]{1,2}}/{x:[0-9]{1,9}}/{y:[0-9]{1,9}}.mvt",
    tag=TAG_TILES,
    summary="A vector tile (MVT 2.1)",
    description="".join(
        f"Layer `{layer['id']}` at z {layer['minzoom']} to {layer['maxzoom']}: schema `TileLayer_{layer['id']}`. "
        for layer in VECTOR_LAYERS
    )
    + "A feature's id in `stations` is the station's stable number. An empty tile has no bytes. Deeper zooms are the "
    "client's: it scales z 14.",
    parameters=(
        tile_number("z", MAX_ZOOM, "Zoom.", "5"),
        tile_number("x", LAST_TILE, "Column, at most 2^z - 1.", "16"),
        tile_number("y", LAST_TILE, "Row from the north, at most 2^z - 1.", "11"),
        *TILE_TABLE.parameters,
    ),
    responses={200: Response("The tile.", {MVT: {}}, CACHED), 304: NOT_MODIFIED},
    refusals=(400, 404, 429, 503),
    examples=("/v1/tiles/stations/5/16/11.mvt", "/v1/tiles/stations/11/1062/707.mvt?available"),
    more={"x-vector-layers": VECTOR_LAYERS},
)

HEALTHZ = Operation(
    id="healthz",
    method="GET",
    path="/healthz",
    tag=TAG_SERVICE,
    summary="Alive",
    description="Touches no dependency.",
    responses={200: Response("Alive.", {JSON_TYPE: ref("Alive")}, ("Cache-Control",))},
    refusals=(429,),
    examples=("/healthz",),
)

READYZ = Operation(
    id="readyz",
    method="GET",
    path="/readyz",
    tag=TAG_SERVICE,
    summary="Ready, with what is missing and the age of the data",
    responses={
        200: Response("Ready.", {JSON_TYPE: ref("Readiness")}, ("Cache-Control",)),
        503: Response("Not ready.", {JSON_TYPE: ref("Readiness")}, ("Cache-Control", "Retry-After")),
    },
    refusals=(429,),
    examples=("/readyz",),
)

OPENAPI = Operation(
    id="openapi",
    method="GET",
    path="/openapi.json",
    tag=TAG_SERVICE,
    summary="This document (OpenAPI 3.1)",
    responses={200: Response("The document.", {JSON_TYPE: {"type": "object"}}, CACHED), 304: NOT_MODIFIED},
    refusals=(400, 429),
    examples=("/openapi.json",),
)

DOCS = Operation(
    id="docs",
    method="GET",
    path="/docs",
    tag=TAG_SERVICE,
    summary="The same for people",
    description="One page without scripts; nothing is loaded from elsewhere.",
    responses={
        200: Response("The page.", {"text/html": {"type": "string"}}, (*CACHED, "Content-Security-Policy")),
        304: NOT_MODIFIED,
    },
    refusals=(400, 429),
    examples=("/docs",),
)

READS = (NEARBY, STATIONS, STATION, TILEJSON, TILE)
PROBES = (HEALTHZ, READYZ)
