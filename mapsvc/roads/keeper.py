"""Keeps the wanted road graph served, in `mapsvc up`: a Valhalla is started, watched, started again, and swapped for one on a
newer graph.

A swap: the new one is started beside the old one; once it answers, the note names it and workers turn to it; the old one goes
when what it was asked is answered. One that does not come up leaves the old one serving.
One that ends is started again, after longer and longer pauses. One that neither answers nor computes is stuck (SIGSTOP, a
deadlock): it is killed, and so has ended. One that computes for very long without an answer is killed as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from cache.tasks import end
from mapsvc.roads import graphs
from mapsvc.roads.engine import EngineError, Valhalla
from mapsvc.roads.valhalla_files import is_installed
from mapsvc.settings import run_dir

POLL_S = 0.25  # how soon a new graph is noticed
ASK_EVERY_S = 1.0
STUCK_ASKS = 2  # without an answer and without work: about four seconds after it stopped
BUSY_ASKS = 30  # without an answer although it works
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
STEADY_S = 10.0  # one that ran so long starts over with the first pause
OLD_S = 6.0  # an old one may finish what it was asked


class Keeper:
    """`tell` is told what a person should know; `on_restart` of each that ended by itself."""

    def __init__(self, data_dir: Path, log: Path, tell: Callable[[str], None], on_restart: Callable[[], None]) -> None:
        self.answered = asyncio.Event()  # once
        self._data_dir = data_dir
        self._log = log
        self._tell = tell
        self._on_restart = on_restart
        self._serving: Valhalla | None = None
        self._old: set[asyncio.Task[None]] = set()
        self._refused = ""  # a graph that did not come up

    @property
    def is_wanted(self) -> bool:
        return is_installed() and graphs.wanted(self._data_dir) is not None

    @property
    def pid(self) -> int | None:
        return self._serving.pid if self._serving is not None else None

    async def run(self) -> None:
        """For ever; cancelled, it stops what it started."""
        graphs.note_served(self._data_dir, None)
        try:
            pause_s = FIRST_PAUSE_S
            loop = asyncio.get_running_loop()
            while True:
                await self._wait_for_change()
                graph = graphs.wanted(self._data_dir)
                assert graph is not None
                restarting = self._serving is not None and self._serving.graph.id == graph.id
                if restarting:
                    self._tell(f"valhalla ended; starting it again in {pause_s:.1f} s")
                    self._on_restart()
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                began = loop.time()
                if await self._turn_to(graph):
                    await self._watch()
                    if loop.time() - began > STEADY_S:
                        pause_s = FIRST_PAUSE_S
                elif not restarting:
                    self._refused = graph.id
        finally:
            graphs.note_served(self._data_dir, None)
            await end(self._old)
            if self._serving is not None:
                await self._serving.stop()

    def kill(self) -> None:
        if self._serving is not None:
            self._serving.kill()

    async def _wait_for_change(self) -> None:
        """Until the graph that is wanted is not the one that is served, or is served by nobody."""
        while True:
            graph = graphs.wanted(self._data_dir) if is_installed() else None
            if graph is not None and graph.id != self._refused:
                if self._serving is None or self._serving.graph.id != graph.id or self._serving.pid is None:
                    return
            elif self._serving is not None and self._serving.pid is None:
                return
            await asyncio.sleep(POLL_S)

    async def _turn_to(self, graph: graphs.Graph) -> bool:
        """Starts a Valhalla on it and lets workers know; False: it did not come up, and all is as before."""
        new = Valhalla(graph, run_dir(self._data_dir), self._log)
        try:
            await new.start()
        except (EngineError, OSError) as error:
            self._tell(str(error))
            return False
        old, self._serving = self._serving, new
        graphs.note_served(self._data_dir, new.served)
        if old is None or old.graph.id != graph.id:
            self._tell(f"roads: graph {graph.id} is served ({graph.description.edges} edges)")
        self._refused = ""
        self.answered.set()
        if old is not None:
            task = asyncio.create_task(self._retire(old))
            self._old.add(task)
            task.add_done_callback(self._old.discard)
        return True

    async def _retire(self, old: Valhalla) -> None:
        if old.pid is not None:
            await asyncio.sleep(OLD_S)
        await old.stop()
        if self._serving is not None:
            graphs.remove_older(self._data_dir, self._serving.graph.id)

    async def _watch(self) -> None:
        """Until it has ended, killed if it is stuck, or another graph is wanted."""
        serving = self._serving
        assert serving is not None
        ending = asyncio.create_task(serving.ended())
        silent, ticks = 0, serving.cpu_ticks()
        idle = 0
        try:
            while not ending.done():
                await asyncio.wait({ending}, timeout=ASK_EVERY_S)
                graph = graphs.wanted(self._data_dir)
                if graph is not None and graph.id not in (serving.graph.id, self._refused):
                    return
                if ending.done():
                    return
                if await serving.answers():
                    silent = idle = 0
                    ticks = serving.cpu_ticks()
                    continue
                before, ticks = ticks, serving.cpu_ticks()
                silent, idle = silent + 1, idle + 1 if ticks == before else 0
                if idle >= STUCK_ASKS or silent >= BUSY_ASKS:
                    self._tell("valhalla does not answer any more; killing it")
                    serving.kill()
                    await ending
        finally:
            ending.cancel()
