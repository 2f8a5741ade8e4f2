"""``quorate replay``: what would have been with another strategy or policy, by the decisions that are logged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from quorate.cli import _mapping
from quorate.cli._config import HERE, Json, Project, home_of, store_of
from quorate.cli._moments import moment
from quorate.cli._output import note, print_json, print_table
from quorate.control.replay.asked import Answer, Question
from quorate.control.replay.local import replay_here
from quorate.core.stats.influence import Estimate
from quorate.errors import InvalidInput


class Method(StrEnum):
    """How."""

    AUTO = "auto"
    EXACT = "exact"
    OFF_POLICY = "off-policy"


def command(
    endpoint: Annotated[str, typer.Argument(help="The endpoint.")],
    strategy: Annotated[
        str | None, typer.Option(help='A strategy or member by name, or a strategy: \'{"kind": "vote"}\'.')
    ] = None,
    policy: Annotated[str | None, typer.Option(help="A policy as in quorate.yaml: a file, or the text itself.")] = None,
    since: Annotated[
        str | None, typer.Option(help="From then on: 2026-01-31, 2026-01-31T12:00, Unix seconds, or 7d, 12h, 30m ago.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Before then; written as --since.")] = None,
    revision: Annotated[int | None, typer.Option(min=1, help="Only decisions of this revision.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="accuracy or error (by the endpoint's task), or the name of a reward.")
    ] = None,
    method: Annotated[Method, typer.Option(help="By outputs where they are logged, or by propensities.")] = Method.AUTO,
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Say what another strategy or policy would have come to on logged decisions, compared with what was live."""
    question = Question(
        endpoint,
        strategy=_mapping.strategy(strategy),
        policy=None if policy is None else _policy(policy),
        since=moment(since, "--since"),
        until=moment(until, "--until"),
        revision=revision,
        metric=metric,
        method=method.value,
    )
    home = home_of(project)
    with store_of(home) as database:
        found = replay_here(home, database, question)
    if json:
        print_json(found)
    else:
        _print(found)


def _policy(given: str) -> Mapping[str, Any]:
    file = Path(given) if "\n" not in given and len(given) < 4096 else None
    try:
        text = file.read_text() if file is not None and file.is_file() else given
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{given} cannot be read: {error}.", path="--policy") from None
    return _mapping.mapping(text, "--policy")


def _print(found: Answer) -> None:
    asked = found.strategy if found.policy is None else found.policy
    name = asked if isinstance(asked, str) else "what was asked"
    rows = [(name, *_shown(found.candidate)), ("live", *_shown(found.live)), ("difference", *_shown(found.difference))]
    how = "exact, from logged outputs" if found.method == "exact" else "by propensities (dr)"
    print_table(("", found.metric, "95 % interval"), rows, title=f"{found.endpoint}: {how}")
    better = {"better": "better than live", "worse": "worse than live", "not shown": "no difference is shown"}
    print(f"\n{name}: {better[found.verdict]}.")
    if found.estimates:
        each = [(e.method, *_shown(e.value), *_shown(e.difference)) for e in found.estimates]
        print_table(("by propensities", found.metric, "95 %", "difference", "95 %"), each, title="")
    if found.overlap is not None:
        o = found.overlap
        print(
            f"Effective sample size {o.effective:.0f} of {o.decisions} decisions; mean weight {o.mean_weight:.3f}, "
            f"largest {o.largest_weight:.3g}; smallest propensity {o.smallest_propensity:.3g}."
        )
    c = found.counts
    print_table(
        ("decisions", "count"),
        [
            ("in this time", c.decisions),
            ("with an outcome", c.with_outcome),
            ("used", c.used),
            *((f"  of them {what}", n) for what, n in (("degraded", c.degraded), ("fell back", c.fell_back)) if n),
            *((f"left out: {why}", n) for why, n in sorted(c.left_out.items(), key=lambda each: -each[1])),
        ],
        title="",
    )
    for warning in found.warnings:
        note(f"Beware: {warning}")
    note("Assumed: " + " ".join(found.assumptions))
    note(f"Intervals: {found.interval}. Read in {found.seconds:.1f} s.")


def _shown(estimate: Estimate) -> tuple[float | None, str | None]:
    limits = None if math.isnan(estimate.low) else f"{estimate.low:.4f} to {estimate.high:.4f}"
    return (None if math.isnan(estimate.value) else estimate.value), limits
