"""What one load generator saw, second by second: cheap to write into, packed once a second.

Writing is an append to a list. Once a second `cut` turns what came since into a frame for the controller, and tells whoever
listens (Locust's own statistics) the same samples.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypedDict

from loadtests.checks import Check
from loadtests.histogram import Histogram, Packed

PARSED_EVERY = 100  # one answer in so many is parsed
SESSION = "SESSION"  # what Locust would call the method, of rows that are no requests: what arrives,
STREAM = "SSE"  # what comes by itself,
BESIDE = "BESIDE"  # and sessions beside those that the rate is of
NO_REQUESTS = frozenset({SESSION, STREAM, BESIDE})


class PackedRow(TypedDict):
    method: str
    apart: bool
    times: Packed
    bytes: int
    not_modified: int
    failures: dict[str, int]


class Frame(TypedDict):
    """What happened in one second of the run. `done`: sessions that ended well in it, be it that they arrived in the warm-up;
    `completed` and `failed`: of those that count. `lag`: how late they began; `late`: how many began late because no connection
    was free."""

    second: int
    rows: dict[str, PackedRow]
    done: int
    completed: int
    failed: int
    late: int
    lag: Packed
    reconnects: int
    counts: dict[str, int]
    cpu_s: float


class Row:
    """One kind of request, or of session. Lengths of 200 answers are from `least` to `most` bytes; `check` looks into one in a
    hundred bodies, `look` into all of them. `apart`: its requests are of sessions beside, and not among "all requests"."""

    __slots__ = (
        "answers", "apart", "bytes", "check", "failures", "least", "look", "method", "most", "name", "not_modified", "times",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        method: str = "GET",
        *,
        least: int = 0,
        most: int = 1 << 40,
        check: Check | None = None,
        look: Check | None = None,
    ) -> None:
        self.name, self.method, self.least, self.most, self.check, self.look = name, method, least, most, check, look
        self.apart = False
        self.answers = 0  # with a body, so far
        self.times: list[float] = []
        self.bytes = 0
        self.not_modified = 0
        self.failures: Counter[str] = Counter()

    @property
    def is_request(self) -> bool:
        return self.method not in NO_REQUESTS and not self.apart

    def fail(self, message: str) -> None:
        self.failures[message] += 1

    def cut(self) -> PackedRow:
        times = Histogram()
        times.add(self.times)
        packed: PackedRow = {
            "method": self.method,
            "apart": self.apart,
            "times": times.pack(),
            "bytes": self.bytes,
            "not_modified": self.not_modified,
            "failures": dict(self.failures),
        }
        self.times, self.bytes, self.not_modified, self.failures = [], 0, 0, Counter()
        return packed


class Recorder:
    """`sessions`: the row of what arrives, timed from the instant at which it was due."""

    def __init__(self, session_name: str) -> None:
        self.session = Row(session_name, SESSION)
        self.rows: list[Row] = [self.session]
        self.done = 0
        self.completed = 0
        self.failed = 0
        self.late = 0
        self.lags: list[float] = []
        self.reconnects = 0
        self.counts: Counter[str] = Counter()  # of other things: events of live streams, outcomes of updates
        self.heard: Callable[[Row], None] | None = None  # told of each row before it is packed
        self._cpu_s = time.process_time()

    def row(self, row: Row) -> Row:
        self.rows.append(row)
        return row

    def cut(self, second: int) -> Frame:
        """What came since the last cut; then begins anew."""
        cpu_s = time.process_time()
        lag = Histogram()
        lag.add(self.lags)
        frame: Frame = {
            "second": second,
            "rows": {row.name: packed for row, packed in self._cut_rows()},
            "done": self.done,
            "completed": self.completed,
            "failed": self.failed,
            "late": self.late,
            "lag": lag.pack(),
            "reconnects": self.reconnects,
            "counts": dict(self.counts),
            "cpu_s": cpu_s - self._cpu_s,
        }
        self.done = self.completed = self.failed = self.late = self.reconnects = 0
        self.lags, self._cpu_s = [], cpu_s
        self.counts.clear()
        return frame

    def discard(self) -> None:
        """Forgets the requests so far: the warm-up's. Sessions that count may be over before this is called; they stay."""
        for row in self.rows:
            if row is not self.session:
                row.cut()
        self.done = self.reconnects = 0
        self.counts.clear()
        self._cpu_s = time.process_time()

    def _cut_rows(self) -> Iterator[tuple[Row, PackedRow]]:
        for row in self.rows:
            if row.times or row.failures:
                if self.heard is not None:
                    self.heard(row)
                yield row, row.cut()
