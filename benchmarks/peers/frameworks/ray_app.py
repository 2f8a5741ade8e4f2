"""Ray Serve: ``python -m benchmarks.peers.frameworks.ray_app PORT WORKERS FOLDER``.

A worker is a replica. Beside them run, on the same cores, Ray's own: its proxy, controller, scheduler, store and logs.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.peers.pool import FiveSessions, answer, from_environment


@serve.deployment(ray_actor_options={"num_cpus": 0}, max_ongoing_requests=1000)
class Digits:
    """Five sessions in each replica."""

    def __init__(self) -> None:
        self.model = FiveSessions(from_environment())

    async def __call__(self, request: Request) -> dict[str, Any]:
        return answer(self.model, (await request.json())["instances"])


def main(port: int, workers: int, folder: str) -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ray.init(
        address="local",
        num_cpus=max(2, workers),
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        _temp_dir=folder,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"enable_access_log": False})
    serve.run(Digits.options(num_replicas=workers).bind(), route_prefix="/predict")
    print("ready", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
