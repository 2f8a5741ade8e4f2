"""``quorate upgrade``: have a running server replace its processes by fresh ones, without losing a request."""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import Annotated

import typer

from quorate.cli._config import HERE, Project, home_of
from quorate.engines.local import UPGRADE
from quorate.errors import ConfigError, NotReady
from quorate.home import Home

_LOOK = 0.1


def command(
    project: Project = HERE,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for the end of it.")] = 600.0,
) -> None:
    """Replace the processes of a running server one after the other, with the code that is installed now.

    Exits with 1 if that could not be done; then the old ones go on.
    """
    home = home_of(project)
    pid = _supervisor(home)
    home.upgrade.unlink(missing_ok=True)
    os.kill(pid, UPGRADE)
    until = time.monotonic() + timeout
    while not home.upgrade.exists():
        if _free(home):
            raise NotReady("The server stopped meanwhile.")
        if time.monotonic() > until:
            raise NotReady(f"The upgrade is not done after {timeout:g} s; it goes on, and the server's log tells.")
        time.sleep(_LOOK)
    came = json.loads(home.upgrade.read_text())
    typer.echo(came["message"])
    if not came["done"]:
        raise typer.Exit(1)


def _supervisor(home: Home) -> int:
    try:
        pid = int((home.run / "supervisor.pid").read_text())
    except (OSError, ValueError):
        pid = 0
    if not pid or _free(home):
        raise ConfigError(f"The project {home.root} is not being served; `quorate serve` starts it.")
    return pid


def _free(home: Home) -> bool:
    """Whether nobody holds the lock of a server."""
    try:
        with open(home.run / "serve.lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True
