"""Schemas of what the API answers. Those of one station come from geo.station itself, changed as mapsvc.bodies does."""

from __future__ import annotations

from typing import Any

import msgspec

from geo.station import Station, Status
from mapsvc.bodies import STATION_MEMBERS, WIRE_NAMES
from mapsvc.openapi.operation import ref
from mapsvc.parameter import Schema
from mapsvc.tilejson import VECTOR_LAYERS

COUNT = {"type": "integer", "minimum": 0}
INSTANT = {"type": "string", "format": "date-time", "examples": ["2026-01-31T12:00:00Z"]}
TEXT = {"type": "string"}
FLAG = {"type": "boolean"}
STATUS = {"type": "string", "enum": [status.name for status in Status]}
LATITUDE = {"type": "number", "minimum": -90, "maximum": 90}
LONGITUDE = {"type": "number", "minimum": -180, "maximum": 180}


def record(members: Schema, *optional: str, description: str = "") -> dict[str, Any]:
    """An object whose members are all there but for the `optional` ones."""
    told: dict[str, Any] = {"type": "object"}
    if description:
        told["description"] = description
    return told | {"properties": dict(members), "required": [name for name in members if name not in optional]}


def or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


COUNTS = record(
    dict.fromkeys(("total", "available", "busy", "out_of_service", "unknown"), COUNT),
    description="EVSEs by what a driver can do there; REMOVED ones do not count.",
)
OPEN_NOW = {**or_null(FLAG), "description": "Whether it is open now; null: nobody knows its hours."}

SUMMARY: dict[str, Schema] = {
    "id": {**TEXT, "description": "party~location, percent-encoded: usable in a path as it stands."},
    "name": or_null(TEXT),
    "address": or_null(TEXT),
    "city": or_null(TEXT),
    "operator": or_null(TEXT),
    "lat": LATITUDE,
    "lon": LONGITUDE,
    "connectors": {**list_of(TEXT), "description": "OCPI connector types of its EVSEs."},
    "max_power_kw": {**or_null({"type": "number"}), "description": "Of the connectors that fit the filter."},
    "evses": {**ref("Counts"), "description": "Of the EVSEs that fit the filter."},
    "open_now": OPEN_NOW,
    "changed_at": {**or_null(INSTANT), "description": "When the newest of its statuses began."},
    "seen_at": {**or_null(INSTANT), "description": "When one of its statuses was last reported or confirmed."},
    "distance_m": {"type": "number", "minimum": 0, "description": "As the crow flies; with `/v1/nearby` only."},
    "drive_time_s": {**or_null(COUNT), "description": "By car; with `sort=drive_time` only. null: not computed."},
    "drive_distance_m": {**or_null(COUNT), "description": "Along the road; with `sort=drive_time` only."},
}
WHY_DEGRADED = ("no_roads", "unreachable", "deadline", "busy", "no_road")
_DRIVEN: dict[str, Schema] = {
    "degraded": {
        **FLAG,
        "description": "With `sort=drive_time`: the order is by air line, as no drive times were to be had.",
    },
    "degraded_reason": {
        **TEXT,
        "enum": list(WHY_DEGRADED),
        "description": "no_roads: this server has no road graph; no_road: none near the position; unreachable, deadline, busy: "
        "the engine did not answer, not in time, or has too much to do.",
    },
    "proven": {
        **FLAG,
        "description": "With `sort=drive_time`: no station beyond those that were computed can be sooner.",
    },
    "unreachable": {
        **COUNT,
        "description": "With `sort=drive_time`: stations that fit, were looked at and are left out, as no road leads there.",
    },
}
_LISTING = {
    "excluded_unknown_hours": {
        **COUNT,
        "description": "With `open_now`: stations that fit but for hours that nobody knows; of a list, up to this page's end.",
    }
}


def _wire_form(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of a struct in geo.station as its members are told: absent rather than null, instants as text."""
    properties = {}
    for field, told in schema["properties"].items():
        if field in ("slot", "publish"):
            continue
        some = [one for one in told.get("anyOf", [told]) if one != {"type": "null"}]
        properties[WIRE_NAMES.get(field, field)] = (
            INSTANT if field.endswith("_ms") else {k: v for k, v in some[0].items() if k != "default"}
        )
    required = [
        WIRE_NAMES.get(field, field) for field in schema.get("required", ()) if field not in ("slot", "publish")
    ]
    return {"type": "object", "properties": properties, "required": required}


def _details() -> dict[str, Any]:
    _, found = msgspec.json.schema_components([Station], ref_template="#/components/schemas/{name}")
    told = {name: _wire_form(schema) for name, schema in found.items()}
    evse, station = told["Evse"], told["Station"]
    evse["properties"] |= {
        "status": {**STATUS, "description": "Now: UNKNOWN once the last report is older than its party's TTL."},
        "reported_status": {**STATUS, "description": "What was last reported, however long ago."},
        "changed_at": or_null(INSTANT),
        "seen_at": or_null(INSTANT),
        "expires_at": {**or_null(INSTANT), "description": "When the status turns UNKNOWN unless it is seen again."},
    }
    evse["required"] += ["connectors", "status", "reported_status", "changed_at", "seen_at", "expires_at"]
    members = station["properties"] | {"id": SUMMARY["id"], "evse_counts": ref("Counts"), "open_now": OPEN_NOW}
    told["Station"] = {
        "type": "object",
        "description": "All about one station, in OCPI 2.2.1's words; what is not known is absent. With `fields`, only those.",
        "properties": {name: members[name] for name in STATION_MEMBERS},
        "required": ["id"],
    }
    return told


def _feature(of: str, geometry_only: tuple[str, ...], members: Schema) -> dict[str, Any]:
    return record(
        {
            "type": {"const": "Feature"},
            "id": SUMMARY["id"],
            "geometry": record(
                {
                    "type": {"const": "Point"},
                    "coordinates": {
                        "type": "array",
                        "prefixItems": [LONGITUDE, LATITUDE],
                        "items": False,
                        "minItems": 2,
                    },
                }
            ),
            "properties": {
                "type": "object",
                "properties": {name: schema for name, schema in members.items() if name not in geometry_only},
            },
        },
        description=f"RFC 7946; `properties` are the other members of a {of}.",
    )


_IN_GEOMETRY = ("id", "lat", "lon")
_STATION = _details()

SCHEMAS: dict[str, Schema] = {
    "Counts": COUNTS,
    "StationSummary": record(
        SUMMARY,
        *(name for name in SUMMARY if name != "id"),
        description="A station in a list. All members are there unless `fields` names some.",
    ),
    "StationList": record(
        {"stations": list_of(ref("StationSummary"))} | _LISTING | _DRIVEN, "excluded_unknown_hours", *_DRIVEN
    ),
    "StationFeature": _feature("StationSummary", _IN_GEOMETRY, SUMMARY),
    "StationFeatures": record(
        {"type": {"const": "FeatureCollection"}, "features": list_of(ref("StationFeature"))} | _LISTING | _DRIVEN,
        "excluded_unknown_hours",
        *_DRIVEN,
    ),
    **_STATION,
    "StationDetailsFeature": _feature("Station", _IN_GEOMETRY, _STATION["Station"]["properties"]),
    "TileJSON": record(
        {
            "tilejson": {"const": "3.0.0"},
            "name": TEXT,
            "attribution": TEXT,
            "tiles": list_of({"type": "string", "format": "uri-template"}),
            "minzoom": COUNT,
            "maxzoom": COUNT,
            "bounds": {**list_of({"type": "number"}), "minItems": 4, "maxItems": 4},
            "vector_layers": list_of(
                record(
                    {
                        "id": TEXT,
                        "minzoom": COUNT,
                        "maxzoom": COUNT,
                        "fields": {"type": "object", "additionalProperties": TEXT},
                    }
                )
            ),
        },
        "attribution",
        description="TileJSON 3.0.0.",
    ),
    **{
        f"TileLayer_{layer['id']}": record(
            {name: {"type": "number", "description": text} for name, text in layer["fields"].items()},
            "best_id",
            "best_kw",
            description=f"A feature of the tiles' layer `{layer['id']}`, z {layer['minzoom']} to {layer['maxzoom']}: a point.",
        )
        for layer in VECTOR_LAYERS
    },
    "Problem": record(
        {
            "type": TEXT,
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": TEXT,
            "errors": list_of(
                record(
                    {
                        "parameter": {**TEXT, "description": "The parameter's name; empty: the query as a whole."},
                        "pointer": {**TEXT, "description": "JSON pointer (RFC 6901) into the body."},
                        "allowed": TEXT,
                    },
                    "parameter",
                    "pointer",
                )
            ),
        },
        "errors",
        description="RFC 9457. `errors` names each parameter, or points into the body, and says what is allowed.",
    ),
    "Alive": record({"status": {"const": "alive"}}),
    "Readiness": record(
        {
            "ready": {**FLAG, "description": "Whether this worker can answer; from old data as well."},
            "missing": {**list_of(TEXT), "description": "Why it is not ready: `what: why`."},
            "degraded": {
                **list_of(TEXT),
                "description": "What is wrong although it answers: `redis`, `updates` or `stations`, and why.",
            },
            "data_as_of": {
                **or_null(INSTANT),
                "description": "Everything that was committed before is shown; null: not known.",
            },
            "data_age_s": {
                **or_null({"type": "number", "minimum": 0}),
                "description": "Seconds since then: the age of the shard that lags most.",
            },
            "shards": {
                **list_of(
                    record(
                        {
                            "shard": COUNT,
                            "loaded": FLAG,
                            "n": {"type": "integer", "description": "Its last change that is shown; -1: none."},
                            "data_age_s": or_null({"type": "number", "minimum": 0}),
                        }
                    )
                ),
                "description": "The one with the oldest data first.",
            },
            "epoch": {"type": "integer", "description": "Of the cache that it follows; -1: none yet."},
            "stations": COUNT,
        }
    ),
}
