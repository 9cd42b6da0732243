"""Drive times from one place to many, or from many to one: Valhalla's matrix as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geo.point import Floats
from mapsvc.deadline import Deadline
from mapsvc.roads.client import RoadsClient
from mapsvc.roads.costing import costing
from mapsvc.roads.snapping import Place


class Drives(NamedTuple):
    """Seconds and metres along the road, nan where no way leads."""

    seconds: Floats
    metres: Floats


async def drives(client: RoadsClient, origin: Place, targets: Sequence[Place], deadline: Deadline) -> Drives:
    """All of them: `matrix_locations`, which would end after the first few, counts in order of Valhalla's cost, not of time
    (see docs/decisions/0017-roads.md). Raises RoadsError."""
    if not targets:
        return Drives(np.zeros(0), np.zeros(0))
    body = {"sources": [origin], "targets": list(targets), "units": "km", "verbose": False, **costing()}
    told = (await client.ask("sources_to_targets", body, deadline))["sources_to_targets"]
    seconds = np.array(told["durations"][0], np.float64)  # None becomes nan
    return Drives(seconds, np.array(told["distances"][0], np.float64) * 1000.0)
