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


def is_camel(key: str) -> bool:
    return key != key.lower()


@lru_cache(maxsize=4096)  # keys repeat a thousand times in a feed; bounded, because a feed may make keys of its data
def _proper(key: str) -> str:
    snake = _HUMP.sub("_", key).lower() if is_camel(key) else key
    return RENAMED.get(snake, snake)


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
        if any(is_camel(key) for key in self._told.values()):
            faults.remark(pointer, Reason.CAMEL_CASE, KEPT, ", ".join(self._told.values()), once=True)
