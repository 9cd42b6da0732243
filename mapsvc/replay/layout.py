"""From the points of the Irish recording to stations, EVSEs and connectors. Pure.

Station  An id at a place. Positions of one id within SAME_PLACE_M are one place that was measured anew; the newest
         position stands. Further apart they are two stations whose id somebody mistyped. `N/A` is no id: there the exact
         position tells stations apart. Different ids at one position stay different stations, as everywhere here.
         The location id is the feed's id where that suffices, else `id@lon,lat` with the first position heard.
EVSE     The feed gives one status to all plugs of a kind at a station, so a kind of plug is what carries a status: one
         EVSE, or two where the recording ever says `Part`, "one of two is free". A post of two that is never seen half
         taken counts as one: that there are two would be a guess. uid: `CHAdeMO-1`, `StandardType2-2`.
         A rapid charger's CHAdeMO and CCS share one car, yet the feed tells them apart (one out of order, the other
         free), so they are two EVSEs. The cost: a free one counts as two.
Status   Occ: all CHARGING. Part: the first CHARGING, the second AVAILABLE (which one is not told). OOS: OUTOFORDER.
         OOC ("out of contact"): UNKNOWN. Not listed: AVAILABLE.
"""

from __future__ import annotations

from typing import NamedTuple

from geo.point import LatLon, haversine_m
from geo.station import Connector, Evse, Located, Station, Status
from mapsvc.importers.report import Outcome, Reason, Report
from mapsvc.replay.polls_file import NO_ID, Recording, Word

PARTY = "IE*ECA"
PARTY_NAME = "Irish public chargers, recorded 2018"
SAME_PLACE_M = 1000.0  # a position measured anew moved 600 m at most; ids given to two places, 100 km at least

_CONNECTORS = {
    "StandardType2": Connector("1", "IEC_62196_T2", "SOCKET", "AC_3_PHASE"),
    "FastAC43": Connector("1", "IEC_62196_T2", "CABLE", "AC_3_PHASE", max_electric_power=43_000, power_kw=43.0),
    "ComboCCS": Connector("1", "IEC_62196_T2_COMBO", "CABLE", "DC"),
    "CHAdeMO": Connector("1", "CHADEMO", "CABLE", "DC"),
}

_MEANT = {
    Word.OCC: (Status.CHARGING, Status.CHARGING),
    Word.PART: (Status.CHARGING, Status.AVAILABLE),
    Word.OOS: (Status.OUTOFORDER, Status.OUTOFORDER),
    Word.OOC: (Status.UNKNOWN, Status.UNKNOWN),
}


class Outlet(NamedTuple):
    """What the feed gives a status to, as EVSEs: one, or two."""

    location_id: str
    uids: tuple[str, ...]

    def statuses(self, word: Word | None) -> tuple[tuple[str, Status], ...]:
        """Of each EVSE; None: the poll does not list it."""
        meant = (Status.AVAILABLE, Status.AVAILABLE) if word is None else _MEANT[word]
        return tuple(zip(self.uids, meant, strict=False))


class Layout(NamedTuple):
    stations: list[Located]
    outlets: list[Outlet]
    outlet_of: list[int]  # by point of the recording


class _Place:
    """One station coming together."""

    def __init__(self, position: LatLon) -> None:
        self.positions = [position]
        self.points: list[int] = []


def lay_out(recording: Recording, report: Report) -> Layout:
    """Stations in the order in which the recording first hears of them."""
    order, heard_last, halves = _hearings(recording)
    places: dict[str, list[_Place]] = {}
    for point in order:
        id, _, position = recording.points[point]
        _place_for(places.setdefault(id.casefold(), []), position, exact=id == NO_ID).points.append(point)
    stations: list[Located] = []
    outlets: list[Outlet] = []
    outlet_of = [-1] * len(recording.points)
    updated_ms = recording.polls[-1].at_ms
    for same_id in places.values():
        for place in same_id:
            id = recording.points[place.points[0]].id
            lat, lon = place.positions[0]
            needs_position = len(same_id) > 1 or id == NO_ID
            location_id = f"{id}@{lon:.6f},{lat:.6f}" if needs_position else id
            _tell(place, id, location_id, needs_position, report)
            evses: list[Evse] = []
            for plug, points in _by_plug(place, recording).items():
                count = 2 if halves.intersection(points) else 1
                connector = _CONNECTORS.get(plug)
                if connector is None:
                    report.add("", location_id, "connector type", Reason.UNNAMED_PLUG, Outcome.KEPT, plug)
                    connector = Connector("1", "UNKNOWN")
                uids = tuple(f"{plug}-{k}" for k in range(1, count + 1))
                evses += (Evse(uid, connectors=(connector,)) for uid in uids)
                for point in points:
                    outlet_of[point] = len(outlets)
                outlets.append(Outlet(location_id, uids))
            newest = max(place.points, key=lambda point: heard_last[point])
            address = recording.addresses[newest]
            station = Station(
                party=PARTY,
                location_id=location_id,
                lat=recording.points[newest].position.lat,
                lon=recording.points[newest].position.lon,
                last_updated_ms=updated_ms,
                evses=tuple(evses),
                name=address.split(",")[0] if address else None,
                address=address,
                source="replay",
            )
            stations.append(Located(station))
    return Layout(stations, outlets, outlet_of)


def _hearings(recording: Recording) -> tuple[list[int], dict[int, int], set[int]]:
    """Points in the order first heard, when each was heard last, and those ever said to be half taken."""
    first: dict[int, None] = {}
    last: dict[int, int] = {}
    halves: set[int] = set()
    for poll in recording.polls:
        for point, word in poll.rows.items():
            first.setdefault(point)
            last[point] = poll.at_ms
            if word is Word.PART:
                halves.add(point)
    return list(first), last, halves


def _place_for(places: list[_Place], position: LatLon, *, exact: bool) -> _Place:
    reach_m = 0.0 if exact else SAME_PLACE_M
    for place in places:
        if any(haversine_m(position, other) <= reach_m for other in place.positions):
            if position not in place.positions:
                place.positions.append(position)
            return place
    places.append(_Place(position))
    return places[-1]


def _by_plug(place: _Place, recording: Recording) -> dict[str, list[int]]:
    """The plugs of a place in a fixed order, so that another recording of it is the same station."""
    plugs: dict[str, list[int]] = {}
    for point in place.points:
        plugs.setdefault(recording.points[point].plug, []).append(point)
    return dict(sorted(plugs.items()))


def _tell(place: _Place, id: str, location_id: str, needs_position: bool, report: Report) -> None:
    if id == NO_ID:
        report.add("", location_id, "id", Reason.NO_ID, Outcome.KEPT, "known by its position")
    elif needs_position:
        report.add("", location_id, "id", Reason.DUPLICATE_LOCATION, Outcome.KEPT, f"{id} at several places")
    if len(place.positions) > 1:
        told = "; ".join(f"{lat}, {lon}" for lat, lon in place.positions)
        report.add("", location_id, "position", Reason.POSITIONS_DIFFER, Outcome.KEPT, told)
