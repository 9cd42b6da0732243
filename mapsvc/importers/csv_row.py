"""One row of a table that nobody described but for `--map`: a station, or a part of one."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from geo.point import LatLon
from geo.station import Connector
from mapsvc.importers import countries
from mapsvc.importers.csv_options import CsvOptions
from mapsvc.importers.item import DROPPED, KEPT, SKIPPED
from mapsvc.importers.plug_names import find_plug
from mapsvc.importers.plugs import UNNAMED, Plug, check_power_kw, connectors
from mapsvc.importers.position import read_cells
from mapsvc.importers.report import Reason
from mapsvc.importers.table import RowItem
from mapsvc.importers.values import parse_instant_ms, parse_number

MOST_EVSES = 1_000  # of one row
TEXTS = ("name", "operator", "address", "city", "postal_code", "state", "hours", "price", "access")


class Part(NamedTuple):
    """A row. `points`: its charging points, each with all `plugs`."""

    row: RowItem
    location_id: str
    position: LatLon
    country: str | None
    texts: dict[str, str | None]
    points: int
    plugs: tuple[Connector, ...]
    updated_ms: int


def read_row(row: RowItem, options: CsvOptions) -> Part | None:
    """None (noted) when the row has no identity or no position."""
    location_id = row.identifier("id") if "id" in options.columns else _made_id(row)
    row.faults.id = location_id
    if location_id is None:
        row.fault("id", Reason.NO_ID, SKIPPED, "required")
        return None
    country = _country(row, options)
    lat, lon = (_number(row, field, options) for field in ("lat", "lon"))
    position = read_cells(row, ("lat", lat), ("lon", lon), (country,) if country else ())
    if position is None:
        return None
    plugs = _plugs(row, position, country)
    told_power = row.cell("power_kw")
    power_kw = check_power_kw(row, "power_kw", _number(row, "power_kw", options), told_power)
    if not plugs and told_power:
        plugs = [UNNAMED]  # a power is some plug's
    count = _count(row, options, 1 if plugs else 0)
    return Part(
        row,
        location_id,
        position,
        country,
        {field: row.text(field) for field in TEXTS},
        count,
        connectors(row, "power_kw", plugs, power_kw) if count else (),
        _updated_ms(row),
    )


def _made_id(row: RowItem) -> str:
    """The register has no ids: a station is its name at its place. Moved or renamed it is another one."""
    said = "\n".join(" ".join(row.cell(field).split()).casefold() for field in ("name", "lat", "lon"))
    return hashlib.blake2b(said.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _number(row: RowItem, field: str, options: CsvOptions) -> float | None:
    """`--decimal ,` makes points and blanks what separates thousands; else either sign will do as the decimal one."""
    told = row.cell(field)
    if options.decimal == ",":
        told = re.sub(r"[.\s']", "", told).replace(",", ".")
    elif options.decimal == ".":
        told = re.sub(r"[,\s']", "", told)
    return parse_number(told)


def _country(row: RowItem, options: CsvOptions) -> str | None:
    told = row.cell("country")
    if not told:
        return options.country
    country = countries.alpha3(told)
    if country is None:
        row.remark("country", Reason.UNKNOWN_COUNTRY, DROPPED, told)
    return country or options.country


def _plugs(row: RowItem, position: LatLon, country: str | None) -> list[Plug]:
    """ "CCS, Type 2": each plug once. What is told and not understood is a plug all the same."""
    told = row.cell("connector")
    whole = find_plug(told, position, country) if told else None
    if whole is not None:
        return [whole]
    plugs: list[Plug] = []
    for words in re.split(r"[;,|/+&\n]", told):
        if not words.strip():
            continue
        plug = find_plug(words, position, country)
        if plug is None:
            row.remark("connector", Reason.UNNAMED_PLUG, KEPT, words.strip())
        if (plug or UNNAMED) not in plugs:
            plugs.append(plug or UNNAMED)
    return plugs


def _count(row: RowItem, options: CsvOptions, least: int) -> int:
    """How many charging points: as told, else at least the one that the plug is on."""
    told = row.cell("evses")
    if "evses" in options.columns and not told:
        row.remark("evses", Reason.MISSING, KEPT)
    if not told:
        return least
    value = _number(row, "evses", options)
    if value is not None and value == int(value) and 0 <= value <= MOST_EVSES:
        return int(value)
    row.remark("evses", Reason.WRONG_TYPE if value is None else Reason.IMPLAUSIBLE_NUMBER, DROPPED, told)
    return least


def _updated_ms(row: RowItem) -> int:
    told = row.cell("updated")
    if not told:
        return 0
    told_ms, reasons = parse_instant_ms(f"{told}T00:00:00Z" if len(told) == 10 else told)
    for reason in reasons:
        row.remark("updated", reason, DROPPED if told_ms is None else KEPT, told)
    return told_ms or 0
