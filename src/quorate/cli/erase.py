"""``quorate erase``: take one subject out of everything that is kept."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from quorate.cli._config import HERE, Json, Project, home_of, store_of
from quorate.cli._output import note, print_json, print_table
from quorate.clock import SystemClock
from quorate.control.audit import local_user
from quorate.control.captures.erasing import Eraser, ask, get
from quorate.control.journal.ingest import ingest_lock
from quorate.control.listening import catch_up
from quorate.errors import ConfigError
from quorate.home import Home
from quorate.store.database import Database
from quorate.store.erasures import DONE, Erasure

_LOOK_S = 0.2
_ROWS = {
    "decisions": "decisions blanked",
    "captures": "captured inputs taken out",
    "files": "files written anew",
    "answers": "remembered answers forgotten",
    "jobs": "jobs whose context was emptied",
    "lessons": "lessons taken out of the record of what was learned",
    "damaged": "damaged bytes that could not be searched",
    "unreadable": "records of a newer release that could not be searched",
}


def command(
    endpoint: Annotated[str, typer.Argument(help="The endpoint.")],
    context: Annotated[str | None, typer.Option(help="KEY=VALUE: whose context has that value.")] = None,
    unit: Annotated[str | None, typer.Option(help="The unit of sticky assignment.")] = None,
    decision: Annotated[list[str] | None, typer.Option(help="A decision, by its id; may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    wait_s: Annotated[float, typer.Option(min=0, help="How long to wait for it to be done.")] = 300.0,
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Erase one subject: captured inputs, and what tells in decisions whose they are. Exits with 1 if not done."""
    home = home_of(project)
    with store_of(home) as database:
        made = ask(
            home,
            database,
            SystemClock(),
            endpoint,
            context=None if context is None else _pair(context),
            unit=unit,
            decisions=decision or (),
            dry_run=dry_run,
            author=local_user(),
        )
        done = _awaited(home, database, made.id, wait_s)
    _show(done, json=json)
    if done.state != DONE:
        raise typer.Exit(1)


def _pair(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--context is KEY=VALUE, such as user_id=42; got '{text[:64]}'.", path="context")
    return {key: value}


def _awaited(home: Home, database: Database, erasure_id: str, wait_s: float) -> Erasure:
    """Do it here where no control process runs, else wait for that; the erasure as it is after ``wait_s``."""
    until = time.monotonic() + wait_s
    eraser = Eraser(home, database, SystemClock())
    told = False
    while True:
        with ingest_lock(home) as mine:
            if mine:
                catch_up(home, database, SystemClock())
                eraser.work()
        found = get(database, erasure_id)
        if found.state == DONE or time.monotonic() > until:
            return found
        if not told and not mine:
            note("The control process of this project does it.")
            told = True
        time.sleep(_LOOK_S)


def _show(done: Erasure, *, json: bool) -> None:
    if json:
        print_json({"id": done.id, "state": done.state, "dry_run": done.dry_run, "error": done.error, **done.report})
        return
    if done.state != DONE:
        waiting = ", ".join(done.report.get("waiting", ()))
        why = done.error or (f"it waits for {waiting}" if waiting else "it is not its turn yet")
        note(f"Erasure {done.id} is not done: {why}. It goes on by itself while a server runs.")
        return
    rows = [(text, done.report.get(name, 0)) for name, text in _ROWS.items()]
    title = "Would be erased (nothing was changed)" if done.dry_run else f"Erasure {done.id}"
    print_table((title, ""), rows)
    for name in done.report.get("shipped", ()):
        note(f"A copy was shipped to {name}; it is shipped again under the same name, older versions there stay.")
    for place in done.report.get("exports", ()):
        note(f"A data set of this endpoint was exported before: {place}")
