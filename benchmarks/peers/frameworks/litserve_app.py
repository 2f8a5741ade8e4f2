"""LitServe: ``python -m benchmarks.peers.frameworks.litserve_app PORT WORKERS``.

A worker is a model process and an HTTP process, as LitServe has them; it cannot do both in one.
"""

from __future__ import annotations

import sys
from typing import Any

import litserve

from benchmarks.peers.pool import FiveSessions, answer, from_environment


class Digits(litserve.LitAPI):  # type: ignore[misc]  # the framework is not installed where types are checked
    """Five sessions in each model process."""

    def setup(self, device: str) -> None:
        self.model = FiveSessions(from_environment())

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # no annotation: it shapes the request

        return list(request["instances"])

    def predict(self, x: list[Any]) -> dict[str, Any]:
        return answer(self.model, x)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


def main(port: int, workers: int) -> None:
    """Serve until SIGTERM."""
    server = litserve.LitServer(
        Digits(api_path="/predict"), accelerator="cpu", devices=1, workers_per_device=workers, timeout=30
    )
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=workers,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
