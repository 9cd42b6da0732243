"""What travels from the database to every replica: the static record of a station and the states of its EVSEs."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from geo.filters import encode_profile, facility_bits, profile_of
from geo.station import Station, summary_members

STATE = np.dtype(
    [
        ("num", "<u8"),
        ("n", "<u8"),  # the shard's counter when this state was written: the higher one stands
        ("changed_ms", "<i8"),  # when the source says that the status began; 0: never reported
        ("seen_ms", "<i8"),  # our clock at the last report or confirmation; 0: never reported
        ("slot", "<u2"),
        ("status", "u1"),
        ("pad", "V5"),
    ]
)
"""One EVSE's state, 40 bytes. A stream entry holds many of them end to end, a Redis hash field one."""
assert STATE.itemsize == 40

States = NDArray[np.void]

ALWAYS_OPEN = b"\x01"
HOURS_UNKNOWN = b""


class StationRecord(msgspec.Struct, frozen=True, array_like=True):
    """The static part of a station, ready for the index: whatever filters and tiles need stands in clear, what lists show
    is `summary` (`geo.station.summary_members`), the rest is `doc` (packed `geo.station.encode_doc`).
    `removed`: a tombstone, only num and n matter."""

    num: int
    n: int
    removed: bool = False
    lat: float = 0.0
    lon: float = 0.0
    key: str = ""
    party: str = ""
    operator: str = ""
    facilities: int = 0
    profile: bytes = b""
    schedule: bytes = HOURS_UNKNOWN
    doc: bytes = b""
    summary: bytes = b""


ZoneFor = Callable[[str | None, float, float], str | None]
"""(told zone, lat, lon) -> IANA name: geo.zones.zone_for."""


def schedule_of(station: Station, zone_for: ZoneFor) -> bytes:
    """The opening hours as a small value that thousands of stations share: b"" unknown, ALWAYS_OPEN, else
    MessagePack of (time zone, Hours). The zone is the told one if it is an IANA name, else derived from the position."""
    hours = station.opening_times
    if hours is None:
        return HOURS_UNKNOWN
    if hours.twentyfourseven and not hours.exceptional_openings and not hours.exceptional_closings:
        return ALWAYS_OPEN
    zone = zone_for(station.time_zone, station.lat, station.lon)
    return msgspec.msgpack.encode((zone, hours))


def make_record(
    station: Station,
    num: int,
    n: int,
    pack_doc: Callable[[Station], bytes],
    zone_for: ZoneFor,
) -> StationRecord:
    """Raises ValueError when an EVSE of the station has no slot."""
    return StationRecord(
        num=num,
        n=n,
        lat=station.lat,
        lon=station.lon,
        key=station.key,
        party=station.party,
        operator=station.operator or "",
        facilities=facility_bits(station),
        profile=encode_profile(profile_of(station)),
        schedule=schedule_of(station, zone_for),
        doc=pack_doc(station),
        summary=summary_members(station),
    )


def tombstone(num: int, n: int) -> StationRecord:
    return StationRecord(num=num, n=n, removed=True)
