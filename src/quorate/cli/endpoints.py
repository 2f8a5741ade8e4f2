"""``quorate endpoints``: what is served, and how each endpoint came to its revision."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from quorate.cli._config import HERE, Json, Project, home_of, store_of
from quorate.cli._output import print_table
from quorate.codecs import snapshot
from quorate.codecs.snapshot import EndpointRoute, FrontRoute, Routing
from quorate.errors import NotFound
from quorate.home import Home
from quorate.store.revisions import revisions


def command(
    name: Annotated[str | None, typer.Argument(help="An endpoint, to list its revisions.")] = None,
    project: Project = HERE,
    json: Json = False,
) -> None:
    """List the endpoints and fronts that are served, or the revisions of one."""
    home = home_of(project)
    routing = _routing(home)
    served = {endpoint.name: endpoint for endpoint in routing.endpoints}
    fronts = {front.name: front for front in routing.fronts}
    if name is not None:
        _revisions(home, name, served.get(name) or fronts.get(name), json=json)
        return
    rows: list[tuple[Any, ...]] = [
        (
            e.name,
            e.revision,
            e.pool,
            ", ".join(s.name for s in e.strategies),
            e.policy.kind,
            e.policy.blind,
            e.deadline_ms,
        )
        for e in sorted(served.values(), key=lambda e: e.name)
    ]
    for front in sorted(fronts.values(), key=lambda f: f.name):
        targets = dict.fromkeys([*(rule.to for rule in front.rules), front.otherwise])
        rows.append((front.name, front.revision, None, ", ".join(targets), "front", None, None))
    print_table(("endpoint", "revision", "pool", "strategies", "policy", "blind", "deadline_ms"), rows, json=json)


def _routing(home: Home) -> Routing:
    # Without a snapshot nothing is served; that is an answer, not an error.
    none = snapshot.current_version(home.snapshot) is None
    return Routing(version=0) if none else snapshot.read(home.snapshot)


def _revisions(home: Home, name: str, served: EndpointRoute | FrontRoute | None, *, json: bool) -> None:
    with store_of(home) as database, database.read() as connection:
        found = revisions(connection, name)
    if not found:
        raise NotFound(f"There is no endpoint '{name}'; `quorate endpoints` lists them.")
    rows = [
        (
            revision.number,
            served is not None and revision.number == served.revision,
            datetime.fromtimestamp(revision.created, UTC).isoformat(timespec="seconds"),
            revision.author,
            revision.digest[:12],
        )
        for revision in found
    ]
    print_table(("revision", "served", "created", "author", "digest"), rows, json=json)
