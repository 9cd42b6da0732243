"""One process's share of the load: its part of the plan, its prepared requests, what it saw.

Locust's users are the connections. Each takes the next arrival, sleeps until its instant and serves it; with all of them
busy an arrival begins late, is counted as late, and its time runs from the instant at which it was due all the same: nothing
is hidden by waiting (G. Tene's "coordinated omission").
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator

import gevent
from gevent.event import Event

from loadtests.lean import Target
from loadtests.options import Options
from loadtests.plan import Plan
from loadtests.recorder import Frame, Recorder

EARLY_S = 0.001  # gevent's loop sleeps whole milliseconds, rounded up: asked to wake that much earlier it is never late
DRAIN_S = 5.0  # after the plan's end, in which sessions that still wait for a connection may begin
LATE_S = 0.002  # a session that begins later than this had to wait for a connection, or for this process

_clock = time.perf_counter


def plan_of(options: Options) -> Plan:
    """Of sessions; of the live mix: of batches of updates."""
    rate = options.rate / options.batch if options.mix == "live" else options.rate
    return Plan(options.shape, rate, options.duration_s, warm_up_s=options.warm_up, seed=options.seed)


class Generator:
    """`position` of `of`: which of the load generators this is. `deliver`: takes frames, once a second."""

    def __init__(
        self,
        options: Options,
        target: Target,
        recorder: Recorder,
        position: int,
        of: int,
        deliver: Callable[[Frame], None],
    ) -> None:
        self.options, self.target, self.recorder = options, target, recorder
        self.position, self.of = position, of
        self.finished = False  # all that was to be done has been done, and delivered
        self.every_second: Callable[[], None] = lambda: None  # what a mix has to look after
        self._deliver = deliver
        self._arrivals: Iterator[tuple[int, float]] = plan_of(options).instants(position, of)
        self._all_taken = False
        self._in_hand = 0  # arrivals taken and not done
        self._started = Event()
        self._zero = 0.0
        self._cutting: gevent.Greenlet | None = None

    def start(self, zero_epoch_s: float) -> None:
        """Time 0 of the plan, by the wall clock that all load generators share."""
        self._zero = _clock() + (zero_epoch_s - time.time())
        gc.unfreeze()  # what the last run left
        gc.collect()
        gc.freeze()  # a hundred thousand prepared requests need not be looked at again and again
        self._cutting = gevent.spawn(self._cut_every_second)
        self._started.set()

    def wait_for_start(self) -> None:
        self._started.wait()

    @property
    def elapsed_s(self) -> float:
        return _clock() - self._zero

    # -- arrivals -----------------------------------------------------------------------------------------------------

    def serve(self, session: Callable[[int], bool]) -> None:
        """One connection's life: sessions (given the arrival's number; whether it went well), as they are due, until the plan
        is over."""
        recorder, last = self.recorder, self._zero + self.options.duration_s + DRAIN_S
        for number, due_s in self._arrivals:
            if _clock() > last:
                break
            due = self._zero + due_s
            self._in_hand += 1
            try:
                now = _clock()
                if due > now:
                    gevent.sleep(max(0.0, due - now - EARLY_S))
                    now = _clock()
                well = session(number)
            finally:
                self._in_hand -= 1
            recorder.done += well
            if due_s >= 0:
                recorder.session.times.append(_clock() - min(due, now))
                recorder.lags.append(max(0.0, now - due))
                recorder.late += now - due > LATE_S
                recorder.completed += well
                recorder.failed += not well
        self._all_taken = True

    # -- telling ------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Delivers what has not been delivered yet."""
        if self._cutting is not None:
            self._cutting.kill()
            self._cutting = None
            self._deliver(self.recorder.cut(max(0, int(self.elapsed_s))))

    def _cut_every_second(self) -> None:
        gevent.sleep(max(0.0, -self.elapsed_s))
        self.recorder.discard()
        second = 0
        while not self.finished:
            gevent.sleep(max(0.0, second + 1 - self.elapsed_s))
            self.every_second()
            done = self._all_taken and not self._in_hand
            self._deliver(self.recorder.cut(second))
            self.finished = done
            second = max(second + 1, int(self.elapsed_s))
