"""``quorate apply``: make the endpoints as ``quorate.yaml`` says."""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.cli._config import HERE, Json, Project, home_of, problems_shown, registry_of, store_of
from quorate.cli._output import note, print_json, print_table
from quorate.clock import SystemClock
from quorate.control.audit import local_user
from quorate.control.revisions.apply import apply


def command(
    project: Project = HERE,
    json: Json = False,
    expected: Annotated[
        int | None, typer.Option(help="Apply only if the snapshot still has this version (0: none yet).")
    ] = None,
) -> None:
    """Make the endpoints as quorate.yaml says: new revisions, a new snapshot. Running servers follow at once."""
    home = home_of(project)
    with problems_shown(), store_of(home) as database:
        applied = apply(home, registry_of(home), database, author=local_user(), clock=SystemClock(), expected=expected)
    for notice in applied.notices:
        note(notice)
    if json:
        print_json(applied)
        return
    rows = [
        (name, number, "new revision" if name in applied.changed else "unchanged")
        for name, number in applied.revisions.items()
    ]
    print_table(("endpoint", "revision", "what"), [*rows, *((name, None, "removed") for name in applied.removed)])
    typer.echo(f"snapshot {applied.snapshot_version}")
