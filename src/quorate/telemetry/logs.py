"""Log lines: for people or as JSON, written by a thread of its own, so that a stalled reader of stderr stalls nobody.

What a record says beyond its message, it says in ``extra``, under the names of :data:`FIELDS`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import deque
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

import msgspec

from quorate.core.types import Decision

Format = Literal["text", "json"]

FIELDS = (
    "request_id",
    "decision",
    "endpoint",
    "revision",
    "strategy",
    "status",
    "rows",
    "latency_ms",
    "queue_ms",
    "degraded",
)
"""Fields that a JSON line has where its record has them."""
PENDING_BYTES = 1 << 20
FLUSH_S = 2.0

access = logging.getLogger("quorate.access")

_encode = msgspec.json.Encoder(enc_hook=str).encode


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time (UTC), level, logger, process, message, exception, and :data:`FIELDS`."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process.replace(" ", "-")
        slot = self._process.partition("-")[2]
        self._slot = int(slot) if slot.isdigit() else None

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": self._process,
            "message": record.getMessage(),
        }
        if self._slot is not None:
            line["slot"] = self._slot
        for name in FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line).decode("utf-8", "replace")


class TextFormatter(logging.Formatter):
    """Time, process and message, as people like it."""

    def __init__(self, process: str) -> None:
        super().__init__(f"%(asctime)s {process}: %(message)s")


class ThreadedHandler(logging.Handler):
    """Writes lines to a file descriptor in a daemon thread; what waits is bounded, what does not fit is counted.

    ``lost`` are the lines that were not written, also because the descriptor is closed. When lines can be written
    again, one says how many are missing.
    """

    def __init__(self, descriptor: int = 2, *, pending_bytes: int = PENDING_BYTES) -> None:
        super().__init__()
        self.lost = 0
        self._descriptor = descriptor
        self._limit = pending_bytes
        self._pending = 0
        self._missing = 0
        self._lines: deque[bytes] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._writing = False
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Format a record and leave it to the thread."""
        try:
            line = self.format(record).encode("utf-8", "replace") + b"\n"
        except Exception:
            self.handleError(record)
            return
        with self._changed:
            if self._pending + len(line) > self._limit:
                self.lost += 1
                self._missing += 1
                return
            self._pending += len(line)
            self._lines.append(line)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all is written, :data:`FLUSH_S` seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines and not self._writing, FLUSH_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._lines))
                line = self._lines.popleft()
                self._pending -= len(line)
                self._writing = True
                missing, self._missing = (self._missing, 0) if not self._lines else (0, self._missing)
            written = self._write(line)
            if missing and written:
                self._write(self._notice(missing))
            with self._changed:
                self.lost += not written
                self._writing = False
                self._changed.notify_all()

    def _write(self, line: bytes) -> bool:
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:  # nobody reads any more: serving goes on
            return False
        return True

    def _notice(self, missing: int) -> bytes:
        text = f"{missing} log lines are missing here: they could not be written in time."
        record = logging.LogRecord("quorate.telemetry", logging.WARNING, "", 0, text, None, None)
        return self.format(record).encode("utf-8", "replace") + b"\n"


def setup(process: str, format: Format = "text", descriptor: int = 2) -> ThreadedHandler:
    """Send this process's log there; ``process`` is ``worker 0``, ``control``, …"""
    handler = ThreadedHandler(descriptor)
    handler.setFormatter(JsonFormatter(process) if format == "json" else TextFormatter(process))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    if format == "json":  # nothing but JSON on stderr
        logging.captureWarnings(True)
        sys.excepthook = _uncaught
        threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    return handler


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is not None and not issubclass(kind, SystemExit | KeyboardInterrupt):
        logging.getLogger("quorate").critical("An error that nobody caught", exc_info=(kind, error, trace))


def lost_lines() -> int:
    """Lines of this process that could not be written."""
    return sum(handler.lost for handler in logging.getLogger().handlers if isinstance(handler, ThreadedHandler))


def log_access(decision: Decision) -> None:
    """One line for a decision, about 20 µs; never raises."""
    status = 200 if decision.error is None else 504
    access.info(
        "%s %d %.2f ms (%s)",
        decision.endpoint,
        status,
        decision.latency_ms,
        decision.id,
        extra={
            "request_id": decision.request_id,
            "decision": decision.id,
            "endpoint": decision.endpoint,
            "revision": decision.revision,
            "strategy": decision.served,
            "status": status,
            "rows": decision.rows,
            "latency_ms": round(decision.latency_ms, 3),
            "queue_ms": round(decision.queue_ms, 3),
            "degraded": decision.degraded,
        },
    )
