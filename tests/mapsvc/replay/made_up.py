"""Small recordings, made up."""

from __future__ import annotations

from datetime import UTC, datetime

from mapsvc.importers.report import Report
from mapsvc.replay.polls_file import Recording, read

HERE = "-6.900000,52.800000"


def row(
    minute: str, id: str = "CP:1", word: str = "Occ", plug: str = "StandardType2", place: str = HERE, day: str = "20181103",
    address: str = "Main Street, Town",
) -> bytes:  # fmt: skip
    lon, lat = place.split(",")
    return "\t".join((day, minute, id, plug, word, place, address, lon, lat)).encode() + b"\n"


def nothing(minute: str, day: str = "20181103") -> bytes:
    """A poll that reached nobody."""
    return "\t".join((day, minute, "NA", "NA", "NA", "NA", "NA", "0", "0")).encode() + b"\n"


def recorded(*rows: bytes) -> Recording:
    return read(rows, Report())


def at(hour: int, minute: int = 0, day: int = 3) -> int:
    return int(datetime(2018, 11, day, hour, minute, tzinfo=UTC).timestamp()) * 1000
