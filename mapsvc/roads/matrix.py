"""Drive times from one place to many, or from many to one: Valhalla's matrix as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

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
    told = await client.ask("sources_to_targets", _body([origin], targets), deadline)
    with client.reading():
        found = told["sources_to_targets"]
        seconds, km = (np.array(found[name][0], np.float64) for name in ("durations", "distances"))  # None becomes nan
        if seconds.shape != (len(targets),) or km.shape != seconds.shape:
            raise ValueError
        return Drives(seconds, km * 1000.0)


async def is_reached(client: RoadsClient, origins: Sequence[Place], target: Place, deadline: Deadline) -> bool:
    """Whether a way leads from one of them. Raises RoadsError."""
    told = await client.ask("sources_to_targets", _body(origins, [target]), deadline)
    with client.reading():
        return any(row[0] is not None for row in told["sources_to_targets"]["durations"])


def _body(sources: Sequence[Place], targets: Sequence[Place]) -> dict[str, Any]:
    return {"sources": list(sources), "targets": list(targets), "units": "km", "verbose": False, **costing()}
