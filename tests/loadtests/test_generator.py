"""One load generator: sessions begin when they are due, times run from that instant, nothing is lost or hidden."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import gevent

from loadtests.generator import Generator, plan_of
from loadtests.lean import Target
from loadtests.options import Options
from loadtests.recorder import Frame, Recorder, Row
from loadtests.timeline import Timeline

TARGET = Target.of("http://127.0.0.1:1")


def drive(
    options: Options, session: Callable[[int], bool], *, connections: int = 4, position: int = 0, of: int = 1
) -> tuple[Recorder, list[Frame]]:
    """Runs a plan to its end."""
    frames: list[Frame] = []
    recorder = Recorder("session")
    generator = Generator(options, TARGET, recorder, position, of, frames.append)
    users = [gevent.spawn(generator.serve, session) for _ in range(connections)]
    with gevent.Timeout(30.0):
        generator.start(time.time() + options.warm_up)
        gevent.joinall(users, raise_error=True)
        while not generator.finished:
            gevent.sleep(0.01)
    return recorder, frames


def total(frames: list[Frame]) -> Timeline:
    timeline = Timeline(10)
    for one in frames:
        timeline.add(one)
    return timeline


def test_sessions_begin_when_they_are_due() -> None:
    options = Options(rate=200.0, duration="1", warm_up=0.2)
    begun: dict[int, float] = {}

    def session(number: int) -> bool:
        begun[number] = time.perf_counter()
        return True

    _, frames = drive(options, session)
    due = dict(plan_of(options).instants())
    assert begun.keys() == due.keys()
    zero = min(begun[number] - due[number] for number in due)  # the best of all is the clock's own offset
    lateness = sorted(begun[number] - due[number] - zero for number in due)
    # A tenth of them, as a busy machine wakes us late; whoever does not follow the plan is off by most of its second.
    assert lateness[len(lateness) // 10] < 0.01
    whole = total(frames)
    assert whole.completed == sum(plan_of(options).offered())
    assert whole.total.failed == 0


def test_load_generators_share_the_plan() -> None:
    options = Options(rate=300.0, duration="0.5", warm_up=0.0)
    numbers: list[list[int]] = []

    def session(number: int) -> bool:
        numbers[-1].append(number)
        return True

    for position in range(2):
        numbers.append([])
        drive(options, session, position=position, of=2)
    assert all(numbers)
    assert sorted(itertools.chain(*numbers)) == [number for number, _ in plan_of(options).instants()]


def test_waiting_for_a_connection_counts_into_the_time() -> None:
    """One connection, sessions of 50 ms, forty a second: each waits for all before it, which a loop would never show."""
    options = Options(rate=40.0, duration="1", warm_up=0.0)

    def slow(_: int) -> bool:
        gevent.sleep(0.05)
        return True

    _, frames = drive(options, slow, connections=1)
    whole = total(frames)
    longest = max(one["rows"]["session"]["times"]["max_s"] for one in frames if "session" in one["rows"])
    assert whole.total.late > 10
    assert longest > 0.4
    assert whole.completed == sum(plan_of(options).offered())


def test_failures_are_counted_apart() -> None:
    options = Options(rate=100.0, duration="1", warm_up=0.0)
    _, frames = drive(options, lambda number: number % 4 != 0)
    whole, offered = total(frames), sum(plan_of(options).offered())
    assert whole.completed + whole.total.failed == offered
    assert whole.total.failed == len(range(0, offered, 4))


def test_what_is_discarded_at_the_start_are_requests_not_sessions() -> None:
    """A session that is due right at the start may be over before the warm-up's requests are discarded."""
    recorder = Recorder("session")
    row = recorder.row(Row("tile"))
    row.times, recorder.session.times, recorder.completed, recorder.done = [0.1], [0.2], 1, 5
    recorder.discard()
    told = recorder.cut(0)
    assert told["rows"].keys() == {"session"}
    assert (told["completed"], told["done"]) == (1, 0)


def test_the_warm_up_is_not_in_the_figures() -> None:
    options = Options(rate=100.0, duration="1", warm_up=1.0)
    asked = itertools.count()
    recorder, frames = drive(options, lambda _: next(asked) >= 0)
    whole, offered = total(frames), sum(plan_of(options).offered())
    assert next(asked) > 1.5 * offered
    assert whole.completed == offered
    assert whole.rows["session"].times.count == offered
    assert recorder.session.times == []
