"""One party's way in while a recording is played: a key of its own, the TTL that goes with the speed, and HTTP.

On leaving, however it comes about, the key is revoked and the party has its lasting TTL again; should the process be
killed outright, `mapsvc keys revoke` and `mapsvc party set` do the same, and the next replay does not mind.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
import orjson

from mapsvc.access import create_key
from mapsvc.ingest.auth import key_hash
from mapsvc.instants import instant
from mapsvc.replay.step import Update
from sql import queries

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 1000  # what POST /v1/status takes
PAUSE_S = (0.2, 2.0)  # first and longest pause before a refused request is sent again
GIVE_UP_S = 60.0
REQUEST_S = 15.0


class ReplayError(Exception):
    """The replay cannot go on; the message is for the person."""


class Party(NamedTuple):
    """`lasting_ttl_s` None: outside of a replay it reports nothing live."""

    id: str
    kind: str
    name: str
    played_ttl_s: int
    lasting_ttl_s: int | None


class Feed:
    """`async with Feed(pool, url, party) as feed`, with the party's stations in the store."""

    def __init__(self, pool: Any, base_url: str, party: Party) -> None:
        self._pool = pool
        self._base_url = base_url
        self._party = party
        self._name = party.name
        self._key = ""
        self._session: aiohttp.ClientSession | None = None
        self.outcomes: Counter[str] = Counter()
        self.heartbeats = 0

    async def __aenter__(self) -> Self:
        for row in await self._pool.fetch(queries.PARTIES):
            if row["id"] != self._party.id:
                continue
            if row["order_by"] != "ts":
                raise ReplayError(f"{self._party.id} orders by sequence numbers, which a recording has not")
            self._name = row["name"] or self._name
        await self._set_ttl(self._party.played_ttl_s)
        self._key = await create_key(self._pool, [self._party.id], "replay")
        self._session = aiohttp.ClientSession(self._base_url, timeout=aiohttp.ClientTimeout(total=REQUEST_S))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
        try:
            await self._pool.execute(queries.API_KEY_REVOKE, key_hash(self._key))
        finally:
            await self._set_ttl(self._party.lasting_ttl_s)

    async def _set_ttl(self, ttl_s: int | None) -> None:
        await self._pool.execute(queries.PARTY_PUT, self._party.id, self._party.kind, self._name, "ts", ttl_s)

    async def post(self, updates: Sequence[Update], at_ms: int) -> None:
        """`at_ms`: their `source_ts`. Raises ReplayError when the service takes nothing for GIVE_UP_S."""
        at = instant(at_ms)
        for start in range(0, len(updates), ROWS_AT_ONCE):
            rows = [
                {
                    "location_id": update.location_id,
                    "evse_uid": update.uid,
                    "status": update.status.name,
                    "source_ts": at,
                }
                for update in updates[start : start + ROWS_AT_ONCE]
            ]
            answer = await self._send("/v1/status", orjson.dumps(rows))
            self.outcomes.update(told["outcome"] for told in orjson.loads(answer)["outcomes"])

    async def heartbeat(self) -> None:
        await self._send("/v1/heartbeat", b"")
        self.heartbeats += 1

    async def _send(self, path: str, body: bytes) -> bytes:
        """Sent again until taken: repeating a status confirms it."""
        assert self._session is not None
        give_up = time.monotonic() + GIVE_UP_S
        pause_s, longest_s = PAUSE_S
        while True:
            try:
                headers = {"Authorization": f"Bearer {self._key}"}
                async with self._session.post(path, data=body, headers=headers) as answer:
                    told, reason = await answer.read(), f"status {answer.status}"
                    if answer.status == 200:
                        return told
                    if answer.status not in (429, 502, 503, 504):
                        raise ReplayError(f"{path} was refused: {reason}")
            except (aiohttp.ClientError, TimeoutError) as error:
                reason = type(error).__name__
            if time.monotonic() > give_up:
                raise ReplayError(f"{path} was not taken for {GIVE_UP_S:.0f} s: {reason}")
            log.warning("not taken, sent again", extra={"path": path, "reason": reason})
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)
