"""Key names of OCPI documents: camelCase and older versions' names to OCPI 2.2.1's.

Only names that leave no doubt are renamed, and only where the proper name is absent.
"""

from __future__ import annotations

import re
from functools import lru_cache

from mapsvc.importers.item import KEPT, Faults, Item
from mapsvc.importers.report import Reason

RENAMED = {
    # OCPI 2.1.1 (Connector: voltage, amperage, tariff_id) and 2.2 (max_*)
    "voltage": "max_voltage",
    "amperage": "max_amperage",
    "tariff_id": "tariff_ids",
    # seen in feeds, after their camelCase was undone
    "sub_operator": "suboperator",
    "last_updated_at": "last_updated",
    "native_status": "status",
    "position": "coordinates",
    "outlets": "evses",
}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


# What we read, and so what a key in camelCase can stand for; other keys are the feed's own business.
MEMBERS = frozenset(
    {
        *("country_code", "party_id", "postal_code", "parking_type", "time_zone", "last_updated", "opening_times"),
        *("charging_when_closed", "energy_mix", "is_green_energy", "help_phone", "phone_number", "evse_id"),
        *("floor_level", "physical_reference", "parking_restrictions", "power_type", "max_voltage", "max_amperage"),
        *("max_electric_power", "tariff_ids", "regular_hours", "exceptional_openings", "exceptional_closings"),
        *("period_begin", "period_end", *RENAMED.values()),
        *("postal_address", "opening_hours", "model_name", "connector_id"),  # of ocpi_dialects
    }
)


@lru_cache(maxsize=4096)  # keys repeat a thousand times in a feed; bounded, because a feed may make keys of its data
def _proper(key: str) -> str:
    snake = _HUMP.sub("_", key).lower()
    proper = RENAMED.get(snake, snake)
    return proper if proper in MEMBERS else key


def canonical(members: dict[str, object]) -> tuple[dict[str, object], dict[str, str]]:
    """The members under their proper names, and for each name that was changed the key that the document has."""
    told = {proper: key for key in members if (proper := _proper(key)) != key and proper not in members}
    if not told:
        return members, told
    return {**members, **{proper: members[key] for proper, key in told.items()}}, told


class OcpiItem(Item):
    """An object of an OCPI document, its members under OCPI 2.2.1's names."""

    __slots__ = ()

    def __init__(self, faults: Faults, pointer: str, members: dict[str, object]) -> None:
        super().__init__(faults, pointer, members)
        self.members, self._told = canonical(members)
        for proper, key in self._told.items():
            if key != key.lower():
                detail = f"read as {proper}"
                faults.fault(f"{pointer}/{key}", Reason.CAMEL_CASE, KEPT, f"the key {proper}", detail, once=True)
