"""The plugs of an IRVE point: `prise_type_*`, `cable_t2_attache` and `puissance_nominale` to connectors."""

from __future__ import annotations

from typing import NamedTuple

from geo.station import Connector, connector_power_kw
from mapsvc.importers.item import DROPPED, KEPT, Item, shown
from mapsvc.importers.report import Reason
from mapsvc.importers.values import parse_boolean, parse_number
from mapsvc.importers.vocabulary import UNNAMED_PLUG

MIN_POWER_KW, MAX_POWER_KW = 1, 1_000  # outside, somebody wrote W for kW or nothing at all


class _Plug(NamedTuple):
    column: str  # prise_type_…
    standard: str
    most_kw: float  # what the plug's standard carries at most
    format: str | None  # what its standard fixes
    power_type: str | None


# E: CEE 7/5, 16 A at 230 V. Type 2: IEC 62196-2, 63 A three-phase. CCS and CHAdeMO: the cable is always attached
# (IEC 61851-1, mode 4) and the current direct. For "autre" the register names nothing.
_PLUGS = (
    _Plug("ef", "DOMESTIC_E", 4.0, "SOCKET", "AC_1_PHASE"),
    _Plug("2", "IEC_62196_T2", 44.0, None, None),
    _Plug("combo_ccs", "IEC_62196_T2_COMBO", MAX_POWER_KW, "CABLE", "DC"),
    _Plug("chademo", "CHADEMO", MAX_POWER_KW, "CABLE", "DC"),
    _Plug("autre", UNNAMED_PLUG, MAX_POWER_KW, None, None),
)


def read_plugs(item: Item, uid: str) -> tuple[Connector, ...]:
    """One connector for each plug told. The register's power is the point's; a plug has it unless its standard
    cannot carry it (a household socket on a 22 kW point), and then its power is unknown."""
    power_kw = _read_power_kw(item)
    plugs = [plug for plug in _PLUGS if column_boolean(item, f"prise_type_{plug.column}")]
    if not plugs:
        item.remark("prise_type_2", Reason.NO_CONNECTORS, KEPT, uid)
    elif plugs[-1].standard == UNNAMED_PLUG:
        item.remark("prise_type_autre", Reason.UNNAMED_PLUG, KEPT, uid)
    if plugs and power_kw is not None and power_kw > max(plug.most_kw for plug in plugs):
        names = ", ".join(plug.standard for plug in plugs)
        item.remark("puissance_nominale", Reason.IMPLAUSIBLE_POWER, DROPPED, f"{power_kw:g} kW for {names} alone")
    cable = column_boolean(item, "cable_t2_attache")
    t2_format = None if cable is None else "CABLE" if cable else "SOCKET"
    return tuple(_connector(plug, power_kw, t2_format) for plug in plugs)


def _connector(plug: _Plug, power_kw: float | None, t2_format: str | None) -> Connector:
    carried = power_kw is not None and power_kw <= plug.most_kw
    watts = round(power_kw * 1000) if power_kw is not None and carried else None
    return Connector(
        id=plug.column,
        standard=plug.standard,
        format=t2_format if plug.standard == "IEC_62196_T2" else plug.format,
        power_type=plug.power_type,
        max_electric_power=watts,
        power_kw=connector_power_kw(plug.power_type, None, None, watts),
    )


def _read_power_kw(item: Item) -> float | None:
    raw = item.get("puissance_nominale")
    power_kw = parse_number(raw)
    if power_kw is not None and MIN_POWER_KW <= power_kw <= MAX_POWER_KW:
        return power_kw
    if power_kw is not None:
        item.remark("puissance_nominale", Reason.IMPLAUSIBLE_POWER, DROPPED, shown(raw))
    else:
        absent = raw is None or raw == ""
        reason, detail = (Reason.MISSING, "") if absent else (Reason.WRONG_TYPE, shown(raw))
        item.remark("puissance_nominale", reason, DROPPED, detail)
    return None


def column_boolean(item: Item, column: str) -> bool | None:
    """Text in any case; empty is not told. What is neither is noted."""
    raw = item.get(column)
    if raw is None or raw == "":
        return None
    value = parse_boolean(raw)
    if value is None:
        item.remark(column, Reason.UNKNOWN_VALUE, DROPPED, shown(raw))
    return value
