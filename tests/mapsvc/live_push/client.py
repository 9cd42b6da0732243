"""A subscriber without a network: the stream writes into memory, and what it wrote is read by the rules of Server-Sent Events
(WHATWG HTML, 9.2.6), written here by hand."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import orjson
from aiohttp.abc import AbstractStreamWriter

from geo.areas import Area
from geo.world import World
from mapsvc.bodies import Bodies
from mapsvc.live.hub import Hub
from mapsvc.live.stream import Stream
from mapsvc.live.tick import View


class Map:
    """What a page would hold: stations by id, kept by the events alone."""

    def __init__(self) -> None:
        self.stations: dict[str, dict[str, Any]] = {}
        self.last_event_id = ""
        self.given = ""  # with what the connection was made
        self.begun_anew = 0
        self.retry_ms = 0
        self.names: list[str] = []
        self.tiles: list[dict[str, Any]] = []
        self._text = ""

    def forget_part(self) -> None:
        """A new connection begins: half an event of the last one is void."""
        self._text, self.given = "", self.last_event_id

    def feed(self, data: bytes) -> None:
        self._text += data.decode()
        while "\n\n" in self._text:
            block, self._text = self._text.split("\n\n", 1)
            self._block(block.split("\n"))

    def _block(self, lines: list[str]) -> None:
        name, data = "message", ""
        for line in lines:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data += value
            elif field == "id":
                self.last_event_id = value
            elif field == "retry":
                self.retry_ms = int(value)
        if data:
            self._event(name, orjson.loads(data))

    def _event(self, name: str, data: dict[str, Any]) -> None:
        self.names.append(name)
        if name == "reset" and self.given not in ("", "0"):  # "0": cut off before the snapshot was whole
            self.begun_anew += 1
        self.tiles += data.get("tiles", [])
        if name == "reset":
            self.stations.clear()
        elif name in ("snapshot", "change"):
            self.stations |= {station["id"]: station for station in data["stations"]}
        elif name == "leave":
            for gone in data["ids"]:
                self.stations.pop(gone, None)
        else:
            raise AssertionError(f"an unknown event: {name}")


class Transport:
    """Takes everything; `stuck`: what is written stays unsent."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.stuck = False
        self.unsent = 0
        self.most_unsent = 0
        self.closed = False
        self.drained = asyncio.Event()

    def write(self, data: bytes) -> None:
        if self.stuck:
            self.unsent += len(data)
            self.most_unsent = max(self.most_unsent, self.unsent)
        self.written.append(data)

    def release(self) -> None:
        self.stuck, self.unsent = False, 0
        self.drained.set()

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_extra_info(self, name: str) -> None:
        return None

    def is_closing(self) -> bool:
        return self.closed

    async def drain(self) -> None:
        while self.unsent > self.high:
            await self.drained.wait()
            self.drained.clear()


class Client:
    """One subscriber that may be cut off and come back, to this hub or another one."""

    def __init__(self, area: Area, view: View) -> None:
        self.area, self.view = area, view
        self.map = Map()
        self.task: asyncio.Task[None] | None = None

    def connect(self, world: World, bodies: Bodies, hub: Hub) -> None:
        self.transport = Transport()
        self.map.forget_part()
        self.stream = Stream(world, bodies, hub, self.area, self.view)
        writer = cast(AbstractStreamWriter, self.transport)
        transport = cast(asyncio.Transport, self.transport)
        self.task = asyncio.get_running_loop().create_task(
            self.stream.run(writer, transport, chunked=False, given=self.map.last_event_id)
        )

    async def cut(self) -> None:
        self.read()
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None

    def read(self) -> Map:
        for data in self.transport.written:
            self.map.feed(data)
        self.transport.written.clear()
        return self.map


async def settle() -> None:
    """Lets every task that can go on go on."""
    for _ in range(8):
        await asyncio.sleep(0)


def without_seen(stations: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A confirmation is no event, so `seen_at` may be older than the list's."""
    return {name: {k: v for k, v in station.items() if k != "seen_at"} for name, station in stations.items()}
