"""Points of the recording as stations, EVSEs and connectors."""

from __future__ import annotations

from geo.station import Located, Status
from mapsvc.importers.report import Outcome, Reason, Report
from mapsvc.replay.layout import PARTY, Layout, lay_out
from mapsvc.replay.polls_file import Word
from tests.mapsvc.replay.made_up import at, recorded, row

FAR = "-8.100000,52.800000"  # 80 km from HERE
NEAR = "-6.900100,52.804000"  # 450 m


def laid(*rows: bytes, report: Report | None = None) -> Layout:
    return lay_out(recorded(*rows), report or Report())


def uids(located: Located) -> list[str]:
    return [evse.uid for evse in located.station.evses]


def test_a_kind_of_plug_is_an_evse_and_two_where_the_recording_ever_says_part() -> None:
    (single,) = laid(row("1100"), row("1105", word="OOS")).stations
    assert uids(single) == ["StandardType2-1"]
    (double,) = laid(row("1100"), row("1105", word="Part")).stations
    assert uids(double) == ["StandardType2-1", "StandardType2-2"]
    (rapid,) = laid(row("1100", plug="FastAC43"), row("1105", plug="CHAdeMO"), row("1110", plug="ComboCCS")).stations
    assert uids(rapid) == ["CHAdeMO-1", "ComboCCS-1", "FastAC43-1"]
    assert [(c.standard, c.power_type, c.power_kw) for e in rapid.station.evses for c in e.connectors] == [
        ("CHADEMO", "DC", None), ("IEC_62196_T2_COMBO", "DC", None), ("IEC_62196_T2", "AC_3_PHASE", 43.0),
    ]  # fmt: skip


def test_the_words_become_statuses() -> None:
    (outlet,) = laid(row("1100", word="Part")).outlets
    assert {word: [status for _, status in outlet.statuses(word)] for word in (*Word, None)} == {
        Word.OCC: [Status.CHARGING, Status.CHARGING],
        Word.PART: [Status.CHARGING, Status.AVAILABLE],
        Word.OOS: [Status.OUTOFORDER, Status.OUTOFORDER],
        Word.OOC: [Status.UNKNOWN, Status.UNKNOWN],
        None: [Status.AVAILABLE, Status.AVAILABLE],
    }
    (single,) = laid(row("1100", word="Occ")).outlets
    assert single.statuses(Word.OCC) == (("StandardType2-1", Status.CHARGING),)


def test_a_position_measured_anew_is_the_same_station_and_the_newest_stands() -> None:
    report = Report()
    layout = laid(row("1100"), row("1105", place=NEAR), row("1110", place=NEAR), report=report)
    (located,) = layout.stations
    assert (located.station.location_id, located.station.lat, located.station.lon) == ("CP:1", 52.804, -6.9001)
    assert layout.outlet_of == [0, 0]
    assert [fault.reason for fault in report.rows] == [Reason.POSITIONS_DIFFER]


def test_the_newest_position_is_by_time_and_not_by_the_files_order() -> None:
    (located,) = laid(row("1110", place=NEAR), row("1100")).stations
    assert located.station.lat == 52.804


def test_one_id_far_apart_is_two_stations_that_their_positions_tell_apart() -> None:
    report = Report()
    layout = laid(row("1100"), row("1100", place=FAR, plug="CHAdeMO"), report=report)
    assert [(s.station.location_id, uids(s)) for s in layout.stations] == [
        ("CP:1@-6.900000,52.800000", ["StandardType2-1"]), ("CP:1@-8.100000,52.800000", ["CHAdeMO-1"]),
    ]  # fmt: skip
    assert [fault.reason for fault in report.rows] == [Reason.DUPLICATE_LOCATION] * 2


def test_without_an_id_the_exact_position_is_the_identity() -> None:
    report = Report()
    layout = laid(row("1100", "N/A"), row("1100", "N/A", place=NEAR), report=report)
    assert [s.station.location_id for s in layout.stations] == ["N/A@-6.900000,52.800000", "N/A@-6.900100,52.804000"]
    assert [(fault.reason, fault.outcome) for fault in report.rows] == [(Reason.NO_ID, Outcome.KEPT)] * 2


def test_two_ids_at_one_position_stay_two_stations() -> None:
    assert [s.station.location_id for s in laid(row("1100", "CP:1"), row("1100", "CP:2")).stations] == ["CP:1", "CP:2"]


def test_ids_that_differ_in_case_are_one_station() -> None:
    layout = laid(row("1100", "cp:1"), row("1105", "CP:1"))
    assert len({s.station.key for s in layout.stations}) == len(layout.stations) == 1


def test_the_station_is_what_the_rows_say() -> None:
    (located,) = laid(
        row("1100", address="Railway Road, Carlow"), row("1105", plug="CHAdeMO", address="Other")
    ).stations
    station = located.station
    assert (station.party, station.name, station.address) == (PARTY, "Other", "Other")
    assert station.last_updated_ms == at(11, 5)
    assert located.reports == ()


def test_a_plug_nobody_knows_is_kept_as_unknown_and_told() -> None:
    report = Report()
    (located,) = laid(row("1100", plug="Type9"), report=report).stations
    assert [c.standard for c in located.station.evses[0].connectors] == ["UNKNOWN"]
    assert [fault.reason for fault in report.rows] == [Reason.UNNAMED_PLUG]
