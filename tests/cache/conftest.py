"""A made-up database in front of a real Redis, or of a real Cluster of three."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from cache.client import CLUSTER_SCHEME
from tests.cache.source import Source


@pytest.fixture
def cluster_url(redis_cluster_url: str) -> str:
    return CLUSTER_SCHEME + redis_cluster_url.partition("://")[2].removesuffix("/0")


@pytest_asyncio.fixture
async def source(redis_url: str) -> AsyncIterator[Source]:
    source = Source(redis_url)
    await source.begin()
    yield source
    await source.close()
