"""JSON bodies: the summary of a station as lists show it, and all about one.

The part of a summary that only a record changes stands ready in the record (cache.codec); the rest (counts that follow the
filter, instants, opening) is a few numbers. Instants are absolute: a prepared body must not lie a second later.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any, cast

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from cache.codec import summary_of, unpack_doc
from geo.columns import Rows
from geo.hours import OpenState
from geo.point import Floats
from geo.select import Counts
from geo.station import Station
from geo.world import World

MAX_WHOLE = 100_000  # unfiltered summaries: about 55 MB
MAX_FILTERED = 50_000  # stations with summaries for filters, some 30 MB where one filter is in use
MAX_FORMS = 4  # of one station: free and busy counts for a filter or two
MAX_FIGURES = 20_000  # different counts, powers and openings: 4 MB
MAX_DETAILS = 20_000  # some 25 MB
OLDEST = 8  # one in so many goes when there is no room left

Shown = tuple[int, float]
"""What a filter changes in a summary: the counts, packed into one number, and the power."""
_NO_FORMS: dict[Shown, bytes] = {}

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
        self._whole: dict[int, bytes] = {}  # row -> the unfiltered summary, without its closing brace
        self._filtered: dict[int, dict[Shown, bytes]] = {}  # row -> summaries by what a filter changes, likewise
        self._details: dict[int, bytes] = {}  # row -> all about it
        self._figures: dict[tuple[int, float, int], bytes] = {}  # by counts, power and opening: those members
        self._plugs: dict[int, bytes] = {}  # by profile: its connectors
        world.observe(self)

    def changed(self, rows: Rows) -> None:
        self.confirmed(rows)

    def confirmed(self, rows: Rows) -> None:
        for row in rows.tolist():
            self._whole.pop(row, None)
            self._filtered.pop(row, None)
            self._details.pop(row, None)

    def reshaped(self, rows: Rows, lat: Floats, lon: Floats) -> None:
        self.confirmed(rows)

    # -- lists --------------------------------------------------------------------------------------------------------

    def summaries(self, rows: Rows, metres: Sequence[float] | None = None) -> list[bytes]:
        """One JSON object a row, counts of all its EVSEs. `metres` (n,) adds `distance_m`."""
        whole, wanted = self._whole, rows.tolist()
        items = [whole.get(row) for row in wanted]
        if None in items:
            missing = [i for i, item in enumerate(items) if item is None]
            s = self._world.stations
            at = rows[missing]
            _make_room(whole, MAX_WHOLE)
            for i, item in zip(missing, self._render(at, _packed(s.counts[at]), s.max_kw[at].tolist()), strict=True):
                items[i] = whole[wanted[i]] = item
        return _closed(cast(list[bytes], items), metres)

    def filtered_summaries(
        self, rows: Rows, counts: Counts, max_kw: NDArray[np.float32], metres: Sequence[float] | None = None
    ) -> list[bytes]:
        """The same with the counts (n, 4, by Availability) and powers that follow a filter."""
        prepared, wanted = self._filtered, rows.tolist()
        shown: list[Shown] = list(zip(_packed(counts), max_kw.tolist(), strict=True))
        items = [prepared.get(row, _NO_FORMS).get(form) for row, form in zip(wanted, shown, strict=True)]
        if None in items:
            missing = [i for i, item in enumerate(items) if item is None]
            _make_room(prepared, MAX_FILTERED)
            rendered = self._render(rows[missing], [shown[i][0] for i in missing], [shown[i][1] for i in missing])
            for i, item in zip(missing, rendered, strict=True):
                items[i] = item
                forms = prepared.setdefault(wanted[i], {})
                if len(forms) < MAX_FORMS:
                    forms[shown[i]] = item
        return _closed(cast(list[bytes], items), metres)

    def _render(self, rows: Rows, packed_counts: list[int], max_kw: list[float]) -> list[bytes]:
        """Summaries without their closing brace. About 1.5 µs each: the members that only a record changes stand in it
        ready-made, and what else there is to say is said by many stations alike."""
        world = self._world
        s, docs, all_figures, plugs = world.stations, world.docs, self._figures, self._plugs
        state = world.schedules.state[s.schedule[rows]].tolist()
        lacking = self._lacks_some(rows).tolist()
        out = []
        for row, profile, lacks, counts, kw, opened, changed_ms, seen_ms in zip(
            rows.tolist(),
            s.profile[rows].tolist(),
            lacking,
            packed_counts,
            max_kw,
            state,
            s.changed_ms[rows].tolist(),
            s.seen_ms[rows].tolist(),
            strict=True,
        ):
            key = counts, kw, opened
            figures = all_figures.get(key)
            if figures is None:
                _make_room(all_figures, MAX_FIGURES)
                figures = all_figures[key] = _figures(*key)
            connectors = self._present_plugs(row) if lacks else plugs.get(profile) or self._plugs_of(profile)
            out.append(
                b'{%b,"connectors":%b%b,"changed_at":%b,"seen_at":%b'
                % (summary_of(docs[row]), connectors, figures, _quoted(changed_ms), _quoted(seen_ms))
            )
        return out

    def _plugs_of(self, profile: int) -> bytes:
        """Of stations none of whose EVSEs is REMOVED."""
        slots = self._world.profiles.profiles[profile]
        found = self._plugs[profile] = _names({plug.standard for plugs in slots for plug in plugs})
        return found

    def _present_plugs(self, row: int) -> bytes:
        """Not kept: a status may bring a missing EVSE back."""
        slots = self._world.profiles.profiles[int(self._world.stations.profile[row])]
        return _names({plug.standard for state in self._world.evse_states(row) for plug in slots[state.slot]})

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
            _make_room(self._details, MAX_DETAILS)
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


def _make_room(kept: dict[Any, Any], most: int) -> None:
    """For one more; who came first goes first."""
    if len(kept) >= most:
        for key in list(islice(kept, most // OLDEST)):
            del kept[key]


def _packed(counts: Counts) -> list[int]:
    """The four counts of each row as one number."""
    found: list[int] = np.ascontiguousarray(counts).view(np.uint64)[:, 0].tolist() if len(counts) else []
    return found


def _figures(packed_counts: int, kw: float, opened: int) -> bytes:
    unknown, free, busy, broken = np.array([packed_counts], np.uint64).view(np.uint16).tolist()
    return (
        b',"max_power_kw":%b,"evses":{"total":%d,"available":%d,"busy":%d,"out_of_service":%d,"unknown":%d},"open_now":%b'
        % (_kw(kw), unknown + free + busy + broken, free, busy, broken, unknown, _OPEN[OpenState(opened)])
    )


def _names(names: set[str]) -> bytes:
    return orjson.dumps(sorted(names))


def _kw(kw: float) -> bytes:
    return b"null" if kw <= 0 else b"%g" % round(kw, 1)


_SECONDS = tuple(b":%02d" % second for second in range(60))
_MILLIS = (b'Z"', *(b'.%03dZ"' % ms for ms in range(1, 1000)))


@lru_cache(maxsize=65536)
def _minute(minutes: int) -> bytes:
    return f'"{_instant_s(60 * minutes)[:-3]}'.encode()


def _quoted(ms: int) -> bytes:
    """`instant` as JSON."""
    if ms <= 0:
        return b"null"
    seconds, rest = divmod(ms, 1000)
    minutes, second = divmod(seconds, 60)
    return _minute(minutes) + _SECONDS[second] + _MILLIS[rest]
