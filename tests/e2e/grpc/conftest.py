"""What the gRPC tests share: a project with a member that can be held up, and a client made of the public messages."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest

from quorate.clock import SystemClock
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.serving.grpc import health_pb2, open_inference_pb2
from quorate.training.register import register_model

GENEROUS = 30.0
SOURCE = """
import pathlib, time
import numpy as np
FOLDER = pathlib.Path({folder!r})

def predict(input):
    if (input < 0).any():
        (FOLDER / "started").touch()
        while (FOLDER / "hold").exists():
            time.sleep(0.005)
    return np.full((len(input), 2), 0.5, np.float32)
"""
MORE = """
pools:
  numbers: {task: classification, members: [holds]}
"""
ENDPOINTS = """
  numbers: {pool: numbers, strategies: {only: {kind: single, member: holds}}, deadline_ms: 300000}
  hidden:
    pool: digits
    strategies: {soft: {kind: vote}, best: {kind: single, member: svm}}
    policy: {kind: split, weights: {soft: 1, best: 1}, blind: true}
"""


class Held:
    """The member ``holds`` waits at rows with a negative number, while :meth:`hold` is in force."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def started(self) -> bool:
        return (self._folder / "started").exists()

    def hold(self) -> None:
        (self._folder / "started").unlink(missing_ok=True)
        (self._folder / "hold").touch()

    def release(self) -> None:
        (self._folder / "hold").unlink(missing_ok=True)


def extend(project: Path) -> Held:
    """Add the endpoints ``numbers``, of four numbers, and ``hidden``, which is blind, to a trained digits project."""
    home = Home(project)
    register_model(
        Registry(home.registry, SystemClock()),
        name="holds",
        format="callable",
        files={"holds.py": SOURCE.format(folder=str(project)).encode()},
        signature=Signature("array", (TensorSpec("input", "float32", (None, 4)),), OutputSpec("scores", ("no", "yes"))),
        options={"entry": "predict"},
        sample_raw={"input": np.zeros((2, 4), np.float32)},
    )
    text = home.config.read_text().replace("pools:", MORE.strip(), 1)
    home.config.write_text(text + ENDPOINTS)
    return Held(project)


def address(running: Any) -> str:
    """Where a server serves gRPC."""
    return str(re.findall(r"^  grpc +(\S+)", running.log(), re.M)[0])


def method(channel: Any, name: str) -> Any:
    """A method of the inference service, over the messages that the protocol has."""
    return channel.unary_unary(
        f"/inference.GRPCInferenceService/{name}",
        request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
        response_deserializer=getattr(open_inference_pb2, f"{name}Response").FromString,
    )


def health(channel: Any, name: str = "Check") -> Any:
    """A method of the health service."""
    kind = channel.unary_stream if name == "Watch" else channel.unary_unary
    return kind(
        f"/grpc.health.v1.Health/{name}",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )


def request(
    model: str, array: np.ndarray[Any, Any], name: str = "input", datatype: str = "FP32", **more: Any
) -> open_inference_pb2.ModelInferRequest:
    """An infer request with one raw input."""
    made = open_inference_pb2.ModelInferRequest(model_name=model, **more)
    made.inputs.add(name=name, datatype=datatype, shape=array.shape)
    made.raw_input_contents.append(array.tobytes())
    return made


def outputs(answer: open_inference_pb2.ModelInferResponse) -> dict[str, Any]:
    """The output tensors as nested lists; text decoded."""
    found = {}
    for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
        if output.datatype == "FP32":
            found[output.name] = np.frombuffer(raw, "<f4").reshape(output.shape).tolist()
            continue
        texts = []
        while raw:
            size = int.from_bytes(raw[:4], "little")
            texts.append(raw[4 : 4 + size].decode())
            raw = raw[4 + size :]
        found[output.name] = texts
    return found


def ended(call: Any) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    """Make a synchronous call that fails: status, sentence, trailing metadata."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details(), dict(error.trailing_metadata() or ())
    return grpc.StatusCode.OK, "", {}


@pytest.fixture(scope="session")
def rpc() -> Any:
    """The functions above."""
    return SimpleNamespace(
        extend=extend, address=address, method=method, health=health, request=request, outputs=outputs, ended=ended
    )
