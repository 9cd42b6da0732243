"""The same station twice in a register that has one entry a station."""

from __future__ import annotations

from collections.abc import Iterable

from geo.station import Station
from mapsvc.importers.item import SKIPPED, Faults
from mapsvc.importers.report import Reason


def newest(found: Iterable[tuple[Faults, str, Station]]) -> list[Station]:
    """Each station once, as told with the pointer of its id: the newer last_updated stays, else the later; the other is
    noted. Everything is read before the first station comes out, as the last one may be a newer version of it."""
    kept: dict[str, tuple[Faults, str, Station]] = {}
    for entry in found:
        station = entry[2]
        before = kept.get(station.key)
        if before is not None:
            older = station.last_updated_ms < before[2].last_updated_ms
            loser = entry if older else before
            winner = (before if older else entry)[0].line
            loser[0].remark(loser[1], Reason.DUPLICATE_LOCATION, SKIPPED, f"line {winner} is kept" if winner else "")
            if older:
                continue
        kept[station.key] = entry
    return [station for _, _, station in kept.values()]
