"""Each rule of reading the register IRVE, by small rows of our own."""

from __future__ import annotations

import csv
import io
import json
import random
from typing import Any

import pytest

from geo.station import Connector, Hours, RegularHours
from mapsvc.importers import irve
from mapsvc.importers.report import Outcome, Reason, Report, UnreadableFile
from tests.mapsvc.importers.samples import ROW, read_rows, reasons, row, told

KEPT, DROPPED, SKIPPED = Outcome.KEPT, Outcome.DROPPED, Outcome.SKIPPED
JANUARY_15_MS = 1_736_899_200_000


def test_a_clean_row_becomes_a_station_without_a_word_and_without_a_status() -> None:
    report = Report()
    (located,) = irve.parse(json.dumps(ROW).encode(), report=report)
    station = located.station
    assert report.total == 0
    assert located.reports == ()
    assert (station.party, station.location_id, station.source) == ("irve", "FRKURP1", "irve")
    assert (station.lat, station.lon, station.country, station.time_zone) == (48.39, -4.486, "FRA", None)
    assert (station.operator, station.suboperator, station.owner) == ("Kurun", None, "Ville de Brest")
    assert (station.parking_type, station.free_of_charge, station.price_text) == ("ON_STREET", False, "0.40€/kWh")
    assert (station.access_text, station.operator_phone) == ("Accès libre", "+33-2-98-00-00-00")
    assert (station.opening_times, station.opening_times_text) == (Hours(twentyfourseven=True), None)
    assert station.last_updated_ms == JANUARY_15_MS
    (evse,) = station.evses
    assert (evse.uid, evse.evse_id, evse.capabilities) == ("FRKURE1", "FRKURE1", ("CREDIT_CARD_PAYABLE",))
    assert evse.connectors == (Connector("2", "IEC_62196_T2", "SOCKET", None, max_electric_power=22000, power_kw=22.0),)


def plugs(power: object, *columns: str, **changes: Any) -> tuple[list[tuple[str, str | None, float | None]], Report]:
    told_plugs = {f"prise_type_{name}": str(name in columns) for name in ("ef", "2", "combo_ccs", "chademo", "autre")}
    (station,), report = read_rows(row(puissance_nominale=power, **told_plugs, **changes))
    connectors = station.evses[0].connectors
    return [(each.standard, each.format, each.power_kw) for each in connectors], report


def test_each_plug_told_is_a_connector_and_one_that_cannot_carry_the_power_has_none() -> None:
    found, report = plugs("150", "ef", "2", "combo_ccs", "chademo", cable_t2_attache="true")
    assert found == [
        ("DOMESTIC_E", "SOCKET", None),
        ("IEC_62196_T2", "CABLE", None),
        ("IEC_62196_T2_COMBO", "CABLE", 150.0),
        ("CHADEMO", "CABLE", 150.0),
    ]
    assert report.total == 0
    assert plugs("2.299999952316284", "ef")[0] == [("DOMESTIC_E", "SOCKET", 2.3)]
    assert plugs("22,5", "2", cable_t2_attache=None)[0] == [("IEC_62196_T2", None, 22.5)]


@pytest.mark.parametrize("power", ["22000", "50000.0", "0", "0.2", "-7"])
def test_a_power_outside_1_to_1000_kw_is_unknown_and_not_divided(power: str) -> None:
    found, report = plugs(power, "2")
    assert found == [("IEC_62196_T2", "SOCKET", None)]
    assert told(report) == [("/puissance_nominale", Reason.IMPLAUSIBLE_POWER, DROPPED)]


def test_a_power_that_no_plug_of_the_point_carries_is_told() -> None:
    found, report = plugs("100", "ef")
    assert found == [("DOMESTIC_E", "SOCKET", None)]
    assert report.rows[0].detail == "100 kW for DOMESTIC_E alone"
    assert plugs("", "2")[1].by_reason == {Reason.MISSING: 1}
    assert plugs("beaucoup", "2")[1].by_reason == {Reason.WRONG_TYPE: 1}


def test_another_plug_is_unknown_and_no_plug_is_none() -> None:
    found, report = plugs("100", "autre")
    assert found == [("UNKNOWN", None, 100.0)]
    assert told(report) == [("/prise_type_autre", Reason.UNNAMED_PLUG, KEPT)]
    found, report = plugs("100")
    assert found == []
    assert reasons(report) == {Reason.NO_CONNECTORS}


@pytest.mark.parametrize(
    ("said", "expected"), [("TRUE", True), ("false", False), ("1", True), ("", None), (True, True)]
)
def test_booleans_in_any_dress(said: object, expected: bool | None) -> None:
    (station,), report = read_rows(row(gratuit=said))
    assert station.free_of_charge is expected
    assert report.total == 0


def test_a_boolean_that_is_none_is_told() -> None:
    (station,), report = read_rows(row(gratuit="peut-être"))
    assert station.free_of_charge is None
    assert told(report) == [("/gratuit", Reason.UNKNOWN_VALUE, DROPPED)]


def test_restrictions_and_capabilities_belong_to_the_point() -> None:
    one = row(reservation="True", accessibilite_pmr="Réservé PMR", nbre_pdc="2")
    two = row(
        id_pdc_itinerance="FRKURE2",
        implantation_station="Parking privé réservé à la clientèle",
        station_deux_roues="true",
        paiement_cb=None,
        nbre_pdc="2",
    )
    (station,), _ = read_rows(one, two)
    assert station.evses[0].capabilities == ("CREDIT_CARD_PAYABLE", "RESERVABLE")
    assert station.evses[0].parking_restrictions == ("DISABLED",)
    assert station.evses[1].capabilities == ()
    assert station.evses[1].parking_restrictions == ("CUSTOMERS", "MOTORCYCLES")


def test_points_are_grouped_into_stations_wherever_they_stand() -> None:
    stations_of = ["FRKURP0", "FRKURP1", "frkurp0", "FRKURP1", "FRKURP0", "FRKURP1"]  # ids are case-insensitive
    rows = [row(id_pdc_itinerance=f"E{k}", id_station_itinerance=name) for k, name in enumerate(stations_of)]
    stations, report = read_rows(*(each | {"nbre_pdc": "3"} for each in rows))
    assert report.total == 0
    assert {each.location_id: [evse.uid for evse in each.evses] for each in stations} == {
        "FRKURP0": ["E0", "E2", "E4"],
        "FRKURP1": ["E1", "E3", "E5"],
    }


def test_rows_that_disagree_are_told_and_the_newest_word_stays_in_any_order() -> None:
    rows = [
        row(id_pdc_itinerance="E1", nbre_pdc="3", tarification="old", date_maj="2024-01-01"),
        row(id_pdc_itinerance="E2", nbre_pdc="3", tarification="new", nom_station=None, date_maj="2025-02-01"),
        row(id_pdc_itinerance="E3", nbre_pdc="3", tarification="middle", date_maj="2024-06-01"),
    ]
    for seed in range(6):
        random.Random(seed).shuffle(rows)
        (station,), report = read_rows(*rows)
        assert (station.price_text, station.name) == ("new", "Place de la Liberté")
        assert [evse.uid for evse in station.evses] == ["E1", "E2", "E3"]
        assert told(report) == [("/tarification", Reason.CONFLICT, KEPT)]
        assert report.rows[0].detail == "kept the first of: new | middle | old"
        assert report.rows[0].id == "FRKURP1"


def test_equally_new_rows_that_disagree_are_settled_by_the_smaller_point_id() -> None:
    rows = [row(id_pdc_itinerance=f"E{k}", tarification=f"price {k}", nbre_pdc="2") for k in (1, 2)]
    assert read_rows(*rows)[0] == read_rows(*reversed(rows))[0]
    assert read_rows(*rows)[0][0].price_text == "price 1"


def test_a_point_told_twice_keeps_its_newer_row_also_when_it_moved_to_another_station() -> None:
    old = row(date_maj="2024-01-01", puissance_nominale="7")
    new = row(id_pdc_itinerance="frkure1", id_station_itinerance="FRKURP2")
    for rows, loser in (([old, new], 1), ([new, old], 2)):
        stations, report = read_rows(*rows)
        assert [each.location_id for each in stations] == ["FRKURP2"]
        assert told(report) == [("/id_pdc_itinerance", Reason.DUPLICATE_POINT, SKIPPED)]
        assert report.rows[0].line == loser
    (station,), report = read_rows(row(), row(puissance_nominale="11"))
    assert station.evses[0].connectors[0].power_kw == 11.0
    assert report.by_reason == {Reason.DUPLICATE_POINT: 1}


def test_positions_that_differ_are_told_from_25_m_on_and_points_keep_their_own() -> None:
    near = row(id_pdc_itinerance="E2", coordonneesXY="[-4.4861, 48.390]", nbre_pdc="2")  # 7 m
    far = row(id_pdc_itinerance="E2", coordonneesXY="[-4.487, 48.390]", nbre_pdc="2")  # 74 m
    here = row(id_pdc_itinerance="E1", nbre_pdc="2")
    assert read_rows(here, near)[1].total == 0
    (station,), report = read_rows(here, far)
    assert told(report) == [("/coordonneesXY", Reason.POSITIONS_DIFFER, KEPT)]
    assert report.rows[0].detail == "74 m apart"
    assert [(evse.lat, evse.lon) for evse in station.evses] == [(None, None), (48.39, -4.487)]


def test_a_row_without_position_takes_its_station_s_and_a_station_without_any_is_skipped() -> None:
    newest = row(id_pdc_itinerance="E2", coordonneesXY="[48.39]", date_maj="2025-07-01", nbre_pdc="2")
    (station,), report = read_rows(row(nbre_pdc="2"), newest)
    assert (station.lat, station.lon, len(station.evses)) == (48.39, -4.486, 2)
    assert told(report) == [("/coordonneesXY", Reason.BAD_COORDINATES, DROPPED)]
    for pair in ("[0, 0]", "", "[48.39, 98.4]", "[nan, 1]", None, [1, 2, 3]):
        stations, report = read_rows(row(coordonneesXY=pair))
        assert stations == []
        assert told(report)[-1] == ("/coordonneesXY", Reason.NO_COORDINATES, SKIPPED)


def test_coordinates_as_a_list_are_read_and_swapped_ones_told() -> None:
    (station,), report = read_rows(row(coordonneesXY=[-4.486, 48.39]))
    assert (station.lat, station.lon, report.total) == (48.39, -4.486, 0)
    (station,), report = read_rows(row(coordonneesXY="[48.390, -4.486]"))
    assert (station.lat, station.lon) == (-4.486, 48.39)
    assert told(report) == [("/coordonneesXY", Reason.SWAPPED, KEPT)]


def test_hours() -> None:
    (station,), report = read_rows(row(horaires="Sa 08:00-12:00,Mo 08:00-19:00"))
    assert station.opening_times == Hours(
        regular_hours=(RegularHours(1, "08:00", "19:00"), RegularHours(6, "08:00", "12:00"))
    )
    assert (station.opening_times_text, report.total) == (None, 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("selon le magasin", Reason.UNREADABLE_HOURS), ("Mo 00:00-00:01", Reason.IMPLAUSIBLE_HOURS)],
)
def test_hours_that_say_nothing_stay_text_and_are_told_once_a_station(text: str, reason: Reason) -> None:
    rows = [row(horaires=text, id_pdc_itinerance=f"E{k}", nbre_pdc="2") for k in (1, 2)]
    (station,), report = read_rows(*rows)
    assert (station.opening_times, station.opening_times_text) == (None, text)
    assert told(report) == [("/horaires", reason, KEPT)]


def test_another_number_of_points_than_told_is_reported() -> None:
    _, report = read_rows(row(nbre_pdc="4"))
    assert told(report) == [("/nbre_pdc", Reason.POINT_COUNT, KEPT)]
    assert report.rows[0].detail == "4 told, 1 listed"


def test_rows_without_ids() -> None:
    stations, report = read_rows(
        row(id_station_itinerance="Non concerné"),
        row(id_pdc_itinerance=None, nbre_pdc="2"),
        row(id_pdc_itinerance="Non concerné", nbre_pdc="2"),
    )
    assert [evse.uid for evse in stations[0].evses] == ["#1", "#2"]
    assert told(report)[0] == ("/id_station_itinerance", Reason.NO_ID, SKIPPED)
    assert report.by_reason == {Reason.NO_ID: 1, Reason.NO_UID: 2}


def test_answers_that_are_none_and_dates_that_are_none() -> None:
    (station,), report = read_rows(row(tarification="Inconnu", nom_enseigne="e-Quai", date_maj="15/01/2025"))
    assert (station.price_text, station.suboperator, station.last_updated_ms) == (None, "e-Quai", 0)
    assert told(report) == [("/date_maj", Reason.BAD_TIMESTAMP, DROPPED)]


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_the_official_csv_says_the_same_as_json_lines(delimiter: str, bom: bytes) -> None:
    rows = [row(nbre_pdc="2"), row(id_pdc_itinerance="E2", nom_station='A "quoted",\nname; split', nbre_pdc="x")]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*ROW, "extra"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    report = Report()
    found = [each.station for each in irve.parse(bom + b"\n" * (not bom) + text.getvalue().encode(), report=report)]
    assert found == read_rows(*rows)[0]
    assert report.by_reason == {Reason.CONFLICT: 1}


def test_lines_that_are_no_json_and_rows_that_are_no_objects_are_skipped() -> None:
    lines = [b"\xef\xbb\xbf" + json.dumps(ROW).encode(), b"", b"{broken", b"[1]", b'"x"', b'{"a":' * 2000, b"\xff\xfe"]
    report = Report()
    assert len(list(irve.parse(lines, report=report))) == 1
    assert [(each.line, each.reason) for each in report.rows] == [
        (3, Reason.NOT_JSON),
        (4, Reason.NOT_AN_OBJECT),
        (5, Reason.NOT_AN_OBJECT),
        (6, Reason.NOT_JSON),
        (7, Reason.NOT_JSON),
    ]


def test_csv_rows_that_are_damaged_are_told_and_the_others_live() -> None:
    heading = ",".join(ROW).encode()
    good = ",".join('"' + str(value) + '"' for value in ROW.values()).encode()
    report = Report()
    lines = [
        heading,
        good,
        b"short,row",
        good.replace(b"Brest", b"Br\xe9st").replace(b"FRKURE1", b"E2"),
        b'"' + b"x" * 200_000,
    ]
    found = [each.station for each in irve.parse([line + b"\n" for line in lines], report=report)]
    assert [len(each.evses) for each in found] == [2]
    assert {Reason.NO_ID, Reason.ENCODING, Reason.NOT_CSV} <= reasons(report)


@pytest.mark.parametrize(
    "raw", [b"", b"\n \n", b"<html></html>", b"a,b\n1,2", b"{broken\n{too", bytes(range(256)), b"[{}]"]
)
def test_files_that_are_unreadable_as_a_whole(raw: bytes) -> None:
    with pytest.raises(UnreadableFile):
        irve.parse(raw, report=Report())
