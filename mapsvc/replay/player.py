"""Plays steps: waits for each one's mapped instant, posts its statuses, and vouches for the rest where the step does."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from tqdm import tqdm

from mapsvc.instants import instant
from mapsvc.replay.clock import SourceClock
from mapsvc.replay.feed import Feed
from mapsvc.replay.step import Step
from sql import queries

MS_PER_H = 3_600_000


class Span(NamedTuple):
    """The part to be played, in source time, and how fast."""

    from_ms: int
    until_ms: int
    speed: float


class Played(NamedTuple):
    statuses: int
    worst_lag_s: float  # of real time: how far the service, or this process, fell behind the clock


async def play(steps: Iterable[Step], span: Span, feed: Feed, pool: Any, ttl_s: int) -> Played:
    """The first line told says how source time lies on ours, so that whoever watches can compare."""
    clock = SourceClock(span.from_ms, span.speed, await pool.fetchval(queries.CLOCK_MS))
    print(
        f"playing {instant(span.from_ms)} to {instant(span.until_ms)} at {span.speed:g}x from "
        f"{instant(clock.mapped_ms(span.from_ms))} to {instant(clock.mapped_ms(span.until_ms))}, ttl {ttl_s} s",
        flush=True,
    )
    statuses, worst_lag_s, at_ms = 0, 0.0, span.from_ms
    with tqdm(
        total=(span.until_ms - span.from_ms) / MS_PER_H, desc="source time", disable=None, file=sys.stderr,
        bar_format="{desc}: {percentage:3.0f}% |{bar}| {n:.1f}/{total:.1f} h [{elapsed}<{remaining}{postfix}]",
    ) as bar:  # fmt: skip
        for step in steps:
            wait_s = clock.wait_s(step.at_ms)
            worst_lag_s = max(worst_lag_s, -wait_s)
            await asyncio.sleep(max(0.0, wait_s))
            await feed.post(step.updates, clock.mapped_ms(step.at_ms))
            if step.confirms:
                await feed.heartbeat()
            statuses += len(step.updates)
            bar.set_postfix_str(f"{instant(step.at_ms)}, {statuses} statuses", refresh=False)
            bar.update((step.at_ms - at_ms) / MS_PER_H)
            at_ms = step.at_ms
    return Played(statuses, worst_lag_s)


def told(feed: Feed, played: Played) -> tuple[str, bool]:
    """For the summary; False when some status was neither applied nor confirmed."""
    counts = "  ".join(f"{count} {word}" for word, count in sorted(feed.outcomes.items()))
    lines = [
        f"statuses:   {played.statuses} sent  {counts}",
        f"heartbeats: {feed.heartbeats}",
        f"lag:        {played.worst_lag_s:.1f} s at worst",
    ]
    return "\n".join(lines), not feed.outcomes.keys() - {"applied", "confirmed"}
