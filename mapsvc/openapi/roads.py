"""The operations on roads."""

from __future__ import annotations

from mapsvc.openapi.operation import JSON_TYPE, Body, Operation, Response, ref
from mapsvc.openapi.read_schemas import (
    COUNT,
    FLAG,
    LATITUDE,
    LONGITUDE,
    SUMMARY,
    TEXT,
    WHY_DEGRADED,
    list_of,
    or_null,
    record,
)
from mapsvc.openapi.reads import CACHED, LAST_TILE, NOT_MODIFIED, UNCACHED, tile_number
from mapsvc.parameter import Schema
from mapsvc.params import FILTERS, MAX_ID
from mapsvc.replies import GEOJSON, MVT
from mapsvc.roads import along, route, waypoints
from mapsvc.roads.costing import AVOIDABLE
from mapsvc.roads.reachable import REACHABLE as REACHABLE_TABLE
from mapsvc.roads.tiles import MAX_ZOOM, MIN_ZOOM, VECTOR_LAYERS

TAG = "Roads"
ATTRIBUTION = (
    "Roads © OpenStreetMap contributors (ODbL), routed by Valhalla. There is no elevation: every road counts as level."
)

_WAYPOINTS = {
    "type": "array",
    "minItems": waypoints.LEAST,
    "maxItems": waypoints.MOST,
    "items": ref("Waypoint"),
}
_AVOID = {
    **list_of({"type": "string", "enum": sorted(AVOIDABLE)}),
    "description": "Taken only where there is hardly another way.",
}
_LINE = {
    "oneOf": [
        {"type": "string", "description": "An encoded polyline."},
        record(
            {
                "type": {"const": "LineString"},
                "coordinates": {
                    "type": "array",
                    "minItems": 2,
                    "items": {"type": "array", "prefixItems": [LONGITUDE, LATITUDE], "minItems": 2},
                },
            },
            description="GeoJSON.",
        ),
    ]
}
_MANEUVER = record(
    {
        "type": {**TEXT, "enum": list(route.MANEUVERS)},
        "instruction": {**TEXT, "description": "In the language asked for."},
        "streets": list_of(TEXT),
        "duration_s": COUNT,
        "distance_m": COUNT,
        "begin_index": {**COUNT, "description": "Of the leg's own positions."},
        "end_index": COUNT,
    }
)


def _sent(members: dict[str, Schema], *required: str, description: str = "") -> Schema:
    """An object as clients send it: members that are not told are errors."""
    told = record(members, *(name for name in members if name not in required), description=description)
    return {**told, "additionalProperties": False}


SCHEMAS: dict[str, Schema] = {
    "Waypoint": {
        "description": "A position, or a station.",
        "oneOf": [
            _sent({"lat": LATITUDE, "lon": LONGITUDE}, "lat", "lon"),
            _sent({"station": {**TEXT, "minLength": 1, "maxLength": MAX_ID}}, "station"),
        ],
    },
    "RouteRequest": _sent(
        {
            "waypoints": _WAYPOINTS,
            "avoid": _AVOID,
            "geometry": {"type": "string", "enum": [route.POLYLINE, route.GEOJSON], "default": route.POLYLINE},
            "language": {"type": "string", "enum": list(route.LANGUAGES), "default": "en-US"},
            "alternates": {
                "type": "integer",
                "minimum": 0,
                "maximum": route.MAX_ALTERNATES,
                "default": 0,
                "description": "Other ways besides the best, if there are good ones; with two waypoints only.",
            },
            "maneuvers": {**FLAG, "default": True},
        },
        "waypoints",
    ),
    "Route": record(
        {
            "duration_s": COUNT,
            "distance_m": COUNT,
            "has_tolls": FLAG,
            "has_ferries": FLAG,
            "has_motorways": FLAG,
            "geometry": {
                "oneOf": [TEXT, _LINE["oneOf"][1]],
                "description": "Of all legs: a polyline of precision 6, or a GeoJSON LineString.",
            },
            "legs": list_of(
                record({"duration_s": COUNT, "distance_m": COUNT, "maneuvers": list_of(_MANEUVER)}, "maneuvers")
            ),
        }
    ),
    "Routes": record(
        {
            "waypoints": list_of(
                record(
                    {
                        "lat": LATITUDE,
                        "lon": LONGITUDE,
                        "station": TEXT,
                        "to_road_m": {
                            **COUNT,
                            "description": "From the position to where the route meets it, by air line.",
                        },
                    },
                    "station",
                )
            ),
            "routes": {**list_of(ref("Route")), "description": "The best first."},
        }
    ),
    "AlongRequest": _sent(
        {
            "geometry": _LINE,
            "precision": {"type": "integer", "enum": [5, 6], "default": 6, "description": "Of the encoded polyline."},
            "waypoints": _WAYPOINTS,
            "avoid": _AVOID,
            "max_detour_s": {
                "type": "number",
                "minimum": 0,
                "maximum": along.MAX_DETOUR_S,
                "default": along.DETOUR_S,
            },
            "max_distance_m": {
                "type": "number",
                "minimum": 0,
                "maximum": along.MAX_DISTANCE_M,
                "default": along.DISTANCE_M,
                "description": "From the line, by air line.",
            },
            "sort": {"type": "string", "enum": [along.BY_OFFSET, along.BY_DETOUR], "default": along.BY_OFFSET},
            "limit": {"type": "integer", "minimum": 1, "maximum": along.MOST, "default": along.LIMIT},
        },
        description="Exactly one of `geometry` and `waypoints`.",
    ),
    "StationAlong": record(
        {name: SUMMARY[name] for name in SUMMARY if name not in ("distance_m", "drive_time_s", "drive_distance_m")}
        | {
            "offset_m": {**COUNT, "description": "Along the line, from its beginning, to where it passes nearest."},
            "line_distance_m": {**COUNT, "description": "From the line, by air line."},
            "detour_s": {**or_null(COUNT), "description": "Driving time that a stop there adds; null: not computed."},
            "detour_m": or_null(COUNT),
        }
    ),
    "StationsAlong": record(
        {
            "stations": list_of(ref("StationAlong")),
            "route": record(
                {"distance_m": COUNT, "duration_s": {**COUNT, "description": "Of a route computed here."}}, "duration_s"
            ),
            "considered": {**COUNT, "description": "Matching stations beside the line."},
            "complete": {
                **FLAG,
                "description": f"Whether the detours of all of these were computed; else those of the {along.MOST} nearest, "
                "spread over the line.",
            },
            "degraded": {**FLAG, "description": "No detours were to be had: by offset, all that are near enough."},
            "degraded_reason": {**TEXT, "enum": list(WHY_DEGRADED)},
        },
        "degraded_reason",
    ),
    "Reachable": record(
        {
            "type": {"const": "Feature"},
            "geometry": record(
                {"type": {"type": "string", "enum": ["Polygon", "MultiPolygon"]}, "coordinates": {"type": "array"}}
            ),
            "properties": record(
                {
                    "minutes": {"type": "number"},
                    "kilometres": {"type": "number"},
                    "battery_kwh": {"type": "number"},
                    "soc": {"type": "number"},
                    "consumption_kwh_100km": {"type": "number"},
                    "is_estimate": {"const": True},
                    "estimate": TEXT,
                },
                *("minutes", "kilometres", "battery_kwh", "soc", "consumption_kwh_100km", "is_estimate", "estimate"),
            ),
            "stations_inside": {**COUNT, "description": "How many match, with `stations`."},
            "stations": {**list_of(ref("StationSummary")), "description": "The nearest by air line first."},
        },
        "stations_inside",
        "stations",
        description="A GeoJSON Feature: the area that is reached.",
    ),
}

_EXAMPLE = [{"lat": 48.667, "lon": 6.893}, {"lat": 48.75, "lon": 6.95}]

ROUTE = Operation(
    id="route",
    method="POST",
    path="/v1/route",
    tag=TAG,
    summary=f"The way through {waypoints.LEAST} to {waypoints.MOST} waypoints",
    description=ATTRIBUTION,
    body=Body(
        "Where to drive, and how.",
        {JSON_TYPE: ref("RouteRequest")},
        {JSON_TYPE: {"waypoints": _EXAMPLE, "language": "de-DE", "avoid": ["ferries"]}},
    ),
    responses={200: Response("One or several ways.", {JSON_TYPE: ref("Routes")}, UNCACHED)},
    refusals=(400, 413, 422, 429, 503),
    schemas=SCHEMAS,
)

ALONG_ROUTE = Operation(
    id="alongRoute",
    method="POST",
    path="/v1/along-route",
    tag=TAG,
    summary="Stations along a line, by what stopping there costs",
    description="The line of any navigation system, or a route that is computed here. Filters are those of lists. "
    + ATTRIBUTION,
    parameters=FILTERS,
    body=Body(
        "A line or waypoints, and how far off them.",
        {JSON_TYPE: ref("AlongRequest")},
        {JSON_TYPE: {"waypoints": _EXAMPLE, "max_detour_s": 600, "sort": "detour"}},
    ),
    responses={200: Response("The stations.", {JSON_TYPE: ref("StationsAlong")}, UNCACHED)},
    refusals=(400, 413, 422, 429, 503),
)

REACHABLE = Operation(
    id="reachable",
    method="GET",
    path="/v1/reachable",
    tag=TAG,
    summary="How far one gets in a time, over a distance, or on what is left in the battery",
    description="Exactly one of `minutes`, `kilometres` and `battery_kwh` (with `soc` and `consumption_kwh_100km`). "
    + ATTRIBUTION,
    parameters=REACHABLE_TABLE.parameters,
    responses={200: Response("The area.", {GEOJSON: ref("Reachable")}, UNCACHED)},
    refusals=(400, 422, 429, 503),
    examples=(
        "/v1/reachable?lat=48.667&lon=6.893&minutes=15",
        "/v1/reachable?lat=48.667&lon=6.893&battery_kwh=60&soc=10&consumption_kwh_100km=18&stations=true&limit=5&available",
    ),
)

ROAD_TILEJSON = Operation(
    id="roadTilejson",
    method="GET",
    path="/v1/tiles/roads.json",
    tag=TAG,
    summary="TileJSON 3.0.0 of the tiles of roads",
    responses={200: Response("TileJSON.", {JSON_TYPE: ref("TileJSON")}, CACHED), 304: NOT_MODIFIED},
    refusals=(400, 429, 503),
    examples=("/v1/tiles/roads.json",),
)


ROAD_TILE = Operation(
    id="roadTile",
    method="GET",
    path="/v1/tiles/roads/{z}/{x}/{y}.mvt",
    route_path=r"/v1/tiles/roads/{z:[0-9]{1,2}}/{x:[0-9]{1,9}}/{y:[0-9]{1,9}}.mvt",
    tag=TAG,
    summary="A vector tile of the roads (MVT 2.1), for a map without internet",
    description=f"Layer `{VECTOR_LAYERS[0]['id']}` from zoom {MIN_ZOOM} (motorways) to {MAX_ZOOM} (all). "
    + ATTRIBUTION,
    parameters=(
        tile_number("z", MAX_ZOOM, f"Zoom, from {MIN_ZOOM}.", "12"),
        tile_number("x", LAST_TILE, "Column, at most 2^z - 1.", "2126"),
        tile_number("y", LAST_TILE, "Row from the north, at most 2^z - 1.", "1413"),
    ),
    responses={200: Response("The tile.", {MVT: {}}, CACHED), 304: NOT_MODIFIED},
    refusals=(400, 404, 429, 503),
    examples=("/v1/tiles/roads/12/2126/1413.mvt",),
)

ROADS = (ROUTE, ALONG_ROUTE, REACHABLE, ROAD_TILEJSON, ROAD_TILE)
