"""From polls to steps: which statuses a poll changes, and when it vouches for all the rest. Pure.

The feed lists what is not free. So a point that a poll does not list is AVAILABLE, but only if the poll is complete: one
with less than FULL of the rows of the poll before was cut off somewhere, and frees nothing. It says what it lists and
vouches for nothing else. A poll without rows reached nobody and is no poll at all; neither does it count as "the one
before". Should the feed stay silent for longer than the TTL, its statuses end in UNKNOWN, there as here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from geo.station import Status
from mapsvc.replay.layout import Layout, Outlet
from mapsvc.replay.polls_file import Poll, Recording, Word
from mapsvc.replay.step import Step, Update

FULL = 0.70


class _Said(NamedTuple):
    word: Word | None
    at_ms: int  # when it was said or vouched for by name


class PollSteps:
    """The steps of a part of the recording. It counts what it met, for the summary."""

    def __init__(self, recording: Recording, layout: Layout) -> None:
        self._recording = recording
        self._layout = layout
        self._said: dict[int, _Said] = {}
        self._vouched_ms = 0  # when a complete poll last vouched for everything said
        self.complete = self.cut = self.empty = 0

    def between(self, from_ms: int, until_ms: int, ttl_ms: int) -> Iterator[Step]:
        """`ttl_ms` of source time. Nothing is known at `from_ms`, except how many rows the poll before had.

        The last step, at `until_ms`, says UNKNOWN of what has expired by then: so it stays when the party's TTL is its
        old one again.
        """
        rows_before: int | None = None
        for poll in self._recording.polls:
            if poll.at_ms > until_ms:
                break
            if poll.at_ms >= from_ms:
                if not poll.rows:
                    self.empty += 1
                elif rows_before is None or len(poll.rows) >= FULL * rows_before:
                    self.complete += 1
                    yield Step(poll.at_ms, self._all(poll), confirms=True)
                else:
                    self.cut += 1
                    yield Step(poll.at_ms, self._listed(poll), confirms=False)
            rows_before = len(poll.rows) or rows_before
        yield Step(until_ms, self._expired(until_ms, ttl_ms), confirms=False)

    def _words(self, poll: Poll) -> dict[int, Word]:
        """By outlet. Should a poll list a place under two of its positions, the later row stands."""
        return {self._layout.outlet_of[point]: word for point, word in poll.rows.items()}

    def _all(self, poll: Poll) -> tuple[Update, ...]:
        words = self._words(poll)
        updates: list[Update] = []
        for index, outlet in enumerate(self._layout.outlets):
            word = words.get(index)
            before = self._said.get(index)
            if before is None or before.word is not word:
                updates += _differing(outlet, word, before)
                self._said[index] = _Said(word, poll.at_ms)
        self._vouched_ms = poll.at_ms
        return tuple(updates)

    def _listed(self, poll: Poll) -> tuple[Update, ...]:
        updates: list[Update] = []
        for index, word in self._words(poll).items():
            updates += _differing(
                self._layout.outlets[index], word, None
            )  # what is as it was is confirmed by saying so
            self._said[index] = _Said(word, poll.at_ms)
        return tuple(updates)

    def _expired(self, at_ms: int, ttl_ms: int) -> tuple[Update, ...]:
        return tuple(
            Update(self._layout.outlets[index].location_id, uid, Status.UNKNOWN)
            for index, said in self._said.items()
            if max(said.at_ms, self._vouched_ms) + ttl_ms <= at_ms
            for uid in self._layout.outlets[index].uids
        )


def _differing(outlet: Outlet, word: Word | None, before: _Said | None) -> Iterator[Update]:
    """The EVSEs whose status is another than before: from Occ to Part only one of the two."""
    statuses = outlet.statuses(word)
    old = (None,) * len(statuses) if before is None else outlet.statuses(before.word)
    return (Update(outlet.location_id, *now) for now, then in zip(statuses, old, strict=True) if now != then)
