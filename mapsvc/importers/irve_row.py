"""One row of the French register IRVE: a charging point, with its station's data repeated on every row.

Columns are those of schema-irve-statique (schema.data.gouv.fr, version 2), values all text. A row becomes a `Point`:
what belongs to the point as an `Evse`, what belongs to the station as a `Place`, to be compared with the other rows'.
"""

from __future__ import annotations

import re

import msgspec

from geo.point import LatLon
from geo.station import Evse
from mapsvc.importers.irve_plugs import column_boolean, read_plugs
from mapsvc.importers.item import DROPPED, SKIPPED, Faults, Item, shown
from mapsvc.importers.position import check_range
from mapsvc.importers.report import Reason
from mapsvc.importers.values import parse_date_ms, parse_number

STATION_ID = "id_station_itinerance"
POINT_ID = "id_pdc_itinerance"

# What the register's forms offer for "no answer", in the texts that we show.
NO_ANSWER = frozenset(
    ("inconnu", "inconnue", "non spécifié", "non renseigné", "non concerné", "aucun", "na", "n/a", "-")
)

PARKING_TYPES = {
    "voirie": "ON_STREET",
    "parking public": "PARKING_LOT",
    "parking privé à usage public": "PARKING_LOT",
    "parking privé réservé à la clientèle": "PARKING_LOT",
}
"""`implantation_station` in OCPI's words. The register does not tell lots from garages; a station built for fast
charging ("Station dédiée à la recharge rapide") has no word in OCPI."""


class Place(msgspec.Struct, frozen=True):
    """A row's words about its station."""

    location_id: str
    name: str | None
    address: str | None
    city: str | None
    postal_code: str | None
    parking_type: str | None
    operator: str | None
    suboperator: str | None
    owner: str | None
    operator_phone: str | None
    free_of_charge: bool | None
    price_text: str | None
    access_text: str | None
    hours: str | None
    point_count: int | None
    position: LatLon | None


COLUMNS = {
    "name": "nom_station",
    "address": "adresse_station",
    "city": "consolidated_commune",
    "postal_code": "consolidated_code_postal",
    "parking_type": "implantation_station",
    "operator": "nom_operateur",
    "suboperator": "nom_enseigne",
    "owner": "nom_amenageur",
    "operator_phone": "telephone_operateur",
    "free_of_charge": "gratuit",
    "price_text": "tarification",
    "access_text": "condition_acces",
    "hours": "horaires",
    "point_count": "nbre_pdc",
}
"""The column of each field of `Place` that all rows of a station should agree on."""


class Point(msgspec.Struct, frozen=True):
    """A row. The EVSE's uid is empty where the row has no id of the point."""

    line: int
    place: Place
    evse: Evse
    date_ms: int | None


def read_row(faults: Faults, line: int, row: object) -> Point | None:
    """The point of a row; None (noted) when the row does not say of which station it is."""
    item = Item.of(faults, "", row)
    if item is None:
        return None
    location_id = _answer(item.identifier(STATION_ID))
    faults.id = location_id or item.identifier(POINT_ID)
    if location_id is None:
        item.fault(STATION_ID, Reason.NO_ID, SKIPPED, "required")
        return None
    date_ms = _date_ms(item)
    return Point(line, _read_place(item, location_id), _read_evse(item, date_ms), date_ms)


def _read_place(item: Item, location_id: str) -> Place:
    operator, sign = _answer(item.text("nom_operateur")), _answer(item.text("nom_enseigne"))
    phone = item.text("telephone_operateur", limit=64)
    count = parse_number(item.get("nbre_pdc"))
    return Place(
        location_id=location_id,
        name=_answer(item.text("nom_station")),
        address=_answer(item.text("adresse_station")),
        city=_answer(item.text("consolidated_commune")),
        postal_code=_answer(item.text("consolidated_code_postal")),
        parking_type=PARKING_TYPES.get(_said(item, "implantation_station")),
        operator=operator or sign,
        suboperator=sign if operator and sign != operator else None,  # the name that a driver reads on the spot
        owner=_answer(item.text("nom_amenageur")),
        operator_phone=phone.removeprefix("tel:") if phone else None,
        free_of_charge=column_boolean(item, "gratuit"),
        price_text=_answer(item.text("tarification")),
        access_text=_answer(item.text("condition_acces")),
        hours=_answer(item.text("horaires")),
        point_count=int(count) if count is not None and count == int(count) else None,
        position=_read_position(item),
    )


def _read_evse(item: Item, date_ms: int | None) -> Evse:
    capabilities = {"CREDIT_CARD_PAYABLE": "paiement_cb", "RESERVABLE": "reservation"}
    uid = _answer(item.identifier(POINT_ID))
    return Evse(
        uid=uid or "",
        evse_id=uid,
        connectors=read_plugs(item, uid or ""),
        capabilities=tuple(word for word, column in capabilities.items() if column_boolean(item, column)),
        parking_restrictions=_read_restrictions(item),
        last_updated_ms=date_ms,
    )


def _read_restrictions(item: Item) -> tuple[str, ...]:
    """OCPI 2.2.1 §8.4.17 has a word for three of the register's answers."""
    answers = {
        "DISABLED": _said(item, "accessibilite_pmr") == "réservé pmr",
        "CUSTOMERS": _said(item, "implantation_station") == "parking privé réservé à la clientèle",
        "MOTORCYCLES": bool(column_boolean(item, "station_deux_roues")),
    }
    return tuple(word for word, told in answers.items() if told)


_PAIR = re.compile(r"\[?\s*([^,\s\]]+)\s*,\s*([^,\s\]]+)\s*\]?")


def _read_position(item: Item) -> LatLon | None:
    """`coordonneesXY`: "[longitude, latitude]". The station has another row's position if this one is bad."""
    raw = item.get("coordonneesXY")
    pair = raw if isinstance(raw, list) else None
    if isinstance(raw, str) and (match := _PAIR.fullmatch(raw.strip())):
        pair = [match[1], match[2]]
    lon, lat = (parse_number(pair[0]), parse_number(pair[1])) if pair and len(pair) == 2 else (None, None)
    if lon is None or lat is None:
        reason = Reason.BAD_COORDINATES if raw else Reason.NO_COORDINATES
        item.remark("coordonneesXY", reason, DROPPED, shown(raw) if raw else "")
        return None
    return check_range(item.faults, item.at("coordonneesXY"), lat, lon, DROPPED)


def _date_ms(item: Item) -> int | None:
    raw = item.text("date_maj")
    date_ms = parse_date_ms(raw) if raw else None
    if date_ms is None:
        item.remark("date_maj", Reason.BAD_TIMESTAMP if raw else Reason.MISSING, DROPPED, raw or "")
    return date_ms


def _answer(text: str | None) -> str | None:
    return None if text is None or text.casefold() in NO_ANSWER else text


def _said(item: Item, column: str) -> str:
    """An answer chosen from the register's list, ready to be compared."""
    raw = item.get(column)
    return raw.strip().casefold() if isinstance(raw, str) else ""
