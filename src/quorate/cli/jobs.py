"""``quorate jobs``: score files in the background."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from quorate.cli._config import Json
from quorate.cli._output import note, print_json, print_table, progress
from quorate.cli.predict import _pair
from quorate.client import Job, Jobs
from quorate.errors import ConfigError

app = typer.Typer(
    help="Score files in the background.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
Url = Annotated[str, typer.Option(envvar="QUORATE_CONTROL_URL", help="The control port.")]
Key = Annotated[
    str | None, typer.Option(envvar="QUORATE_API_KEY", help="API key; others can see it unless it is in the variable.")
]
Id = Annotated[str, typer.Argument(metavar="ID", help="The job's id.")]
HERE = "http://127.0.0.1:8001"


class Format(StrEnum):
    """What rows are written as."""

    NDJSON = "ndjson"
    ARROW = "arrow"
    PARQUET = "parquet"


@app.callback()
def _group() -> None:
    """Score files in the background."""


@app.command()
def submit(
    endpoint: Annotated[str, typer.Argument(help="The endpoint to ask.")],
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A file to send.")] = None,
    input_: Annotated[
        str | None, typer.Option("--input", help="A path in the server's folder of jobs instead.")
    ] = None,
    input_format: Annotated[Format | None, typer.Option(help="By the file's name if not given.")] = None,
    output_format: Annotated[Format, typer.Option(help="What the result is written as.")] = Format.NDJSON,
    strategy: Annotated[str | None, typer.Option(help="Strategy or member to answer.")] = None,
    max_ms: Annotated[float | None, typer.Option(min=0, help="Milliseconds a group of rows may take.")] = None,
    min_confidence: Annotated[
        float | None, typer.Option(min=0, max=1, help="Withhold rows whose answer is less sure.")
    ] = None,
    coverage: Annotated[
        float | None, typer.Option(min=0.5, max=0.999, help="How often the truth is to be in a row's set.")
    ] = None,
    context: Annotated[list[str] | None, typer.Option(help="Recorded with decisions: key=value; repeatable.")] = None,
    output: Annotated[Path | None, typer.Option(help="Wait, and write the result to this file.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended; exits with 1 if it failed.")] = False,
    url: Url = HERE,
    key: Key = None,
    json: Json = False,
) -> None:
    """Submit a file; prints the job's id."""
    if (file is None) == (input_ is None):
        raise ConfigError("Give either a FILE to send or --input, a path on the server.", path="--input")
    with Jobs(url, key) as jobs:
        job = jobs.submit(
            endpoint,
            file,
            input=input_,
            input_format=input_format,
            output_format=output_format,
            strategy=strategy,
            max_ms=max_ms,
            min_confidence=min_confidence,
            coverage=coverage,
            context=dict(map(_pair, context or [])) or None,
        )
        if wait or output is not None:
            note(f"Job {job.id}.")
            job = _waited(jobs, job)
            if output is not None and job.state == "done":
                jobs.save(job.id, output)
    if json:
        print_json(job)
    else:
        sys.stdout.write(f"{job.id}\n")
    if job.ended and job.state != "done":
        note(job.error or f"The job is {job.state}.")
        raise typer.Exit(1)


def _waited(jobs: Jobs, job: Job) -> Job:
    with progress(job.endpoint, 100) as tick:
        shown = 0

        def told(now: Job) -> None:
            nonlocal shown
            while shown < int(100 * (now.progress or 0.0)):
                shown += 1
                tick(f"{now.rows_done} rows")

        job = jobs.wait(job.id, told=told)
    note(f"{job.state}: {job.rows_done} rows, {job.rows_failed} failed.")
    return job


@app.command("list")
def list_(url: Url = HERE, key: Key = None, json: Json = False) -> None:
    """List jobs, newest first."""
    with Jobs(url, key) as jobs:
        found = jobs.list()
    if json:
        print_json(found)
        return
    columns = ("id", "endpoint", "state", "progress", "rows", "failed", "error")
    print_table(columns, [(j.id, j.endpoint, j.state, _share(j), j.rows_done, j.rows_failed, j.error) for j in found])


@app.command()
def show(job_id: Id, url: Url = HERE, key: Key = None, json: Json = False) -> None:
    """Show how far a job is."""
    with Jobs(url, key) as jobs:
        job = jobs.get(job_id)
    if json:
        print_json(job)
        return
    values: dict[str, Any] = {name: getattr(job, name) for name in Job.__slots__}
    print_table(("field", "value"), [(n, v) for n, v in values.items() if v not in (None, {})])


@app.command()
def result(
    job_id: Id,
    output: Annotated[Path | None, typer.Option(help="File to write instead of standard output.")] = None,
    url: Url = HERE,
    key: Key = None,
) -> None:
    """Fetch the result of a job that is done."""
    with Jobs(url, key) as jobs:
        if output is not None:
            jobs.save(job_id, output)
            return
        for piece in jobs.result(job_id):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


@app.command()
def cancel(job_id: Id, url: Url = HERE, key: Key = None) -> None:
    """Stop a job; what it has written is removed."""
    with Jobs(url, key) as jobs:
        jobs.cancel(job_id)
    note(f"Job {job_id} is cancelled.")


def _share(job: Job) -> str | None:
    return None if job.progress is None else f"{job.progress:.0%}"
