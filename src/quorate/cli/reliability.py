"""``quorate reliability``: whether confidences come true, and fitting a calibration again."""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.cli._config import HERE, Json, Project, home_of, registry_of, store_of
from quorate.cli._output import note, print_table
from quorate.clock import SystemClock
from quorate.codecs import snapshot
from quorate.codecs.lookup import JournalReader
from quorate.control.audit import local_user
from quorate.control.calibration.known import ROWS
from quorate.control.calibration.refitting import FIT_ROWS, Refitter
from quorate.control.calibration.reliability import reliability, served
from quorate.control.calibration.views import ErrorView, ReliabilityView, StrategyReliabilityView
from quorate.control.experiments.hiding import require_shown
from quorate.control.listening import ingest_now


def command(
    endpoint: Annotated[str, typer.Argument(help="The endpoint.")],
    strategy: Annotated[str | None, typer.Option(help="Show the bins of this strategy.")] = None,
    refit: Annotated[
        str | None, typer.Option(help="Fit the calibration of this strategy again on what became known, and serve it.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, max=FIT_ROWS, help="The newest rows of a strategy, at most.")] = ROWS,
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Compare confidences with outcomes, by strategy; a calibration that is off can be fitted again."""
    home, clock = home_of(project), SystemClock()
    registry, reader = registry_of(home), JournalReader(home.journal)
    with store_of(home) as database:
        ingest_now(home, database, clock)
        route, pool = served(snapshot.read_or_empty(home.snapshot), endpoint)
        with database.read() as connection:
            require_shown(connection, endpoint)
            found = None if refit else reliability(connection, reader, route, pool, registry.blobs.read, most=rows)
        if refit:
            done = Refitter(home, database, registry, reader, clock).refit(endpoint, refit, author=local_user())
            if json:
                typer.echo(done.model_dump_json(indent=2))
            else:
                note(
                    f"Revision {done.revision} serves '{done.state}:{done.version}', fitted on {done.rows} rows: the "
                    f"calibration error on held-out rows is {_error(done.after)}; it was {_error(done.before)}."
                )
    if found is not None:
        _print(found, strategy, json=json)


def _print(found: ReliabilityView, strategy: str | None, *, json: bool) -> None:
    if json:
        typer.echo(found.model_dump_json(indent=2, by_alias=True))
        return
    columns = ("strategy", "calibrated", "rows", "error", "95 % limits", "refit")
    lines = [
        (
            each.strategy,
            "yes" if each.calibrated else "no",
            each.rows,
            None if each.ece is None else f"{each.ece.value:.4f}",
            None if each.ece is None else f"{each.ece.low:.4f} to {each.ece.high:.4f}",
            _refit(each),
        )
        for each in found.strategies
    ]
    print_table(columns, lines, title=f"{found.endpoint}: confidences against outcomes")
    for each in found.strategies:
        if each.strategy == strategy:
            bins = [
                (f"{b.start:.3f} to {b.stop:.3f}", f"{b.confidence:.4f}", f"{b.accuracy:.4f}", b.rows)
                for b in each.bins
            ]
            print_table(("confidence", "its mean", "right", "rows"), bins, title=f"\n{strategy}")


def _refit(found: StrategyReliabilityView) -> str | None:
    refit = found.refit
    if refit is None:
        return None
    state = f"{refit.state}:{refit.version}"
    return f"{state}, off" if refit.due else state


def _error(error: ErrorView) -> str:
    return f"{error.value:.4f} ({error.low:.4f} to {error.high:.4f})"
