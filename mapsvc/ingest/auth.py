"""Who may write what. Keys are stored hashed (sha256 of 256 random bits: no salt or slow hash is needed). Promise R10."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from mapsvc.problems import Unauthorized
from sql import queries

REMEMBER_S = 5.0  # how long a key found (or not) is not looked up again: a revoked key works at most that much longer
REMEMBERED = 10_000


class Caller(NamedTuple):
    key_hash: bytes
    parties: tuple[str, ...]


def key_hash(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()  # a header may hold any bytes


class Authenticator:
    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._known: dict[bytes, tuple[float, tuple[str, ...] | None]] = {}

    async def caller(self, headers: Mapping[str, str]) -> Caller:
        """Raises Unauthorized. `Bearer key`, or OCPI's `Token key`, raw or base64 (OCPI 2.2.1 4.1.2)."""
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        given = given.strip()
        candidates = {"bearer": [given], "token": [given, _base64(given)]}.get(scheme.lower(), [])
        for key in candidates:
            if not key:
                continue
            digest = key_hash(key)
            parties = await self._parties(digest)
            if parties is not None:
                return Caller(digest, parties)
        raise Unauthorized("A valid key is needed: Authorization: Bearer <key>.")

    async def _parties(self, digest: bytes) -> tuple[str, ...] | None:
        now = time.monotonic()
        known = self._known.get(digest)
        if known is not None and now - known[0] < REMEMBER_S:
            return known[1]
        row = await self._pool.fetchrow(queries.API_KEY_FIND, digest)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        parties = None if row is None else tuple(row["parties"])
        self._known[digest] = (now, parties)
        return parties


def _base64(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode().strip()
    except ValueError:  # no base64, no ASCII, no UTF-8 in it
        return ""
