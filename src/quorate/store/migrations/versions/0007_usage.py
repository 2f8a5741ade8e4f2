"""What serving used by minute, the switches of endpoints, and what was promised of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_SUMS = ("seconds", "cpu_s", "byte_s", "run_s", "runs", "requests")


def upgrade() -> None:
    """Create the tables of usage, switches and plans."""
    op.create_table(
        "usage_minutes",
        sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(10), primary_key=True),
        sa.Column("name", sa.String(200), primary_key=True),
        *(sa.Column(name, sa.Double, nullable=False) for name in _SUMS),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "switches",
        sa.Column("endpoint", sa.String(200), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("cause", sa.String(10), nullable=False),
        sa.Column("mark", sa.String(80), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.UniqueConstraint("endpoint", "cause", "mark", name="switches_mark"),
    )
    op.create_table(
        "switch_plans",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("endpoint", sa.String(200), nullable=False),
        sa.Column("made", sa.Double, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("target", sa.String(80), nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
    )
    op.create_index("switch_plans_endpoint", "switch_plans", ["endpoint", "made"])
