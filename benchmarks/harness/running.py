"""A project that is served: its two ports, its metrics, its files."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.harness import digits
from benchmarks.harness.process import MB, Server, free_port
from benchmarks.harness.table import FOLDER
from quorate.home import Home


@dataclass(frozen=True)
class Running:
    """``server`` serves ``home``; the control port is ``control``."""

    server: Server
    home: Home
    control: int

    @property
    def port(self) -> int:
        """The inference port."""
        return self.server.port

    def metric(self, name: str, **labels: str) -> float:
        """The sum over all series of a metric with these labels; 0 where there is none."""
        total = 0.0
        for family in text_string_to_metric_families(self._get("/metrics").decode()):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    total += sample.value
        return total

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """A metric summed by one of its labels."""
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(self._get("/metrics").decode()):
            for sample in family.samples:
                if sample.name == name:
                    found[sample.labels[label]] = found.get(sample.labels[label], 0.0) + sample.value
        return found

    def apply(self) -> None:
        """Apply ``quorate.yaml`` as it is now, over HTTP."""
        connection = http.client.HTTPConnection("127.0.0.1", self.control, timeout=60)
        try:
            connection.request("POST", "/v1/endpoints/apply")
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"apply was answered with {answer.status}: {body[:300]!r}")
        finally:
            connection.close()

    def resident(self) -> dict[str, float]:
        """Resident memory in MB of every process, by its name in the launch plan (``worker 0``) and its id."""
        plan = json.loads((self.home.run / "launch.json").read_text())
        names = {tuple(child["argv"]): child["name"] for child in plan["children"]}
        found = {}
        for number, process in enumerate(self.server.tree()):
            try:
                line = process.cmdline()
                resident = process.memory_info().rss / MB
            except psutil.Error:
                continue
            name = next((n for argv, n in names.items() if tuple(line[: len(argv)]) == argv), "member's process")
            found[f"{name if number else 'supervisor'} ({process.pid})"] = resident
        return found

    def bytes_of(self, folder: Path) -> int:
        """Bytes of all files below a folder of the project."""
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def _get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.control, timeout=30)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def serve(
    project: Path,
    *,
    workers: int = 1,
    cores: Sequence[int] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Serve a project on free ports until the end of the context."""
    port, control = free_port(), free_port()
    log = FOLDER / "run" / f"{project.name}.log"
    command = digits.serve(project, port, control, workers)
    with Server(command, port, mark=digits.READY, log=log, cores=cores, environment=environment) as server:
        yield Running(server, Home(project.resolve()), control)
