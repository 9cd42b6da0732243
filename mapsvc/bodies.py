"""JSON bodies: the summary of a station as lists show it, and all about one.

A summary's static part is prepared once per station and kept while it fits; its dynamic part (counts that follow the
filter, instants, opening) is a few numbers. Instants are absolute: a prepared body must not lie a second later.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from cache.codec import unpack_doc, unpack_summary
from geo.columns import Rows
from geo.hours import OpenState
from geo.point import Floats
from geo.select import Counts
from geo.station import Station, public_id
from geo.world import World

MAX_PREPARED = 100_000  # static parts, and whole summaries: about 30 MB and 50 MB
MAX_FILTERED = 50_000  # stations with summaries for filters, some 25 MB where one filter is in use
MAX_FORMS = 4  # of one station: free and busy counts for a filter or two
MAX_DETAILS = 20_000  # some 25 MB

Shown = tuple[int, float]
"""What a filter changes in a summary: the counts, packed, and the power."""

WIRE_NAMES = {"last_updated_ms": "last_updated", "begin_ms": "period_begin", "end_ms": "period_end"}
"""What answers call some fields of geo.station: there they are text."""

SUMMARY_MEMBERS = (
    "id", "name", "address", "city", "operator", "lat", "lon", "connectors", "max_power_kw", "evses", "open_now",
    "changed_at", "seen_at",
)  # fmt: skip
NEARBY_MEMBERS = (*SUMMARY_MEMBERS, "distance_m")
STATION_MEMBERS = (
    "id",
    *(WIRE_NAMES.get(name, name) for name in Station.__struct_fields__ if name != "publish"),
    "evse_counts",
    "open_now",
)
"""The names of an answer's members, which `fields=` may choose from."""

_OPEN = {OpenState.OPEN: b"true", OpenState.CLOSED: b"false", OpenState.UNKNOWN: b"null"}


@lru_cache(maxsize=65536)
def _instant_s(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()  # strftime's %Y may lack zeros


def instant(ms: int | None) -> str | None:
    """RFC 3339, UTC, milliseconds only where there are any."""
    if ms is None:
        return None
    seconds, rest = divmod(ms, 1000)
    return f"{_instant_s(seconds)}.{rest:03d}Z" if rest else f"{_instant_s(seconds)}Z"


class Bodies:
    """Renders stations of one world. It observes the world, so that what it prepared is never stale."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._static: dict[int, bytes] = {}  # row -> the part that only a new document changes
        self._whole: dict[int, bytes] = {}  # row -> the unfiltered summary, without its closing brace
        self._filtered: dict[int, dict[Shown, bytes]] = {}  # row -> summaries by what a filter changes, likewise
        self._details: dict[int, bytes] = {}  # row -> all about it
        world.observe(self)

    def changed(self, rows: Rows) -> None:
        self.confirmed(rows)
        for row in rows[self._lacks_some(rows)].tolist():
            self._static.pop(row, None)

    def confirmed(self, rows: Rows) -> None:
        for row in rows.tolist():
            self._whole.pop(row, None)
            self._filtered.pop(row, None)
            self._details.pop(row, None)

    def reshaped(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        self.changed(rows)
        for row in rows.tolist():
            self._static.pop(row, None)

    # -- lists --------------------------------------------------------------------------------------------------------

    def summaries(self, rows: Rows, metres: Sequence[float] | None = None) -> list[bytes]:
        """One JSON object a row, counts of all its EVSEs. `metres` (n,) adds `distance_m`."""
        whole, wanted = self._whole, rows.tolist()
        try:
            return _closed([whole[row] for row in wanted], metres)
        except KeyError:
            missing = [row for row in wanted if row not in whole]
        if len(whole) + len(missing) > MAX_PREPARED:
            whole.clear()
            missing = wanted
        s = self._world.stations
        at = np.array(missing, np.int32)
        whole.update(zip(missing, self._render(at, s.counts[at], s.max_kw[at]), strict=True))
        return _closed([whole[row] for row in wanted], metres)

    def filtered_summaries(
        self, rows: Rows, counts: Counts, max_kw: NDArray[np.float32], metres: Sequence[float] | None = None
    ) -> list[bytes]:
        """The same with the counts (n, 4, by Availability) and powers that follow a filter."""
        prepared, wanted = self._filtered, rows.tolist()
        packed = np.ascontiguousarray(counts).view(np.uint64)[:, 0] if len(rows) else np.zeros(0, np.uint64)
        shown: list[Shown] = list(zip(packed.tolist(), max_kw.tolist(), strict=True))
        try:
            return _closed([prepared[row][key] for row, key in zip(wanted, shown, strict=True)], metres)
        except KeyError:
            if len(prepared) > MAX_FILTERED:
                prepared.clear()
        items = self._render(rows, counts, max_kw)
        for row, key, item in zip(wanted, shown, items, strict=True):
            forms = prepared.setdefault(row, {})
            if len(forms) < MAX_FORMS:
                forms[key] = item
        return _closed(items, metres)

    def _render(self, rows: Rows, counts: Counts, max_kw: NDArray[np.float32]) -> list[bytes]:
        s = self._world.stations
        state = self._world.schedules.state[s.schedule[rows]].tolist()
        out = []
        for row, (unknown, free, busy, broken), kw, opened, changed_ms, seen_ms in zip(
            rows.tolist(),
            counts.tolist(),
            max_kw.tolist(),
            state,
            s.changed_ms[rows].tolist(),
            s.seen_ms[rows].tolist(),
            strict=True,
        ):
            out.append(
                b'%b,"max_power_kw":%b,"evses":{"total":%d,"available":%d,"busy":%d,"out_of_service":%d,"unknown":%d}'
                b',"open_now":%b,"changed_at":%b,"seen_at":%b'
                % (
                    self._static.get(row) or self._prepare(row),
                    _kw(kw),
                    unknown + free + busy + broken,
                    free,
                    busy,
                    broken,
                    unknown,
                    _OPEN[opened],
                    _quoted(changed_ms),
                    _quoted(seen_ms),
                )
            )
        return out

    def _prepare(self, row: int) -> bytes:
        station = unpack_summary(self._world.docs[row])
        plugs = self._world.profiles.profiles[int(self._world.stations.profile[row])]
        slots = [state.slot for state in self._world.evse_states(row)]
        static = orjson.dumps(
            {
                "id": public_id(station.party, station.location_id),
                "name": station.name,
                "address": station.address,
                "city": station.city,
                "operator": station.operator,
                "lat": station.lat,
                "lon": station.lon,
                "connectors": sorted({plug.standard for slot in slots for plug in plugs[slot]}),
            }
        )[:-1]
        if self._lacks_some(np.array([row], np.int32))[0]:
            return static  # not kept: a status may bring the missing EVSE back
        if len(self._static) >= MAX_PREPARED:
            self._static.clear()
        self._static[row] = static
        return static

    def _lacks_some(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of these stations have an EVSE that is REMOVED, and whose connectors thus are not there."""
        s = self._world.stations
        lacking: NDArray[np.bool_] = s.counts[rows].sum(axis=1) < s.slots[rows]
        return lacking

    # -- one station --------------------------------------------------------------------------------------------------

    def station(self, row: int) -> bytes:
        """All about one station, OCPI's field names, with the statuses of its EVSEs."""
        body = self._details.get(row)
        if body is None:
            if len(self._details) >= MAX_DETAILS:
                self._details.clear()
            body = self._details[row] = self._detailed(row)
        return body

    def _detailed(self, row: int) -> bytes:
        w = self._world
        station = unpack_doc(w.docs[row])
        states = {state.slot: state for state in w.evse_states(row)}
        body = _document(station)
        evses = []
        for evse in station.evses:
            state = states.get(evse.slot)
            if state is None:
                continue  # REMOVED
            told = _plain(evse)
            told.pop("slot", None)
            told["connectors"] = [_plain(c) for c in evse.connectors]
            told |= {
                "status": state.status.name,
                "reported_status": state.reported.name,
                "changed_at": instant(state.changed_ms),
                "seen_at": instant(state.seen_ms),
                "expires_at": instant(state.expires_ms),
            }
            evses.append(told)
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


def _closed(items: list[bytes], metres: Sequence[float] | None) -> list[bytes]:
    if metres is None:
        return [item + b"}" for item in items]
    return [b'%b,"distance_m":%.1f}' % pair for pair in zip(items, metres, strict=True)]


def _document(station: Station) -> dict[str, Any]:
    body = {"id": station.id, **_plain(station)}
    body.pop("evses", None)
    body.pop("publish", None)
    if station.opening_times is not None:
        body["opening_times"] = _hours(station)
    return body


def _plain(struct: msgspec.Struct) -> dict[str, Any]:
    """Fields as they stand, instants as text under their wire names."""
    told: dict[str, Any] = msgspec.to_builtins(struct)
    if "last_updated_ms" in told:
        told["last_updated"] = instant(told.pop("last_updated_ms"))
    return told


def _hours(station: Station) -> dict[str, Any]:
    hours = station.opening_times
    assert hours is not None
    told: dict[str, Any] = msgspec.to_builtins(hours)
    for name in ("exceptional_openings", "exceptional_closings"):
        if name in told:
            told[name] = [
                {"period_begin": instant(p["begin_ms"]), "period_end": instant(p["end_ms"])} for p in told[name]
            ]
    return told


def _kw(kw: float) -> bytes:
    return b"null" if kw <= 0 else b"%g" % round(kw, 1)


def _quoted(ms: int) -> bytes:
    return b"null" if ms <= 0 else b'"%b"' % str(instant(ms)).encode()
