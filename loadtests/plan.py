"""When sessions arrive: Poisson arrivals at a rate that follows a shape. Pure and seeded.

Open loop: an arrival comes when the plan says so, whatever the server does, as drivers do who do not know of one another.
Method: inversion (E. Çinlar, "Introduction to Stochastic Processes", 1975, 4.7). With r(t) the rate and Λ(t) its integral,
the points Λ⁻¹(S₁), Λ⁻¹(S₂), … of a unit-rate Poisson process S are a Poisson process of rate r. Here r is linear piece by
piece, so Λ is a parabola piece by piece and its inverse has a closed form.

Time 0 is the start of what is measured; the warm-up before it has negative times. The k-th arrival belongs to load
generator k mod n, so each of n generators walks the same seeded sequence, and together they are the plan exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CHUNK = 4096  # arrivals drawn at once
RAMP_STEPS = 8
SPIKE_BASE = 0.25  # of the top rate, before and after the spike
SPIKE_FROM, SPIKE_TO = 0.4, 0.6  # of the duration


class Piece(NamedTuple):
    """A stretch of time whose rate goes in a straight line from one value to another."""

    start_s: float
    end_s: float
    rate_from: float
    rate_to: float

    @property
    def arrivals(self) -> float:
        """How many are expected."""
        return (self.end_s - self.start_s) * (self.rate_from + self.rate_to) / 2


class Shape(NamedTuple):
    """How the rate goes from its beginning to its end, and how long it takes unless told otherwise."""

    pieces: Callable[[float, float], list[Piece]]
    duration_s: float
    help: str


def _steady(rate: float, duration_s: float) -> list[Piece]:
    return [Piece(0.0, duration_s, rate, rate)]


def _ramp(rate: float, duration_s: float) -> list[Piece]:
    """A staircase: each step is a steady measurement of its own, which a slope would not be."""
    edges = [duration_s * i / RAMP_STEPS for i in range(RAMP_STEPS + 1)]
    heights = [rate * (i + 1) / RAMP_STEPS for i in range(RAMP_STEPS)]
    return [Piece(edges[i], edges[i + 1], height, height) for i, height in enumerate(heights)]


def _spike(rate: float, duration_s: float) -> list[Piece]:
    base, begins, ends = rate * SPIKE_BASE, duration_s * SPIKE_FROM, duration_s * SPIKE_TO
    return [Piece(0.0, begins, base, base), Piece(begins, ends, rate, rate), Piece(ends, duration_s, base, base)]


SHAPES = {
    "steady": Shape(_steady, 60.0, "the rate, all the time"),
    "ramp": Shape(_ramp, 120.0, f"{RAMP_STEPS} steps up to the rate, ending early at the first that does not hold"),
    "spike": Shape(_spike, 60.0, f"{SPIKE_BASE:.0%} of the rate, all of it for a fifth of the time, {SPIKE_BASE:.0%}"),
    "soak": Shape(_steady, 1800.0, "the rate for half an hour; what grows meanwhile is told"),
}


def parse_duration(text: str) -> float:
    """Seconds of `90`, `90s`, `5m` or `1h30m`. Raises ValueError that says what is allowed."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    if found is None or not any(found.groups()):
        raise ValueError(f"a duration is such as 90, 90s, 5m or 1h30m, not {text!r}")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    if not (total := 3600 * hours + 60 * minutes + seconds) > 0:
        raise ValueError("a duration is longer than nothing")
    return total


class Plan:
    """All arrivals of a run."""

    def __init__(self, shape: str, rate: float, duration_s: float, *, warm_up_s: float = 0.0, seed: int = 1) -> None:
        if not rate > 0:
            raise ValueError("the rate is a number above 0")
        self.duration_s, self.warm_up_s, self.seed = duration_s, warm_up_s, seed
        self.steps = SHAPES[shape].pieces(rate, duration_s)
        first = self.steps[0].rate_from
        self._pieces = [Piece(-warm_up_s, 0.0, first, first)] if warm_up_s else []
        self._pieces += self.steps

    def instants(self, position: int = 0, of: int = 1) -> Iterator[tuple[int, float]]:
        """(number, seconds) of the arrivals of load generator `position` of `of`, in order."""
        for first, times in self._chunks():
            mine = slice((position - first) % of, None, of)
            yield from zip(range(first, first + len(times))[mine], times[mine].tolist(), strict=True)

    def offered(self) -> list[int]:
        """Arrivals in each second that is measured; the last may be a part of one."""
        counts = np.zeros(int(np.ceil(self.duration_s)), np.int64)
        for _, times in self._chunks():
            np.add.at(counts, np.floor(times[times >= 0]).astype(np.int64), 1)
        return [int(count) for count in counts]

    def _chunks(self) -> Iterator[tuple[int, Floats]]:
        """All arrivals: the number of the chunk's first, their instants."""
        rng = np.random.default_rng(self.seed)
        edges = np.cumsum([0.0, *(piece.arrivals for piece in self._pieces)])
        number, reached = 0, 0.0
        while reached < edges[-1]:
            unit = reached + np.cumsum(rng.exponential(size=CHUNK))
            reached = float(unit[-1])
            times = self._inverse(unit[unit < edges[-1]], edges)
            yield number, times
            number += len(times)

    def _inverse(self, unit: Floats, edges: Floats) -> Floats:
        """Λ⁻¹ of rising values below Λ(end)."""
        which = np.searchsorted(edges, unit, side="right") - 1
        start, end, low, high = (np.array(column)[which] for column in zip(*self._pieces, strict=True))
        slope, above = (high - low) / (end - start), unit - edges[which]
        # The root of low·t + slope·t²/2 = above, in the form that loses nothing when the slope is 0.
        times: Floats = start + 2 * above / (low + np.sqrt(np.maximum(low**2 + 2 * slope * above, 0.0)))
        return times
