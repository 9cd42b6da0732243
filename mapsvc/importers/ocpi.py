"""OCPI Locations, 2.1.1 to 2.3.0, tolerantly read: `parse` for a file, `parse_location` for one document.

OCPI's own rules are in the specification's module Locations (2.2.1 §8); what we do with feeds that break them is in
docs/data.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from geo.station import Located
from mapsvc.importers import ocpi_document
from mapsvc.importers.item import KEPT, SKIPPED, Faults
from mapsvc.importers.ocpi_keys import OcpiItem
from mapsvc.importers.ocpi_location import read_location
from mapsvc.importers.report import Reason, Report


def parse(raw: bytes, *, party: str | None, report: Report) -> Iterator[Located]:
    """The stations of a file, each id once. `party` ("CC*PID") is for locations that do not tell theirs.

    Raises `UnreadableFile` at once, before any station. Everything is read before the first station comes out, because
    the last one may be a newer version of the first.
    """
    kept: dict[str, tuple[ocpi_document.Found, Located]] = {}
    for found in ocpi_document.locations(raw, report):
        located = parse_location(found.value, party=party, report=report, where=found.pointer, line=found.line)
        if located is None:
            continue
        before = kept.get(located.station.key)
        if before is not None:
            older = located.station.last_updated_ms < before[1].station.last_updated_ms
            loser = found if older else before[0]
            name = located.station.location_id
            report.add(loser.pointer, name, "id", Reason.DUPLICATE_LOCATION, SKIPPED, "", loser.line)
            if older:
                continue
        kept[located.station.key] = found, located
    _report_duplicate_evse_ids(kept.values(), report)
    return iter([located for _, located in kept.values()])


def parse_location(
    value: object,
    *,
    party: str | None,
    report: Report,
    where: str = "",
    line: int | None = None,
    strict: bool = False,
    source: str = "ocpi",
) -> Located | None:
    """One Location object at the JSON pointer `where`; None when it cannot be a station, and the report says why.

    Strict: every fault is an error, and `LocationError` tells them all; None is not returned.
    """
    faults = Faults(report, strict=strict, line=line)
    item = OcpiItem.of(faults, where, value)
    located = read_location(item, party, source) if item else None
    faults.raise_errors()
    return located


def _report_duplicate_evse_ids(kept: Iterable[tuple[ocpi_document.Found, Located]], report: Report) -> None:
    """An evse_id names one charging point in the world (eMI3), yet feeds repeat them: told, and left as they are."""
    first: dict[str, str] = {}
    for found, located in kept:
        name = located.station.location_id
        for evse in located.station.evses:
            if evse.evse_id is None:
                continue
            holder = first.setdefault(evse.evse_id.casefold(), f"{name}/{evse.uid}")
            if holder != f"{name}/{evse.uid}":
                detail = f"{evse.evse_id}, also of {holder}"
                report.add(found.pointer, name, "evse_id", Reason.DUPLICATE_EVSE_ID, KEPT, detail, found.line)
