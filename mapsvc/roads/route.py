"""`POST /v1/route`: the way through 2 to 25 waypoints, as Valhalla finds it, in our words and units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from geo.point import Floats, LatLon, haversine_m
from geo.polyline import decode, encode
from geo.world import World
from mapsvc.deadline import Deadline
from mapsvc.json_body import Members
from mapsvc.roads.client import RefusedError, RoadsAwayError, RoadsClient
from mapsvc.roads.costing import AVOIDABLE, costing
from mapsvc.roads.waypoints import Waypoint, away, read_waypoints, refusal

ROUTE_S = 8.0  # across a continent; a city's takes 10 ms
MAX_ALTERNATES = 2
POLYLINE, GEOJSON = "polyline6", "geojson"
PRECISION = 6  # of Valhalla's shapes

LANGUAGES = (
    "bg-BG", "ca-ES", "cs-CZ", "da-DK", "de-DE", "el-GR", "en-GB", "en-US", "es-ES", "et-EE", "fi-FI", "fr-FR", "hi-IN",
    "hu-HU", "it-IT", "ja-JP", "nb-NO", "nl-NL", "pl-PL", "pt-BR", "pt-PT", "ro-RO", "ru-RU", "sk-SK", "sl-SI", "sv-SE",
    "tr-TR", "uk-UA", "vi-VN",
)  # fmt: skip

# Valhalla's maneuver types by number (its API reference, "maneuver types").
MANEUVERS = (
    "none", "start", "start_right", "start_left", "destination", "destination_right", "destination_left", "becomes",
    "continue", "slight_right", "right", "sharp_right", "u_turn_right", "u_turn_left", "sharp_left", "left", "slight_left",
    "ramp_straight", "ramp_right", "ramp_left", "exit_right", "exit_left", "stay_straight", "stay_right", "stay_left",
    "merge", "roundabout_enter", "roundabout_exit", "ferry_enter", "ferry_exit", "transit", "transit_transfer",
    "transit_remain_on", "transit_connection_start", "transit_connection_transfer", "transit_connection_destination",
    "post_transit_connection_destination", "merge_right", "merge_left", "elevator", "steps", "escalator",
    "building_enter", "building_exit",
)  # fmt: skip


class RouteQuery(NamedTuple):
    waypoints: Sequence[Waypoint]
    avoid: tuple[str, ...] = ()
    geometry: str = POLYLINE
    language: str = "en-US"
    alternates: int = 0
    maneuvers: bool = True


def parse_route(body: bytes, world: World) -> RouteQuery:
    """Raises Problem."""
    members = Members.of(body)
    waypoints = read_waypoints(members, world)
    avoid = members.some_of("avoid", sorted(AVOIDABLE))
    geometry = members.one_of("geometry", (POLYLINE, GEOJSON), POLYLINE)
    language = members.one_of("language", LANGUAGES, "en-US")
    alternates = members.whole("alternates", 0, MAX_ALTERNATES, 0)
    if alternates and len(waypoints) > 2:
        members.fault("alternates", "0 with more than two waypoints")
    maneuvers = members.flag("maneuvers", True)
    members.done()
    return RouteQuery(waypoints, avoid, geometry, language, alternates, maneuvers)


async def routes(client: RoadsClient, query: RouteQuery) -> dict[str, Any]:
    """The answer. Raises Problem."""
    deadline = Deadline.after(ROUTE_S)
    try:
        with client.one_graph():
            try:
                trips = await find_trips(client, query, deadline)
            except RefusedError as error:
                raise await refusal(client, error, query.waypoints, deadline) from None
            with client.reading():
                met = zip(query.waypoints, _meetings(trips[0]), strict=True)
                return {
                    "waypoints": [_told_waypoint(asked, at) for asked, at in met],
                    "routes": [_told_route(trip, query) for trip in trips],
                }
    except RoadsAwayError as error:
        raise away(error) from None


async def find_trips(client: RoadsClient, query: RouteQuery, deadline: Deadline) -> list[dict[str, Any]]:
    """Valhalla's trips, the best first. Raises RoadsError."""
    body = {
        "locations": [one.place for one in query.waypoints],
        "units": "km",
        "language": query.language,
        "directions_type": "maneuvers" if not query.maneuvers else "instructions",
        **({"alternates": query.alternates} if query.alternates else {}),
        **costing(query.avoid),
    }
    told = await client.ask("route", body, deadline)
    with client.reading():
        return [told["trip"], *(one["trip"] for one in told.get("alternates", ()))]


def _meetings(trip: Mapping[str, Any]) -> list[LatLon]:
    """Where the route meets each waypoint: on the road."""
    found: list[LatLon] = []
    for leg in trip["legs"]:
        lat, lon = decode(leg["shape"], PRECISION)
        if not found:
            found.append(LatLon(float(lat[0]), float(lon[0])))
        found.append(LatLon(float(lat[-1]), float(lon[-1])))
    return found


def _told_waypoint(asked: Waypoint, met: LatLon) -> dict[str, Any]:
    told: dict[str, Any] = {"lat": asked.at.lat, "lon": asked.at.lon}
    if asked.station is not None:
        told["station"] = asked.station
    return told | {"to_road_m": round(haversine_m(asked.at, met))}


def _told_route(trip: Mapping[str, Any], query: RouteQuery) -> dict[str, Any]:
    summary, legs = trip["summary"], trip["legs"]
    return {
        "duration_s": round(summary["time"]),
        "distance_m": round(summary["length"] * 1000),
        "has_tolls": bool(summary.get("has_toll")),
        "has_ferries": bool(summary.get("has_ferry")),
        "has_motorways": bool(summary.get("has_highway")),
        "geometry": told_geometry(legs, query.geometry),
        "legs": [_told_leg(leg, query.maneuvers) for leg in legs],
    }


def told_geometry(legs: Sequence[Mapping[str, Any]], form: str) -> str | dict[str, Any]:
    """Of all legs together; where one ends and the next begins stands once."""
    if form == POLYLINE and len(legs) == 1:
        return str(legs[0]["shape"])
    lat, lon = joined(legs)
    if form == POLYLINE:
        return encode(lat, lon, PRECISION)
    return {"type": "LineString", "coordinates": np.stack((lon, lat), axis=1).tolist()}


def joined(legs: Sequence[Mapping[str, Any]]) -> tuple[Floats, Floats]:
    """lat, lon of all legs' shapes."""
    parts = [decode(leg["shape"], PRECISION) for leg in legs]
    lat, lon = (np.concatenate([part[axis][k > 0 :] for k, part in enumerate(parts)]) for axis in (0, 1))
    return lat, lon


def _told_leg(leg: Mapping[str, Any], with_maneuvers: bool) -> dict[str, Any]:
    told = {"duration_s": round(leg["summary"]["time"]), "distance_m": round(leg["summary"]["length"] * 1000)}
    if with_maneuvers:
        told["maneuvers"] = [_told_maneuver(one) for one in leg.get("maneuvers", ())]
    return told


def _told_maneuver(one: Mapping[str, Any]) -> dict[str, Any]:
    """`begin_index`, `end_index`: of the leg's own positions."""
    kind = one["type"]
    return {
        "type": MANEUVERS[kind] if 0 <= kind < len(MANEUVERS) else "continue",
        "instruction": one["instruction"],
        "streets": one.get("street_names", []),
        "duration_s": round(one["time"]),
        "distance_m": round(one["length"] * 1000),
        "begin_index": one["begin_shape_index"],
        "end_index": one["end_shape_index"],
    }
