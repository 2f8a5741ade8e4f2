"""Many requests to one server: resident memory of each process over time, size of journal and metrics."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.harness import digits, machine, wrk
from benchmarks.harness.found import Found
from benchmarks.harness.requests import Request, save
from benchmarks.harness.running import Running, serve
from benchmarks.harness.table import FOLDER, QUORATE, Row
from benchmarks.peers.export import body, export
from benchmarks.soak.memory import Samples
from quorate.home import Home

CONNECTIONS = 32
SLICE = 5
"""Seconds of load between two looks at the number of answers; memory is weighed twice a second."""


def measure(wanted: int, workers: int, journal: dict[str, Any]) -> Found:
    """Ask until ``wanted`` answers came."""
    project = digits.project("soak", **({"journal": journal} if journal else {}))
    _, instances = export(Home(project), FOLDER / "run" / "soak-models")
    file = save((Request(digits.PREDICT, body([row])) for row in instances), FOLDER / "run" / "soak.requests")
    cores = machine.split_cores(machine.available(), workers)
    samples, answers, bad, sizes = Samples(), 0, 0, []
    with serve(project, workers=workers, cores=cores and cores.server) as running:
        home = running.home
        wrk.drive(running.port, file, connections=CONNECTIONS, seconds=1, cores=cores and cores.generator)
        before = running.bytes_of(home.telemetry)
        started = time.perf_counter()
        while answers < wanted:

            def weigh() -> None:
                for _ in range(2 * SLICE):
                    samples.take(time.perf_counter() - started, running)
                    time.sleep(0.5)

            load = wrk.drive(
                running.port,
                file,
                connections=CONNECTIONS,
                seconds=SLICE,
                cores=cores and cores.generator,
                during=weigh,
            )
            answers += load.answers
            bad += load.bad
            sizes.append(running.bytes_of(home.journal))
        took = time.perf_counter() - started
        title = f"{answers:,} requests in {took:,.0f} s"
        rows = [
            *samples.rows(title, took, "MB in all"),
            Row(title, QUORATE, "not 200", "", (float(bad),)),
            *_files(title, running, answers, sizes, before),
        ]
    samples.plot("soak-requests", f"Resident memory over {answers:,} requests", "seconds")
    return Found(rows, bad)


def _files(title: str, running: Running, answers: int, sizes: list[int], metrics_before: int) -> list[Row]:
    journal, metrics = sizes[-1], running.bytes_of(running.home.telemetry)
    return [
        Row(title, QUORATE, "journal at the end", "MB", (journal / 1e6,)),
        Row(title, QUORATE, "journal, most on the way", "MB", (max(sizes) / 1e6,)),
        Row(title, QUORATE, "journal an answer", "bytes", (journal / max(1, answers),)),
        Row(title, QUORATE, "metrics at the end", "kB", (metrics / 1e3,), f"{metrics_before / 1e3:.0f} at first"),
    ]
