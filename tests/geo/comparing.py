"""Answers of the world against those of the oracle, as strict as floating point lets them be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geo.filters import Filter
from geo.nearby import Hits
from geo.point import LatLon
from geo.select import Nearest, nearest, select
from geo.world import World
from tests.geo.model_world import CLASSES, Found, ModelWorld

NOISE_M = 1e-5  # a distance of two unit vectors is exact to about 1e-8 m; what lies closer together may change places


def assert_ranked(hits: Sequence[Found], expected: Sequence[Found], radius_m: float, limit: int) -> None:
    """`hits` are the first `limit` of `expected` (all that match within radius_m + NOISE_M, in order).

    Distances that floating point can tell apart decide; of stations on one spot (equal distance in `expected`) the ids.
    """
    sure = sum(found.metres <= radius_m - NOISE_M for found in expected)
    assert min(sure, limit) <= len(hits) <= min(len(expected), limit)
    start = 0
    while start < len(hits):
        end = start + 1
        while end < len(expected) and expected[end].metres - expected[end - 1].metres <= NOISE_M:
            end += 1
        group, got = expected[start:end], hits[start:end]
        for hit in got:
            assert abs(hit.metres - group[0].metres) <= NOISE_M * (end - start)
        if group[0].metres == group[-1].metres:
            assert [hit.num for hit in got] == [found.num for found in group[: len(got)]]
        else:
            assert {hit.num for hit in got} <= {found.num for found in group}
            assert len({hit.num for hit in got}) == len(got)
        start = end


def found(world: World, hits: Hits | Nearest) -> list[Found]:
    rows = hits.rows.tolist()
    return [
        Found(metres, world.key(row), int(world.stations.num[row]))
        for row, metres in zip(rows, hits.metres, strict=True)
    ]


def assert_nearby(world: World, model: ModelWorld, at: LatLon, radius_m: float, limit: int, wanted: Filter) -> None:
    """Which stations, in which order, with which counts and powers, and how many were left out for unknown hours."""
    hits: Hits | Nearest
    if wanted:
        hits = nearest(world, at, radius_m, limit, wanted)
        excluded = hits.unknown_hours
        chosen = select(world, hits.rows, wanted)
        assert chosen.counts.tolist() == hits.counts.tolist()
        assert chosen.max_kw.tolist() == hits.max_kw.tolist()
    else:
        hits, excluded = world.nearby.nearest(at, radius_m, limit), 0
    around = model.within(*at, radius_m + NOISE_M)
    passes = {f.num: model.passes(f.num, wanted) for f in around}
    assert_ranked(found(world, hits), [f for f in around if passes[f.num]], radius_m, limit)
    assert_selected(world, model, hits.rows, wanted)

    reach_m = hits.metres[-1] if len(hits.rows) == limit else radius_m
    unknown = [f.metres for f in around if passes[f.num] is None]
    assert sum(m <= reach_m - NOISE_M for m in unknown) <= excluded <= sum(m <= reach_m + NOISE_M for m in unknown)


def assert_selected(world: World, model: ModelWorld, rows: np.ndarray, wanted: Filter) -> None:
    """What a filter keeps of these rows, and the counts and powers that follow it."""
    chosen = select(world, rows, wanted)
    nums = world.stations.num[rows].tolist()
    verdicts = [model.passes(num, wanted) for num in nums]
    assert chosen.keep.tolist() == [verdict is True for verdict in verdicts]
    assert chosen.unknown_hours.tolist() == [verdict is None for verdict in verdicts]
    for num, counts, kw in zip(nums, chosen.counts.tolist(), chosen.max_kw.tolist(), strict=True):
        assert dict(zip(CLASSES, counts, strict=True)) == model.counts(num, wanted.connector)
        assert round(kw, 1) == model.max_kw(num, wanted.connector)
