"""What `mapsvc up` prints when the service answers: where it is, and three commands that work."""

from __future__ import annotations

from urllib.parse import urlsplit

import aiohttp

from geo.tilemath import tile_of

TIMEOUT_S = 5.0
ANYWHERE = (48.8566, 2.3522)  # a point to ask about when there is no station yet
DETAIL_ZOOM = 14


async def lines(address: str, public_url: str | None, admin_port: int) -> list[str]:
    base = reachable(address)
    lat, lon = await somewhere(base)
    tile = tile_of(lat, lon, DETAIL_ZOOM)
    return [
        "",
        f"  Map:       {base}/" + (f"  (public: {public_url})" if public_url else ""),
        f"  Metrics:   http://127.0.0.1:{admin_port}/metrics",
        f"  Ops view:  http://127.0.0.1:{admin_port}/ops",
        "",
        f"  curl {base}/healthz",
        f"  curl '{base}/v1/nearby?lat={lat:.5f}&lon={lon:.5f}&limit=3'",
        f"  curl --compressed -o tile.mvt {base}/v1/tiles/stations/{tile.z}/{tile.x}/{tile.y}.mvt",
        "",
        "  Ctrl-C stops it.",
        "",
    ]


def reachable(address: str) -> str:
    """The address as a client on this machine uses it: 0.0.0.0 is one to listen on, not one to go to."""
    url = urlsplit(address)
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(url.hostname or "", url.hostname or "")  # noqa: S104
    return f"{url.scheme}://{host}:{url.port}" if url.port else f"{url.scheme}://{host}"


async def somewhere(base: str) -> tuple[float, float]:
    """The position of any one station."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{base}/v1/stations?bbox=-180,-90,180,90&limit=1") as response,
        ):
            station = (await response.json())["stations"][0]
            return float(station["lat"]), float(station["lon"])
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, IndexError, TypeError):
        return ANYWHERE
