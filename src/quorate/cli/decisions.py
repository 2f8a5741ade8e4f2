"""``quorate decisions``: one decision, as it was recorded."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from quorate.cli._config import HERE, Json, Project, home_of, store_of
from quorate.cli._output import note, print_json, print_table
from quorate.codecs.lookup import JournalReader
from quorate.control.coverage import shown as promises
from quorate.control.decisions import describe
from quorate.control.skipped import Skipped, why_skipped
from quorate.control.why import made_by, why
from quorate.errors import NotFound
from quorate.registry.blobs import BlobStore
from quorate.store.ledger import outcomes_of

app = typer.Typer(help="Look decisions up.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

_SHOWN = (
    "id",
    "endpoint",
    "revision",
    "arrived_at",
    "queue_ms",
    "latency_ms",
    "source",
    "assigned",
    "served",
    "unit",
    "rows",
    "degraded",
    "abstained",
    "error",
    "input_digest",
    "capture",
    "request_id",
    "idempotency_key",
    "traceparent",
)
_MANY = 20


@app.callback()
def _group() -> None:
    """Look decisions up."""


@app.command()
def show(
    decision_id: Annotated[str, typer.Argument(metavar="ID", help="The 'id' of an answer.")],
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Show a decision: who answered what, how long it took, and what is known about it since."""
    home = home_of(project)
    with store_of(home) as database:
        decision = JournalReader(home.journal).find(decision_id)
        if decision is None:
            raise NotFound(
                f"Decision '{decision_id}' is not in the journal below {home.journal}; is it of this project?"
            )
        with database.read() as connection:
            route, pool = made_by(connection, decision)
            outcomes = outcomes_of(connection, [decision.id])
        read = BlobStore(home.registry).read
        shown = describe(decision, outcomes, why(decision, route), route, why_skipped(decision, route, read))
        promised = promises.shown(decision, route, pool, read)
        shown["coverage"] = None if promised is None else promised.model_dump(mode="json")
    if json:
        print_json(shown)
        return
    print_table(("field", "value"), [(name, shown[name]) for name in _SHOWN if shown[name] is not None])
    _tables(shown)


def _tables(shown: dict[str, Any]) -> None:
    typer.echo("\nWhy\n" + "\n".join(shown["why"]))
    if shown["context"]:
        print_table(("context", "value"), shown["context"].items(), title="\nContext")
    if shown["facts"]:
        print_table(("fact", "value"), shown["facts"].items(), title="\nFacts")
    print_table(("strategy", "probability"), shown["propensities"].items(), title="\nStrategies")
    if shown["stages"]:
        stages = [
            (n, ", ".join(stage["members"]), stage["rows"], stage["stopped"], stage["no_time"])
            for n, stage in enumerate(shown["stages"], 1)
        ]
        print_table(("stage", "members", "rows that asked", "not needed", "no time"), stages, title="\nStages")
    members = [(m["name"], m["version"], m["status"], m["latency_ms"], m["reason"]) for m in shown["members"]]
    print_table(("member", "version", "status", "latency_ms", "reason"), members, title="\nMembers")
    if shown["answer"] is not None:
        rows = [
            (i, _said(shown, row), *[_part(shown, m, i) for m in shown["members"]])
            for i, row in enumerate(shown["answer"][:_MANY])
        ]
        print_table(("row", "answer", *[m["name"] for m in shown["members"]]), rows, title="\nAnswers")
        if shown["rows"] > _MANY:
            note(f"… {shown['rows'] - _MANY} more rows; --json shows all.")
    outcomes = [(o["row"], o["metric"], o["value"], o["source"], o["state"]) for o in shown["outcomes"]]
    if outcomes:
        print_table(("row", "metric", "value", "source", "state"), outcomes, title="\nOutcomes")


_WHY_NOT: dict[Skipped, str] = {"stopped": "(not needed)", "no_time": "(no time)", "not_in_strategy": "-"}


def _part(shown: dict[str, Any], member: dict[str, Any], row: int) -> str:
    """What a member said of a row, or why it was not asked."""
    why_not = member["skipped"][row]
    return _said(shown, member["outputs"][row]) if why_not is None else _WHY_NOT[why_not]


def _said(shown: dict[str, Any], row: list[float | None]) -> str:
    """What an output says: the class and its probability, or the numbers."""
    if any(value is None for value in row) or not row:
        return "-"
    if shown["output_kind"] == "scores":
        best = max(range(len(row)), key=lambda i: row[i] or 0.0)
        return f"{shown['classes'][best]} {row[best]:.3f}"
    return " ".join(f"{value:.4g}" for value in row)
