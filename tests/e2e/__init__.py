"""End to end: real processes, a real PostgreSQL and Redis, and what must hold while they are killed."""

import pytest

pytest.register_assert_rewrite("tests.e2e.compare", "tests.e2e.ledger", "tests.e2e.readers", "tests.e2e.stack")
