"""From the acknowledgement of an update until nearby, the tile and the stream show it, in a process of its own:
`python -m loadtests.bench.ingest.probing`.

Each turn flips a probe between AVAILABLE and OUTOFORDER and waits until it is seen. Nearby and the tile are asked again and
again and read for that very station, so that neither a newcomer beside it nor the turn before can be taken for the change: what
is told includes one round trip of the asking (about 1 ms) and the pause between two. The stream is read as it comes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from loadtests.bench.ingest.evses import Found, Probe
from loadtests.http1 import HttpError
from loadtests.lean import Connection, Target
from loadtests.options import KEY_VARIABLE
from loadtests.sse import Events, data_of

KINDS = ("nearby", "tile", "stream")
AT_ONCE = 2  # of each kind
PAUSE_S = 0.002  # between two questions
BETWEEN_S = 0.1  # turns of one, on average
QUIET_S = 0.15  # between turns, when they are taken one at a time: longer than a tick of the stream
GIVE_UP_S = 10.0


class ProbeError(RuntimeError):
    """The service does not answer a probe as it must."""


class Seen(NamedTuple):
    """`at_s`: of the acknowledgement, since the beginning; `ms`: from then on. None: not seen within GIVE_UP_S."""

    at_s: float
    ms: float | None


class Prober:
    """One turn after the other, on stations of its own."""

    def __init__(self, url: str, key: str, probes: Sequence[Probe], seed: int, alone: BoundedSemaphore | None) -> None:
        """`alone`: whoever has it may take a turn; None: all as they like."""
        self.seen: list[Seen] = []
        self.ack_ms: list[float] = []
        self.applied = 0
        self._target = Target.of(url)
        self._key = key
        self._probes = probes
        self._rng = random.Random(seed)  # noqa: S311 (a repeatable load, not a secret)
        self._alone = alone
        self._connection = Connection(self._target)

    def run(self, zero: float, until: float) -> None:
        """Until `until`, on the clock of time.perf_counter, as `zero` is."""
        while time.perf_counter() < until:
            with self._alone or nullcontext():
                self._turn(zero)
                if self._alone:
                    gevent.sleep(QUIET_S)
            gevent.sleep(self._rng.uniform(0.5, 1.5) * BETWEEN_S)

    def _turn(self, zero: float) -> None:
        probe = self._rng.choice(self._probes)
        wanted = not self._is_free(probe)
        self._expect(probe, wanted)
        outcome, acked = self._report(probe, wanted)
        if outcome == "applied":
            self.applied += 1
            seen_at = self._wait(probe, wanted)
            ms = None if seen_at is None else 1000 * max(0.0, seen_at - acked)  # the event may be first
            self.seen.append(Seen(acked - zero, ms))
        elif outcome != "confirmed":
            raise ProbeError(f"the update of {probe.id} was {outcome}")

    def _is_free(self, probe: Probe) -> bool:
        return probe.free_in_nearby(self._get(probe.nearby_path))

    def _get(self, path: str) -> bytes:
        status = self._connection.ask(self._target.request(path, encoding="identity"))
        if status != 200:
            raise ProbeError(f"{path} answered {status}")
        return self._connection.body()

    def _report(self, probe: Probe, free: bool) -> tuple[str, float]:
        update = {
            "evse_uid": probe.uid,
            "location_id": probe.location_id,
            "status": "AVAILABLE" if free else "OUTOFORDER",
            "source_ts": datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
        }
        request = self._target.request(
            "/v1/status", "POST", json.dumps([update]).encode(), encoding="identity",
            Authorization=f"Bearer {self._key}", Content_Type="application/json",
        )  # fmt: skip
        began = time.perf_counter()
        status = self._connection.ask(request)
        acked = time.perf_counter()
        if status != 200:
            raise ProbeError(f"POST /v1/status answered {status}")
        self.ack_ms.append(1000 * (acked - began))
        return str(json.loads(self._connection.body())["outcomes"][0]["outcome"]), acked

    def _expect(self, probe: Probe, wanted: bool) -> None:
        """Before the update is sent."""

    def _wait(self, probe: Probe, wanted: bool) -> float | None:
        """When it was seen."""
        raise NotImplementedError

    def _until(self, path: str, is_free: Callable[[bytes], bool], wanted: bool) -> float | None:
        give_up = time.perf_counter() + GIVE_UP_S
        while is_free(self._get(path)) != wanted:
            if time.perf_counter() > give_up:
                return None
            gevent.sleep(PAUSE_S)
        return time.perf_counter()


class NearbyProber(Prober):
    def _wait(self, probe: Probe, wanted: bool) -> float | None:
        return self._until(probe.nearby_path, probe.free_in_nearby, wanted)


class TileProber(Prober):
    def _expect(self, probe: Probe, wanted: bool) -> None:
        self._until(probe.tile_path, probe.free_in_tile, not wanted)  # it may still owe the turn before

    def _wait(self, probe: Probe, wanted: bool) -> float | None:
        return self._until(probe.tile_path, probe.free_in_tile, wanted)


class StreamProber(Prober):
    """Reads `GET /v1/live` of its stations beside."""

    def __init__(self, url: str, key: str, probes: Sequence[Probe], seed: int, alone: BoundedSemaphore | None) -> None:
        super().__init__(url, key, probes, seed, alone)
        self._awaited: tuple[str, bool] | None = None
        self._told = Event()
        self._told_at = 0.0
        self._whole = Event()
        self._reader = gevent.spawn(self._read)

    def run(self, zero: float, until: float) -> None:
        if not self._whole.wait(GIVE_UP_S):
            self._reader.get(block=False)  # why it failed
        try:
            super().run(zero, until)
        finally:
            self._reader.kill()

    def _expect(self, probe: Probe, wanted: bool) -> None:
        self._told.clear()
        self._awaited = probe.id, wanted

    def _wait(self, probe: Probe, wanted: bool) -> float | None:
        return self._told_at if self._told.wait(GIVE_UP_S) else None

    def _read(self) -> None:
        connection = Connection(self._target, GIVE_UP_S * 6)
        path = "/v1/live?stations=" + ",".join(probe.id for probe in self._probes)
        head = self._target.head(path, encoding="identity", Accept="text/event-stream") + b"\r\n"
        if (status := connection.stream(head)) != 200:
            raise HttpError(f"{path} answered {status}")
        events = Events(b"chunked" in connection.field(b"transfer-encoding").lower())
        while data := connection.read():
            now = time.perf_counter()
            for block in events.feed(data):
                self._whole.set()
                if (told := data_of(block, b"change")) is not None:
                    self._look(told, now)
        raise HttpError("the stream ended")

    def _look(self, told: bytes, now: float) -> None:
        for station in json.loads(told)["stations"]:
            if self._awaited == (station["id"], bool(station["evses"]["available"])):
                self._awaited, self._told_at = None, now
                self._told.set()


PROBERS: dict[str, type[Prober]] = {"nearby": NearbyProber, "tile": TileProber, "stream": StreamProber}


def probe(url: str, key: str, probes: Sequence[Probe], seconds: float, *, in_turn: bool) -> dict[str, object]:
    """Every kind, each on stations of its own. `in_turn`: one at a time, with a rest after each, so that nothing else happens
    in the world while one waits."""
    count = len(KINDS) * (1 if in_turn else AT_ONCE)
    if len(probes) < count:
        raise ProbeError(f"{count} stations with a single EVSE are needed")
    alone = BoundedSemaphore(1) if in_turn else None
    probers = [
        (kind, PROBERS[kind](url, key, probes[k::count], k, alone))
        for k, kind in enumerate(KINDS[k % len(KINDS)] for k in range(count))
    ]
    zero = time.perf_counter()
    zero_epoch_s = time.time()
    gevent.joinall([gevent.spawn(one.run, zero, zero + seconds) for _, one in probers], raise_error=True)
    return {
        "zero_epoch_s": zero_epoch_s,
        "seen": {kind: [seen for of, one in probers if of == kind for seen in one.seen] for kind in KINDS},
        "ack_ms": [ms for _, one in probers for ms in one.ack_ms],
        "applied": sum(one.applied for _, one in probers),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--evses", type=Path, required=True, help="what evses.Found.save wrote")
    parser.add_argument("--out", type=Path, required=True, help="where the figures go, as JSON")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--in-turn", action="store_true", help="one at a time, with a rest after each")
    args = parser.parse_args(arguments)
    probes = Found.load(args.evses).probes
    told = probe(args.url, os.environ[KEY_VARIABLE], probes, args.seconds, in_turn=args.in_turn)
    args.out.write_text(json.dumps(told), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
