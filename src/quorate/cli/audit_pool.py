"""``quorate audit-pool``: what each member of a pool is worth, which are alike, and which can go."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from quorate.cli import _mapping
from quorate.cli._config import HERE, Json, Project, home_of, store_of
from quorate.cli._moments import moment
from quorate.cli._output import note, print_json, print_table
from quorate.control.pool_audits.asked import Answer, Pair, Question
from quorate.control.pool_audits.local import audit_here
from quorate.core.stats.influence import Estimate
from quorate.errors import InvalidInput

ALIKE = 10
"""Pairs that are shown; ``--json`` has all."""


class Metric(StrEnum):
    """What is audited."""

    ACCURACY = "accuracy"
    LOG_LOSS = "log_loss"
    BRIER = "brier"
    MACRO_F1 = "macro_f1"
    MSE = "mse"
    MAE = "mae"


def command(
    name: Annotated[str, typer.Argument(metavar="ENDPOINT|POOL", help="An endpoint; or a pool: all its endpoints.")],
    strategy: Annotated[
        str | None,
        typer.Option(help='How members are combined: a strategy by name, or \'{"kind": "mean"}\'. By default its own.'),
    ] = None,
    metric: Annotated[Metric | None, typer.Option(help="By default accuracy, or mse of numbers.")] = None,
    margin: Annotated[float | None, typer.Option(min=0.0, help="What may be lost of the metric, in its unit.")] = None,
    since: Annotated[
        str | None, typer.Option(help="From then on: 2026-01-31, 2026-01-31T12:00, Unix seconds, or 7d, 12h, 30m ago.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Before then; written as --since.")] = None,
    cost: Annotated[
        list[str] | None, typer.Option(help="MEMBER=NUMBER, repeatable: what it costs; by default measured time.")
    ] = None,
    rows: Annotated[
        Path | None, typer.Option(help="Held-out rows instead of decisions: an .npz of outputs and truth.")
    ] = None,
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Say what each member is worth, which are alike, which can go, and what the pool without them comes to."""
    question = Question(
        name,
        strategy=_mapping.strategy(strategy),
        metric=None if metric is None else metric.value,
        margin=margin,
        since=moment(since, "--since"),
        until=moment(until, "--until"),
        costs=_costs(cost),
    )
    home = home_of(project)
    with store_of(home) as database:
        found = audit_here(home, database, question, rows)
    if json:
        print_json(found)
    else:
        _print(found)


def _costs(given: list[str] | None) -> dict[str, float] | None:
    if not given:
        return None
    found = {}
    for each in given:
        member, _, amount = each.partition("=")
        try:
            found[member] = float(amount)
        except ValueError:
            raise InvalidInput(f"--cost is MEMBER=NUMBER; got '{each[:64]}'.", path="--cost") from None
    return found


def _print(found: Answer) -> None:
    unit = {"ms": "ms", "cost": "cost", None: "cost"}[found.unit]
    print_table(
        ("member", found.metric, "Shapley", "95 %", "leave-one-out", "95 %", unit, ""),
        [
            (m.name, m.alone.value, m.shapley.value, _limits(m.shapley), m.leave_one_out.value,
             _limits(m.leave_one_out), m.cost, m.verdict)
            for m in found.members
        ],
        title=f"{found.name}: {found.rows} rows, {found.metric} {found.whole.value:.4g}",
    )  # fmt: skip
    if found.pairs:
        alike = sorted(found.pairs, key=_likeness)[:ALIKE]
        print_table(
            ("alike", "and", "Q or correlation", "95 %", "disagreement", "double fault"),
            [
                (p.first, p.second, _value(p.q or p.correlation), _limits(p.q or p.correlation), p.disagreement.value,
                 _value(p.double_fault))
                for p in alike
            ],
            title="",
        )  # fmt: skip
    h = found.headroom
    print_table(
        ("headroom", found.metric, "oracle gains", "95 %"),
        [
            ("oracle", h.oracle.value, None, None),
            (f"best single: {h.best_member}", h.best.value, h.over_best.value, _limits(h.over_best)),
            ("the pool", h.ensemble.value, h.over_ensemble.value, _limits(h.over_ensemble)),
        ],
        title="",
    )
    if found.steps:
        print_table(
            ("without", "members left", found.metric, "gain", "95 %", "holds"),
            [(s.drops, len(s.keeps), s.value.value, s.gain.value, _limits(s.gain), s.holds) for s in found.steps],
            title=f"\nOne after the other, on {found.check.rows} rows that the search did not see",
        )
    print()
    for sentence in found.summary:
        print(sentence)
    if found.money_per_million:
        print(
            f"In money: {found.money_per_million:.3g} {found.currency or ''} for a million requests.".replace(" .", ".")
        )
    for warning in found.warnings:
        note(f"Beware: {warning}")
    note("Assumed: " + " ".join(found.assumptions))
    if found.orders is not None:
        note(f"Shapley values are from {found.orders} pairs of orders, within {found.sampling:.2g} (standard error).")
    note(f"Gains are positive where the pool is better; margin {found.margin:.4g}. Done in {found.seconds:.1f} s.")


def _likeness(pair: Pair) -> tuple[float, float]:
    """The most alike first."""
    found = _value(pair.q or pair.correlation)
    return (math.inf if found is None else -found, pair.disagreement.value)


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None or math.isnan(estimate.value) else estimate.value


def _limits(estimate: Estimate | None) -> str | None:
    if estimate is None or math.isnan(estimate.low):
        return None
    return f"{estimate.low:.4f} to {estimate.high:.4f}"
