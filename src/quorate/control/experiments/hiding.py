"""What operators may not see before the verdict, where that was registered: how the arms of an endpoint do."""

from __future__ import annotations

import sqlalchemy as sa

from quorate.errors import Conflict
from quorate.store.experiments import RUNNING, experiments


def require_shown(connection: sa.Connection, endpoint: str, revision: int | None = None) -> None:
    """:class:`Conflict` while an experiment hides how strategies of the endpoint do, in ``revision`` or (None) any."""
    for found in experiments(connection, states=(RUNNING,), endpoint=endpoint):
        if found.registration.get("hide_until_verdict") and revision in (None, found.revision):
            raise Conflict(
                f"Endpoint '{endpoint}' is under experiment '{found.name}' ({found.id}), which hides its arms until "
                "the verdict; ask again then, or stop it.",
                path="name",
            )
