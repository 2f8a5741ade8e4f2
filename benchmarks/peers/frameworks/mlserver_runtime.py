"""MLServer: a runtime of its own with five sessions; it speaks the Open Inference Protocol.

``python -m benchmarks.peers.frameworks.mlserver_runtime PORT WORKERS GRPC_PORT METRICS_PORT FOLDER`` writes its
settings and becomes ``mlserver start``. With one worker the models run in the server's process
(``parallel_workers: 0``), else in processes of their own beside it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.pool import FiveSessions, from_environment

NAME = "digits"


class Digits(MLModel):  # type: ignore[misc]  # the framework is not installed where types are checked
    """Pixels ``[n, 8, 8]`` in, probabilities ``[n, 10]`` out."""

    async def load(self) -> bool:
        self.model = FiveSessions(from_environment())
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        pixels = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output("probabilities", self.model.probabilities(pixels))
        return InferenceResponse(model_name=self.name, outputs=[output])


def main(port: int, workers: int, grpc_port: int, metrics_port: int, folder: Path) -> None:
    """Write the settings and start the server in this process."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": grpc_port,
        "metrics_port": metrics_port,
        "parallel_workers": workers if workers > 1 else 0,
        "debug": False,
        "environments_dir": str(folder / "environments"),
        "metrics_dir": str(folder / "metrics"),
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    implementation = "benchmarks.peers.frameworks.mlserver_runtime.Digits"
    (folder / "model-settings.json").write_text(json.dumps({"name": NAME, "implementation": implementation}))
    program = Path(sys.executable).with_name("mlserver")
    os.execv(program, [str(program), "start", str(folder)])  # noqa: S606


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]), Path(sys.argv[5]))
