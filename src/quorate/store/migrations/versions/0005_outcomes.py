"""Outcomes keep every value with its state; what rows turned out to be, and delays, become sums by minute."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _by_minute() -> list[sa.Column[Any]]:
    return [
        sa.Column("endpoint", sa.String(200), primary_key=True),
        sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False),
    ]


def upgrade() -> None:
    """Create the new tables, and carry over what the old ones know."""
    op.rename_table("outcomes", "outcomes_0002")
    op.drop_index("outcomes_state", "outcomes_0002")
    op.create_table(
        "outcomes",
        sa.Column("decision", sa.String(36), primary_key=True),
        sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("metric", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("received", sa.Double, primary_key=True),
        sa.Column("label", sa.Text, nullable=True),
        sa.Column("value", sa.Double, nullable=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sqlite_with_rowid=False,
    )
    names = 'decision, "row", metric, source, received, label, value, at, state'
    op.execute(sa.text(f"INSERT INTO outcomes ({names}) SELECT {names} FROM outcomes_0002"))  # noqa: S608 - no input
    op.drop_table("outcomes_0002")
    open_ones = sa.text("state <> 'joined'")
    op.create_index(
        "outcomes_open", "outcomes", ["state", "decision"], sqlite_where=open_ones, postgresql_where=open_ones
    )
    op.create_table(
        "measured",
        *_by_minute(),
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("strategy", sa.String(200), primary_key=True),
        sa.Column("source", sa.String(20), primary_key=True),
        sa.Column("metric", sa.String(80), primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("decisions", "rows", "row_squares")),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("total", "squares", "products")),
        sqlite_with_rowid=False,
    )
    op.execute(
        sa.text(
            "INSERT INTO measured (endpoint, minute, revision, strategy, source, metric, decisions, rows, row_squares, "
            "total, squares, products) SELECT endpoint, minute, revision, strategy, source, 'truth.' || kind, "
            "count(*), sum(n), sum(n * n), sum(s), sum(s * s), sum(n * s) FROM (SELECT endpoint, minute, revision, "
            "strategy, source, kind, count(*) AS n, sum(loss) AS s FROM judged GROUP BY decision, endpoint, minute, "
            "revision, strategy, source, kind) AS each GROUP BY endpoint, minute, revision, strategy, source, kind"
        )
    )
    op.drop_table("judged")
    op.create_table(
        "told",
        *_by_minute(),
        sa.Column("metric", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(64), primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("joined", "replaced", "late", "invalid")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "delays",
        *_by_minute(),
        sa.Column("metric", sa.String(64), primary_key=True),
        sa.Column("counts", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
