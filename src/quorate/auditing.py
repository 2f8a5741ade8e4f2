"""Auditing a pool from Python: what each member is worth, which are alike, and which can go."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quorate.control.pool_audits.asked import Answer, Question
from quorate.control.pool_audits.local import audit_here
from quorate.errors import ConfigError
from quorate.home import Home
from quorate.store.database import Database


def audit_pool(
    project: str | Path,
    name: str,
    *,
    strategy: str | Mapping[str, Any] | None = None,
    metric: str | None = None,
    margin: float | None = None,
    since: float | None = None,
    until: float | None = None,
    costs: Mapping[str, float] | None = None,
    rows: str | Path | None = None,
) -> Answer:
    """What the members of an endpoint or pool are worth, and which can go, by logged decisions or a file of ``rows``.

    ``project`` is the folder of ``quorate.yaml``, served at this moment or not; times are Unix seconds.
    :class:`~quorate.errors.InvalidInput` where there is too little to say, :class:`~quorate.errors.NotFound`, and
    :class:`~quorate.errors.Conflict` while an experiment hides the endpoint. See docs/pool-audit.md.
    """
    home = Home(Path(project).resolve())
    if not home.config.exists():
        raise ConfigError(f"There is no project in {home.root}: no quorate.yaml. Name the folder that holds it.")
    question = Question(name, strategy, metric, margin, since, until, costs)
    database = Database(home.store_url)
    try:
        database.migrate()
        return audit_here(home, database, question, None if rows is None else Path(rows))
    finally:
        database.close()
