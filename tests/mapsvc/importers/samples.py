"""Small documents of our own, and how the tests read them."""

from __future__ import annotations

import copy
import json
from typing import Any

from geo.station import Located, Station
from mapsvc.importers import irve, ocpi
from mapsvc.importers.report import LocationError, Outcome, Reason, Report

Json = dict[str, Any]

LOCATION: Json = {
    "country_code": "NO",
    "party_id": "FJO",
    "id": "quay-1",
    "publish": True,
    "name": "North quay",
    "address": "Strandgaten 1",
    "city": "Bergen",
    "postal_code": "5013",
    "country": "NOR",
    "coordinates": {"latitude": "60.394300", "longitude": "5.325900"},
    "parking_type": "ON_STREET",
    "time_zone": "Europe/Oslo",
    "last_updated": "2025-03-01T10:00:00Z",
    "evses": [
        {
            "uid": "a",
            "evse_id": "NO*FJO*E1",
            "status": "AVAILABLE",
            "capabilities": ["RFID_READER"],
            "last_updated": "2025-03-01T10:00:00Z",
            "connectors": [
                {
                    "id": "1",
                    "standard": "IEC_62196_T2",
                    "format": "SOCKET",
                    "power_type": "AC_3_PHASE",
                    "max_voltage": 230,
                    "max_amperage": 32,
                    "tariff_ids": ["t1"],
                    "last_updated": "2025-03-01T10:00:00Z",
                }
            ],
        }
    ],
}

ROW: Json = {
    "nom_amenageur": "Ville de Brest",
    "nom_operateur": "Kurun",
    "telephone_operateur": "tel:+33-2-98-00-00-00",
    "nom_enseigne": "Kurun",
    "id_station_itinerance": "FRKURP1",
    "nom_station": "Place de la Liberté",
    "implantation_station": "Voirie",
    "adresse_station": "1 place de la Liberté",
    "coordonneesXY": "[-4.486, 48.390]",
    "nbre_pdc": "1",
    "id_pdc_itinerance": "FRKURE1",
    "puissance_nominale": "22.0",
    "prise_type_ef": "False",
    "prise_type_2": "True",
    "prise_type_combo_ccs": "False",
    "prise_type_chademo": "False",
    "prise_type_autre": "False",
    "gratuit": "False",
    "paiement_cb": "True",
    "tarification": "0.40€/kWh",
    "condition_acces": "Accès libre",
    "reservation": "False",
    "horaires": "24/7",
    "accessibilite_pmr": "Accessibilité inconnue",
    "station_deux_roues": "False",
    "date_maj": "2025-01-15",
    "cable_t2_attache": "False",
}


def location(**changes: Any) -> Json:
    """`LOCATION` with members replaced; the value `...` removes one."""
    return {key: value for key, value in (copy.deepcopy(LOCATION) | changes).items() if value is not ...}


def evse(**changes: Any) -> Json:
    changed = copy.deepcopy(LOCATION["evses"][0]) | changes
    return {key: value for key, value in changed.items() if value is not ...}


def connector(**changes: Any) -> Json:
    changed = copy.deepcopy(LOCATION["evses"][0]["connectors"][0]) | changes
    return {key: value for key, value in changed.items() if value is not ...}


def with_connector(**changes: Any) -> Json:
    return location(evses=[evse(connectors=[connector(**changes)])])


def row(**changes: Any) -> Json:
    return {**ROW, **changes}


def read(document: object, party: str | None = None) -> tuple[list[Located], Report]:
    """A whole file, tolerantly."""
    report = Report()
    return list(ocpi.parse(json.dumps(document).encode(), party=party, report=report)), report


def read_one(document: object, party: str | None = None) -> tuple[Station, Report]:
    """A file with the single location `document`."""
    located, report = read([document], party)
    assert len(located) == 1, report.rows
    return located[0].station, report


def strict_errors(document: object, party: str | None = None) -> dict[str, str]:
    """What is allowed, by JSON pointer, for each error of strict reading."""
    try:
        ocpi.parse_location(document, party=party, report=Report(), strict=True)
    except LocationError as error:
        return dict(error.errors)
    return {}


def read_rows(*rows: Json) -> tuple[list[Station], Report]:
    report = Report()
    lines = b"\n".join(json.dumps(each).encode() for each in rows)
    return [located.station for located in irve.parse(lines, report=report)], report


def told(report: Report) -> list[tuple[str, Reason, Outcome]]:
    """Where, why and with what outcome, for each dirty row."""
    return [(row.where, row.reason, row.outcome) for row in report.rows]


def reasons(report: Report) -> set[Reason]:
    return set(report.by_reason)
