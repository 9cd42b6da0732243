"""Everything that the first release needs: tables, views, functions, and partitions for the hours to come."""

from __future__ import annotations

from pathlib import Path

from sql.script import run_function, run_script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    run_script(HERE / "0001_tables.sql")
    run_script(HERE / "0001_views.sql")
    for name in ("clock_ms", "shard_of_key", "door_error", "apply_batch", "confirm_batch", "reset_order", "partitions"):
        run_function(name)
    run_script(HERE / "0001_first_partitions.sql")
