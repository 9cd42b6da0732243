"""One Redis or a Redis Cluster behind the few calls that the cache needs.

`redis://…` is one server, `redis+cluster://host:port` any node of a Cluster.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple, cast

import hiredis
import redis.asyncio as aioredis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError, NoScriptError, RedisClusterException, RedisError, TimeoutError

from geo.station import SHARDS

CLUSTER_SCHEME = "redis+cluster://"
CONNECT_TIMEOUT_S = 2.0

Argument = str | bytes | int
StreamReply = tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]  # name, entries (id, fields)

UNREACHABLE = (ConnectionError, TimeoutError, OSError)
__all__ = ["UNREACHABLE", "Cache", "Call", "RedisError", "Script", "read_groups"]


class PackingConnection(aioredis.Connection):
    """Commands packed by hiredis in C: redis-py's own packing took a quarter of a rebuild's time."""

    def pack_command(self, *args: Any) -> list[bytes]:
        if isinstance(args[0], str) and " " in args[0]:  # redis-py's own "SCRIPT LOAD" and the like
            args = (*args[0].split(), *args[1:])
        return [hiredis.pack_command(args)]


class Script:
    """A Lua file of cache/lua."""

    def __init__(self, name: str) -> None:
        self.text = resources.files("cache").joinpath("lua", f"{name}.lua").read_text()
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Call(NamedTuple):
    """Of a script."""

    keys: Sequence[str]
    args: Sequence[Argument]


class Cache:
    """An async client. Replies are bytes. Errors are redis-py's own."""

    def __init__(self, url: str, *, timeout_s: float | None = 5.0) -> None:
        """`timeout_s`: how long an answer may take; None for a client of blocking reads."""
        self.url = url
        self.is_cluster = url.startswith(CLUSTER_SCHEME)
        self.client: Any
        if self.is_cluster:
            self.client = RedisCluster.from_url(
                "redis://" + url.removeprefix(CLUSTER_SCHEME),
                socket_timeout=timeout_s,
                socket_connect_timeout=CONNECT_TIMEOUT_S,
                protocol=2,
            )
        else:
            # No hidden retries: who calls knows whether repeating is safe, and how long there is time.
            self.client = aioredis.Redis.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=CONNECT_TIMEOUT_S,
                retry=Retry(ExponentialBackoff(), 0),
                protocol=2,
                connection_class=PackingConnection,
            )

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """EVALSHA, loading the script where it is not known."""
        try:
            return await _told(self.client.evalsha(script.sha, len(keys), *keys, *args))
        except NoScriptError:
            return await _told(self.client.eval(script.text, len(keys), *keys, *args))

    async def run_all(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        """The script for each of these, of any shards; the reply to each, or the error instead. Of one server in one round
        trip; on a Cluster side by side, as one node's absence is not another's."""
        if self.is_cluster:
            return await asyncio.gather(*(self.run(script, *call) for call in calls), return_exceptions=True)
        pipe = self.client.pipeline(transaction=False)
        for keys, args in calls:
            pipe.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
        replies: list[Any] = await _told(pipe.execute(raise_on_error=False))
        for i, reply in enumerate(replies):
            if isinstance(reply, NoScriptError):
                replies[i] = await self.run(script, *calls[i])
        return replies

    async def pipeline(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        """Sends many commands at once. Their keys may belong to one shard only, so that one node answers."""
        pipe = self.client.pipeline(transaction=False) if not self.is_cluster else self.client.pipeline()
        for command in commands:
            pipe.execute_command(*command)
        return cast(list[Any], await _told(pipe.execute()))

    async def call(self, *command: Argument) -> Any:
        return await _told(self.client.execute_command(*command))

    async def read(self, streams: Mapping[str, str], count: int, block_ms: int | None) -> list[StreamReply]:
        """XREAD: what came after these ids, of one shard's streams if this is a Cluster. `block_ms` None: at once."""
        return await _told(self.client.xread(streams, count=count, block=block_ms)) or []

    async def close(self) -> None:
        await self.client.aclose()


async def _told(reply: Awaitable[Any]) -> Any:
    """The reply. redis-py's Cluster client, used by several tasks, may close a connection that another one is opening, and
    has errors of its own for nodes that are away: to us both mean that Redis was not reached."""
    try:
        return await reply
    except (AttributeError, RedisClusterException) as error:
        raise ConnectionError(f"cluster: {type(error).__name__}") from error


def read_groups(cache: Cache) -> list[list[int]]:
    """Which shards one blocking read may serve: all of them on one server, each its own on a Cluster."""
    return [[shard] for shard in range(SHARDS)] if cache.is_cluster else [list(range(SHARDS))]
