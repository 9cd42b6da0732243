"""How long a hot tile takes, asked for at a steady rate in a process of its own: `python -m loadtests.bench.ingest.hot_tile`.

Open loop: a question's wait counts from when it was due, so that a worker that stops for a while is seen as often as drivers
would see it, and not once.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import gevent

from loadtests.http1 import HttpError
from loadtests.lean import Connection, Target
from loadtests.plan import Plan

CONNECTIONS = 8
LEAD_S = 0.2


def ask(url: str, paths: Sequence[str], rate: float, seconds: float, seed: int = 1) -> dict[str, object]:
    """Each path in turn."""
    target = Target.of(url)
    requests = [target.request(path) for path in paths]
    zero = time.perf_counter() + LEAD_S
    zero_epoch_s = time.time() + LEAD_S
    waits: list[tuple[float, float]] = []
    late_ms: list[float] = []
    failed: Counter[str] = Counter()

    def serve(due: Iterator[tuple[int, float]]) -> None:
        connection = Connection(target)
        for number, at_s in due:
            if (wait := zero + at_s - time.perf_counter()) > 0:
                gevent.sleep(wait)
                late_ms.append(1000 * (time.perf_counter() - zero - at_s))
            try:
                status = connection.ask(requests[number % len(requests)])
            except (HttpError, OSError) as error:
                failed[type(error).__name__] += 1
                continue
            if status == 200:
                waits.append((at_s, 1000 * (time.perf_counter() - zero - at_s)))
            else:
                failed[str(status)] += 1
        connection.close()

    due = Plan("steady", rate, seconds, seed=seed).instants()
    gevent.joinall([gevent.spawn(serve, due) for _ in range(CONNECTIONS)], raise_error=True)
    return {
        "zero_epoch_s": zero_epoch_s,
        "waits": [[round(at, 3), round(ms, 3)] for at, ms in waits],
        "late_ms": [round(ms, 3) for ms in late_ms],
        "failed": dict(failed),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--out", type=Path, required=True, help="where the figures go, as JSON")
    parser.add_argument("--rate", type=float, default=200.0, help="questions a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    args = parser.parse_args(arguments)
    args.out.write_text(json.dumps(ask(args.url, [args.path], args.rate, args.seconds)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
