"""The charging points of one device of the German register: plugs and power side by side in one row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from geo.station import Connector, Evse
from mapsvc.importers.item import DROPPED, KEPT
from mapsvc.importers.plugs import UNNAMED, Plug, check_power_kw, connector, connectors
from mapsvc.importers.report import Reason
from mapsvc.importers.table import RowItem
from mapsvc.importers.values import parse_number

MOST_POINTS = 20  # columns of one row; the register has four to six

# "AC Steckdose Typ 2" (2019), "AC Typ 2 Steckdose" (since): words in any order.
_PLUGS = {
    frozenset(words.split()): plug
    for words, plug in {
        "ac steckdose typ 2": Plug("IEC_62196_T2", "SOCKET"),
        "ac kupplung typ 2": Plug("IEC_62196_T2", "CABLE"),
        "ac fahrzeugkupplung typ 2": Plug("IEC_62196_T2", "CABLE"),
        "ac steckdose typ 1": Plug("IEC_62196_T1"),
        "steckdose typ 1": Plug("IEC_62196_T1"),
        "ac kupplung typ 1": Plug("IEC_62196_T1"),
        "ac fahrzeugkupplung typ 1": Plug("IEC_62196_T1"),
        "dc kupplung combo": Plug("IEC_62196_T2_COMBO"),
        "dc fahrzeugkupplung typ combo 2 ccs": Plug("IEC_62196_T2_COMBO"),
        "dc chademo": Plug("CHADEMO"),
        "dc tesla fahrzeugkupplung typ 2": Plug("IEC_62196_T2", "CABLE", "DC"),
        "ac schuko": Plug("DOMESTIC_F", power_type="AC_1_PHASE"),
        "ac cee 3 polig": Plug("IEC_60309_2_single_16", "SOCKET", "AC_1_PHASE"),
        "ac cee 5 polig": UNNAMED,  # 16, 32 or 63 A: three plugs that do not fit one another
    }.items()
}


class Columns(NamedTuple):
    plugs: str
    power: str
    evse_id: str


def point_columns(names: Sequence[str]) -> list[Columns]:
    """The columns of the first, second, … point, as many as the edition has."""
    found = []
    for k in range(1, MOST_POINTS + 1):
        if f"steckertypen{k}" not in names:
            break
        power = next((name for name in (f"p{k}", f"nennleistung stecker{k}") if name in names), f"p{k}")
        found.append(Columns(f"steckertypen{k}", power, f"evse-id{k}"))
    return found


def read_points(row: RowItem, columns: Sequence[Columns]) -> tuple[Evse, ...]:
    """One EVSE for each column of plugs that is filled; its uid is empty where the register names none."""
    points = [_point(row, each) for each in columns if row.cell(each.plugs)]
    told = row.cell("anzahl ladepunkte")
    if told != str(len(points)):
        row.remark("anzahl ladepunkte", Reason.POINT_COUNT, KEPT, f"{told or 'none'} told, {len(points)} listed")
    return tuple(points)


def _point(row: RowItem, columns: Columns) -> Evse:
    plugs: list[Plug] = []
    for words in re.split(r"[;,]", row.cell(columns.plugs)):
        plug = _PLUGS.get(frozenset(re.sub(r"[^\w]+", " ", words).casefold().split()))
        if plug is not None:
            plugs.append(plug)
            if plug is UNNAMED:
                row.remark(columns.plugs, Reason.UNNAMED_PLUG, KEPT, words.strip())
        elif words.strip():
            row.remark(columns.plugs, Reason.UNKNOWN_VALUE, DROPPED, words.strip())
    if not plugs:
        row.remark(columns.plugs, Reason.NO_CONNECTORS, KEPT, row.cell(columns.plugs))
    name = row.identifier(columns.evse_id)
    return Evse(name or "", evse_id=name, connectors=_powered(row, columns.power, plugs))


def _powered(row: RowItem, column: str, plugs: Sequence[Plug]) -> tuple[Connector, ...]:
    """One power for the point, or (later editions) "22; 50": one for each plug."""
    told = row.cell(column)
    powers = told.split(";")
    if len(powers) > 1 and len(powers) == len(plugs):
        each = [check_power_kw(row, column, parse_number(power), power.strip()) for power in powers]
        return tuple(connector(k, plug, power) for k, (plug, power) in enumerate(zip(plugs, each, strict=True), 1))
    if not told:
        row.remark(column, Reason.MISSING, DROPPED)
    return connectors(row, column, plugs, check_power_kw(row, column, parse_number(told), told))
