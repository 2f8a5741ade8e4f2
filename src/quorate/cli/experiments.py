"""``quorate experiments``: compare strategies on live traffic, with a registered rule and a verdict."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from quorate.cli._config import Json
from quorate.cli._output import note, print_json, print_table, print_text
from quorate.client import Experiment, Experiments
from quorate.errors import ConfigError

app = typer.Typer(
    help="Compare strategies on live traffic.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Url = Annotated[str, typer.Option(envvar="QUORATE_CONTROL_URL", help="The control port.")]
Key = Annotated[
    str | None, typer.Option(envvar="QUORATE_API_KEY", help="API key; others can see it unless it is in the variable.")
]
Id = Annotated[str, typer.Argument(metavar="ID", help="The experiment's id.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A registration, YAML or JSON.")]
Version = Annotated[int | None, typer.Option("--if-version", help="Only if the experiment is at this version.")]
Days = Annotated[float | None, typer.Option(min=0, help="How far back the endpoint's traffic is looked at.")]
HERE = "http://127.0.0.1:8001"


class Reader(StrEnum):
    """Who a report is for."""

    MANAGER = "manager"
    STATISTICIAN = "statistician"


@app.callback()
def _group() -> None:
    """Compare strategies on live traffic."""


@app.command()
def register(
    file: File,
    start: Annotated[bool, typer.Option("--start", help="Start it at once.")] = False,
    url: Url = HERE,
    key: Key = None,
    json: Json = False,
) -> None:
    """Register an experiment; prints its id."""
    with Experiments(url, key) as experiments:
        found = experiments.register(_read(file))
        if start:
            found = experiments.start(found.id, version=found.version)
    if json:
        print_json(found)
    else:
        sys.stdout.write(f"{found.id}\n")


@app.command()
def revise(
    id_: Id, file: File, if_version: Version = None, url: Url = HERE, key: Key = None, json: Json = False
) -> None:
    """Put another registration in the place of one that has not started."""
    with Experiments(url, key) as experiments:
        _show(experiments.revise(id_, _read(file), version=if_version), json=json)


@app.command()
def plan(
    file: File,
    days: Days = None,
    daily_units: Annotated[float | None, typer.Option(min=0, help="Units per day, if known better.")] = None,
    presence: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of units whose outcome becomes known, if known better.")
    ] = None,
    url: Url = HERE,
    key: Key = None,
    json: Json = False,
) -> None:
    """Say how many units and days it takes, from the endpoint's own traffic; starts nothing."""
    with Experiments(url, key) as experiments:
        found = experiments.plan(_read(file), days=days, daily_units=daily_units, presence=presence)
    if json:
        print_json(found)
        return
    history = found["history"]
    rows = [
        ("metric", found["metric"]),
        ("minimum effect", found["minimum_effect"]),
        ("past units", history["units"]),
        ("of them with an outcome", history["known"]),
        ("baseline", history["baseline"]),
        ("standard deviation", history["standard_deviation"]),
        ("units per day", history["daily_units"]),
        ("share with an outcome", history["presence"]),
        ("units with an outcome, on average until the verdict", found["expected"]),
        ("at most (stop.max_units)", found["maximum"]),
        ("units to be assigned for that", found["assigned"]),
        ("days for that (stop.max_days)", found["maximum_days"]),
        ("a test with a single look would need", found["fixed"]),
    ]
    print_table(("", ""), rows)


@app.command()
def selftest(
    file: File,
    days: Days = None,
    runs: Annotated[int, typer.Option(min=1, max=20_000, help="Simulated A/A experiments.")] = 500,
    looks: Annotated[int, typer.Option(min=1, max=200, help="Looks in each.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of the random splits.")] = 0,
    url: Url = HERE,
    key: Key = None,
    json: Json = False,
) -> None:
    """Split the endpoint's own units at random, where nothing differs, and count false verdicts; 1 if too many."""
    with Experiments(url, key) as experiments:
        found = experiments.self_test(_read(file), days=days, runs=runs, looks=looks, seed=seed)
    if json:
        print_json(found)
    else:
        note(
            f"{found['false_positives']} of {found['runs']} A/A experiments with {found['looks']} looks on "
            f"{found['units']} units claimed a difference: {found['false_positive_rate']:.4f} "
            f"({found['low']:.4f} to {found['high']:.4f}); alpha is {found['alpha']}. Assignment: "
            f"{found['assignment']['counts']}, p = {found['assignment']['p_value']:.3g}."
        )
        sys.stdout.write(f"{'ok' if found['ok'] else 'not ok'}\n")
    if not found["ok"]:
        raise typer.Exit(1)


@app.command("list")
def list_(
    endpoint: Annotated[str | None, typer.Option(help="Of one endpoint only.")] = None,
    url: Url = HERE,
    key: Key = None,
    json: Json = False,
) -> None:
    """List experiments, newest first."""
    with Experiments(url, key) as experiments:
        found = experiments.list(endpoint=endpoint)
    if json:
        print_json(found)
        return
    rows = [
        (e.id, e.name, e.endpoint, e.state, (e.verdict or {}).get("verdict"), (e.conclusion or {}).get("did"))
        for e in found
    ]
    print_table(("id", "name", "endpoint", "state", "verdict", "then"), rows)


@app.command()
def show(id_: Id, url: Url = HERE, key: Key = None, json: Json = False) -> None:
    """Show an experiment and its newest look."""
    with Experiments(url, key) as experiments:
        _show(experiments.get(id_), json=json)


@app.command()
def start(id_: Id, if_version: Version = None, url: Url = HERE, key: Key = None, json: Json = False) -> None:
    """Split the endpoint's traffic as registered."""
    with Experiments(url, key) as experiments:
        _show(experiments.start(id_, version=if_version), json=json)


@app.command()
def stop(id_: Id, if_version: Version = None, url: Url = HERE, key: Key = None, json: Json = False) -> None:
    """End a running experiment; what was served before is served again."""
    with Experiments(url, key) as experiments:
        _show(experiments.stop(id_, version=if_version), json=json)


@app.command()
def promote(id_: Id, if_version: Version = None, url: Url = HERE, key: Key = None, json: Json = False) -> None:
    """Serve the winner alone. The file still says what it said: change it too, or the next apply undoes this."""
    with Experiments(url, key) as experiments:
        found = experiments.promote(id_, version=if_version)
    _show(found, json=json)
    note(
        f"quorate.yaml does not know of it: write 'policy: {(found.verdict or {}).get('winner')}' under "
        f"endpoints.{found.endpoint}, or the next apply of a changed file takes it back."
    )


@app.command()
def keep(id_: Id, if_version: Version = None, url: Url = HERE, key: Key = None, json: Json = False) -> None:
    """After the verdict, serve what was served before."""
    with Experiments(url, key) as experiments:
        _show(experiments.keep(id_, version=if_version), json=json)


@app.command()
def withdraw(id_: Id, if_version: Version = None, url: Url = HERE, key: Key = None) -> None:
    """Forget an experiment that has not started."""
    with Experiments(url, key) as experiments:
        experiments.withdraw(id_, version=if_version)
    note(f"Experiment {id_} is withdrawn.")


@app.command()
def wait(
    id_: Id,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between looks at it.")] = 5.0,
    url: Url = HERE,
    key: Key = None,
    json: Json = False,
) -> None:
    """Return when there is a verdict."""
    with Experiments(url, key) as experiments:
        _show(experiments.wait(id_, every=every), json=json)


@app.command()
def report(
    id_: Id,
    reader: Annotated[Reader, typer.Option("--for", help="Who is to read it.")] = Reader.MANAGER,
    output: Annotated[Path | None, typer.Option(help="File to write instead of standard output.")] = None,
    url: Url = HERE,
    key: Key = None,
    json: Json = False,
) -> None:
    """Write a report: one HTML page, or with --json everything in it."""
    with Experiments(url, key) as experiments:
        if json:
            print_json(experiments.report_data(id_))
            return
        text = experiments.report(id_, reader.value)
    if output is None:
        print_text(text)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error.strerror}.", path="--output") from None


def _read(file: Path) -> Mapping[str, Any]:
    """A registration from YAML, of which JSON is a part; :class:`ConfigError` where it is none."""
    try:
        found = yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} is not YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{file} is no registration; expected settings, as docs/experiments.md shows.")
    return found


def _show(found: Experiment, *, json: bool) -> None:
    if json:
        print_json(found)
        return
    rows: list[tuple[str, Any]] = [
        (name, getattr(found, name)) for name in ("id", "name", "endpoint", "state", "version", "revision")
    ]
    for name in ("verdict", "conclusion"):
        rows += [(f"{name}.{key}", value) for key, value in (getattr(found, name) or {}).items()]
    body = (found.latest or {}).get("body", {})
    for arm, known in (body.get("known") or {}).items() if isinstance(body.get("known"), dict) else ():
        rows.append((f"units with an outcome, {arm}", known))
    for each in body.get("comparisons", ()):
        rows.append((f"{each['treatment']} - control", _interval(each)))
    print_table(("field", "value"), [row for row in rows if row[1] not in (None, [])])


def _interval(each: Mapping[str, Any]) -> str | None:
    values = [each["estimate"], each["low"], each["high"]]
    return None if None in values else "{:.4g} ({:.4g} to {:.4g})".format(*values)
