"""``quorate serve``: prepare the project, then become its supervisor."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from quorate.cli._interrupts import hand_over
from quorate.cli._output import note
from quorate.home import Home
from quorate.launch import Overrides, prepare


class LogFormat(StrEnum):
    """What a log line looks like."""

    TEXT = "text"
    JSON = "json"


def command(
    project: Annotated[Path, typer.Argument(help="The folder that holds quorate.yaml.")] = Path(),
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of server.host.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Inference port; 0: any free one.")] = None,
    control_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Control port; 0: any free one.")] = None,
    console_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the page; 0: any free one.")
    ] = None,
    grpc_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve gRPC on this port too; 0: any free one.")
    ] = None,
    console: Annotated[bool | None, typer.Option(help="Serve the page, or not; server.console by default.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=1024, help="Worker processes.")] = None,
    insecure: Annotated[bool, typer.Option(help="Serve other machines without API keys.")] = False,
    log_format: Annotated[
        LogFormat | None, typer.Option(help="Log lines for people, or JSON objects; server.log_format by default.")
    ] = None,
    access_log: Annotated[
        bool | None, typer.Option(help="A log line for every decision, or not; server.access_log by default.")
    ] = None,
) -> None:
    """Serve the project until Ctrl-C: apply quorate.yaml if it changed, start workers, control and the page."""
    overrides = Overrides(
        host=host,
        port=port,
        control_port=control_port,
        console_port=console_port,
        console=console,
        workers=workers,
        insecure=insecure,
        log_format=None if log_format is None else log_format.value,
        access_log=access_log,
        grpc_port=grpc_port,
    )
    launch = prepare(Home(project.resolve()), overrides)
    for notice in launch.notices:
        note(notice)
    sys.stdout.flush()
    sys.stderr.flush()
    hand_over()
    # The supervisor replaces this process: it must be tiny, and everything imported to prepare is not.
    os.execv(launch.argv[0], launch.argv)  # noqa: S606 - there is no shell to want
