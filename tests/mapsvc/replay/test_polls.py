"""Which statuses a poll changes, and what it vouches for."""

from __future__ import annotations

from mapsvc.importers.report import Report
from mapsvc.replay.layout import lay_out
from mapsvc.replay.polls import PollSteps
from mapsvc.replay.step import Step
from tests.mapsvc.replay.made_up import at, nothing, recorded, row

TTL_MS = 900_000


def steps(*rows: bytes, from_ms: int = at(0), until_ms: int = at(23)) -> list[Step]:
    recording = recorded(*rows)
    return list(PollSteps(recording, lay_out(recording, Report())).between(from_ms, until_ms, TTL_MS))


def said(step: Step) -> dict[str, str]:
    """By location, its EVSEs' statuses in short."""
    told: dict[str, str] = {}
    for update in step.updates:
        told[update.location_id] = told.get(update.location_id, "") + update.status.name[0]
    return told


def ten(minute: str, *, without: int = 0, word: str = "Occ") -> list[bytes]:
    """A poll that lists ten points, or fewer: the first `without` are absent."""
    return [row(minute, f"CP:{i}", word) for i in range(without, 10)]


def test_the_first_poll_says_how_everything_stands_and_later_ones_what_changes() -> None:
    first, second, third, _ = steps(
        row("1100", "CP:1"), row("1100", "CP:2", "Part"), row("1105", "CP:1", "OOS"), row("1105", "CP:2", "Part"),
        row("1110", "CP:1", "OOC"), row("1110", "CP:2", "Occ"),
    )  # fmt: skip
    assert (said(first), said(second), said(third)) == (
        {"CP:1": "C", "CP:2": "CA"},
        {"CP:1": "O"},
        {"CP:1": "U", "CP:2": "C"},
    )
    assert [update.uid for update in third.updates if update.location_id == "CP:2"] == ["StandardType2-2"]
    assert first.confirms
    assert second.confirms
    assert (first.at_ms, second.at_ms) == (at(11), at(11, 5))


def test_a_point_that_a_complete_poll_does_not_list_is_free() -> None:
    first, second, third, _ = steps(*ten("1100"), *ten("1105", without=3), *ten("1110"))
    assert said(first) == {f"CP:{i}": "C" for i in range(10)}
    assert said(second) == {"CP:0": "A", "CP:1": "A", "CP:2": "A"}
    assert said(third) == {"CP:0": "C", "CP:1": "C", "CP:2": "C"}


def test_a_poll_with_less_than_seventy_percent_frees_nothing_and_vouches_only_for_what_it_lists() -> None:
    _, cut, back, _ = steps(*ten("1100"), *ten("1105", without=4, word="OOS"), *ten("1110", word="OOS"))
    assert said(cut) == {f"CP:{i}": "O" for i in range(4, 10)}
    assert not cut.confirms
    assert said(back) == {f"CP:{i}": "O" for i in range(4)}
    assert back.confirms


def test_a_cut_off_poll_repeats_what_it_lists_to_confirm_it() -> None:
    _, cut, _ = steps(*ten("1100"), *ten("1105", without=5))
    assert said(cut) == {f"CP:{i}": "C" for i in range(5, 10)}


def test_exact_repeats_do_not_make_a_poll_look_longer() -> None:
    doubled = [*ten("1100"), *ten("1100")]
    _, second, _ = steps(*doubled, *ten("1105", without=2))
    assert said(second) == {"CP:0": "A", "CP:1": "A"}


def test_a_poll_without_rows_is_no_poll_and_is_not_the_one_before() -> None:
    played = steps(*ten("1100"), nothing("1105"), *ten("1110", without=4), nothing("1115"), nothing("1120"))
    assert [(step.at_ms, step.confirms) for step in played] == [(at(11), True), (at(11, 10), False), (at(23), False)]


def test_what_the_silence_at_the_end_let_expire_is_said_to_be_unknown() -> None:
    *_, last = steps(*ten("1100"), until_ms=at(11, 14))
    assert said(last) == {}
    *_, last = steps(*ten("1100"), until_ms=at(11, 15))
    assert said(last) == {f"CP:{i}": "U" for i in range(10)}
    *_, last = steps(*ten("1100"), *ten("1105"), until_ms=at(11, 19))  # the second said nothing new, but vouched
    assert said(last) == {}
    *_, last = steps(*ten("1100"), *ten("1110", without=4), until_ms=at(11, 16))
    assert said(last) == {f"CP:{i}": "U" for i in range(4)}


def test_a_part_begins_with_nothing_known_and_keeps_what_polls_were_cut() -> None:
    rows = [*ten("1100"), *ten("1105", without=4), *ten("1110", without=4)]
    first, second, _ = steps(*rows, from_ms=at(11, 5))
    assert not first.confirms
    assert len(first.updates) == 6
    assert second.confirms
    assert said(second) == {f"CP:{i}": "A" for i in range(4)}
    (only, last) = steps(*rows, until_ms=at(11, 4))
    assert (only.at_ms, last.at_ms) == (at(11), at(11, 4))


def test_a_place_listed_under_two_positions_has_one_status() -> None:
    first, _ = steps(row("1100"), row("1100", word="OOS", place="-6.900100,52.800000"))
    assert said(first) == {"CP:1": "O"}


def test_counts_are_kept_for_the_summary() -> None:
    recording = recorded(*ten("1100"), *ten("1105", without=4), nothing("1110"))
    played = PollSteps(recording, lay_out(recording, Report()))
    list(played.between(at(0), at(23), TTL_MS))
    assert (played.complete, played.cut, played.empty) == (1, 1, 1)
