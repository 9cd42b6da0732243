"""PostgreSQL as the running roles meet it: statements that end by a deadline, and the errors that mean it is not there.

asyncpg's own `command_timeout` asks the server to cancel and waits for that: with a server that hangs it waits for ever.
Here the connection is dropped instead. Whatever was under way may or may not be committed; nobody acknowledges it (R4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

STATEMENT_S = 5.0  # to get a connection and the answer; a batch takes milliseconds, or 20 behind an import
CONNECT_S = 5.0

UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # asyncpg's own state when the server dies between two messages
)
UNABLE = (
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""Not a fault of the row but of the machine: disk full, out of memory, shutting down, starting up, a standby."""

DOWN = (*UNREACHABLE, *UNABLE)


class Database:
    """A pool of connections, made as they are needed; also again after the server was away."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], statement_s: float) -> None:
        self._pool = pool
        self._statement_s = statement_s

    @classmethod
    async def open(cls, url: str, connections: int, statement_s: float = STATEMENT_S) -> Database:
        """Does not connect yet."""
        pool = await asyncpg.create_pool(
            url, min_size=0, max_size=connections, timeout=CONNECT_S, command_timeout=None, reset=_leave_as_it_is
        )
        return cls(pool, statement_s)

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        rows: list[Any] = await self._ask(lambda connection: connection.fetch(query, *args))
        return rows

    async def fetchrow(self, query: str, *args: Any) -> Any:
        return await self._ask(lambda connection: connection.fetchrow(query, *args))

    async def fetchval(self, query: str, *args: Any) -> Any:
        return await self._ask(lambda connection: connection.fetchval(query, *args))

    async def _ask(self, statement: Callable[[Any], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(self._statement_s):
            connection = await self._pool.acquire()
            try:
                return await statement(connection)
            except (asyncio.CancelledError, *UNREACHABLE):
                connection.terminate()
                raise
            finally:
                await self._pool.release(connection)

    def terminate(self) -> None:
        self._pool.terminate()


async def _leave_as_it_is(_: Any) -> None:
    """What a connection does when it returns to the pool. Our statements leave nothing behind, so there is nothing to
    reset: asyncpg's default asks the server each time, a round trip for every statement."""
