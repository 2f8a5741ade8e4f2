"""Trust in the experts of combiners that learn, over time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create the table of experts."""
    op.create_table(
        "experts",
        sa.Column("endpoint", sa.String(200), primary_key=True),
        sa.Column("strategy", sa.String(200), primary_key=True),
        sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("point", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
