"""How a car is driven here: the same for every call.

A list's drive time and the route to the same station are found by two algorithms of Valhalla's all the same. They agree to the
second in six of seven cases; where a drive ends on roads for residents or deliveries, they may take different ways there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

TOP_SPEED_KMH = 140  # Valhalla's default `top_speed` for cars: no edge is driven faster
AVOIDABLE = {"tolls": "use_tolls", "ferries": "use_ferry", "motorways": "use_highways"}


def costing(avoid: Iterable[str] = ()) -> dict[str, Any]:
    """What goes into a request. What is avoided is taken only where there is hardly another way."""
    options = {AVOIDABLE[name]: 0.0 for name in avoid}
    return {"costing": "auto", **({"costing_options": {"auto": options}} if options else {})}
