"""What is known from the journals: how far they are read, traffic by minute, outcomes, judged rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the ledger's tables."""
    op.create_table(
        "journal_offsets",
        sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("boot", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.Boolean, nullable=False),
        sa.Column("damaged", sa.BigInteger, nullable=False),
        sa.Column("unreadable", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "traffic",
        sa.Column("endpoint", sa.String(200), primary_key=True),
        sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("strategy", sa.String(200), primary_key=True),
        sa.Column("source", sa.String(20), primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("errors", sa.BigInteger, nullable=False),
        sa.Column("degraded", sa.BigInteger, nullable=False),
        sa.Column("fallbacks", sa.BigInteger, nullable=False),
        sa.Column("latency", sa.Text, nullable=False),
    )
    op.create_table(
        "outcomes",
        sa.Column("decision", sa.String(36), primary_key=True),
        sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("metric", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("label", sa.Text, nullable=True),
        sa.Column("value", sa.Double, nullable=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("received", sa.Double, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
    )
    op.create_index("outcomes_state", "outcomes", ["state", "decision"])
    op.create_table(
        "judged",
        sa.Column("decision", sa.String(36), primary_key=True),
        sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("endpoint", sa.String(200), nullable=False),
        sa.Column("minute", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("strategy", sa.String(200), nullable=False),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("loss", sa.Double, nullable=False),
        sa.Column("truth_source", sa.String(64), nullable=False),
    )
    op.create_index("judged_endpoint", "judged", ["endpoint", "minute"])
