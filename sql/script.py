"""Running .sql files from migrations.

Alembic's `op.execute` takes one statement and reads `:name` as a parameter; a file holds many statements and bodies in
plpgsql. So the file goes to asyncpg as it stands, on the migration's own connection and in its transaction.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

FUNCTIONS = Path(__file__).parent / "functions"


def run_script(path: Path) -> None:
    script = path.read_text(encoding="utf-8")
    bind = op.get_bind()
    bind.exec_driver_sql("SELECT 1")  # the adapter begins its transaction with the first statement
    adapter = bind.connection.dbapi_connection
    assert adapter is not None
    adapter.run_async(lambda connection: connection.execute(script))


def run_function(name: str) -> None:
    """(Re-)create what functions/<name>.sql defines. A later migration calls this again after the file changed."""
    run_script(FUNCTIONS / f"{name}.sql")
