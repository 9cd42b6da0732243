"""Plugs as registers tell them, to connectors: what a plug's standard fixes, and what it can carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from geo.station import Connector, connector_power_kw
from mapsvc.importers.item import DROPPED, Item
from mapsvc.importers.report import Reason
from mapsvc.importers.vocabulary import DC_ONLY, UNNAMED_PLUG

MIN_POWER_KW, MAX_POWER_KW = 1, 1_000  # outside, somebody wrote W for kW, or two numbers as one

MOST_KW = {
    **{f"DOMESTIC_{letter}": 4.0 for letter in "ABCDEFGHIJKLMNO"},  # 16 A at 230 V
    "NEMA_5_20": 2.4,  # 20 A at 120 V
    "NEMA_14_50": 12.0,  # 50 A at 240 V
    "IEC_60309_2_single_16": 4.0,
    "IEC_62196_T1": 20.0,  # SAE J1772: 80 A at 240 V
    "IEC_62196_T2": 44.0,  # IEC 62196-2: 63 A, three phases
}
"""What a plug's standard carries at most, kW AC. A register's power may be that of its neighbour on the same point."""

# The cable hangs on the charger by the standard: DC (IEC 61851-1, mode 4), SAE J1772 and SAE J3400.
CABLE_ATTACHED = DC_ONLY | {"IEC_62196_T1", "SAE_J3400", "TESLA_S"}
SOCKETS = frozenset(f"DOMESTIC_{letter}" for letter in "ABCDEFGHIJKLMNO") | {"NEMA_5_20", "NEMA_14_50"}


class Plug(NamedTuple):
    """A plug that is told. `format` and `power_type` None: what the standard says, if it does."""

    standard: str
    format: str | None = None
    power_type: str | None = None


def connector(number: int, plug: Plug, power_kw: float | None) -> Connector:
    """`number` from 1. A power that the plug cannot carry is another plug's: unknown here. DC over type 2 is Tesla's."""
    power_type = plug.power_type or ("DC" if plug.standard in DC_ONLY else None)
    fixed = "CABLE" if plug.standard in CABLE_ATTACHED else "SOCKET" if plug.standard in SOCKETS else None
    watts = round(power_kw * 1000) if power_kw is not None and power_kw <= most_kw(plug) else None
    return Connector(
        id=str(number),
        standard=plug.standard,
        format=plug.format or fixed,
        power_type=power_type,
        max_electric_power=watts,
        power_kw=connector_power_kw(power_type, None, None, watts),
    )


def most_kw(plug: Plug) -> float:
    return MAX_POWER_KW if plug.power_type == "DC" else MOST_KW.get(plug.standard, MAX_POWER_KW)


def connectors(item: Item, column: str, plugs: Sequence[Plug], power_kw: float | None) -> tuple[Connector, ...]:
    """The plugs of one point, which share its power. One that none of them can carry is noted."""
    if plugs and power_kw is not None and power_kw > max(most_kw(plug) for plug in plugs):
        names = ", ".join(plug.standard for plug in plugs)
        item.remark(column, Reason.IMPLAUSIBLE_POWER, DROPPED, f"{power_kw:g} kW for {names} alone")
    return tuple(connector(number, plug, power_kw) for number, plug in enumerate(plugs, 1))


def check_power_kw(item: Item, column: str, value: float | None, told: str) -> float | None:
    """A power in kW that a charger may have; `told` is what stands there, `value` the number read from it."""
    if value is not None and MIN_POWER_KW <= value <= MAX_POWER_KW:
        return value
    if told:
        item.remark(column, Reason.WRONG_TYPE if value is None else Reason.IMPLAUSIBLE_POWER, DROPPED, told)
    return None


UNNAMED = Plug(UNNAMED_PLUG)
