"""The French sessions: what is read, and how cars come and go."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsvc.importers.report import Outcome, Reason, Report, UnreadableFile
from mapsvc.replay.sessions import Place, Stay, read, span_ms, steps
from mapsvc.replay.step import Step

T = 1_733_000_000_000
MIN = 60_000


def line(start_min: Any, end_min: Any, point: Any = "FRX", **more: Any) -> bytes:
    def ms(minute: Any) -> Any:
        return T + minute * MIN if type(minute) is int else minute

    return json.dumps({"id_pdc_itinerance": point, "start": ms(start_min), "end": ms(end_min), **more}).encode() + b"\n"


def stay(start_min: int, end_min: int) -> Stay:
    return Stay(T + start_min * MIN, T + end_min * MIN)


def test_sessions_are_stays_by_point_in_order() -> None:
    stays = read([line(50, 60), line(0, 30, energy=7.5), line(5, 6, "fry"), b"\n"], Report())
    assert stays == {"frx": [stay(0, 30), stay(50, 60)], "fry": [stay(5, 6)]}
    assert span_ms(stays) == (T, T + 60 * MIN)


def test_one_car_at_a_time_so_what_overlaps_or_touches_is_one_stay() -> None:
    report = Report()
    assert read([line(0, 30), line(20, 40), line(40, 50), line(22, 25), line(60, 70)], report) == {
        "frx": [stay(0, 50), stay(60, 70)]
    }
    assert [(f.reason, f.outcome, f.line) for f in report.rows] == [
        (Reason.CONFLICT, Outcome.KEPT, 2), (Reason.CONFLICT, Outcome.KEPT, 4)
    ]  # fmt: skip


def test_exact_repeats_are_told_and_left_out() -> None:
    report = Report()
    assert read([line(0, 30), line(0, 30)], report) == {"frx": [stay(0, 30)]}
    assert [(f.reason, f.outcome, f.line) for f in report.rows] == [(Reason.DUPLICATE_POINT, Outcome.SKIPPED, 2)]


@pytest.mark.parametrize(
    ("dirty", "reason"),
    [
        (b"{", Reason.NOT_JSON),
        (b"[1]", Reason.NOT_AN_OBJECT),
        (line(0, 30, None), Reason.NO_ID),
        (line(0, 30, " "), Reason.NO_ID),
        (line("now", 30), Reason.BAD_TIMESTAMP),
        (line(True, 30), Reason.BAD_TIMESTAMP),
        (line(0, None), Reason.BAD_TIMESTAMP),
        (line(0, 1.5), Reason.BAD_TIMESTAMP),
        (line(0, 10**9), Reason.IMPOSSIBLE_TIMESTAMP),
        (line(30, 29), Reason.IMPOSSIBLE_TIMESTAMP),
        (line(30, 30), Reason.IMPOSSIBLE_TIMESTAMP),
    ],
)
def test_what_is_no_session_is_left_out_and_told(dirty: bytes, reason: Reason) -> None:
    report = Report()
    assert read([dirty, line(0, 1, "sound")], report) == {"sound": [stay(0, 1)]}
    assert [(f.reason, f.outcome, f.line) for f in report.rows] == [(reason, Outcome.SKIPPED, 1)]


@given(st.lists(st.one_of(st.binary(max_size=40), st.builds(line, st.integers(), st.integers(), st.text(max_size=3)))))
def test_random_lines_end_only_in_dirty_rows(lines: list[bytes]) -> None:
    report = Report()
    for stays in read([*lines, line(0, 1, "sound")], report).values():
        assert all(a.start_ms < a.end_ms for a in stays)
        assert all(a.end_ms < b.start_ms for a, b in pairwise(stays))


def test_a_file_without_sessions_is_refused() -> None:
    with pytest.raises(UnreadableFile):
        read([b"{}"], Report())


def told(played: list[Step]) -> list[tuple[float, dict[str, str], bool]]:
    return [((s.at_ms - T) / MIN, {u.uid: u.status.name[:2] for u in s.updates}, s.confirms) for s in played]


def play(stays: dict[str, list[Stay]], begin: int, end: int, *, window: int = 1, beat: int = 1000) -> list[Step]:
    places = {point: Place("L", point.upper()) for point in stays}
    return list(
        steps(
            stays, places, from_ms=T + begin * MIN, until_ms=T + end * MIN, window_ms=window * MIN, beat_ms=beat * MIN
        )
    )


def test_a_car_comes_and_goes() -> None:
    assert told(play({"a": [stay(10, 30)], "b": [stay(20, 90)]}, 0, 60)) == [
        (0, {}, True), (11, {"A": "CH"}, False), (21, {"B": "CH"}, False), (31, {"A": "AV"}, False), (60, {}, True),
    ]  # fmt: skip


def test_a_part_begins_with_what_is_known_by_then() -> None:
    stays = {"gone": [stay(0, 10)], "there": [stay(5, 90)], "later": [stay(40, 50)], "just": [stay(30, 35)]}
    first = told(play(stays, 30, 60))[0]
    assert first == (30, {"GONE": "AV", "THERE": "CH", "JUST": "CH"}, True)


def test_what_happens_within_a_window_goes_out_together_each_point_with_its_last_word() -> None:
    stays = {"a": [stay(10, 12), stay(13, 30)], "b": [stay(11, 50)], "c": [stay(12, 14)]}
    assert told(play(stays, 0, 20, window=5)) == [
        (0, {}, True),
        (15, {"A": "CH", "B": "CH", "C": "AV"}, False),
        (20, {}, True),
    ]


def test_heartbeats_come_in_quiet_times_too_and_steps_never_go_back() -> None:
    played = play({"a": [stay(25, 26), stay(27, 47)]}, 0, 60, beat=10)
    assert [at for at, _, confirms in told(played) if confirms] == [0, 10, 20, 30, 40, 50, 60]
    assert [step.at_ms for step in played] == sorted(step.at_ms for step in played)


def test_points_without_a_place_are_left_out() -> None:
    played = list(
        steps({"a": [stay(1, 2)], "b": [stay(1, 2)]}, {"b": Place("L", "B")}, from_ms=T, until_ms=T + 5 * MIN,
              window_ms=MIN, beat_ms=10**9)
    )  # fmt: skip
    assert {update.uid for step in played for update in step.updates} == {"B"}
