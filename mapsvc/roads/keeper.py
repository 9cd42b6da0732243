"""Keeps the wanted road graph served, in `mapsvc up`: a Valhalla is started, watched, started again, and swapped for one on a
newer graph.

A swap: the new one is started beside the old one; once it answers, the note names it and workers turn to it; the old one goes
when what it was asked is answered. One that does not come up leaves the old one serving, and is tried again a minute later.
One that ends is started again, after longer and longer pauses. One that neither answers nor computes is stuck (SIGSTOP, a
deadlock): it is killed, and so has ended. One that computes for very long without an answer is killed as well.
Whatever goes wrong with roads, the rest of the service runs on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import SubprocessError

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
REFUSED_S = 60.0  # until a graph that none came up on is tried again while another one is served
STEADY_S = 10.0  # one that ran so long starts over with the first pause
OLD_S = 6.0  # an old one may finish what it was asked

TROUBLE = (EngineError, OSError, SubprocessError, ValueError)


class Keeper:
    """`tell` is told what a person should know; `on_restart` of each that ended by itself."""

    def __init__(self, data_dir: Path, log: Path, tell: Callable[[str], None], on_restart: Callable[[], None]) -> None:
        self.answered = asyncio.Event()  # once
        self._data_dir = data_dir
        self._log = log
        self._tell = tell
        self._on_restart = on_restart
        self._serving: Valhalla | None = None
        self._old: dict[asyncio.Task[None], Valhalla] = {}
        self._refused = ("", 0.0)  # a graph that did not come up, and until when it is left alone

    @property
    def is_wanted(self) -> bool:
        return self._wanted() is not None

    @property
    def pid(self) -> int | None:
        return self._serving.pid if self._serving is not None else None

    def _wanted(self) -> graphs.Graph | None:
        return graphs.wanted(self._data_dir) if is_installed() else None

    async def run(self) -> None:
        """For ever; cancelled, it stops what it started."""
        graphs.note_served(self._data_dir, None)
        for left in run_dir(self._data_dir).glob("valhalla-*.json"):  # by one that was killed
            left.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        pause_s, began = FIRST_PAUSE_S, loop.time()
        try:
            while True:
                graph = await self._next()
                if self._serving is not None and self._serving.graph.id == graph.id:
                    if loop.time() - began > STEADY_S:
                        pause_s = FIRST_PAUSE_S
                    self._tell(f"valhalla ended; starting it again in {pause_s:.1f} s")
                    self._on_restart()
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                began = loop.time()
                if await self._turn_to(graph):
                    await self._watch()
                elif self._serving is None:
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                elif self._serving.graph.id != graph.id:
                    self._refused = (graph.id, loop.time() + REFUSED_S)
        finally:
            with suppress(OSError):
                graphs.note_served(self._data_dir, None)
            await end(list(self._old))
            if self._serving is not None:
                await self._serving.stop()

    def kill(self) -> None:
        for engine in (self._serving, *self._old.values()):
            if engine is not None:
                engine.kill()

    async def _next(self) -> graphs.Graph:
        """Waits until a graph has to be served: one that is wanted, or the one whose Valhalla has ended."""
        while True:
            wanted, serving = self._wanted(), self._serving
            if wanted is not None and not self._is_refused(wanted):
                if serving is None or serving.graph.id != wanted.id or serving.pid is None:
                    return wanted
            elif serving is not None and serving.pid is None and serving.graph.folder.exists():
                return serving.graph
            await asyncio.sleep(POLL_S)

    def _is_refused(self, graph: graphs.Graph) -> bool:
        refused, until = self._refused
        return graph.id == refused and asyncio.get_running_loop().time() < until

    async def _turn_to(self, graph: graphs.Graph) -> bool:
        """Starts a Valhalla on it and lets workers know; False: it did not come up, and all is as before."""
        new: Valhalla | None = None
        try:
            new = Valhalla(graph, run_dir(self._data_dir), self._log)
            await new.start()
            graphs.note_served(self._data_dir, new.served)
        except TROUBLE as error:
            self._tell(
                f"roads: graph {graph.id} is not served: {error}" if not isinstance(error, EngineError) else str(error)
            )
            if new is not None:
                await new.stop()
            return False
        except BaseException:
            if new is not None:
                await new.stop()
            raise
        old, self._serving = self._serving, new
        if old is None or old.graph.id != graph.id:
            self._tell(f"roads: graph {graph.id} is served ({graph.description.edges} edges)")
        self.answered.set()
        if old is not None:
            task = asyncio.create_task(self._retire(old))
            self._old[task] = old
            task.add_done_callback(self._old.pop)
        return True

    async def _retire(self, old: Valhalla) -> None:
        try:
            if old.pid is not None:
                await asyncio.sleep(OLD_S)
        finally:
            await old.stop()
        # It has gone: so may its graph, and those that are older than any that is served.
        others = (self._serving, *self._old.values())
        served = [engine.graph.id for engine in others if engine is not None and engine is not old]
        with suppress(OSError):
            await asyncio.to_thread(graphs.remove_older, self._data_dir, min(served))

    async def _watch(self) -> None:
        """Until it has ended, killed if it is stuck, or another graph is wanted."""
        serving = self._serving
        assert serving is not None
        ending = asyncio.create_task(serving.ended())
        silent = idle = 0
        ticks = serving.cpu_ticks()
        try:
            while not ending.done():
                await asyncio.wait({ending}, timeout=ASK_EVERY_S)
                wanted = self._wanted()
                if wanted is not None and wanted.id != serving.graph.id and not self._is_refused(wanted):
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
