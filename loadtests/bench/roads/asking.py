"""One client on one connection, one question after the other: what each takes, and who computes meanwhile.

Latency is measured, not throughput: with a single client nobody queues, so the time of an answer is the time of the work, plus
what is waited for a core. CPU times are the scheduler's, exact while a process sleeps, which all do between two questions.
"""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from loadtests.bench import machine
from loadtests.bench.ingest.series import quantiles
from loadtests.bench.processes import ProgramError
from loadtests.bench.results import Figure, WrongAnswerError
from loadtests.bench.stats import percentile

PATIENCE_S = 30.0
CLIENT, WORKER, VALHALLA = "client", "worker", "Valhalla"


class Question(NamedTuple):
    """With a body it is a POST of JSON."""

    path: str
    body: bytes = b""


def post(path: str, **members: Any) -> Question:
    return Question(path, orjson.dumps(members))


class Caller:
    def __init__(self, url: str) -> None:
        at = urlsplit(url)
        self._connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=PATIENCE_S)

    def ask(self, question: Question) -> bytes:
        """The body of a 200. ProgramError if it is not to be had now (5xx), WrongAnswerError for any other status."""
        headers = {"Content-Type": "application/json"} if question.body else {}
        method = "POST" if question.body else "GET"
        self._connection.request(method, question.path, question.body or None, headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            kind = ProgramError if answer.status >= 500 else WrongAnswerError
            raise kind(f"{method} {question.path} answered {answer.status}: {body[:200]!r}")
        return body

    def close(self) -> None:
        self._connection.close()


class Meter:
    """`pids`: who works on an answer besides the client."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids

    def cpu_s(self) -> dict[str, float]:
        return {who: machine.on_cpu_s(pid) for who, pid in self._pids.items()}


@dataclass
class Contender:
    """Who is asked, and what. `asked` grows as it is."""

    name: str
    caller: Caller
    questions: Sequence[Question]
    remark: str = ""
    ms: list[float] = field(default_factory=list)
    cpu_ms: dict[str, float] = field(default_factory=dict)

    def ask(self, number: int, meter: Meter) -> bytes:
        question = self.questions[number]
        before = meter.cpu_s()
        own_s, began = time.process_time(), time.perf_counter()
        body = self.caller.ask(question)
        self.ms.append(1000 * (time.perf_counter() - began))
        used = {CLIENT: time.process_time() - own_s}
        used |= {who: after - before[who] for who, after in meter.cpu_s().items()}
        for who, seconds in used.items():
            self.cpu_ms[who] = self.cpu_ms.get(who, 0.0) + 1000 * seconds
        return body

    @property
    def p50_ms(self) -> float:
        return percentile(self.ms, 50)

    def figures(self) -> dict[str, Figure]:
        told = quantiles(self.ms, ("p50", "p95", "p99"))
        count = len(self.ms)
        return {
            "asked": count,
            **{f"{name} ms": round(told[name], 2) for name in ("p50", "p95", "p99")},
            **{f"{who} CPU-ms": round(self.cpu_ms[who] / count, 2) for who in (WORKER, VALHALLA)},
            "bottleneck": bottleneck(self.cpu_ms, sum(self.ms)),
            **({"remark": self.remark} if self.remark else {}),
        }


def bottleneck(cpu_ms: Mapping[str, float], total_ms: float) -> str:
    """Who an answer waits for most: one that computes, or a core that is somebody else's."""
    shares = {who: used / total_ms for who, used in cpu_ms.items()}
    # Two may compute at once, and then nobody waits.
    shares["waiting"] = max(0.0, 1.0 - sum(shares.values()))
    who = max(shares, key=lambda one: shares[one])
    return f"{who}, {100 * min(1.0, shares[who]):.0f} % of the time"


def in_turns(
    contenders: Sequence[Contender],
    meter: Meter,
    most_s: float,
    heed: Callable[[int, Mapping[str, bytes]], None] = lambda _number, _answers: None,
) -> int:
    """Every question of all, A B C, then B C A, …, so that none is always the first to touch a place; `heed` looks at the
    answers, by name. Ends early when the time is over; how many questions it came to, one at least."""
    ending = time.monotonic() + most_s
    count = min(len(one.questions) for one in contenders)
    for number in range(count):
        first = number % len(contenders)
        turns = [*contenders[first:], *contenders[:first]]
        heed(number, {one.name: one.ask(number, meter) for one in turns})
        if time.monotonic() > ending:
            return number + 1
    return count


class Others:
    """`with Others() as others: …`; then `cores`: how many the rest of the machine used, on average."""

    cores = 0.0

    def __enter__(self) -> Others:
        self._before, self._began = self._elsewhere_s(), time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.cores = max(0.0, (self._elsewhere_s() - self._before) / (time.monotonic() - self._began))

    @staticmethod
    def _elsewhere_s() -> float:
        """All that cores did, the hypervisor's other guests included, less what we and our processes did."""
        return sum(map(sum, machine.core_times())) - machine.cpu_s([os.getpid()])
