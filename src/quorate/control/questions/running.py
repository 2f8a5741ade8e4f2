"""Questions answered in processes of their own, the oldest first: their memory goes with them, workers come first.

A process is ``python -m MODULE ROOT QUESTION`` and prints one JSON object: ``{"answer": …}``, or ``{"error": {code,
message, path}}``. It ends with the process that started it, however that ends. What was interrupted begins anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from quorate.clock import Clock, SystemClock
from quorate.control.alone import keep_doing
from quorate.control.questions.queue import Queue
from quorate.errors import QuorateError
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.store.database import Database
from quorate.store.questions import StoredQuestion

NICE = 10
_LOOK_S = 0.2
_STOP_S = 3.0

Question = TypeVar("Question")


class Runner:
    """Runs the questions of a queue in a thread, while this process is the only one of the project that does.

    ``wake`` it where something new waits.
    """

    def __init__(self, home: Home, queue: Queue) -> None:
        self._home, self._queue = home, queue
        self._name = f"{queue.kind.name}s"
        self._look, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def started(self) -> bool:
        """Whether it has been started."""
        return self._thread is not None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._follow, name=self._name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something waits."""
        self._look.set()

    def stop(self) -> None:
        """Interrupt what runs; it begins anew at the next start."""
        self._stop.set()
        self._look.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)

    def _follow(self) -> None:
        what = self._name.capitalize()
        tasks = {f"{what} cannot be run": self._run_all, f"Old {self._name} cannot be forgotten": self._queue.forget}
        keep_doing(self._home, self._name.replace(" ", "-"), tasks, self._stop, every_s=1.0, woken=self._look)

    def _run_all(self) -> None:
        while not self._stop.is_set() and (asked := self._queue.next()) is not None:
            self._run(asked)

    def _run(self, asked: StoredQuestion) -> None:
        if not self._queue.begin(asked):
            return
        child = spawn(self._queue.kind.module, self._home, dict(asked.question))
        try:
            output = self._output(child, asked.id)
        finally:
            child.kill()
            child.communicate()
        if output is not None:
            self._queue.finish(asked, *result(output, child.returncode))

    def _output(self, child: subprocess.Popen[bytes], question_id: str) -> bytes | None:
        """What the process printed; None where it is to stop: it was cancelled, or this process ends."""
        said: list[bytes] = []

        def listen() -> None:
            if child.stdout is not None:
                said.append(child.stdout.read())

        reader = threading.Thread(target=listen, daemon=True)
        reader.start()
        while reader.is_alive():
            reader.join(_LOOK_S)
            if self._stop.is_set() or self._queue.cancelled(question_id):
                return None
        child.wait()
        return said[0] if said else b""


def spawn(module: str, home: Home, question: dict[str, Any]) -> subprocess.Popen[bytes]:
    """The process that answers; ``OSError`` where none can be started."""
    command = [sys.executable, "-P", "-m", module, str(home.root)]
    given = msgspec.json.encode(question).decode()
    return subprocess.Popen([*command, given], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def result(output: bytes, status: int) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The answer or the error that a process told, from its output and exit status."""
    with suppress(msgspec.DecodeError):
        told = msgspec.json.decode(output)
        return told.get("answer"), told.get("error")
    message = f"The process ended with status {status} before it was done; the log has what it said."
    return None, {"code": "internal", "message": message, "path": None}


def serve(
    kind: type[Question],
    answer: Callable[[Question, Home, Database, Registry, Clock], Any],
    root: str,
    given: str,
) -> None:
    """Be such a process: print what ``answer`` returns to the question ``given``, or the error that it raises."""
    home, clock = Home(Path(root)), SystemClock()
    database = Database(home.store_url)
    os.nice(NICE)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    told: dict[str, Any]
    try:
        question = msgspec.convert(msgspec.json.decode(given), kind)
        told = {"answer": answer(question, home, database, Registry(home.registry, clock), clock)}
    except QuorateError as error:
        told = {"error": {"code": error.code, "message": str(error), "path": error.path}}
    finally:
        database.close()
    sys.stdout.buffer.write(msgspec.json.encode(told))
    sys.stdout.buffer.flush()


def _end_with_parent() -> None:
    while os.read(0, 4096):  # until its other end is gone; sys.stdin has a lock that a thread may not hold at the end
        pass
    os._exit(1)
