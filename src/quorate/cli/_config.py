"""What the commands about ``quorate.yaml`` share: the ``--project`` option, the store, how problems are shown."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from quorate.clock import SystemClock
from quorate.control.revisions.apply import read_file
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.spec import ConfigProblems
from quorate.store.database import Database

Project = Annotated[Path, typer.Option("--project", help="Folder that holds quorate.yaml.", show_default="here")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

HERE = Path()
WRONG = 2


def home_of(project: Path) -> Home:
    """The project's paths."""
    return Home(project.resolve())


def registry_of(home: Home) -> Registry:
    """The project's registry."""
    return Registry(home.registry, SystemClock())


@contextmanager
def store_of(home: Home) -> Iterator[Database]:
    """The project's store, created or upgraded where that is needed; :class:`ConfigError` where there is no project."""
    read_file(home)  # so that a command run in the wrong folder leaves nothing there
    database = Database(home.store_url)
    try:
        database.migrate()
        yield database
    finally:
        database.close()


@contextmanager
def problems_shown() -> Iterator[None]:
    """Where the configuration is wrong, show every problem on a line of its own and exit with 2."""
    try:
        yield
    except ConfigProblems as error:
        for problem in error.problems:
            sys.stderr.write(f"quorate: error: {problem}\n")
        raise typer.Exit(WRONG) from None
