"""An audit in a process of its own: ``python -m quorate.control.pool_audits.process ROOT QUESTION``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from quorate.control.background import serve, spawn
from quorate.control.pool_audits.asked import Answer, Question
from quorate.home import Home


def start(home: Home, question: dict[str, Any]) -> subprocess.Popen[bytes]:
    """The process; ``OSError`` where none can be started."""
    return spawn("quorate.control.pool_audits.process", home, question)


def main(root: str, given: str) -> None:
    """Audit, and print what came of it."""
    from quorate.clock import SystemClock
    from quorate.control.pool_audits.run import audit_decisions
    from quorate.registry.registry import Registry
    from quorate.store.database import Database

    home, clock = Home(Path(root)), SystemClock()
    database = Database(home.store_url)

    def answer() -> Answer:
        question = msgspec.convert(msgspec.json.decode(given), Question)
        return audit_decisions(question, home, database, Registry(home.registry, clock), clock)

    try:
        serve(answer)
    finally:
        database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
