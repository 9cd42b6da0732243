"""The stalls of a Supercharger site, from counts: of stalls, of stalls with each plug, of stalls of each generation.

Which stall has what is not told. The counts are laid along the row of stalls, each plug beginning where the one before
ended and going round at the end: so every count is right, and so is the number of stalls with two plugs.
"""

from __future__ import annotations

from collections.abc import Collection

from geo.station import Connector, Evse
from mapsvc.importers.item import DROPPED, KEPT, Item
from mapsvc.importers.plugs import UNNAMED, Plug, check_power_kw, connector
from mapsvc.importers.report import Reason
from mapsvc.importers.values import parse_number

MOST_STALLS = 1_000  # the largest site has some 170

# Older ones first, as hardware below: of a site that grew, the older stalls have the older plug.
PLUGS = {
    "type2": Plug("IEC_62196_T2", "CABLE", "DC"),  # Tesla's direct current over type 2, until 2019
    "tpc": Plug("TESLA_S", power_type="DC"),  # the plug before it became a standard: its stalls serve Teslas
    "nacs": Plug("SAE_J3400", power_type="DC"),
    "gbt": Plug("GBT_DC"),
    "ccs1": Plug("IEC_62196_T1_COMBO"),
    "ccs2": Plug("IEC_62196_T2_COMBO"),
    "other": UNNAMED,
}
IN_SEVERAL = "multi"  # how many stalls have two plugs: follows from the others
HARDWARE = ("urban", "v1", "v2", "v3", "v4", "other")
NOT_HARDWARE = frozenset(("accessible", "trailerFriendly"))


def read_evses(item: Item) -> tuple[Evse, ...]:
    """One EVSE a stall, `#1`, `#2`, …: stalls have no ids in the list."""
    stalls = _count(item, "stall_count", item.get("stall_count"), MOST_STALLS) or 0
    if not stalls:
        item.remark("stall_count", Reason.NO_EVSES, KEPT)
        return ()
    power_kw = check_power_kw(item, "power_kw", parse_number(item.get("power_kw")), str(item.get("power_kw") or ""))
    powered = _newest_stalls(item, stalls) if power_kw is not None else 0
    plugs = _laid_out(item, stalls)
    if not all(plugs):
        item.remark("plug_types", Reason.NO_CONNECTORS, KEPT, f"{sum(not each for each in plugs)} of {stalls} stalls")
    return tuple(
        Evse(f"#{number}", connectors=_connectors(plugs[number - 1], power_kw if number > stalls - powered else None))
        for number in range(1, stalls + 1)
    )


def _connectors(plugs: list[Plug], power_kw: float | None) -> tuple[Connector, ...]:
    return tuple(connector(number, plug, power_kw) for number, plug in enumerate(plugs, 1))


def _newest_stalls(item: Item, stalls: int) -> int:
    """How many stalls have the site's power: it is the best stall's. All, where all are of one generation."""
    versions = _counts(item, "stall_versions", HARDWARE, NOT_HARDWARE, stalls)
    if len(versions) <= 1:
        return stalls
    item.remark("stall_versions", Reason.NEWEST_POWER, KEPT, ", ".join(f"{n} × {name}" for name, n in versions.items()))
    numbered = [count for name, count in versions.items() if name != "other"]
    return numbered[-1]


def _laid_out(item: Item, stalls: int) -> list[list[Plug]]:
    counts = _counts(item, "plug_types", PLUGS, {IN_SEVERAL}, stalls)
    if counts.get("other"):
        item.remark("plug_types", Reason.UNNAMED_PLUG, KEPT, f"{counts['other']} × other")
    plugs: list[list[Plug]] = [[] for _ in range(stalls)]
    at = 0
    for name, count in counts.items():
        for k in range(at, at + count):
            plugs[k % stalls].append(PLUGS[name])
        at += count
    return plugs


def _counts(item: Item, name: str, known: Collection[str], ignored: Collection[str], stalls: int) -> dict[str, int]:
    """The counts above 0 of what is `known`, in its order, at most `stalls` each."""
    child = item.child(name)
    if child is None:
        item.remark(name, Reason.MISSING, KEPT)
        return {}
    found = {}
    for key in known:
        count = _count(child, key, child.get(key), MOST_STALLS) or 0
        if count > stalls:
            child.remark(key, Reason.POINT_COUNT, KEPT, f"{count} of {stalls} stalls")
        if count:
            found[key] = min(count, stalls)
    for key in child.members:
        if key not in known and key not in ignored and child.get(key):
            child.remark(key, Reason.UNKNOWN_VALUE, DROPPED, key)
    return found


def _count(item: Item, name: str, raw: object, most: int) -> int | None:
    if raw is None:
        return None
    value = parse_number(raw)
    if value is None or value != int(value) or not 0 <= value <= most:
        item.remark(name, Reason.WRONG_TYPE if value is None else Reason.IMPLAUSIBLE_NUMBER, DROPPED, str(raw)[:80])
        return None
    return int(value)
