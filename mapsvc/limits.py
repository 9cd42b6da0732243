"""How much one address may ask for: a token bucket each, in bounded memory.

An address is the peer's of the connection. X-Forwarded-For is not read: anybody can write it. Behind a proxy all
connections come from the proxy's address, so there the limits are the proxy's business and set to 0 here.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

BURST_S = 2.0  # a map that opens asks for some dozen tiles at once: as much as two seconds' worth
ADDRESSES = 50_000  # remembered per worker; the one not seen for longest is forgotten first


@lru_cache(ADDRESSES)
def network_of(address: str) -> str:
    """Whom limits count as one: an IPv4 address, or the /64 that one IPv6 subscriber has to choose from."""
    try:
        parsed = ip_address(address)
    except ValueError:  # a unix socket has none
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:  # a listener on both shows IPv4 as ::ffff:192.0.2.1
            return str(parsed.ipv4_mapped)
        return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return address


class RateLimit:
    """`per_second` requests of one address, per worker process; 0: no limit."""

    def __init__(self, per_second: int) -> None:
        self._rate = float(per_second)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> (tokens, at)

    def wait_s(self, address: str, now_s: float) -> float:
        """0.0 and a token is taken, or how many seconds until there is one."""
        if not self._rate:
            return 0.0
        burst = self._rate * BURST_S
        tokens, at = self._buckets.get(address, (burst, now_s))
        tokens = min(burst, tokens + (now_s - at) * self._rate)
        if tokens < 1.0:
            return (1.0 - tokens) / self._rate
        self._buckets[address] = (tokens - 1.0, now_s)
        self._buckets.move_to_end(address)
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)
        return 0.0
