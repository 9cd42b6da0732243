"""`mapsvc replay irve-sessions`: French sessions on the points of the register, which `import irve` made.

The register reports nothing live and has no TTL. While its sessions are played it has one, the usual 900 s undivided
(sessions have no polls, so there is no silence to be shown), and loses it at the end: then all is UNKNOWN again, as a
register's points are; `reported_status` goes on telling what was played last.
"""

from __future__ import annotations

from datetime import UTC
from typing import Any

from mapsvc.importers.irve import PARTY
from mapsvc.importers.report import Report
from mapsvc.replay import sessions
from mapsvc.replay.clock import TTL_S
from mapsvc.replay.feed import Feed, Party, ReplayError
from mapsvc.replay.player import Span, told
from mapsvc.replay.player import play as play_steps
from mapsvc.replay.sessions import Place, Stay
from sql import queries

__all__ = ["ZONE", "play", "read", "span_ms"]

ZONE = UTC
WINDOW_S = 0.25  # of real time: sessions that begin or end within it go out together
BEAT_S = 60.0  # of real time
PAGE = 10_000

read, span_ms = sessions.read, sessions.span_ms


async def play(stays: dict[str, list[Stay]], report: Report, span: Span, pool: Any, base_url: str) -> tuple[str, bool]:
    places = {uid: place for uid, place in (await _points(pool)).items() if uid in stays}
    if not places:
        raise ReplayError("none of the points is in the store: run `mapsvc import irve` on the register first")
    missing = stays.keys() - places.keys()
    lost = sum(len(stays[point]) for point in missing)
    steps = sessions.steps(
        stays,
        places,
        from_ms=span.from_ms,
        until_ms=span.until_ms,
        window_ms=max(1, round(WINDOW_S * 1000 * span.speed)),
        beat_ms=max(1, round(BEAT_S * 1000 * span.speed)),
    )
    async with Feed(pool, base_url, Party(PARTY, "register", PARTY, TTL_S, None)) as feed:
        played = await play_steps(steps, span, feed, pool, TTL_S)
    summary, faithful = told(feed, played)
    points = f"points:     {len(places)} played  {len(missing)} not in the store, with {lost} stays: left out"
    return f"{points}\n{summary}", faithful


async def _points(pool: Any) -> dict[str, Place]:
    """The register's points in the store, by case-folded id."""
    points: dict[str, Place] = {}
    num, slot = -1, -1
    while True:
        rows = await pool.fetch(queries.EVSE_PAGE, PARTY, num, slot, PAGE)
        points.update((row["uid"].casefold(), Place(row["location_id"], row["uid"])) for row in rows)
        if len(rows) < PAGE:
            return points
        num, slot = rows[-1]["num"], rows[-1]["slot"]
