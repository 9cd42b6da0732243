"""`mapsvc replay ie`: the Irish recording, whose stations are made first, by a party that is the replay's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mapsvc.door import Door
from mapsvc.importers.report import Report, UnreadableFile
from mapsvc.replay.clock import TTL_S, played_ttl_s
from mapsvc.replay.feed import Feed, Party
from mapsvc.replay.layout import PARTY, PARTY_NAME, Layout, lay_out
from mapsvc.replay.player import Span, told
from mapsvc.replay.player import play as play_steps
from mapsvc.replay.polls import PollSteps
from mapsvc.replay.polls_file import ZONE, Recording
from mapsvc.replay.polls_file import read as read_polls
from sql import queries

__all__ = ["ZONE", "play", "read", "span_ms"]

STATIONS_AT_ONCE = 400  # as an import hands them to the door


def read(lines: Iterable[bytes], report: Report) -> Recording:
    """Raises UnreadableFile."""
    recorded = read_polls(lines, report)
    if not recorded.points:
        raise UnreadableFile("no poll of the file lists anything")
    return recorded


def span_ms(recorded: Recording) -> tuple[int, int]:
    """From the first poll that lists anything to the last poll, with whatever silence ends the recording."""
    return next(poll.at_ms for poll in recorded.polls if poll.rows), recorded.polls[-1].at_ms


async def play(recorded: Recording, report: Report, span: Span, pool: Any, base_url: str) -> tuple[str, bool]:
    layout = lay_out(recorded, report)
    ttl_s = played_ttl_s(span.speed)
    steps = PollSteps(recorded, layout)
    async with Feed(pool, base_url, Party(PARTY, "operator", PARTY_NAME, ttl_s, TTL_S)) as feed:
        await _put_stations(layout, pool)
        played = await play_steps(
            steps.between(span.from_ms, span.until_ms, round(ttl_s * 1000 * span.speed)), span, feed, pool, ttl_s
        )
    summary, faithful = told(feed, played)
    polls = f"polls:      {steps.complete} complete  {steps.cut} cut off  {steps.empty} without rows"
    evses = sum(len(outlet.uids) for outlet in layout.outlets)
    return f"stations:   {len(layout.stations)}, {evses} EVSEs, party {PARTY}\n{polls}\n{summary}", faithful


async def _put_stations(layout: Layout, pool: Any) -> None:
    """The recording's stations, and no others: a heartbeat would vouch for those of another recording, too."""
    door = Door(pool)
    for start in range(0, len(layout.stations), STATIONS_AT_ONCE):
        await door.put(layout.stations[start : start + STATIONS_AT_ONCE])
    keys = sorted(located.station.key for located in layout.stations)
    await door.remove([row["key"] for row in await pool.fetch(queries.STATIONS_OF_PARTY_EXCEPT, PARTY, keys)])
