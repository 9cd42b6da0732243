"""How much one address may ask for: a token bucket each, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict

BURST_S = 2.0  # a map that opens asks for some dozen tiles at once: as much as two seconds' worth
ADDRESSES = 50_000  # remembered per worker; the one not seen for longest is forgotten first


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
