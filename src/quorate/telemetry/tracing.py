"""Starts the tracer of a process where traces are wanted; OpenTelemetry is imported only then."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from quorate.telemetry import traces
from quorate.telemetry.counters import Counters

log = logging.getLogger("quorate.telemetry")


def start(environment: Mapping[str, str], counters: Counters, process: str) -> traces.Tracer | None:
    """The tracer of a process, running; None where traces are off or, with a line in the log, not installed."""
    wanted = traces.sampling(environment)
    if wanted is None:
        return None
    if not traces.installed():
        log.warning("%s", traces.MISSING)
        return None
    from quorate.telemetry.spans import OtlpExporter

    tracer = traces.Tracer(OtlpExporter(process), wanted, counters)
    tracer.start()
    return tracer
