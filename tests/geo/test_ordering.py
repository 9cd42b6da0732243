"""The ordering rule against the vectors that SQL follows too (tests/sql/test_apply_batch.py). Promise R2."""

from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.ordering import OrderKey, Reported, Verdict, supersedes
from geo.station import Status
from tests.vectors import OrderingVector, ordering

reports = st.builds(
    Reported, st.builds(OrderKey, st.integers(0, 3), st.integers(0, 3)), st.sampled_from(list(Status)[:3])
)


@pytest.mark.parametrize("vector", ordering(), ids=lambda vector: vector.name)
def test_vectors_hold(vector: OrderingVector) -> None:
    assert supersedes(vector.new, vector.old) is vector.verdict


def accept(old: Reported | None, new: Reported) -> Reported | None:
    return old if supersedes(new, old) is Verdict.LATE else new


@given(st.lists(reports, min_size=1))
def test_what_stands_is_the_last_received_of_the_highest_key(received: list[Reported]) -> None:
    highest = max(report.key for report in received)
    assert reduce(accept, received, None) == [report for report in received if report.key == highest][-1]


@given(st.lists(reports, min_size=1))
def test_receiving_the_last_report_again_changes_nothing(received: list[Reported]) -> None:
    standing = reduce(accept, received, None)
    assert standing is not None
    assert supersedes(standing, standing) is Verdict.CONFIRMED
    assert supersedes(received[-1], standing) in (Verdict.CONFIRMED, Verdict.LATE)
