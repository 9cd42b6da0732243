"""Statuses of many shards in one batch: `apply_statuses`, which `apply_batch` calls for its own (decision 12)."""

from __future__ import annotations

from sql.script import run_function

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("apply_statuses", "apply_batch"):
        run_function(name)
