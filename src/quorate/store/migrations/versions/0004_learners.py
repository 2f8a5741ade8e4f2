"""What policies have learned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table of learners."""
    op.create_table(
        "learners",
        sa.Column("endpoint", sa.String(200), primary_key=True),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
    )
