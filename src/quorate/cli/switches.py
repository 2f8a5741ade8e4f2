"""``quorate switches``: what changing the answerer of an endpoint would cost and bring, and what it did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from quorate.cli._config import HERE, Json, Project, home_of, problems_shown, registry_of, store_of
from quorate.cli._output import note, print_json, print_table
from quorate.clock import SystemClock
from quorate.codecs import snapshot
from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import Routing
from quorate.control.audit import local_user
from quorate.control.listening import ingest_now
from quorate.control.switching.planning import Asked
from quorate.control.switching.planning import plan as make_plan
from quorate.control.switching.quantities import MEMORY_ADDED, MEMORY_FREED, WARM_UP, Quantity, find
from quorate.control.switching.report import SwitchReport, WindowView, report, summaries
from quorate.errors import ConfigError
from quorate.home import Home
from quorate.spec import load
from quorate.store.database import Database

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
Endpoint = Annotated[str, typer.Argument(help="The endpoint.")]
_MIB = 1024 * 1024
_AFTERWARDS = (WARM_UP, MEMORY_ADDED, MEMORY_FREED)
"""Quantities of the switch itself, which have no value before it."""


@app.command()
def plan(
    endpoint: Endpoint,
    to: Annotated[str | None, typer.Option(help="A strategy of the endpoint, for every request.")] = None,
    file: Annotated[Path | None, typer.Option(help="A quorate.yaml that would be applied.")] = None,
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Say what a switch would cost and bring; nothing is changed. The plan is kept beside the switch, if it is made."""
    home = home_of(project)
    if (to is None) == (file is None):
        raise ConfigError("A switch is planned to a strategy or to a configuration; give --to or --file.")
    with problems_shown(), store_of(home) as database:
        config = None if file is None else load(_text(file), file)
        made = make_plan(
            database,
            registry_of(home),
            _caught_up(home, database),
            home.telemetry,
            _served(home),
            endpoint,
            Asked(to, config),
            author=local_user(),
            now=SystemClock().now(),
        )
    if json:
        print_json(made)
        return
    typer.echo(f"{endpoint}: {made.what}; revision {made.revision} answers now")
    _table(made.quantities, "now", "expected")
    for each in made.notes:
        note(each)
    typer.echo(made.summary)


@app.command("list")
def list_switches(endpoint: Endpoint, project: Project = HERE, json: Json = False) -> None:
    """List every change of what answers at an endpoint, the newest first."""
    with store_of(home_of(project)) as database:
        found = summaries(database, endpoint)
    if json:
        print_json(found)
        return
    rows = [(each.number, _time(each.at), each.revision, each.planned, each.what) for each in found]
    print_table(("switch", "at", "revision", "planned", "what"), rows)
    missed = sum(each.missed for each in found)
    if missed:
        note(f"{missed} more switches of the policy came so fast that only the last ones are on record.")


@app.command()
def show(
    endpoint: Endpoint,
    number: Annotated[int | None, typer.Argument(min=1, help="Which switch; the newest one by default.")] = None,
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Show what a switch cost and brought, before and after it, beside what was promised."""
    home = home_of(project)
    with store_of(home) as database:
        reader = _caught_up(home, database)
        found = report(database, reader, _served(home), endpoint, number, now=SystemClock().now())
    if json:
        print_json(found)
    else:
        _print(found)


def _print(found: SwitchReport) -> None:
    typer.echo(f"{found.endpoint}, switch {found.number} at {_time(found.at)}: {found.what}")
    if found.quantities:
        for name, window in (("before", found.before), ("after", found.after)):
            typer.echo(f"{name}: {_window(window)}")
        promised = () if found.promised is None else found.promised.quantities
        _table(found.quantities, "before", "after", promised)
    for worker in found.warm_up:
        still = "" if worker.still_before_s is None else f", and still as before at {worker.still_before_s:.2f} s"
        typer.echo(
            f"worker {worker.worker}: first answer {worker.first_answer_s:.2f} s after publication{still}; it took "
            f"{worker.first_latency_ms:.1f} ms"
        )
    if found.promised is not None:
        typer.echo(f"planned at {_time(found.promised.made)} by {found.promised.author}: {found.promised.summary}")
    for each in found.notes:
        note(each)
    typer.echo(found.summary)


def _table(quantities: Sequence[Quantity], before: str, after: str, promised: Sequence[Quantity] | None = None) -> None:
    columns = ["", before, after, "difference", "95 % interval", "unit"]
    if promised:
        columns.append("promised")
    rows = []
    for each in quantities:
        scale, unit = (_MIB, "MiB") if each.unit == "bytes" else (1, each.unit)
        numbers: list[str | None] = [_number(value, scale) for value in (each.before, each.after)]
        change: str | None = _number(each.change, scale, "+")
        if each.name in _AFTERWARDS:
            numbers[0] = change = None
        interval = None if each.low is None or each.high is None else (each.low / scale, each.high / scale)
        row = [
            each.name.replace("_", " "),
            *numbers,
            change,
            None if interval is None else f"{interval[0]:+.4g} to {interval[1]:+.4g}",
            unit,
        ]
        if promised:
            planned = find(promised, each.name)
            value = None if planned is None else planned.after if each.name in _AFTERWARDS else planned.change
            row.append(None if planned is None else _number(value, scale, "" if each.name in _AFTERWARDS else "+"))
        rows.append(row)
    print_table(columns, rows)


def _number(value: float | None, scale: float, sign: str = "") -> str:
    return "not known" if value is None else f"{value / scale:{sign}.4g}"


def _window(of: WindowView) -> str:
    judged = ", ".join(f"{rows} with {metric}" for metric, rows in sorted(of.judged_rows.items())) or "none judged"
    return f"{_time(of.since)} to {_time(of.until)}, {of.requests} requests, {of.rows} rows ({judged})"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _caught_up(home: Home, database: Database) -> JournalReader:
    """A reader of the journals, of which everything is ingested, where no running server does that."""
    ingest_now(home, database, SystemClock())
    return JournalReader(home.journal)


def _served(home: Home) -> Routing:
    return Routing(version=0) if snapshot.current_version(home.snapshot) is None else snapshot.read(home.snapshot)


def _text(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from None
