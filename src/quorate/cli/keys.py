"""``quorate keys``: make, list and revoke API keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from quorate.cli._config import HERE, Json, Project, home_of, store_of
from quorate.cli._output import note, print_json, print_table
from quorate.clock import SystemClock
from quorate.control import keys
from quorate.control.audit import local_user
from quorate.store.keys import Key

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help="Make, list and revoke API keys."
)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for, in your words.")],
    role: Annotated[list[str], typer.Option("--role", help="predict, outcome, operate or admin; may be repeated.")],
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Make a key and show its secret, this once."""
    home = home_of(project)
    with store_of(home) as database:
        key, secret = keys.create(home, database, name=name, roles=role, author=local_user(), clock=SystemClock())
    if json:
        print_json({"id": key.id, "name": key.name, "roles": key.roles, "secret": secret})
        return
    note(f"{key.id} ({', '.join(key.roles)}). The secret is shown this once; keep it safe:")
    typer.echo(secret)


@app.command("list")
def list_(project: Project = HERE, json: Json = False) -> None:
    """List the keys, also revoked ones; never their secrets."""
    home = home_of(project)
    with store_of(home) as database:
        found = keys.listed(database)
    rows = [(key.id, key.name, ", ".join(key.roles), _time(key.created), _time(key.revoked)) for key in found]
    print_table(("id", "name", "roles", "created", "revoked"), rows, json=json)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `quorate keys list` shows it.")],
    project: Project = HERE,
    leave_none: Annotated[
        bool, typer.Option("--leave-none", help="Revoke even the last key; without keys everybody is let in.")
    ] = False,
) -> None:
    """Revoke a key; running servers refuse it at once."""
    home = home_of(project)
    with store_of(home) as database:
        key: Key = keys.revoke(home, database, key_id, author=local_user(), clock=SystemClock(), leave_none=leave_none)
    typer.echo(f"{key.id} ({key.name}) is revoked.")


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
