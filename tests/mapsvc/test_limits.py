"""The rate limit of one address: at the limit and one above, and how it forgets."""

from __future__ import annotations

import pytest

from mapsvc.limits import ADDRESSES, BURST_S, RateLimit, network_of


def test_a_burst_passes_and_the_next_request_waits() -> None:
    limit = RateLimit(10)
    burst = int(10 * BURST_S)
    assert [limit.wait_s("a", 0.0) for _ in range(burst)] == [0.0] * burst
    assert limit.wait_s("a", 0.0) == 0.1
    assert limit.wait_s("b", 0.0) == 0.0, "another address has its own"


def test_tokens_come_back_with_time_up_to_one_burst() -> None:
    limit = RateLimit(10)
    for _ in range(20):
        limit.wait_s("a", 0.0)
    assert limit.wait_s("a", 0.1) == 0.0
    assert limit.wait_s("a", 0.1) > 0.0
    assert sum(limit.wait_s("a", 1000.0) == 0.0 for _ in range(100)) == 20


def test_zero_means_no_limit() -> None:
    limit = RateLimit(0)
    assert all(limit.wait_s("a", 0.0) == 0.0 for _ in range(1000))


def test_memory_is_bounded_whoever_comes() -> None:
    limit = RateLimit(1)
    for i in range(ADDRESSES + 100):
        limit.wait_s(str(i), 0.0)
    assert len(limit._buckets) == ADDRESSES


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("", ""),
        ("fe80::1%eth0", "fe80::/64"),
        ("/run/a.sock", "/run/a.sock"),
    ],
)
def test_whom_a_limit_counts_as_one(address: str, network: str) -> None:
    assert network_of(address) == network
