"""Posts status updates as the plan says, in a process of its own: `python -m loadtests.bench.ingest.producer`.

Lean, so that it is not what is measured: bodies are prepared bytes in which only the instant is replaced, connections are
kept, answers are counted and not parsed while all is well. Open loop: a request that is due is sent as soon as a connection
is free, and its wait counts from when it was due. Every EVSE is reported in turn with another status than the last time,
so every update must be applied.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import gevent

from loadtests.bench.ingest.evses import Evse, Found
from loadtests.http1 import HttpError
from loadtests.lean import Connection, Target
from loadtests.options import KEY_VARIABLE
from loadtests.plan import Plan

STATUSES = ("AVAILABLE", "CHARGING")
STAMP = b"2000-01-01T00:00:00.000Z"
PATIENCE_S = 30.0
LEAD_S = 1.0  # from the beginning of the process's work to the plan's time 0
AGAIN_S = 0.2  # after an answer that acknowledges nothing


def body_of(evses: Sequence[Evse], status: str) -> bytes:
    """The updates of one request, STAMP in place of the instant."""
    updates = [
        {"evse_uid": one.uid, "location_id": one.location_id, "status": status, "source_ts": STAMP.decode()}
        for one in evses
    ]
    return json.dumps(updates, separators=(",", ":")).encode()


def now_stamp() -> bytes:
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:-6].encode() + b"Z"


class Part:
    """EVSEs that are reported together. Its requests follow one another, so that no update overtakes an older one."""

    def __init__(self, evses: Sequence[Evse]) -> None:
        self.size = len(evses)
        self._bodies = [body_of(evses, status) for status in STATUSES]
        self._turn = 0
        self.busy = False

    def body(self) -> bytes:
        return self._bodies[self._turn % len(STATUSES)].replace(STAMP, now_stamp())

    def acknowledged(self) -> None:
        self._turn += 1


class Producer:
    def __init__(self, url: str, key: str, parts: Sequence[Part]) -> None:
        self.outcomes: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()  # updates that nobody acknowledged, by what came instead
        self.acks: list[tuple[float, float, int]] = []  # due at, ms until the acknowledgement, updates
        self.late_ms: list[float] = []  # by how much a send was late though a connection was free: our own fault
        self.sent = 0
        self._target = Target.of(url)
        self._head = self._target.head(
            "/v1/status", "POST", encoding="identity", Authorization=f"Bearer {key}", Content_Type="application/json"
        )
        self._parts = parts
        self._zero = 0.0

    def visit_all(self, connections: int) -> dict[str, Any]:
        """Every EVSE once, with the first of STATUSES, as fast as the service takes it."""
        return self._together(connections, ((number, 0.0) for number in range(len(self._parts))), 0.0)

    def run(self, plan: Plan, connections: int) -> dict[str, Any]:
        """After `visit_all`, be it another process's."""
        for part in self._parts:
            part.acknowledged()
        return self._together(connections, plan.instants(), LEAD_S)

    def run_closed(self, seconds: float, connections: int) -> dict[str, Any]:
        """After `visit_all`: for a while, as fast as the service takes it."""
        for part in self._parts:
            part.acknowledged()
        until = time.perf_counter() + seconds
        due = takewhile(lambda _: time.perf_counter() < until, ((number, 0.0) for number in count()))
        return self._together(connections, due, 0.0)

    def _together(self, connections: int, due: Iterator[tuple[int, float]], lead_s: float) -> dict[str, Any]:
        before = resource.getrusage(resource.RUSAGE_SELF)
        self._zero = time.perf_counter() + lead_s
        zero_epoch_s = time.time() + lead_s
        gevent.joinall([gevent.spawn(self._serve, due) for _ in range(connections)], raise_error=True)
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "zero_epoch_s": zero_epoch_s,
            "took_s": time.perf_counter() - self._zero,
            "cpu_s": used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
            "sent": self.sent,
            "outcomes": dict(self.outcomes),
            "refused": dict(self.refused),
            "acks": [[round(at, 3), round(ms, 2), size] for at, ms, size in self.acks],
            "late_ms": [round(ms, 2) for ms in self.late_ms],
        }

    def _serve(self, due: Iterator[tuple[int, float]]) -> None:
        connection = Connection(self._target, PATIENCE_S)
        for number, at_s in due:
            part = self._parts[number % len(self._parts)]
            was_free = (wait := self._zero + at_s - time.perf_counter()) > 0
            if was_free:
                gevent.sleep(wait)
            while part.busy:  # the one before it is still under way: very far behind
                gevent.sleep(0.001)
            part.busy = True
            if was_free:
                self.late_ms.append(1000 * (time.perf_counter() - self._zero - at_s))
            try:
                self._send(connection, part, at_s)
            finally:
                part.busy = False
        connection.close()

    def _send(self, connection: Connection, part: Part, at_s: float) -> None:
        self.sent += part.size
        body = part.body()
        try:
            status = connection.ask(self._head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        except (HttpError, OSError) as error:
            self.refused[type(error).__name__] += part.size
            gevent.sleep(AGAIN_S)
            return
        if status != 200:
            self.refused[str(status)] += part.size
            gevent.sleep(AGAIN_S)
            return
        self.acks.append((at_s, 1000 * (time.perf_counter() - self._zero - at_s), part.size))
        answer = connection.body()
        part.acknowledged()
        applied = answer.count(b'"applied"')
        self.outcomes["applied"] += applied
        if applied != part.size:
            self.outcomes.update(
                one["outcome"] for one in json.loads(answer)["outcomes"] if one["outcome"] != "applied"
            )


def parts_of(evses: Sequence[Evse], rows: int) -> list[Part]:
    """The last one may be smaller."""
    return [Part(evses[start : start + rows]) for start in range(0, len(evses), rows)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--evses", type=Path, required=True, help="what evses.Found.save wrote")
    parser.add_argument("--out", type=Path, required=True, help="where the figures go, as JSON")
    parser.add_argument("--rate", type=float, help="updates a second; absent: every EVSE once; 0: as many as it takes")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rows", type=int, default=500, help="updates in a request")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(arguments)
    parts = parts_of(Found.load(args.evses).evses, args.rows)
    producer = Producer(args.url, os.environ[KEY_VARIABLE], parts)
    if args.rate is None:
        told = producer.visit_all(args.connections)
    elif args.rate == 0:
        told = producer.run_closed(args.seconds, args.connections)
    else:
        plan = Plan("steady", args.rate / parts[0].size, args.seconds, seed=args.seed)
        told = producer.run(plan, args.connections)
    args.out.write_text(json.dumps(told), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
