"""BentoML: ``bentoml serve benchmarks.peers.frameworks.bento_app:Digits``; workers by ``QUORATE_BENCH_WORKERS``."""

from __future__ import annotations

import os
from typing import Any

import bentoml

from benchmarks.peers.pool import FiveSessions, answer, from_environment

WORKERS = int(os.environ.get("QUORATE_BENCH_WORKERS", "1"))


@bentoml.service(workers=WORKERS, traffic={"timeout": 30}, logging={"access": {"enabled": False}})
class Digits:
    """Five sessions in each worker, run on its event loop: for models this small that is faster than a thread."""

    def __init__(self) -> None:
        self.model = FiveSessions(from_environment())

    @bentoml.api(route="/predict")
    async def predict(self, instances: list[list[list[int]]]) -> dict[str, Any]:
        return answer(self.model, instances)
