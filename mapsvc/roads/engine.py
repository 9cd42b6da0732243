"""One Valhalla process: started on a graph, asked whether it answers, stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path

import aiohttp

from mapsvc import spawn
from mapsvc.child import ended
from mapsvc.engines.engine import ENVIRONMENT
from mapsvc.roads.graphs import Graph, Served
from mapsvc.roads.valhalla_files import configuration, program

NICE = 10  # nearby and tiles go first: a core that is busy with roads is theirs when they need it
# A core that is busy is theirs only with the next tick of its clock, 4 ms: so half of the cores have no roads, though one
# "thread" of Valhalla is three (a search, the next one's snapping, the last one's answer) and would use more.
SHARE = 2
START_S = 60.0  # until it answers; a small graph takes a quarter of a second
START_POLL_S = 0.05
STATUS_S = 1.0  # for an answer to whether it is there
STOP_S = 4.0  # it ends within two seconds of the signal, see `drain_seconds`


class EngineError(RuntimeError):
    """Valhalla does not start on this graph."""


class Valhalla:
    """`graph` in a process of its own, on a port of its own: it cannot bind one that was used a moment ago."""

    def __init__(self, graph: Graph, run_folder: Path, log: Path) -> None:
        self.graph = graph
        self._config = run_folder / f"valhalla-{graph.id}-{os.getpid()}.json"
        self._log = log
        self._port = spawn.free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def served(self) -> Served:
        return Served(f"http://{spawn.LOOPBACK}:{self._port}", self.graph.id, self.graph.description.bbox)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and not spawn.has_ended(self._process) else None

    async def start(self) -> None:
        """Returns once it answers. Raises EngineError; then it is stopped."""
        self._config.write_text(json.dumps(await asyncio.to_thread(configuration, self.graph.folder, self._port)))
        cores = sorted(os.sched_getaffinity(0))
        cores = cores[len(cores) - max(1, len(cores) // SHARE) :]
        with self._log.open("ab") as log:
            self._process = spawn.spawn(
                [
                    *("taskset", "--cpu-list", ",".join(map(str, cores)), "nice", f"-n{NICE}"),
                    *(str(program("valhalla_service")), str(self._config), str(len(cores))),
                ],
                deathsig=signal.SIGKILL,
                log=log,
                cwd=self.graph.folder,
                env=ENVIRONMENT,
                stdout=subprocess.DEVNULL,  # a line a request
            )
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + START_S
        try:
            while not await self.answers():
                if self.pid is None:
                    raise EngineError(f"Valhalla ends at once on graph {self.graph.id} (see {self._log})")
                if loop.time() > give_up_at:
                    raise EngineError(f"Valhalla does not answer within {START_S:.0f} s on graph {self.graph.id}")
                await asyncio.sleep(START_POLL_S)
        except BaseException:
            await self.stop()
            raise

    async def answers(self) -> bool:
        timeout = aiohttp.ClientTimeout(total=STATUS_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(self.served.url + "/status") as told,
            ):
                return told.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    def cpu_ticks(self) -> int:
        """CPU time it has used so far: one that is busy is not stuck."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])
        except (OSError, IndexError, ValueError):
            return 0

    async def ended(self) -> None:
        assert self._process is not None
        await ended(self._process)

    async def stop(self) -> None:
        self._config.unlink(missing_ok=True)
        process = self._process
        if process is None:
            return
        if not spawn.has_ended(process):
            process.send_signal(signal.SIGTERM)
            if not await ended(process, STOP_S):
                process.kill()
        await asyncio.to_thread(spawn.sweep, process)

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
