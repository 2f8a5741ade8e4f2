"""Experiments: what was registered, who was exposed, what became known, and every look that was taken."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the five tables of experiments."""
    op.create_table(
        "experiments",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("endpoint", sa.String(200), nullable=False),
        sa.Column("registration", sa.Text, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("started", sa.Double, nullable=True),
        sa.Column("ended", sa.Double, nullable=True),
        sa.Column("base_revision", sa.Integer, nullable=True),
        sa.Column("revision", sa.Integer, nullable=True),
        sa.Column("verdict", sa.Text, nullable=True),
        sa.Column("conclusion", sa.Text, nullable=True),
    )
    op.create_index("experiments_state", "experiments", ["state", "endpoint"])
    op.create_table(
        "experiment_exposures",
        sa.Column("experiment", sa.String(32), primary_key=True),
        sa.Column("decision", sa.String(36), primary_key=True),
        sa.Column("unit", sa.Text, nullable=True),
        sa.Column("arm", sa.String(200), nullable=False),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("arrived", sa.Double, nullable=False),
        sa.Column("latency_ms", sa.Double, nullable=True),
        sa.Column("error", sa.Boolean, nullable=False),
        sa.Column("degraded", sa.Boolean, nullable=False),
        sa.Column("fallback", sa.Boolean, nullable=False),
        sa.Column("keys", sa.Text, nullable=True),
    )
    op.create_table(
        "experiment_values",
        sa.Column("experiment", sa.String(32), primary_key=True),
        sa.Column("decision", sa.String(36), primary_key=True),
        sa.Column("metric", sa.String(100), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("total", sa.Double, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_table(
        "experiment_covariates",
        sa.Column("experiment", sa.String(32), primary_key=True),
        sa.Column("unit", sa.String(1000), primary_key=True),
        sa.Column("value", sa.Double, nullable=False),
    )
    op.create_table(
        "experiment_looks",
        sa.Column("experiment", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
