"""Where a drive goes: positions and stations of a request, and what is said when Valhalla does not get there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote

from geo.point import LatLon
from geo.world import World
from mapsvc.deadline import Deadline
from mapsvc.json_body import Members
from mapsvc.params import MAX_ID
from mapsvc.problems import Fault, Problem, Unavailable, Unprocessable
from mapsvc.roads.client import BUSY, NO_ROADS, RefusedError, RoadsAwayError, RoadsClient
from mapsvc.roads.costing import costing
from mapsvc.roads.snapping import NO_EDGES, Place, place_of
from mapsvc.roads.valhalla_files import MAX_ROUTE_M, SNAP_M

LEAST, MOST = 2, 25
RETRY_S = {NO_ROADS: 60, BUSY: 1}

# Valhalla's error codes, besides NO_EDGES
TOO_FAR, NO_PATH, UNCONNECTED = 154, 442, 170
_NO_WAY = (NO_PATH, UNCONNECTED)


class Waypoint(NamedTuple):
    at: LatLon
    station: str | None = None  # its id as the client wrote it

    @property
    def place(self) -> Place:
        return place_of(self.at)


def read_waypoints(members: Members, world: World, name: str = "waypoints") -> list[Waypoint]:
    """Each a position (`lat`, `lon`) or a `station`. Faults go to `members`."""
    found = []
    for one in members.objects(name, LEAST, MOST):
        if one.has("station"):
            key = one.text("station", MAX_ID)
            row = world.find(unquote(key).casefold()) if key else None
            if row is not None:
                found.append(Waypoint(LatLon(float(world.stations.lat[row]), float(world.stations.lon[row])), key))
            elif key:
                one.fault("station", "the id of a station that there is")
        else:
            one.any("station")  # may be null
            found.append(Waypoint(LatLon(one.number("lat", -90, 90), one.number("lon", -180, 180))))
        one.close()
    return found


def away(error: RoadsAwayError) -> Unavailable:
    """503, with when to ask again."""
    text = {
        NO_ROADS: "This server has no road graph.",
        BUSY: "Too many routes are being computed.",
    }.get(error.reason, "Routes are not computed at the moment.")
    return Unavailable(text, RETRY_S.get(error.reason, 2))


async def refusal(
    client: RoadsClient,
    error: RefusedError,
    waypoints: Sequence[Waypoint],
    deadline: Deadline,
    name: str = "/waypoints",
) -> Problem:
    """Which of the waypoints it is about: Valhalla's error does not tell. Raises RoadsAwayError."""
    if error.code == TOO_FAR:
        return Unprocessable(
            "The waypoints are too far apart.", [Fault(name, f"at most {MAX_ROUTE_M // 1000} km in all")], in_body=True
        )
    if error.code == NO_EDGES:
        lost = [k for k, one in enumerate(waypoints) if not await _is_near_road(client, one, deadline)]
        faults = [Fault(f"{name}/{k}", f"within {SNAP_M // 1000} km of a road of this graph") for k in lost]
        return Unprocessable("A waypoint is not near a road.", faults or [Fault(name, "near roads")], in_body=True)
    if error.code in _NO_WAY:
        for k in range(1, len(waypoints)):
            if not await _is_way(client, waypoints[k - 1], waypoints[k], deadline):
                allowed = f"where a way leads to from waypoint {k - 1}"
                return Unprocessable("No way leads there.", [Fault(f"{name}/{k}", allowed)], in_body=True)
        return Unprocessable("No way leads there.", [Fault(name, "connected by roads")], in_body=True)
    return Unprocessable("There is no such route.", [Fault(name, "a route that can be driven")], in_body=True)


async def _is_near_road(client: RoadsClient, waypoint: Waypoint, deadline: Deadline) -> bool:
    try:
        told = await client.ask("locate", {"locations": [waypoint.place], "verbose": False, **costing()}, deadline)
    except RefusedError:
        return False
    with client.reading():
        return bool(told[0]["edges"])


async def _is_way(client: RoadsClient, a: Waypoint, b: Waypoint, deadline: Deadline) -> bool:
    try:
        await client.ask("route", {"locations": [a.place, b.place], "directions_type": "none", **costing()}, deadline)
    except RefusedError:
        return False
    return True
