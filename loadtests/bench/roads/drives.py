"""Nearby by drive time, beside Valhalla's own matrix over the nearest by air line and over all stations within the radius.

The last one is the oracle: every answer of ours is compared with it. Valhalla's `matrix_locations` is what one would ask for
to have the ten nearest of fifty; the table says how many of the ten it misses, as it goes by Valhalla's cost and not by time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

from loadtests.bench.questions import RADIUS_M, Point, nudged
from loadtests.bench.results import Result
from loadtests.bench.roads import oracle, valhalla
from loadtests.bench.roads.asking import Contender, Question, in_turns
from loadtests.bench.roads.oracle import LIMIT, Seconds
from loadtests.bench.roads.stand import Stand

SHORTLIST = 50
GOAL_MS = 15.0
OURS, FIFTY, FIRST, ALL = (
    "ours, nearby by drive time", f"Valhalla's matrix, the {SHORTLIST} nearest by air line",
    f"Valhalla's matrix, the same, matrix_locations={LIMIT}", "Valhalla's matrix, all within the radius",
)  # fmt: skip
ASKED, GROWN = "mapsvc_drive_times_asked_total", "mapsvc_drive_times_grown_total"


class Counted(NamedTuple):
    """Shortlists, by the service's own metrics."""

    asked: float
    grown: float

    def __sub__(self, before: Counted) -> Counted:
        return Counted(self.asked - before.asked, self.grown - before.grown)


class Tally:
    """What the answers said, besides how long they took."""

    def __init__(self) -> None:
        self.compared = self.degraded = self.unproven = self.off = 0
        self.missed = dict.fromkeys((FIFTY, FIRST), 0)

    def mean_missed(self, name: str) -> float:
        return round(self.missed[name] / max(1, self.compared), 2)


def measure(stand: Stand, result: Result) -> None:
    before = _counted(stand)
    _check(stand, result)
    _warm_up(stand)
    warmed = _counted(stand) - before
    contenders, rows = _contenders(stand, stand.origins)
    tally = Tally()

    def heed(number: int, answers: Mapping[str, bytes]) -> None:
        _compare(answers, [stand.places.ids[row] for row in rows[number]], tally)

    stand.say(f"drive times at {len(stand.origins)} places, in turns with Valhalla's matrices")
    before = _counted(stand)
    asked = in_turns(contenders, stand.meter, stand.scale.drives_s, heed)
    grown = (_counted(stand) - before).grown
    within = sum(len(some) for some in rows[:asked]) / asked
    result.conditions |= {
        "stations within the radius, mean": f"{within:.0f}",
        "radius": f"{RADIUS_M:.0f} m",
        "limit": LIMIT,
    }
    for one in contenders:
        figures = one.figures()
        if one.name == OURS:
            figures |= {"grown": round(grown), "not proven": tally.unproven, "degraded": tally.degraded}
        figures[f"missed of {LIMIT}"] = tally.mean_missed(one.name) if one.name in tally.missed else 0.0
        result.row(one.name, figures)
    result.check(
        f"{tally.compared} timed answers, each with the {LIMIT} soonest of all within the radius, {tally.off} of the "
        f"{LIMIT * tally.compared} times a second off (Valhalla's matrix cuts to seconds, and positions are known to 0.1 m)",
        stand.say,
    )
    result.goal(
        f"nearby by drive time, {stand.service.area.name}, p50", contenders[0].p50_ms, at_most=GOAL_MS, unit="ms"
    )
    result.goal("answers without drive times", tally.degraded, at_most=0)
    result.notes.append(
        f"{grown:.0f} of {asked} shortlists had to grow, as they did not reach as far as one could drive in the time of the "
        f"{LIMIT}th; of {warmed.asked:.0f} questions before, with which the service learns how far to look in a neighbourhood, "
        f"{warmed.grown:.0f}. The {SHORTLIST} nearest by air line alone would have missed {tally.missed[FIFTY]} of "
        f"{LIMIT * tally.compared} stations; matrix_locations={LIMIT} misses {tally.missed[FIRST]}."
    )


def _check(stand: Stand, result: Result) -> None:
    """A sample before anything is timed, at places that are not. Ours are asked twice: the first time the service finds out
    where its stations meet roads, which may take longer than it lets a driver wait."""
    tally = Tally()
    sample = nudged(stand.origins, 1, seed=2)[: stand.scale.sample]
    contenders, rows = _contenders(stand, sample)
    for number in range(len(sample)):
        stand.ours.ask(contenders[0].questions[number])
        answers = {one.name: one.caller.ask(one.questions[number]) for one in contenders}
        _compare(answers, [stand.places.ids[row] for row in rows[number]], tally)
    result.check(
        f"{tally.compared} answers of {len(sample)} before anything was timed, {tally.unproven} of them not proven",
        stand.say,
    )


def _warm_up(stand: Stand) -> None:
    """The neighbourhoods of all origins, as they are after minutes of use; no question is one that is timed."""
    ending = time.monotonic() + stand.scale.warm_up_s
    for number, question in enumerate(_questions(nudged(stand.origins, 1, seed=3)), 1):
        stand.ours.ask(question)
        if time.monotonic() > ending:
            stand.say(f"warmed up at {number} of {len(stand.origins)} places only: it takes its time here")
            return


def _compare(answers: Mapping[str, bytes], ids: list[str], tally: Tally) -> None:
    """WrongAnswerError."""
    every: Seconds = {one: s for one, s in zip(ids, valhalla.times(answers[ALL]), strict=True) if s is not None}
    if oracle.is_degraded(answers[OURS]):
        tally.degraded += 1
        return
    tally.compared += 1
    compared = oracle.check_drive_times(OURS, answers[OURS], every)
    tally.unproven += not compared.is_proven
    tally.off += compared.off
    best = oracle.soonest(every.values())
    for name in tally.missed:
        told = [seconds for seconds in valhalla.times(answers[name]) if seconds is not None]
        tally.missed[name] += oracle.missed(best, oracle.soonest(told))


def _questions(points: list[Point]) -> list[Question]:
    return [Question(f"/v1/nearby?lat={lat}&lon={lon}&limit={LIMIT}&sort=drive_time") for lat, lon in points]


def _contenders(stand: Stand, points: list[Point]) -> tuple[list[Contender], list[list[int]]]:
    """And the rows of the stations within the radius of each point."""
    places = stand.places
    within = [places.within(at, RADIUS_M) for at in points]
    nearest = [places.locations(rows[:SHORTLIST]) for rows in within]
    pairs = list(zip(points, nearest, strict=True))
    every = [valhalla.matrix(at, places.locations(rows)) for at, rows in zip(points, within, strict=True)]
    contenders = [
        Contender(OURS, stand.ours, _questions(points)),
        Contender(FIFTY, stand.direct, [valhalla.matrix(at, some) for at, some in pairs]),
        Contender(FIRST, stand.direct, [valhalla.matrix(at, some, matrix_locations=LIMIT) for at, some in pairs]),
        Contender(ALL, stand.direct, every),
    ]
    return contenders, [rows.tolist() for rows in within]


def _counted(stand: Stand) -> Counted:
    return Counted(*(sum(stand.service.metric(name).values()) for name in (ASKED, GROWN)))
