"""``quorate diff``: what would ``quorate apply`` change?"""

from __future__ import annotations

import json as json_text
from typing import Any

import typer

from quorate.cli._config import HERE, Json, Project, home_of, problems_shown, registry_of, store_of
from quorate.cli._output import print_json
from quorate.control.revisions.diff import Difference, diff

_DIFFERENT = 1


def command(project: Project = HERE, json: Json = False) -> None:
    """Show what apply would change. Exits with 1 if there is something, with 2 if the file is wrong."""
    home = home_of(project)
    with problems_shown(), store_of(home) as database:
        found = diff(home, registry_of(home), database)
    if json:
        print_json(found)
    else:
        for difference in found:
            _show(difference)
        if not found:
            typer.echo("Nothing would change.")
    if found:
        raise typer.Exit(_DIFFERENT)


def _show(difference: Difference) -> None:
    name = "settings" if difference.endpoint is None else f"endpoint {difference.endpoint}"
    match difference.action:
        case "add":
            typer.echo(f"+ {name}: new")
        case "remove":
            typer.echo(f"- {name}: removed (revision {difference.revision} is served now)")
        case "change":
            now = "" if difference.revision is None else f" (revision {difference.revision} is served now)"
            typer.echo(f"~ {name}{now}")
            for change in difference.changes:
                typer.echo(f"    {change.path}: {_value(change.before)} -> {_value(change.after)}")


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else "none" if value is None else json_text.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
