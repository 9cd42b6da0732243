"""Reading the Irish recording: polls whatever the order of the rows, and a report row for whatever is dirty."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsvc.importers.report import Outcome, Reason, Report, UnreadableFile
from mapsvc.replay.layout import lay_out
from mapsvc.replay.polls import PollSteps
from mapsvc.replay.polls_file import Point, Word, instant_ms, read
from tests.mapsvc.replay.made_up import HERE, at, nothing, recorded, row


def faults(*rows: bytes) -> list[tuple[Reason, Outcome, int | None]]:
    report = Report()
    read((*rows, row("1200", "CP:SOUND")), report)
    return [(fault.reason, fault.outcome, fault.line) for fault in report.rows]


def test_a_poll_is_all_rows_of_one_minute_wherever_they_stand() -> None:
    rows = [row("959", "CP:1"), row("1004", "CP:2"), row("959", "CP:2", "OOS"), row("1004", "CP:1", "Part")]
    polls = recorded(*rows).polls
    assert [poll.at_ms for poll in polls] == [at(9, 59), at(10, 4)]
    assert [sorted(poll.rows.values()) for poll in polls] == [[Word.OCC, Word.OOS], [Word.OCC, Word.PART]]
    random.Random(1).shuffle(rows)
    assert [len(poll.rows) for poll in recorded(*rows).polls] == [2, 2]


def test_the_minute_may_lack_its_leading_zeros() -> None:
    minutes = {b"0": 0, b"5": 5, b"45": 45, b"130": 90, b"0130": 90, b"2359": 1439}
    assert {told: instant_ms(b"20181103", told) for told in minutes} == {
        told: at(0) + minute * 60_000 for told, minute in minutes.items()
    }
    assert [poll.rows for poll in recorded(row("130", "CP:1"), row("0130", "CP:2")).polls] == [
        {0: Word.OCC, 1: Word.OCC}
    ]


def test_the_minute_is_irish_summer_time_in_summer() -> None:
    assert instant_ms(b"20180701", b"1200") == instant_ms(b"20180701", b"1200".zfill(4))
    winter, summer = instant_ms(b"20180101", b"1200"), instant_ms(b"20180701", b"1200")
    assert winter is not None
    assert summer is not None
    assert (winter // 3_600_000) % 24 == 12
    assert (summer // 3_600_000) % 24 == 11


@pytest.mark.parametrize(
    ("date", "minute"),
    [
        (b"20181103", b"2400"), (b"20181103", b"1260"), (b"20181103", b""), (b"20181103", b"12:00"), (b"20181131", b"0"),
        (b"2018113", b"0"), (b"19991231", b"0"), (b"99991231", b"0"), (b"00000000", b"0"), (b"20181103", b"01200"),
        (b"20181103", "١".encode()),
    ],
)  # fmt: skip
def test_what_is_no_time_is_none(date: bytes, minute: bytes) -> None:
    assert instant_ms(date, minute) is None


def test_exact_repeats_count_once_and_are_told() -> None:
    assert faults(row("1100"), row("1100"), row("1100", "CP:2")) == [(Reason.DUPLICATE_POINT, Outcome.SKIPPED, 2)]
    assert len(recorded(row("1100"), row("1100")).polls[0].rows) == 1


def test_two_words_for_one_point_in_one_poll_leave_the_later() -> None:
    assert faults(row("1100", word="Occ"), row("1100", word="OOS")) == [(Reason.CONFLICT, Outcome.KEPT, 2)]
    assert recorded(row("1100", word="Occ"), row("1100", word="OOS")).polls[0].rows == {0: Word.OOS}


def test_the_same_id_elsewhere_is_another_point() -> None:
    points = recorded(row("1100", "N/A"), row("1100", "N/A", place="-7.100000,52.100000")).points
    assert [(point.id, point.position.lon) for point in points] == [("N/A", -6.9), ("N/A", -7.1)]


def test_a_poll_that_reached_nobody_has_an_instant_and_no_rows() -> None:
    assert faults(nothing("1100")) == [(Reason.NO_ID, Outcome.SKIPPED, 1)]
    assert [(poll.at_ms, len(poll.rows)) for poll in recorded(nothing("1100"), row("1105")).polls] == [
        (at(11), 0), (at(11, 5), 1),
    ]  # fmt: skip


def test_bytes_that_are_not_utf_8_cost_the_address_only() -> None:
    latin = row("1100", address="Gri\u0041n\xe1n").replace("á".encode(), b"\xe1")
    assert faults(latin, latin) == [
        (Reason.ENCODING, Outcome.KEPT, 1), (Reason.ENCODING, Outcome.KEPT, 2), (Reason.DUPLICATE_POINT, Outcome.SKIPPED, 2),
    ]  # fmt: skip
    recording = recorded(latin, row("1105", address="Grianán"))
    assert recording.addresses == ["Grianán"]
    assert [len(poll.rows) for poll in recording.polls] == [1, 1]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"no tabs at all\n", Reason.NOT_CSV),
        (b"20181103\t1100\tCP:1\tCHAdeMO\tOcc\n", Reason.NOT_CSV),
        (row("1100") + b"\tmore", Reason.NOT_CSV),
        (row("2500"), Reason.BAD_TIMESTAMP),
        (row("1100", ""), Reason.NO_ID),
        (row("1100", "CP:\x00"), Reason.NO_ID),
        (row("1100", "C" * 37), Reason.ID_TOO_LONG),
        (row("1100", plug=""), Reason.MISSING),
        (row("1100", plug="P" * 40), Reason.ID_TOO_LONG),
        (row("1100", word="Free"), Reason.UNKNOWN_VALUE),
        (row("1100", word="occ"), Reason.UNKNOWN_VALUE),
        (row("1100", place="0.0,0.0"), Reason.ZERO_COORDINATES),
        (row("1100", place="-6.9,152.8"), Reason.OUT_OF_RANGE),
        (row("1100", place="nan,inf"), Reason.BAD_COORDINATES),
        (row("1100").replace(HERE.encode(), b"-6.9"), Reason.BAD_COORDINATES),
        (row("1100").replace(HERE.encode(), b"-6.9,52,8"), Reason.BAD_COORDINATES),
    ],
)
def test_a_dirty_row_is_left_out_and_told_with_its_line(line: bytes, reason: Reason) -> None:
    assert faults(b"\n", line, line) == [(reason, Outcome.SKIPPED, 2), (reason, Outcome.SKIPPED, 3)]


def test_a_file_of_nothing_is_refused() -> None:
    for lines in ([], [b"\n"], [b"{}\n"], [row("2500")]):
        with pytest.raises(UnreadableFile):
            read(lines, Report())


CELLS = st.one_of(
    st.sampled_from([b"20181103", b"1100", b"CP:1", b"N/A", b"NA", b"CHAdeMO", b"Occ", b"Part", HERE.encode(), b"0,0"]),
    st.binary(max_size=12),
)


@given(st.lists(st.one_of(st.binary(max_size=60), st.lists(CELLS, max_size=10).map(b"\t".join)), max_size=12))
def test_random_bytes_end_only_in_dirty_rows(lines: list[bytes]) -> None:
    """Whatever stands in the file, sound rows are read, and what is read can be laid out and played."""
    report = Report()
    recording = read([*lines, row("1200", "CP:SOUND")], report)
    assert Point("CP:SOUND", "StandardType2", recording.points[-1].position) in recording.points
    layout = lay_out(recording, report)
    steps = list(PollSteps(recording, layout).between(0, 10**13, 900_000))
    known = {(s.station.location_id, e.uid) for s in layout.stations for e in s.station.evses}
    assert {(update.location_id, update.uid) for step in steps for update in step.updates} <= known
