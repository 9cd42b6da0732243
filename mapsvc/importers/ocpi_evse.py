"""OCPI EVSE (2.2.1 §8.3.2) and Connector (§8.3.3) to `geo.station.Evse` with its status."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from geo.station import Connector, DisplayText, Evse, Status, StatusReport, connector_power_kw
from mapsvc.importers.item import DROPPED, KEPT, SKIPPED, Item, Need
from mapsvc.importers.links import read_images
from mapsvc.importers.ocpi_dialects import adapt_evse
from mapsvc.importers.position import read_position
from mapsvc.importers.report import Reason
from mapsvc.importers.vocabulary import (
    CAPABILITY,
    CONNECTOR_FORMAT,
    CONNECTOR_TYPE,
    DC_ONLY,
    PARKING_RESTRICTION,
    POWER_TYPE,
    STATUS,
    UNNAMED_PLUG,
)

# What a charger can have; beyond, somebody wrote kW for W, or zero for "not known".
VOLTAGE_V = (48, 2_000)  # from light vehicles' chargers to above MCS (1,250 V)
AMPERAGE_A = (1, 4_000)  # MCS: 3,000 A
MIN_POWER_W = 500
MAX_POWER_W = 2_000_000
MAX_MCS_POWER_W = 4_000_000  # 1,250 V × 3,000 A

UNDETERMINED = "und"  # ISO 639-3: a text whose language is not told


class Evses(NamedTuple):
    """What a location's `evses` hold: the model has statuses and images apart."""

    evses: tuple[Evse, ...]
    reports: tuple[StatusReport, ...]
    images: tuple[str, ...]


class _Read(NamedTuple):
    item: Item
    evse: Evse  # its uid is empty where none was told
    status: Status | None


def read_evses(location: Item) -> Evses:
    """The EVSEs of a location, each uid once."""
    read = [_read_evse(item) for item in location.children("evses")]
    if not read:
        location.remark("evses", Reason.NO_EVSES, KEPT)
    names = _Names({each.evse.uid.casefold() for each in read})
    kept: dict[str, tuple[Evse, StatusReport | None]] = {}
    for item, evse, status in read:
        if not evse.uid:
            evse = msgspec.structs.replace(evse, uid=names.next())
            item.fault("uid", Reason.NO_UID, KEPT, "required: text of at most 36 characters", evse.uid)
        before = kept.get(evse.uid.casefold())
        if before:
            item.fault("uid", Reason.DUPLICATE_UID, SKIPPED, "unique within the location", evse.uid)
            if (before[0].last_updated_ms or 0) > (evse.last_updated_ms or 0):
                continue
        report = None if status is None else StatusReport(evse.uid, status, evse.last_updated_ms)
        kept[evse.uid.casefold()] = evse, report
    reports = tuple(report for _, report in kept.values() if report)
    images = tuple(url for each in read for url in read_images(each.item))
    return Evses(tuple(evse for evse, _ in kept.values()), reports, images)


class _Names:
    """`#1`, `#2`, … for what has no name, past those taken."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self._number = 0

    def next(self) -> str:
        self._number += 1
        while f"#{self._number}" in self._taken:
            self._number += 1
        return f"#{self._number}"


def _read_evse(item: Item) -> _Read:
    adapt_evse(item)
    status = item.word("status", STATUS, Need.REQUIRED)
    position = read_position(item, DROPPED, required=False)
    evse = Evse(
        uid=item.identifier("uid") or "",
        evse_id=item.text("evse_id", limit=64),
        connectors=_read_connectors(item),
        capabilities=item.words("capabilities", CAPABILITY),
        floor_level=item.text("floor_level", limit=64),
        physical_reference=item.text("physical_reference", limit=64),
        parking_restrictions=item.words("parking_restrictions", PARKING_RESTRICTION),
        directions=read_directions(item),
        lat=position[0] if position else None,
        lon=position[1] if position else None,
        last_updated_ms=item.instant_ms("last_updated", Need.EXPECTED),
    )
    told = item.get("status") not in (None, "")
    return _Read(item, evse, Status[status] if status else Status.UNKNOWN if told else None)


def read_directions(item: Item) -> tuple[DisplayText, ...]:
    """DisplayText (§16.3); a bare text stands for one whose language is not told."""
    raw = item.get("directions")
    if isinstance(raw, str) and raw.strip():
        text = item.text("directions", multiline=True)
        return (DisplayText(UNDETERMINED, text),) if text else ()
    found = []
    for each in item.children("directions"):
        text = each.text("text", Need.EXPECTED, multiline=True)
        language = each.text("language", limit=35)
        if text:
            found.append(DisplayText(language.lower() if language else UNDETERMINED, text))
    return tuple(found)


def _read_connectors(evse: Item) -> tuple[Connector, ...]:
    items = evse.children("connectors")
    if not items:
        evse.remark("connectors", Reason.NO_CONNECTORS, KEPT)
    read = [(item, _read_connector(item)) for item in items]
    names = _Names({connector.id.casefold() for _, connector in read})
    kept: dict[str, Connector] = {}
    for item, connector in read:
        if not connector.id:
            connector = msgspec.structs.replace(connector, id=names.next())
            item.fault("id", Reason.NO_CONNECTOR_ID, KEPT, "required: text of at most 36 characters", connector.id)
        elif (before := kept.get(connector.id.casefold())) is not None:
            same = before == connector
            item.fault("id", Reason.DUPLICATE_CONNECTOR_ID, SKIPPED if same else KEPT, "unique within the EVSE")
            if same:
                continue
            connector = msgspec.structs.replace(connector, id=names.next())
        kept[connector.id.casefold()] = connector
    return tuple(kept.values())


def _read_connector(item: Item) -> Connector:
    standard = item.word("standard", CONNECTOR_TYPE, Need.REQUIRED)
    if standard is None:
        item.remark("standard", Reason.UNNAMED_PLUG, KEPT)
    power_type = item.word("power_type", POWER_TYPE, Need.EXPECTED)
    voltage = item.integer("max_voltage", *VOLTAGE_V, Need.EXPECTED)
    amperage = item.integer("max_amperage", *AMPERAGE_A, Need.EXPECTED)
    told_w, power_kw = _power(item, standard or UNNAMED_PLUG, power_type, voltage, amperage)
    return Connector(
        id=item.identifier("id") or "",
        standard=standard or UNNAMED_PLUG,
        format=item.word("format", CONNECTOR_FORMAT, Need.EXPECTED),
        power_type=power_type,
        max_voltage=voltage,
        max_amperage=amperage,
        max_electric_power=told_w,
        power_kw=power_kw,
        tariff_ids=item.texts("tariff_ids"),
        last_updated_ms=item.instant_ms("last_updated", Need.EXPECTED),
    )


def _power(
    item: Item, standard: str, power_type: str | None, voltage: int | None, amperage: int | None
) -> tuple[int | None, float | None]:
    """`max_electric_power` as told (W), and the power in kW. An implausible one is not replaced by a derived one."""
    conflict = standard in DC_ONLY and power_type not in (None, "DC")
    if conflict:
        item.remark("power_type", Reason.POWER_TYPE_CONFLICT, KEPT, f"{power_type} for {standard}")
    max_w = MAX_MCS_POWER_W if standard == "MCS" else MAX_POWER_W
    allowed = f"watts, from {MIN_POWER_W} to {max_w}"
    if item.get("max_electric_power") is not None:
        told_w = item.integer("max_electric_power", 0, 1 << 53)
        if told_w is not None and MIN_POWER_W <= told_w <= max_w:
            return told_w, connector_power_kw(power_type, voltage, amperage, told_w)
        if told_w is not None:
            item.fault("max_electric_power", Reason.IMPLAUSIBLE_POWER, DROPPED, allowed, f"{told_w} W")
        return None, None
    power_kw = None if conflict else connector_power_kw(power_type, voltage, amperage, None)
    if power_kw is not None and not MIN_POWER_W <= 1000 * power_kw <= max_w:
        item.remark("max_amperage", Reason.IMPLAUSIBLE_POWER, DROPPED, f"{power_kw} kW from {voltage} V, {amperage} A")
        return None, None
    return None, power_kw
