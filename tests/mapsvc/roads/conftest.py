from __future__ import annotations

import pytest

from geo.warm import warm


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """As a worker does before its first request: deadlines are not for compiling, some seconds on a fresh checkout."""
    warm()
