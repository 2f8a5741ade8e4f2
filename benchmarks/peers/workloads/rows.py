"""Workloads a and b: handwritten digits, five scikit-learn members, soft vote; one JSON row, or 32 of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.harness import digits
from benchmarks.harness.found import Found
from benchmarks.harness.requests import Request, save
from benchmarks.harness.table import FOLDER
from benchmarks.peers import pickles
from benchmarks.peers.bench import Workload
from benchmarks.peers.check import PICKLED, TOLERANCE, check_answer, expected, post
from benchmarks.peers.export import POOL, body, export, oip_body
from benchmarks.peers.frameworks import PICKLES
from benchmarks.peers.limit import ANSWER_BYTES
from benchmarks.peers.pool import VARIABLE
from benchmarks.peers.systems import ECHO, OIP, PLAIN, System, quorate, systems, until_answers
from benchmarks.peers.workloads.asked import Asked, run
from quorate.home import Home

ENCODE = {PLAIN: body, OIP: oip_body}
READY_WITHIN = 120.0
PATIENCE_MS = 5_000.0
"""32 connections of 32 rows wait longer in line than the example's deadline allows; the other systems have none."""


@dataclass(frozen=True)
class Digits:
    """The pool as files, ``wanted`` probabilities of each row, and the systems that serve it."""

    systems: list[System]
    instances: list[Any]
    wanted: list[dict[str, float]]
    environment: dict[str, str]

    def workload(self, rows: int, only: Sequence[str] = ()) -> Workload:
        """Requests of so many rows each."""
        count = max(1, len(self.instances) // rows)
        groups = [self._group(n, rows) for n in range(count)]
        requests = {
            protocol: save(
                (Request(self._path(protocol), encode([self.instances[i] for i in g])) for g in groups),
                FOLDER / "run" / f"{protocol}-{rows}.requests",
            )
            for protocol, encode in ENCODE.items()
        }
        quorates = save(
            (Request(digits.PREDICT, body([self.instances[i] for i in g])) for g in groups),
            FOLDER / "run" / f"quorate-{rows}.requests",
        )

        def check(system: System, port: int) -> None:
            encode = ENCODE.get(system.protocol, body)
            bodies = [encode([self.instances[i] for i in group]) for group in groups]
            until_answers(lambda: post(port, system.path, bodies[0])[0], READY_WITHIN)
            if system.name == ECHO:
                return
            tolerance = PICKLED if "pickles" in system.name else TOLERANCE
            for group, sent in zip(groups, bodies, strict=True):
                answer = post(port, system.path, sent)
                check_answer(system.name, *answer, [self.wanted[i] for i in group], tolerance)

        chosen = [s for s in self.systems if not only or any(part in s.name for part in only)]
        return Workload(
            title=f"{'one row' if rows == 1 else f'{rows} rows'}, soft vote of five",
            systems=chosen,
            requests={**requests, "quorate": quorates},
            check=check,
            alone=(sys.executable, "-m", "benchmarks.peers.limit", str(rows)),
            environment=self.environment,
        )

    def _group(self, number: int, rows: int) -> list[int]:
        return [(number * rows + i) % len(self.instances) for i in range(rows)]

    def _path(self, protocol: str) -> str:
        return next((s.path for s in self.systems if s.protocol == protocol), "/predict")


def prepare(rows: int) -> Digits:
    """Train where needed, export, and describe every system."""
    deadline_ms = None if rows == 1 else PATIENCE_MS
    project = digits.project("quorate", deadline_ms=deadline_ms)
    without_journal = digits.project("without-journal", deadline_ms=deadline_ms, journal={"durability": "none"})
    models = FOLDER / "run" / "models"
    pool, instances = export(Home(project), models)
    file = pickles.write(pool, models / "members.pickle")
    environment = {VARIABLE: str((models / POOL).resolve()), PICKLES: str(file.resolve())}
    environment[ANSWER_BYTES] = str(_answer_bytes(project, body([instances[0]] * rows)))
    wanted = [expected(pool, [row])[0] for row in instances]
    named = [
        replace(system, protocol="quorate") if system.path == digits.PREDICT else system
        for system in systems(project, without_journal, environment)
    ]
    return Digits(named, instances, wanted, environment)


def one(asked: Asked) -> Found:
    """Workload a."""
    return run(prepare(1).workload(1, asked.only), asked, (1, 3), (1, 8, 32, 128), levels=True)


def many(asked: Asked) -> Found:
    """Workload b."""
    return run(prepare(32).workload(32, asked.only), asked, (1,), (32,), levels=False)


def _answer_bytes(project: Path, sent: bytes) -> int:
    """The length of Quorate's answer, which the echo imitates."""
    with quorate("size", project).start(1, None) as server:
        return len(post(server.port, digits.PREDICT, sent)[1])
