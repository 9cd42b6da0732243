"""What another layout of keys left behind is dropped; ours stays."""

from __future__ import annotations

from cache.client import Cache
from cache.keys import ShardKeys, seen_key
from cache.writer import unlink_other_layouts


async def test_only_keys_of_other_layouts_are_dropped(redis_url: str) -> None:
    cache = Cache(redis_url)
    try:
        ours = [
            ShardKeys(3, 7).head,
            ShardKeys(15, 7).stations("84be0e3ffffffff"),
            seen_key(0),
            "mapsvc:control",
            "other",
        ]
        theirs = ["{s03}:7:head", "{s03}:v1:7:head", "{s15}:seen", "{s15}:v1:seen"]
        for key in ours + theirs:
            await cache.call("SET", key, "x")
        assert await unlink_other_layouts(cache) == len(theirs)
        assert sorted(key.decode() for key in await cache.call("KEYS", "*")) == sorted(ours)
    finally:
        await cache.close()
