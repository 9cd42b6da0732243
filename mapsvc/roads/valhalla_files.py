"""Where Valhalla's programs are, and the configuration that they run with.

deploy/setup.sh unpacks its wheel beside our Python packages; nothing of it is imported. Its own script tells the defaults of
its version, and only what stands here is set otherwise.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HOME = Path(sys.prefix) / "valhalla" / "valhalla"
TILES_DIR, ADMINS = "tiles", "admins.sqlite"  # in the folder of a graph

MAX_ROUTE_M = 5_000_000  # between the first and the last waypoint, by way of the others, as the crow flies
# The same of one pair. It says how far a search goes: a second of Valhalla's cost for 56 m, and an hour's driving costs up to
# two and a half. So this is some two hours, as far as the largest radius of nearby may take.
MAX_MATRIX_M = 1_000_000
MAX_MATRIX_PAIRS = 2_500
MAX_LOCATIONS = 50
MAX_MINUTES, MAX_KM = 120, 400  # of a reachable area
SNAP_M = 35_000  # how far off a road a position may be
CACHE_BYTES = 512 << 20  # of graph tiles in memory


def program(name: str) -> Path:
    return HOME / "bin" / name


def is_installed() -> bool:
    return program("valhalla_service").exists() and program("valhalla_build_tiles").exists()


def configuration(graph: Path, port: int = 0) -> dict[str, Any]:
    """For building the graph in this folder, or for serving it on a loopback port."""
    told = subprocess.run(  # noqa: S603 (our own argv)
        [sys.executable, str(HOME / "valhalla_build_config.py")], check=True, capture_output=True
    )
    configured: dict[str, Any] = json.loads(told.stdout)
    _set(
        configured,
        {
            # A request's answer may say where somebody is: nothing of it is logged. What the program prints when it ends
            # by itself comes without this.
            "logging": {"type": "" if port else "std_out", "color": False},
            "mjolnir": {
                "tile_dir": str(graph / TILES_DIR),
                "admin": str(graph / ADMINS),
                "max_cache_size": CACHE_BYTES,
            },
            "loki": {
                # A station that cannot be driven to must not fail the fifty that it was asked about with: it is null.
                "use_connectivity": False,
                "service_defaults": {"search_cutoff": SNAP_M},
            },
            # From one place to many: one search outwards. The default, two searches for each pair, took ten times as long.
            "thor": {"source_to_target_algorithm": "timedistancematrix"},
            "httpd": {"service": {"listen": f"tcp://127.0.0.1:{port}", "drain_seconds": 2}},
            "service_limits": {
                "auto": {
                    "max_distance": MAX_ROUTE_M,
                    "max_locations": MAX_LOCATIONS,
                    "max_matrix_distance": MAX_MATRIX_M,
                    "max_matrix_location_pairs": MAX_MATRIX_PAIRS,
                },
                "isochrone": {"max_time_contour": MAX_MINUTES, "max_distance_contour": MAX_KM},
                "status": {"allow_verbose": True},
            },
        },
    )
    for absent in ("tile_extract", "traffic_extract", "landmarks", "timezone", "transit_dir", "transit_feeds_dir"):
        configured["mjolnir"].pop(absent, None)
    for elevation in ("elevation", "elevation_url"):
        configured["additional_data"].pop(elevation, None)
    return configured


def _set(into: dict[str, Any], values: dict[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _set(into[name], value)
        else:
            into[name] = value
