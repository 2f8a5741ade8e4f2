"""Pool audits: what was asked, and what came of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Create the table of pool audits."""
    op.create_table(
        "pool_audits",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("endpoint", sa.String(200), nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("started", sa.Double, nullable=True),
        sa.Column("finished", sa.Double, nullable=True),
        sa.Column("answer", sa.Text, nullable=True),
        sa.Column("error", sa.Text, nullable=True),
    )
    op.create_index("pool_audits_state", "pool_audits", ["state", "created"])
