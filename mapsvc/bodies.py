"""JSON bodies: the summary of a station as lists show it, and all about one.

Summaries are written anew for every answer (geo.summary_json); details, which cost more, are kept while nothing of the station
changes. Instants are absolute: a prepared body must not lie a second later.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from cache.codec import unpack_members
from geo.columns import Rows
from geo.hours import OpenState
from geo.point import Floats
from geo.select import Counts
from geo.station import Station
from geo.summary_json import Summaries, SummaryWriter
from geo.world import World
from mapsvc.instants import instant

MAX_DETAILS = 20_000  # some 25 MB
OLDEST = 8  # one in so many goes when there is no room left

WIRE_NAMES = {"last_updated_ms": "last_updated", "begin_ms": "period_begin", "end_ms": "period_end"}
"""What answers call some fields of geo.station: there they are text."""

SUMMARY_MEMBERS = (
    "id", "name", "address", "city", "operator", "lat", "lon", "connectors", "max_power_kw", "evses", "open_now",
    "changed_at", "seen_at",
)  # fmt: skip
DRIVE_MEMBERS = ("drive_time_s", "drive_distance_m")  # with sort=drive_time
NEARBY_MEMBERS = (*SUMMARY_MEMBERS, "distance_m", *DRIVE_MEMBERS)
STATION_MEMBERS = (
    "id",
    *(WIRE_NAMES.get(name, name) for name in Station.__struct_fields__ if name != "publish"),
    "evse_counts",
    "open_now",
)
"""The names of an answer's members, which `fields=` may choose from."""


class Bodies:
    """Renders stations of one world. It observes the world, so that what it prepared is never stale."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._writer = SummaryWriter(world)
        self._details: dict[int, bytes] = {}  # row -> all about it
        world.observe(self)

    def changed(self, rows: Rows) -> None:
        self.confirmed(rows)

    def confirmed(self, rows: Rows) -> None:
        for row in rows.tolist():
            self._details.pop(row, None)

    def reshaped(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        self.confirmed(rows)

    # -- lists --------------------------------------------------------------------------------------------------------

    def summaries(self, rows: Rows, metres: Floats | None = None) -> Summaries:
        """One JSON object a row, counts of all its EVSEs. `metres` (n,) adds `distance_m`."""
        return self._writer.write(rows) if metres is None else self._writer.write(rows, metres=metres)

    def filtered_summaries(
        self, rows: Rows, counts: Counts, max_kw: NDArray[np.float32], metres: Floats | None = None
    ) -> Summaries:
        """The same with the counts (n, 4, by Availability) and powers that follow a filter."""
        if metres is None:
            return self._writer.write(rows, counts, max_kw)
        return self._writer.write(rows, counts, max_kw, metres)

    # -- one station --------------------------------------------------------------------------------------------------

    def station(self, row: int) -> bytes:
        """All about one station, OCPI's field names, with the statuses of its EVSEs."""
        body = self._details.get(row)
        if body is None:
            if len(self._details) >= MAX_DETAILS:
                for oldest in list(islice(self._details, MAX_DETAILS // OLDEST)):
                    del self._details[oldest]
            body = self._details[row] = self._detailed(row)
        return body

    def _detailed(self, row: int) -> bytes:
        w = self._world
        body = unpack_members(w.docs[row], w.texts[row])
        body.pop("publish", None)
        _tell_last_update(body)
        _tell_hours(body.get("opening_times", {}))
        states = {state.slot: state for state in w.evse_states(row)}
        evses = []
        for evse in body.pop("evses", ()):
            state = states.get(evse.pop("slot", -1))
            if state is None:
                continue  # REMOVED
            _tell_last_update(evse)
            for connector in evse.setdefault("connectors", []):
                _tell_last_update(connector)
            evse["status"] = state.status.name
            evse["reported_status"] = state.reported.name
            evse["changed_at"] = instant(state.changed_ms)
            evse["seen_at"] = instant(state.seen_ms)
            evse["expires_at"] = instant(state.expires_ms)
            evses.append(evse)
        body["evses"] = evses
        unknown, free, busy, broken = w.stations.counts[row].tolist()
        body["evse_counts"] = {
            "total": unknown + free + busy + broken,
            "available": free,
            "busy": busy,
            "out_of_service": broken,
            "unknown": unknown,
        }
        body["open_now"] = {OpenState.OPEN: True, OpenState.CLOSED: False}.get(
            OpenState(int(w.schedules.state[w.stations.schedule[row]]))
        )
        return orjson.dumps(body)


def _tell_last_update(members: dict[str, Any]) -> None:
    """The instant as text under its wire name."""
    if "last_updated_ms" in members:
        members["last_updated"] = instant(members.pop("last_updated_ms"))


def _tell_hours(hours: dict[str, Any]) -> None:
    for name in ("exceptional_openings", "exceptional_closings"):
        if name in hours:
            hours[name] = [
                {"period_begin": instant(p["begin_ms"]), "period_end": instant(p["end_ms"])} for p in hours[name]
            ]
