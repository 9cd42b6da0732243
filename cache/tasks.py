"""Background tasks: watched while they run, and ended for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_S = 0.2


async def watch(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Until all have ended by themselves; raises the first one's failure. Cancelled, it leaves the tasks alone."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels until all have ended. Once is not enough: until Python 3.12 asyncio.wait_for, through which redis-py sends
    every command, swallows a cancellation that arrives just as the command is sent (CPython issue 86296)."""
    ended = list(tasks)
    running = {task for task in ended if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=AGAIN_S)
    for task in ended:
        if not task.cancelled():
            task.exception()  # looked at: whoever ends tasks knows why; asyncio need not complain that nobody did
