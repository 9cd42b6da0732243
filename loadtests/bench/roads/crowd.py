"""Many who ask about roads at once, as fast as they are answered: `python -m loadtests.bench.roads.crowd`.

A closed loop, in a process of its own: it is to keep routing as busy as it can be, whatever it answers. What is refused (503)
or degraded is counted: the service limits how much routing may wait, so that it does not stand in everybody's way. Who was not
answered by road asks again a moment later: it is routing that is to be kept busy, not the limits.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gevent

from loadtests.http1 import HttpError
from loadtests.lean import Connection, Target
from loadtests.session import JSON

_DEGRADED = re.compile(rb'"degraded": ?true')
REFUSED_PAUSE_S = 0.05


def ask(url: str, asked: Sequence[tuple[str, str]], clients: int, seconds: float) -> dict[str, Any]:
    """`asked`: paths and bodies, empty for a GET. Each client walks through all of them, from another place."""
    target = Target.of(url)
    requests = [
        target.request(path, "POST", body.encode(), encoding="identity", Content_Type=JSON)
        if body
        else target.request(path, encoding="identity")
        for path, body in asked
    ]
    counts: Counter[str] = Counter()
    began = time.monotonic()

    def walk(at: int) -> None:
        connection = Connection(target, patience_s=30.0)
        while time.monotonic() - began < seconds:
            try:
                status = connection.ask(requests[at % len(requests)])
            except (HttpError, OSError) as error:
                status = 0
                counts[f"failed: {type(error).__name__}"] += 1
            at += 1
            is_answered = status == 200 and not _DEGRADED.search(connection.body())
            if is_answered:
                counts["answered"] += 1
            else:
                if status:
                    counts["degraded" if status == 200 else f"refused {status}"] += 1
                gevent.sleep(REFUSED_PAUSE_S)
        connection.close()

    gevent.joinall([gevent.spawn(walk, k * len(requests) // clients) for k in range(clients)], raise_error=True)
    return {"seconds": time.monotonic() - began, "counts": dict(counts)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--asked", type=Path, required=True, help="paths and bodies, as JSON")
    parser.add_argument("--out", type=Path, required=True, help="where the figures go, as JSON")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args(arguments)
    asked = [(path, body) for path, body in json.loads(args.asked.read_text(encoding="utf-8"))]
    args.out.write_text(json.dumps(ask(args.url, asked, args.clients, args.seconds)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
