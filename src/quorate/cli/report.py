"""``quorate report``: how an endpoint's strategies do on its traffic."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from quorate.cli._config import HERE, Json, Project, home_of, store_of
from quorate.cli._output import note, print_json, print_table
from quorate.clock import SystemClock
from quorate.control.listening import ingest_now
from quorate.control.report import Report, StrategyReport, report
from quorate.errors import NotFound
from quorate.store.revisions import revisions

_COLUMNS = (
    "strategy",
    "requests",
    "share",
    "errors",
    "degraded",
    "fallbacks",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "judged_rows",
    "accuracy",
    "95 % interval",
)


def command(
    endpoint: Annotated[str, typer.Argument(help="The endpoint.")],
    hours: Annotated[float | None, typer.Option(min=0, help="Only the last hours, rounded to minutes.")] = None,
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Compare an endpoint's strategies on its traffic and outcomes, by the strategy that was assigned."""
    home = home_of(project)
    since = None if hours is None else time.time() - hours * 3600
    with store_of(home) as database:
        ingest_now(home, database, SystemClock())
        with database.read() as connection:
            found = report(connection, endpoint, since, now=time.time())
            if not (found.strategies or found.chosen_by_caller or revisions(connection, endpoint)):
                raise NotFound(
                    f"There is no endpoint '{endpoint}', and no traffic of one; `quorate endpoints` lists them."
                )
    if json:
        print_json(found)
    else:
        _print(found)


def _print(found: Report) -> None:
    if not found.strategies:
        note(f"No strategy was assigned at endpoint '{found.endpoint}' in this time.")
    else:
        _table(found.strategies, f"{found.endpoint}: assigned by the policy")
    if found.chosen_by_caller:
        _table(found.chosen_by_caller, f"\n{found.endpoint}: chosen by the caller (no evidence for a strategy)")
    _means(found)
    if found.completeness is not None:
        note(f"{found.completeness:.0%} of the truths that will come of these decisions are here by now.")
    if found.pending_outcomes or found.invalid_outcomes or found.late_outcomes or found.gone_outcomes:
        note(
            f"Outcomes of all endpoints: {found.pending_outcomes} wait for their decision, "
            f"{found.invalid_outcomes} do not fit theirs, {found.late_outcomes} came after the correction window, "
            f"{found.gone_outcomes} are about decisions that are no longer kept."
        )
    if found.damaged_bytes or found.unreadable_records:
        note(
            f"Journals of all endpoints: {found.damaged_bytes} bytes are damaged, {found.unreadable_records} records "
            "could not be read; what they held is not counted."
        )


def _means(found: Report) -> None:
    """Business value and rewards, where there are any."""
    rows = []
    for strategy in found.strategies:
        for mean in ((strategy.value,) if strategy.value else ()) + strategy.rewards:
            limits = None if mean.low is None else f"{mean.low:.4g} to {mean.high:.4g}"
            rows.append((mean.metric, strategy.strategy, mean.rows, mean.mean, limits))
    if rows:
        title = f"\n{found.endpoint}: value and rewards of a row"
        print_table(("metric", "strategy", "rows", "mean", "95 % interval"), sorted(rows), title=title)


def _table(strategies: tuple[StrategyReport, ...], title: str) -> None:
    print_table(_columns(strategies), [_row(strategy) for strategy in strategies], title=title)


def _columns(strategies: tuple[StrategyReport, ...]) -> tuple[str, ...]:
    measured = any(strategy.mean_absolute_error is not None for strategy in strategies)
    return (*_COLUMNS[:-2], "mean_absolute_error", "") if measured else _COLUMNS


def _row(s: StrategyReport) -> tuple[object, ...]:
    quality: tuple[object, object] = (s.accuracy, None)
    if s.accuracy_low is not None and s.accuracy_high is not None:
        quality = (s.accuracy, f"{s.accuracy_low:.4f} to {s.accuracy_high:.4f}")
    elif s.mean_absolute_error is not None:
        quality = (s.mean_absolute_error, "")
    counts = (s.requests, f"{s.share:.1%}", s.errors, s.degraded, s.fallbacks)
    return (s.strategy, *counts, s.p50_ms, s.p95_ms, s.p99_ms, s.judged_rows, *quality)
