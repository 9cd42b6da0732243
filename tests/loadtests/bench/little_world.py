"""A world of eight stations on a meridian, whose answers can be told by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from loadtests.bench.snapshot import Snapshot

STEP_DEG = 0.01  # 1112 m on the meridian
STEP_M = 1111.95
LAT, LON = 48.0, 7.0
STATIONS = 8


def snapshot(folder: Path) -> Snapshot:
    """Station k stands k steps north of (LAT, LON). It has k % 3 + 1 EVSEs, the first of which is free and the others busy;
    the plugs of odd ones are CCS of 150 kW, of even ones Type 2 of 22 kW."""
    rows = range(STATIONS)
    counts = np.array([[1, k % 3, 0, 0] for k in rows])
    evses = [(k, 0 if slot == 0 else 1) for k in rows for slot in range(k % 3 + 1)]
    path = folder / "summaries.ndjson"
    path.write_bytes(b"".join(orjson.dumps(summary(k)) + b"\n" for k in rows))
    return Snapshot(
        num=np.arange(STATIONS) + 100,
        lat=np.array([LAT + STEP_DEG * k for k in rows]),
        lon=np.full(STATIONS, LON),
        counts=counts,
        max_kw=np.array([_kw(k) for k in rows]),
        evse_station=np.array([station for station, _ in evses]),
        evse_class=np.array([kind for _, kind in evses]),
        plug_evse=np.arange(len(evses)),
        plug_standard=np.array([station % 2 for station, _ in evses]),
        plug_kw=np.array([_kw(station) for station, _ in evses]),
        standards=("IEC_62196_T2", "IEC_62196_T2_COMBO"),
        ids=tuple(f"XX*ABC~{k}" for k in rows),
        summaries=path,
    )


def _kw(k: int) -> float:
    return 150.0 if k % 2 else 22.0


def summary(k: int, *, metres: float | None = None) -> dict[str, Any]:
    told = {
        "id": f"XX*ABC~{k}", "name": f"Station {k}", "address": None, "city": "Örtchen", "operator": "ABC",
        "lat": LAT + STEP_DEG * k, "lon": LON, "connectors": ["IEC_62196_T2_COMBO" if k % 2 else "IEC_62196_T2"],
        "max_power_kw": int(_kw(k)),
        "evses": {"total": k % 3 + 1, "available": 1, "busy": k % 3, "out_of_service": 0, "unknown": 0},
        "open_now": None, "changed_at": "2026-01-01T00:00:00Z", "seen_at": "2026-01-01T00:01:00Z",
    }  # fmt: skip
    return told if metres is None else {**told, "distance_m": metres}


def nearby(*stations: dict[str, Any]) -> bytes:
    return json.dumps({"stations": stations}).encode()


def all_in_order() -> list[dict[str, Any]]:
    """What nearby answers at (LAT, LON) when nothing is wanted."""
    return [summary(k, metres=round(k * STEP_M, 1)) for k in range(STATIONS)]
