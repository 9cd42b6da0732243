"""What all load generators saw, put together: second by second, and as a whole. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from loadtests.histogram import Histogram
from loadtests.recorder import NO_REQUESTS, SESSION, Frame


@dataclass
class Second:
    requests: Histogram = field(default_factory=Histogram)
    sessions: Histogram = field(default_factory=Histogram)
    done: int = 0
    failed: int = 0
    late: int = 0
    reported: int = 0  # load generators that told of it


@dataclass
class RowTotal:
    method: str
    times: Histogram = field(default_factory=Histogram)
    bytes: int = 0
    not_modified: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        return self.failures.total()


class Timeline:
    """`seconds`: how many there are; what ends behind the last one is in the totals only."""

    def __init__(self, seconds: int) -> None:
        self.seconds = [Second() for _ in range(seconds)]
        self.total = Second()
        self.rows: dict[str, RowTotal] = {}
        self.lag = Histogram()
        self.counts: Counter[str] = Counter()
        self.completed = 0  # of those that count, see Frame
        self.reconnects = 0
        self.client_cpu_s = [0.0] * seconds

    def add(self, frame: Frame) -> None:
        inside = frame["second"] < len(self.seconds)
        second = self.seconds[frame["second"]] if inside else Second()
        for part in (second, self.total):
            self._add_times(part, frame)
            part.done += frame["done"]
            part.failed += frame["failed"]
            part.late += frame["late"]
            part.reported += 1
        for name, packed in frame["rows"].items():
            row = self.rows.setdefault(name, RowTotal(packed["method"]))
            row.times.merge(packed["times"])
            row.bytes += packed["bytes"]
            row.not_modified += packed["not_modified"]
            row.failures.update(packed["failures"])
        if inside:
            self.client_cpu_s[frame["second"]] += frame["cpu_s"]
        self.lag.merge(frame["lag"])
        self.counts.update(frame["counts"])
        self.completed += frame["completed"]
        self.reconnects += frame["reconnects"]

    @staticmethod
    def _add_times(part: Second, frame: Frame) -> None:
        for packed in frame["rows"].values():
            if packed["method"] == SESSION:
                part.sessions.merge(packed["times"])
            elif packed["method"] not in NO_REQUESTS and not packed["apart"]:
                part.requests.merge(packed["times"])

    def between(self, first: int, last: int) -> Second:
        """The seconds from `first` up to and without `last` as one."""
        total = Second()
        for second in self.seconds[first:last]:
            total.requests.merge(second.requests.pack())
            total.sessions.merge(second.sessions.pack())
            total.done += second.done
            total.failed += second.failed
            total.late += second.late
        return total
