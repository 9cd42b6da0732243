"""Which EVSEs are reported and which stations are probed: learnt from the API alone, once for a world, and kept beside it.

A key that holds all parties means an EVSE by its location id and its uid; locations whose id two parties use are left out,
so that every update can be applied. A probe is a station with a single EVSE: what nearby, the tile and the stream tell of the
station then is what its EVSE reports. Probes are not among the EVSEs that are reported.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import mapbox_vector_tile

from geo.mvt import STATIONS, floor_index
from geo.mvt_bytes import varint
from geo.station import Availability
from geo.tilemath import pixels, tile_of
from loadtests import survey
from loadtests.lean import Connection, Target
from loadtests.places import Found as Station
from loadtests.places import draw

SEED = 1
ASKING_AT_ONCE = 8
PROBES = 96
PROBE_ZOOM = 14
HOT_ZOOM = 13
FURTHEST_LAT = 80.0  # beyond, a metre is many pixels
ABSENT = frozenset({"PLANNED", "REMOVED"})
FIELDS = "party,location_id,lat,lon,evses"


class Evse(NamedTuple):
    party: str
    location_id: str
    uid: str


class Probe(NamedTuple):
    """A station with one EVSE. `num`: its feature id in tiles."""

    id: str
    num: int
    location_id: str
    uid: str
    lat: float
    lon: float

    @property
    def nearby_path(self) -> str:
        return f"/v1/nearby?lat={self.lat}&lon={self.lon}&radius_m=1&limit=100"

    @property
    def tile_path(self) -> str:
        return path_of(self.lat, self.lon, PROBE_ZOOM)

    def free_in_nearby(self, body: bytes) -> bool:
        (mine,) = (s for s in json.loads(body)["stations"] if s["id"] == self.id)
        return bool(mine["evses"]["available"])

    def free_in_tile(self, body: bytes) -> bool:
        """Reads the one byte that a patch alters: the value index of `status`, right behind the feature's id. ValueError if
        the station is not in the tile."""
        head = b"\x08" + varint(self.num) + b"\x12" + bytes((2 * len(STATIONS.keys), 0))
        at = body.index(head) + len(head)
        return body[at] == floor_index(Availability.FREE)


class Found(NamedTuple):
    parties: list[str]
    evses: list[Evse]
    probes: list[Probe]
    hot_tile: str  # the path of a tile where stations are dense

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self._asdict()), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Found:
        told = json.loads(path.read_text(encoding="utf-8"))
        evses = [Evse(*evse) for evse in told["evses"]]
        return cls(told["parties"], evses, [Probe(*probe) for probe in told["probes"]], told["hot_tile"])


def path_of(lat: float, lon: float, zoom: int) -> str:
    tile = tile_of(lat, lon, zoom)
    return f"/v1/tiles/stations/{tile.z}/{tile.x}/{tile.y}.mvt"


def find(url: str, count: int, say: Callable[[str], None]) -> Found:
    """`count` EVSEs, or all that there are, and PROBES probes. Raises SurveyError."""
    target = Target.of(url)
    say("asking the API for its stations")
    stations = unambiguous(survey.stations(target, survey.WORLD, 1 << 62))
    spot = draw(stations, 1, SEED)[0]
    order = random.Random(SEED).sample(stations, len(stations))  # noqa: S311 (a repeatable load, not a secret)
    say(f"asking for the EVSEs of {len(order):,} stations, until there are {count:,}")
    evses: list[Evse] = []
    probes: list[Probe] = []
    left = iter(order)

    def ask() -> None:
        connection = Connection(target)
        try:
            _gather(connection, target, left, count, evses, probes)
        finally:
            connection.close()

    survey.together([ask] * ASKING_AT_ONCE)
    if not evses or not probes:
        raise survey.SurveyError("the service has no EVSEs to report, or none alone at its station")
    parties = sorted({evse.party for evse in evses} | {unquote(probe.id.partition("~")[0]) for probe in probes})
    return Found(parties, evses, probes, path_of(spot.lat, spot.lon, HOT_ZOOM))


def unambiguous(stations: Sequence[Station]) -> list[Station]:
    """Those whose location id no other party has as well."""
    used = Counter(_location(one) for one in stations)
    return [one for one in stations if used[_location(one)] == 1]


def _location(station: Station) -> str:
    return unquote(station.id.partition("~")[2]).casefold()


def _gather(
    connection: Connection,
    target: Target,
    stations: Iterator[Station],
    count: int,
    evses: list[Evse],
    probes: list[Probe],
) -> None:
    for station in stations:
        if len(evses) >= count and len(probes) >= PROBES:
            return
        told = survey.get(connection, target, f"/v1/stations/{station.id}?fields={FIELDS}")
        there = [evse for evse in told["evses"] if evse["status"] not in ABSENT]
        if len(probes) < PROBES and len(told["evses"]) == len(there) == 1 and abs(station.lat) < FURTHEST_LAT:
            num = _num_of(connection, target, station)
            if num is not None:
                probes.append(Probe(station.id, num, told["location_id"], there[0]["uid"], told["lat"], told["lon"]))
                continue
        if len(evses) < count:
            evses += [Evse(told["party"], told["location_id"], evse["uid"]) for evse in there]


def _num_of(connection: Connection, target: Target, station: Station) -> int | None:
    """The id of the one feature that stands where the station does; None where several do."""
    status = connection.ask(target.request(path_of(station.lat, station.lon, PROBE_ZOOM), encoding="identity"))
    return num_at(connection.body(), station.lat, station.lon) if status == 200 else None


def num_at(tile: bytes, lat: float, lon: float) -> int | None:
    layers: dict[str, Any] = mapbox_vector_tile.decode(tile, default_options={"y_coord_down": True})
    at = pixels([lat], [lon], PROBE_ZOOM)
    place = [int(at.px[0]), int(at.py[0])]
    features = layers["stations"]["features"]
    found = [int(one["id"]) for one in features if list(one["geometry"]["coordinates"]) == place]
    return found[0] if len(found) == 1 else None
