"""The systems that are compared: how each is started, and where it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import digits
from benchmarks.harness.process import Server, free_port
from benchmarks.harness.table import FOLDER, QUORATE
from benchmarks.peers import serve
from benchmarks.peers.asgi import PATH

ECHO = "ASGI echo"
WITHOUT_JOURNAL = "Quorate, durability none"


@dataclass(frozen=True)
class System:
    """A server: a Quorate project, or an ASGI application of ``benchmarks.peers`` under uvicorn."""

    name: str
    project: Path | None = None
    application: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where it takes the request."""
        return PATH if self.project is None else digits.PREDICT

    def server(self, workers: int, cores: Sequence[int] | None) -> Server:
        """The server, not started yet."""
        port = free_port()
        log = FOLDER / "run" / f"{self.name.replace(' ', '-').replace(',', '')}-{workers}.log"
        if self.project is not None:
            command = digits.serve(self.project, port, free_port(), workers)
            return Server(command, port, mark=digits.READY, log=log, cores=cores)
        return Server(
            serve.command(self.application, port, workers),
            port,
            mark=serve.READY,
            marks=workers,
            log=log,
            cores=cores,
            environment=self.environment,
        )


def systems(quorate: Path, without_journal: Path, environment: Mapping[str, str]) -> list[System]:
    """All of them, in the order of the table."""
    return [
        System(QUORATE, project=quorate),
        System(WITHOUT_JOURNAL, project=without_journal),
        System("ASGI, fused graph", application="asgi:fused", environment=environment),
        System("ASGI, five sessions", application="asgi:five", environment=environment),
        System("FastAPI, five sessions", application="fastapi_app:five", environment=environment),
        System(ECHO, application="limit:echo", environment=environment),
    ]
