"""`GET /v1/reachable`: how far one gets in a time, over a distance, or on what is left in a battery."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import shapely

from geo.filters import Filter
from geo.point import LatLon
from mapsvc.deadline import Deadline
from mapsvc.parameter import FLAG, Given, Parameter, Table, number, whole
from mapsvc.params import FILTERS, LAT, LIST_LIMIT, LON, MAX_LIST_LIMIT, filter_of
from mapsvc.problems import Fault, Problem, Unprocessable
from mapsvc.roads.client import RefusedError, RoadsAwayError, RoadsClient
from mapsvc.roads.costing import costing
from mapsvc.roads.snapping import ORIGIN_SNAP_M, Snaps, origin_place
from mapsvc.roads.valhalla_files import MAX_KM, MAX_MINUTES
from mapsvc.roads.waypoints import away

REACHABLE_S = 8.0

MINUTES = Parameter("minutes", number(1, MAX_MINUTES), "Of driving.", "15", None)
KILOMETRES = Parameter("kilometres", number(1, MAX_KM), "Along the road.", "50", None)
BATTERY_KWH = Parameter("battery_kwh", number(1, 1000), "Usable energy of the full battery. With `soc`.", "60", None)
SOC = Parameter("soc", number(1, 100), "State of charge, percent.", "40", None)
CONSUMPTION = Parameter(
    "consumption_kwh_100km",
    number(5, 200),
    "What the car takes, kWh per 100 km. Required with `battery_kwh`.",
    "18",
    None,
)
STATIONS_INSIDE = Parameter("stations", FLAG, "Also the stations inside that match the filters.", "true", False)
INSIDE = Parameter("limit", whole(1, MAX_LIST_LIMIT), "How many stations at most.", "5", LIST_LIMIT)
REACHABLE = Table(LAT, LON, MINUTES, KILOMETRES, BATTERY_KWH, SOC, CONSUMPTION, STATIONS_INSIDE, INSIDE, *FILTERS)

_WAYS = ("minutes", "kilometres", "battery_kwh")


class ReachableQuery(NamedTuple):
    """Exactly one of `minutes` and `km`. `battery`: what `km` was made of."""

    at: LatLon
    minutes: float | None
    km: float | None
    battery: tuple[float, float, float] | None  # kWh, percent, kWh/100 km
    with_stations: bool
    limit: int
    wanted: Filter


class Area(NamedTuple):
    """`geometry`: GeoJSON; `shape`: the same for shapely, x = lon, if stations inside are asked for."""

    geometry: dict[str, Any]
    shape: shapely.Geometry | None


def parse_reachable(query: str) -> ReachableQuery:
    """Raises Problem."""
    given = Given(query, REACHABLE)
    if len(given.names & set(_WAYS)) != 1:
        given.fault("minutes", "exactly one of minutes, kilometres and battery_kwh")
    km, battery = given[KILOMETRES], None
    if "battery_kwh" in given.names:
        for name in ("soc", "consumption_kwh_100km"):
            if name not in given.names:
                given.fault(name, "required with battery_kwh")
        kwh, soc, consumption = given[BATTERY_KWH], given[SOC], given[CONSUMPTION]
        if kwh is not None and soc is not None and consumption is not None:
            battery = kwh, soc, consumption
            km = kwh * soc / consumption
            if not 1 <= km <= MAX_KM:
                given.fault("battery_kwh", f"energy for 1 to {MAX_KM} km; this is for {km:.0f}")
    elif given.has_any(("soc", "consumption_kwh_100km")):
        given.fault("soc", "nothing without battery_kwh")
    given.done()
    return ReachableQuery(
        LatLon.of(given[LAT], given[LON]), given[MINUTES], km, battery, given[STATIONS_INSIDE], given[INSIDE],
        filter_of(given),
    )  # fmt: skip


async def area(client: RoadsClient, snaps: Snaps, query: ReachableQuery) -> Area:
    """Raises Problem."""
    deadline = Deadline.after(REACHABLE_S)
    contour = {"time": query.minutes} if query.minutes is not None else {"distance": query.km}
    body = {
        "locations": [origin_place(query.at)],
        "contours": [contour],
        "polygons": True,
        **costing(),
    }
    try:
        with client.one_graph():
            # Where no road is, Valhalla draws a small circle all the same.
            if await snaps.origin(query.at, deadline) is None:
                raise _no_road()
            told = await client.ask("isochrone", body, deadline)
            with client.reading():
                geometry = told["features"][0]["geometry"]
                if geometry["type"] not in ("Polygon", "MultiPolygon") or not geometry["coordinates"]:
                    raise ValueError
                shape = await asyncio.to_thread(_shape, geometry) if query.with_stations else None
    except RoadsAwayError as error:
        raise away(error) from None
    except RefusedError:
        raise _no_road() from None
    return Area(geometry, shape)


def _shape(geometry: dict[str, Any]) -> shapely.Geometry:
    """Raises ValueError. A large area takes milliseconds: not on the event loop."""
    shape = shapely.make_valid(shapely.geometry.shape(geometry))
    if shape.is_empty:
        raise ValueError
    shapely.prepare(shape)
    return shape


def _no_road() -> Problem:
    where = f"within {ORIGIN_SNAP_M // 1000} km of a road of this graph"
    return Unprocessable("The position is not near a road.", [Fault("lat", where), Fault("lon", where)])


def told_properties(query: ReachableQuery) -> dict[str, Any]:
    """What the area is of. Ranges are estimates, and say what they leave out."""
    if query.battery is None:
        return {"minutes": query.minutes} if query.minutes is not None else {"kilometres": query.km}
    kwh, soc, consumption = query.battery
    return {
        "kilometres": round(query.km or 0.0, 1),
        "battery_kwh": kwh,
        "soc": soc,
        "consumption_kwh_100km": consumption,
        "is_estimate": True,
        "estimate": "From the average consumption down to an empty battery; hills, wind, cold, speed and load are left out.",
    }
