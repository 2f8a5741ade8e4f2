"""``quorate data``: what is kept of inputs, and exporting it with outcomes as a training or labelling set."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from quorate.cli._config import HERE, Json, Project, home_of, store_of
from quorate.cli._output import note, print_json, print_table
from quorate.clock import SystemClock
from quorate.control.audit import local_user
from quorate.control.captures.dataset_files import Format
from quorate.control.captures.datasets import Truth
from quorate.control.captures.exporting import write
from quorate.control.captures.keeping import CaptureKeeper, held
from quorate.control.journal.ingest import ingest_lock
from quorate.control.listening import ingest_now
from quorate.errors import ConfigError
from quorate.store.datasets import exports

app = typer.Typer(
    help="See and export captured inputs.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@app.callback()
def _group() -> None:
    """See and export captured inputs."""


@app.command()
def status(project: Project = HERE, json: Json = False) -> None:
    """Show what is kept of inputs, by endpoint, and how long."""
    home = home_of(project)
    found = held(home)
    with store_of(home) as database, database.read() as connection:
        written = exports(connection)
    if json:
        print_json({"captures": found, "exports": written})
        return
    rows = [
        (h.endpoint, h.files, h.size, _moment(h.oldest), _moment(h.newest), h.declared, h.keep_days, h.keep_bytes)
        for h in found
    ]
    columns = ("endpoint", "files", "bytes", "oldest", "newest", "captures now", "keep_days", "keep_bytes")
    print_table(columns, rows)
    if written:
        shown = [(e.endpoint, _moment(e.created), e.format, e.rows, e.author, e.place) for e in written]
        print_table(("endpoint", "exported", "format", "rows", "by", "to"), shown, title="\nExports")


@app.command()
def prune(project: Project = HERE) -> None:
    """Delete now what the endpoints' keep_days and keep_bytes no longer keep."""
    home = home_of(project)
    with ingest_lock(home) as mine:
        if not mine:
            raise ConfigError("The control process of this project runs, and does this by itself.")
        files = CaptureKeeper(home, SystemClock()).tidy(at_once=True)
    typer.echo(f"{files} files were deleted.")


@app.command()
def export(
    endpoint: Annotated[str, typer.Argument(help="The endpoint.")],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist.")],
    since: Annotated[str | None, typer.Option(help="Inputs from then on: 2026-01-31 or 2026-01-31T12:00.")] = None,
    until: Annotated[str | None, typer.Option(help="Inputs before then.")] = None,
    truth: Annotated[str, typer.Option("--with", help="truth, without-truth or all: which rows.")] = "all",
    form: Annotated[str, typer.Option("--format", help="csv, ndjson, parquet, or folder: images by class.")] = "ndjson",
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Write captured inputs, with answers and outcomes, as a training or labelling set."""
    home = home_of(project)
    with store_of(home) as database:
        ingest_now(home, database, SystemClock())
        options = {
            "form": _form(form),
            "truth": _truth(truth),
            "since": None if since is None else _time("since", since),
            "until": None if until is None else _time("until", until),
        }
        card = write(home, database, SystemClock(), endpoint, out.resolve(), author=local_user(), options=options)
    if json:
        print_json(card)
        return
    note(f"{card.rows} rows of {card.decisions} decisions, {card.rows_with_truth} with a truth; SHA-256 {card.digest}.")
    left = {"whose decision is gone": card.without_decision, "with other columns, left out": card.other_inputs}
    for what, count in left.items():
        if count:
            note(f"{count} inputs {what}.")
    if card.damaged_bytes or card.unreadable_records:
        note(f"{card.damaged_bytes} damaged bytes and {card.unreadable_records} records could not be read.")
    typer.echo(str(out))


def _form(text: str) -> Format:
    if text not in ("csv", "ndjson", "parquet", "folder"):
        raise ConfigError(f"--format is csv, ndjson, parquet or folder; got '{text[:32]}'.", path="format")
    return text  # type: ignore[return-value]


def _truth(text: str) -> Truth:
    known: dict[str, Truth] = {"truth": "with", "without-truth": "without", "all": "all"}
    if text not in known:
        raise ConfigError(f"--with is truth, without-truth or all; got '{text[:32]}'.", path="with")
    return known[text]


def _time(name: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--{name} is a date or time such as 2026-01-31T12:00; got '{text[:64]}'.") from None
    found = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if name == "since" and found > time.time():
        raise ConfigError(f"--since {text[:64]} is in the future; nothing has come yet.")
    return found


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
