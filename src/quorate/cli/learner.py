"""``quorate learner``: what an endpoint's policy has learned, and having it forget."""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.cli._config import HERE, Json, Project, home_of, registry_of, store_of
from quorate.cli._moments import moment
from quorate.cli._output import print_table
from quorate.clock import SystemClock
from quorate.codecs import snapshot
from quorate.control.audit import local_user
from quorate.control.learning.learner import Learning, served
from quorate.control.learning.routes import forget
from quorate.control.learning.views import LearnerView, view
from quorate.control.listening import ingest_now
from quorate.errors import NotFound
from quorate.home import Home
from quorate.store import learners

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
Endpoint = Annotated[str, typer.Argument(help="An endpoint whose policy learns.")]


@app.command()
def show(endpoint: Endpoint, project: Project = HERE, json: Json = False) -> None:
    """Show each strategy's share, and the rows that were learned from."""
    home = home_of(project)
    learning = _learning(home, endpoint)
    with store_of(home) as database, database.read() as connection:
        _print(view(learning, learners.learner(connection, endpoint)), json=json)


@app.command()
def reset(endpoint: Endpoint, project: Project = HERE, json: Json = False) -> None:
    """Have the policy begin anew; a running server follows within seconds."""
    home = home_of(project)
    learning = _learning(home, endpoint)
    with store_of(home) as database:
        _print(forget(database, learning, local_user(), SystemClock().now()), json=json)


@app.command("warm-start")
def warm_start(
    endpoint: Endpoint,
    since: Annotated[
        str, typer.Option(help="Learn from decisions made from then on: 7d, 12h, or a time like 2026-01-31T12:00.")
    ] = "30d",
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Have the policy begin with what is known of decisions that the same strategies made before it was there."""
    from quorate.control.learning.warm_start import warm_start as begin

    home, clock = home_of(project), SystemClock()
    learning = _learning(home, endpoint)
    with store_of(home) as database:
        ingest_now(home, database, clock)
        started = begin(
            home,
            database,
            learning,
            registry_of(home).blobs.read,
            moment(since, "--since") or 0.0,
            author=local_user(),
            now=clock.now(),
        )
        _print(started, json=json)


def _learning(home: Home, endpoint: str) -> Learning:
    routing = None if snapshot.current_version(home.snapshot) is None else snapshot.read(home.snapshot)
    found = None if routing is None else served(routing, endpoint)
    if found is None:
        raise NotFound(f"Endpoint '{endpoint}' is not served, or does not learn; see `quorate endpoints`.")
    return found


def _print(shown: LearnerView, *, json: bool) -> None:
    if json:
        typer.echo(shown.model_dump_json(indent=2))
        return
    print_table(("strategy", "share"), [(name, f"{p:.4f}") for name, p in shown.shares.items()], json=False)
    rows = ", ".join(f"{count} {what}" for what, count in shown.rows.items()) or "none"
    reward = shown.reward
    earned = "none" if reward is None else f"{reward.metric} from {reward.low:g} to {reward.high:g}"
    typer.echo(f"policy {shown.policy}, state {shown.version}; rewards: {earned}; rows: {rows}")
    for name, combiner in shown.combiners.items():
        most = sorted(combiner.trust.items(), key=lambda each: -each[1])[:4]
        trust = ", ".join(f"{expert} {weight:.2f}" for expert, weight in most) or "the prior strategy"
        typer.echo(f"{name} ({combiner.kind}), {combiner.rows} outcomes; trust: {trust}")
