"""Alembic's entry point. The connection, already inside a locked transaction, comes from sql.migrate alone."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from sql.tables import metadata

connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
