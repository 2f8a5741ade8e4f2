"""Run by Alembic: migrate on the connection, and inside the transaction, that ``Database.migrate`` opened."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
