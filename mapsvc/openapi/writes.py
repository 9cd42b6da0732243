"""The operations that write: what operators send, and what they are told."""

from __future__ import annotations

from typing import Any

from geo.connectors import CONNECTOR_TYPES
from geo.station import Status
from mapsvc.door import Fate
from mapsvc.ingest.app import MAX_IDEMPOTENCY_KEY
from mapsvc.ingest.reports import FIELDS, MAX_ROWS, MAX_SEQ, MAX_TEXT
from mapsvc.openapi.operation import JSON_TYPE, Body, Operation, Response, ref
from mapsvc.openapi.read_schemas import INSTANT, STATUS, TEXT, list_of, or_null, record
from mapsvc.openapi.reads import STATION_ID
from mapsvc.parameter import Kind, Parameter, Schema

NDJSON = "application/x-ndjson"
OUTCOMES = (
    "applied", "confirmed", "late", "future", "unknown_evse", "ambiguous_evse", "malformed", "forbidden",
)  # fmt: skip
TAG = "Operators"

IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    Kind(
        str,
        f"1 to {MAX_IDEMPOTENCY_KEY} printable characters",
        {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY},
    ),
    "A name of your choice for this request: for 24 h the same key and body get the same answer, and nothing is done twice.",
    "a-batch-of-mine-1",
    None,
    where="header",
)

_ID = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
_SEQ = {"type": "integer", "minimum": 0, "maximum": MAX_SEQ}
_UPDATE: dict[str, Schema] = {
    "evse_uid": {**_ID, "description": "The EVSE's uid within its location, in any case."},
    "location_id": {**or_null(_ID), "description": "Needed only where several locations of the party have such a uid."},
    "status": STATUS,
    "source_ts": {
        **or_null(INSTANT),
        "description": "When the status began; without a zone: UTC. It orders the updates of most parties, and may be at most "
        "2 minutes ahead of us.",
    },
    "source_epoch": {**_SEQ, "description": "With `source_seq`, for parties that order by it.", "default": 0},
    "source_seq": or_null(_SEQ),
}
assert _UPDATE.keys() == FIELDS


def _told(members: dict[str, Any], description: str, *required: str) -> dict[str, Any]:
    """An object of which some members are required, the others optional, and any more ignored."""
    return record(members, *(name for name in members if name not in required), description=description)


def _location() -> dict[str, Any]:
    """OCPI's Location as far as it is read. The parser (mapsvc.importers) knows the dialects and says what it refuses."""
    url_of = _told({"name": TEXT, "website": TEXT}, "OCPI BusinessDetails.", "name")
    connector = _told(
        {
            "id": TEXT,
            "standard": {"type": "string", "examples": list(CONNECTOR_TYPES[:1])},
            "format": {"type": "string", "examples": ["CABLE", "SOCKET"]},
            "power_type": {"type": "string", "examples": ["DC", "AC_3_PHASE"]},
            "max_voltage": {"type": "integer"},
            "max_amperage": {"type": "integer"},
            "max_electric_power": {"type": "integer", "description": "W"},
            "tariff_ids": list_of(TEXT),
            "last_updated": INSTANT,
        },
        "OCPI Connector.",
    )
    position = record({"latitude": TEXT, "longitude": TEXT}, description="OCPI GeoLocation: decimal degrees.")
    evse = _told(
        {
            "uid": TEXT,
            "evse_id": TEXT,
            "status": STATUS,
            "connectors": list_of(connector),
            "capabilities": list_of(TEXT),
            "floor_level": TEXT,
            "physical_reference": TEXT,
            "parking_restrictions": list_of(TEXT),
            "coordinates": position,
            "last_updated": INSTANT,
        },
        "OCPI EVSE. Its status counts as reported at its `last_updated`.",
        "status",
    )
    return _told(
        {
            "country_code": {"type": "string", "pattern": "^[A-Za-z]{2}$"},
            "party_id": {"type": "string", "pattern": "^[A-Za-z0-9]{3}$"},
            "id": TEXT,
            "publish": {"type": "boolean", "description": "false: it appears nowhere."},
            "name": TEXT,
            "address": TEXT,
            "city": TEXT,
            "postal_code": TEXT,
            "state": TEXT,
            "country": {"type": "string", "description": "ISO 3166-1 alpha-3"},
            "coordinates": position,
            "time_zone": {"type": "string", "description": "IANA name"},
            "evses": list_of(evse),
            "operator": url_of,
            "suboperator": url_of,
            "owner": url_of,
            "facilities": list_of(TEXT),
            "parking_type": TEXT,
            "opening_times": {"type": "object", "description": "OCPI Hours."},
            "charging_when_closed": {"type": "boolean"},
            "last_updated": INSTANT,
        },
        "One OCPI Location, 2.2.1; 2.1.1, 2.2 and 2.3.0 are understood as well. Members that are not known are left alone; "
        "what is known must be right: every fault is told at once, with its JSON pointer.",
        "id",
        "coordinates",
        "last_updated",
    )


SCHEMAS: dict[str, Schema] = {
    "StatusUpdate": {
        **_told(_UPDATE, "What one EVSE says.", "evse_uid", "status"),
        "additionalProperties": False,
    },
    "Outcomes": record(
        {
            "outcomes": list_of(
                record(
                    {"outcome": {"type": "string", "enum": list(OUTCOMES)}, "message": TEXT},
                    "message",
                    description="What became of one update. `applied`: committed; `confirmed`: the same status again; `late`: "
                    "a newer one stands; `future`: source_ts is too far ahead; `message` says more where there is more.",
                )
            )
        },
        description="One outcome an update, in the order sent. All that is told has been committed.",
    ),
    "Heartbeat": record({"parties": list_of(TEXT)}, description="The parties whose last reports are confirmed."),
    "Location": _location(),
    "Written": record(
        {
            "id": TEXT,
            "outcome": {"type": "string", "enum": [fate.value for fate in Fate]},
            "statuses_in_future": {"type": "integer", "minimum": 0},
        }
    ),
}

_UPDATES = [
    {"evse_uid": "1", "location_id": "MARKET", "status": Status.CHARGING.name, "source_ts": "2026-01-31T12:00:00Z"},
    {"evse_uid": "2", "location_id": "MARKET", "status": Status.AVAILABLE.name, "source_ts": "2026-01-31T12:00:00Z"},
]
_EXAMPLE_LOCATION = {
    "country_code": "FR",
    "party_id": "TST",
    "id": "MARKET",
    "publish": True,
    "name": "Market square",
    "address": "Place du Marché 1",
    "city": "Nancy",
    "country": "FRA",
    "coordinates": {"latitude": "48.6937", "longitude": "6.1834"},
    "evses": [
        {
            "uid": "1",
            "evse_id": "FR*TST*E1*1",
            "status": "AVAILABLE",
            "connectors": [
                {
                    "id": "1",
                    "standard": "IEC_62196_T2_COMBO",
                    "format": "CABLE",
                    "power_type": "DC",
                    "max_voltage": 920,
                    "max_amperage": 500,
                    "max_electric_power": 150000,
                    "last_updated": "2026-01-31T11:59:00Z",
                }
            ],
            "last_updated": "2026-01-31T11:59:00Z",
        }
    ],
    "last_updated": "2026-01-31T11:59:00Z",
}

STATUS_UPDATES = Operation(
    id="report",
    method="POST",
    path="/v1/status",
    tag=TAG,
    summary=f"Report up to {MAX_ROWS} statuses",
    description="The party is the key's. A bad update is `malformed` and does not hold up the others; a bad envelope is an "
    "error, and then nothing is stored. Sending again is harmless.",
    parameters=(IDEMPOTENCY_KEY,),
    body=Body(
        "A JSON array, or one JSON object a line, in any media type; `Content-Encoding: gzip` or `deflate` is understood.",
        {JSON_TYPE: {**list_of(ref("StatusUpdate")), "maxItems": MAX_ROWS}, NDJSON: ref("StatusUpdate")},
        {JSON_TYPE: _UPDATES, NDJSON: _UPDATES[0]},
    ),
    responses={
        200: Response("One outcome an update.", {JSON_TYPE: ref("Outcomes")}, ("Cache-Control", "Idempotency-Replayed"))
    },
    refusals=(400, 401, 409, 413, 422, 429, 503),
    secured=True,
)

HEARTBEAT = Operation(
    id="heartbeat",
    method="POST",
    path="/v1/heartbeat",
    tag=TAG,
    summary="All that the key's parties last reported is still so",
    responses={200: Response("Confirmed.", {JSON_TYPE: ref("Heartbeat")}, ("Cache-Control",))},
    refusals=(400, 401, 413, 429, 503),
    secured=True,
)

PUT_STATION = Operation(
    id="put_station",
    method="PUT",
    path="/v1/stations/{id}",
    tag=TAG,
    summary="Write one station",
    description="The whole Location, ordered by its `last_updated`. An EVSE that is not in it is REMOVED.",
    parameters=(STATION_ID,),
    body=Body("An OCPI Location.", {JSON_TYPE: ref("Location")}, {JSON_TYPE: _EXAMPLE_LOCATION}),
    responses={
        200: Response("Written, or the same as before.", {JSON_TYPE: ref("Written")}, ("Cache-Control",)),
        201: Response("Written; it is new.", {JSON_TYPE: ref("Written")}, ("Cache-Control",)),
    },
    refusals=(400, 401, 403, 404, 409, 413, 422, 429, 503),
    secured=True,
)

DELETE_STATION = Operation(
    id="delete_station",
    method="DELETE",
    path="/v1/stations/{id}",
    tag=TAG,
    summary="Remove one station",
    parameters=(STATION_ID,),
    responses={204: Response("Removed.")},
    refusals=(400, 401, 403, 404, 413, 429, 503),
    secured=True,
)

WRITES = (STATUS_UPDATES, HEARTBEAT, PUT_STATION, DELETE_STATION)
