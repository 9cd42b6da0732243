"""Feeds that say what OCPI says in other words, brought to OCPI's members before they are read.

Only one such dialect was met so far (the feed heilbronn_neckarbogen): `postalAddress`, `tenant`, `openingHours` in
prose, and `outlets` whose attributes describe one connector each. Its `position`, `outlets` and camelCase are undone
by `keys`; here is the rest. Everything is read from what the feed says, and each station read so is reported once.
"""

from __future__ import annotations

import re

from mapsvc.importers.item import KEPT, Item
from mapsvc.importers.report import Reason
from mapsvc.importers.values import parse_boolean

# "Typ 2 Buchse 11kW AC", "Type 2 Kabel 11kW AC": the plug is named, in prose.
_TYPE_2 = re.compile(r"\btype? ?2\b", re.IGNORECASE)
_ATTRIBUTES = ("FORMAT", "POWER_TYPE", "MAX_VOLTAGE", "MAX_AMPERAGE", "MAX_ELECTRIC_POWER")


def adapt_location(item: Item) -> None:
    """Adds OCPI's members to a location that has the dialect's instead; a member that is there already wins."""
    if item.faults.strict:  # who writes to us by himself writes OCPI
        return
    members = dict(item.members)
    if isinstance(post := members.get("postal_address"), dict):
        street = " ".join(part for key in ("street1", "street2") if isinstance(part := post.get(key), str))
        members = {"address": street, "postal_code": post.get("zip"), **members}
        members = {"city": post.get("city"), "country": post.get("country"), **members}
    if isinstance(tenant := members.get("tenant"), dict):
        members = {"operator": {"name": tenant.get("name")}, **members}
    attributes = _attributes(members.get("attributes"))
    if (green := parse_boolean(attributes.get("RENEWABLE_ENERGY"))) is not None:
        members = {"energy_mix": {"is_green_energy": green}, **members}
    if len(members) > len(item.members):
        item.faults.remark(item.pointer, Reason.DIALECT, KEPT, "postalAddress, tenant, outlets")
        item.members = members


def opening_prose(item: Item) -> str | None:
    """The dialect's `openingHours`, a list of texts."""
    hours = item.members.get("opening_hours")
    texts = [each.get("plainTextValue") for each in hours if isinstance(each, dict)] if isinstance(hours, list) else []
    return "; ".join(text for text in texts if isinstance(text, str)) or None


def adapt_evse(item: Item) -> None:
    """An outlet carries its one connector in attributes; its number there is `connectorId`."""
    attributes = _attributes(item.members.get("attributes"))
    if "connectors" in item.members or not attributes:
        return
    connector: dict[str, object] = {key.lower(): _plain(attributes.get(key)) for key in _ATTRIBUTES}
    connector["id"] = str(item.members.get("connector_id", ""))
    model = item.members.get("model_name")
    if isinstance(model, str) and _TYPE_2.search(model):
        connector["standard"] = "IEC_62196_T2"
    item.members = {**item.members, "connectors": [connector]}


def _attributes(raw: object) -> dict[object, object]:
    """`[{"key": k, "value": v}, …]` as a dictionary."""
    pairs = [each for each in raw if isinstance(each, dict)] if isinstance(raw, list) else []
    return {key: each.get("value") for each in pairs if isinstance(key := each.get("key"), str)}


def _plain(value: object) -> object:
    """Attributes are all text; numbers among them are meant as numbers."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value
