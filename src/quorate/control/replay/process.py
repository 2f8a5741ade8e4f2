"""A replay in a process of its own, so that its memory goes with it and workers' answers come first.

``python -m quorate.control.replay.process ROOT QUESTION`` prints one JSON object: ``{"answer": …}``, or ``{"error":
{code, message, path}}``. It ends with the process that started it, however that ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from quorate.control.replay.asked import Question
from quorate.errors import QuorateError
from quorate.home import Home

NICE = 10


def start(home: Home, question: dict[str, Any]) -> subprocess.Popen[bytes]:
    """The process; ``OSError`` where none can be started."""
    command = [sys.executable, "-P", "-m", "quorate.control.replay.process", str(home.root)]
    given = msgspec.json.encode(question).decode()
    return subprocess.Popen([*command, given], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def result(output: bytes, status: int) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The answer or the error that a process told, from its output and exit status."""
    with suppress(msgspec.DecodeError):
        told = msgspec.json.decode(output)
        return told.get("answer"), told.get("error")
    message = f"The replay's process ended with status {status} before it was done; the log has what it said."
    return None, {"code": "internal", "message": message, "path": None}


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # until its other end is gone
    os._exit(1)


def main(root: str, given: str) -> None:
    """Replay, and print what came of it."""
    from quorate.clock import SystemClock
    from quorate.control.replay.run import replay
    from quorate.registry.registry import Registry
    from quorate.store.database import Database

    os.nice(NICE)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    home, clock = Home(Path(root)), SystemClock()
    database = Database(home.store_url)
    told: dict[str, Any]
    try:
        question = msgspec.convert(msgspec.json.decode(given), Question)
        told = {"answer": replay(question, home, database, Registry(home.registry, clock), clock)}
    except QuorateError as error:
        told = {"error": {"code": error.code, "message": str(error), "path": error.path}}
    finally:
        database.close()
    sys.stdout.buffer.write(msgspec.json.encode(told))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
