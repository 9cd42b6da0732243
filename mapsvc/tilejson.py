"""What the vector tiles hold, layer by layer: published as TileJSON 3.0.0 and in /openapi.json."""

from __future__ import annotations

from typing import Any

import orjson

from geo.mvt import AGGREGATE_KEYS, AGGREGATES, STATIONS
from mapsvc.tiles import MAX_ZOOM, MIN_STATION_ZOOM

_STATION_FIELDS = dict.fromkeys(STATIONS.keys, "a count, exact below 100 and rounded down above") | {
    "status": "0 unknown, 1 free, 2 busy, 3 out of service",
    "kw": "the largest power, kW, rounded down; 0: not known",
}
_AGGREGATE_FIELDS = dict.fromkeys(AGGREGATE_KEYS, "a count of EVSEs") | {
    "count": "stations",
    "max_kw": "the largest power, kW",
    "best_id": "id of the strongest station with a free EVSE",
    "best_kw": "its power, kW",
}

VECTOR_LAYERS: list[dict[str, Any]] = [
    {"id": STATIONS.name, "minzoom": MIN_STATION_ZOOM, "maxzoom": MAX_ZOOM, "fields": _STATION_FIELDS},
    {"id": AGGREGATES, "minzoom": 0, "maxzoom": MIN_STATION_ZOOM - 1, "fields": _AGGREGATE_FIELDS},
]


def tilejson(base_url: str, query: str) -> bytes:
    """`query`: the filter with its question mark, or empty."""
    return orjson.dumps(
        {
            "tilejson": "3.0.0",
            "name": "Charging stations",
            "tiles": [f"{base_url}/v1/tiles/stations/{{z}}/{{x}}/{{y}}.mvt{query}"],
            "minzoom": 0,
            "maxzoom": MAX_ZOOM,
            "bounds": [-180, -85.051129, 180, 85.051129],
            "vector_layers": VECTOR_LAYERS,
        }
    )
