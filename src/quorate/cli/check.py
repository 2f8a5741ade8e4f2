"""``quorate check``: is ``quorate.yaml`` right, and does the registry have what it names?"""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.cli._config import HERE, WRONG, Json, Project, home_of, problems_shown, registry_of
from quorate.cli._output import note, print_json
from quorate.clock import SystemClock
from quorate.control.revisions.apply import read_config
from quorate.control.revisions.resolve import resolve
from quorate.errors import ConfigError, NotFound
from quorate.home import Home
from quorate.spec import ConfigProblems


def command(
    project: Project = HERE,
    json: Json = False,
    explain: Annotated[
        str | None,
        typer.Option(metavar="EXAMPLE", help="A JSON file with context, facts or instances: say which rule it fires."),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="With --explain: the endpoint or front; by default all that have rules.")
    ] = None,
) -> None:
    """Check quorate.yaml against the registry; change nothing. Exits with 2 if something is wrong."""
    home = home_of(project)
    if explain is not None:
        _explain(home, explain, endpoint, json=json)
        return
    if endpoint is not None:
        raise ConfigError("--endpoint says what is explained; give --explain too.", path="--endpoint")
    if json:
        try:
            config, _ = read_config(home)
            resolved = resolve(config, registry_of(home))
        except ConfigProblems as error:
            found = [{"file": p.file, "line": p.line, "path": p.path, "message": p.message} for p in error.problems]
            print_json({"ok": False, "problems": found, "notices": []})
            raise typer.Exit(WRONG) from None
        print_json({"ok": True, "problems": [], "notices": resolved.notices})
        return
    with problems_shown():
        config, _ = read_config(home)
        resolved = resolve(config, registry_of(home))
    for notice in resolved.notices:
        note(notice)
    endpoints, pools, fronts = len(config.spec.endpoints), len(config.spec.pools), len(config.spec.fronts)
    before = f" behind {_count(fronts, 'front')}" if fronts else ""
    typer.echo(f"{home.config.name} is right: {_count(endpoints, 'endpoint')} over {_count(pools, 'pool')}{before}.")


def _explain(home: Home, path: str, endpoint: str | None, *, json: bool) -> None:
    from quorate.cli._explain import lines, read_example  # imports what serves, which the plain check does without
    from quorate.explaining import explain

    example = read_example(path)
    with problems_shown():
        config, _ = read_config(home)
        resolved = resolve(config, registry_of(home))
    try:
        found = explain(home, registry_of(home), resolved.routing, example, endpoint, SystemClock())
    except NotFound as error:
        raise ConfigError(error.message, path="--endpoint") from None
    if json:
        print_json(found)
        return
    if not found:
        typer.echo("No endpoint has rules, and there is no front; --endpoint NAME explains any policy.")
    for index, each in enumerate(found):
        typer.echo(("\n" if index else "") + "\n".join(lines(each)))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
