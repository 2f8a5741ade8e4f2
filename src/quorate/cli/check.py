"""``quorate check``: is ``quorate.yaml`` right, and does the registry have what it names?"""

from __future__ import annotations

import typer

from quorate.cli._config import HERE, WRONG, Json, Project, home_of, problems_shown, registry_of
from quorate.cli._output import note, print_json
from quorate.control.apply import read_config
from quorate.control.resolve import resolve
from quorate.spec import ConfigProblems


def command(project: Project = HERE, json: Json = False) -> None:
    """Check quorate.yaml against the registry; change nothing. Exits with 2 if something is wrong."""
    home = home_of(project)
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
    endpoints, pools = len(config.spec.endpoints), len(config.spec.pools)
    typer.echo(f"{home.config.name} is right: {_count(endpoints, 'endpoint')} over {_count(pools, 'pool')}.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
