"""Every kind of bad call ends with a status that is the caller's, names what is wrong, and harms nobody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from quorate.serving.grpc import open_inference_pb2 as messages

pytestmark = pytest.mark.slow

GENEROUS = 30.0
LIMIT = 1 << 20
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
ROW = np.float32([[1, 2, 3, 4]])
Change = Callable[[messages.ModelInferRequest], Any]


@dataclass(frozen=True)
class Bad:
    """A good call with one thing changed; ``says`` is in the sentence. ``role`` is the key's, None for none."""

    name: str
    says: str
    change: Change | None = None
    code: grpc.StatusCode = INVALID
    raw: bytes | None = None
    role: str | None = "admin"
    method: str = "ModelInfer"
    metadata: tuple[tuple[str, str], ...] = ()
    compression: grpc.Compression = field(default=grpc.Compression.NoCompression)


def _input(**fields: Any) -> Change:
    """Change the one input."""

    def change(request: messages.ModelInferRequest) -> None:
        for name, value in fields.items():
            if name == "shape":
                request.inputs[0].shape[:] = value
            elif name == "raw":
                request.raw_input_contents[0] = value
            elif name == "contents":
                del request.raw_input_contents[:]
                request.inputs[0].contents.CopyFrom(messages.InferTensorContents(**value))
            else:
                setattr(request.inputs[0], name, value)

    return change


def _parameter(name: str, **value: Any) -> Change:
    return lambda request: request.parameters[name].CopyFrom(messages.InferParameter(**value))


def _output(name: str, **parameters: messages.InferParameter) -> Change:
    return lambda request: request.outputs.add(name=name, parameters=parameters)


def _second(request: messages.ModelInferRequest) -> None:
    request.inputs.add().CopyFrom(request.inputs[0])
    request.raw_input_contents.append(bytes(16))


def _image(datatype: str, shape: list[int], raw: bytes) -> Change:
    def change(request: messages.ModelInferRequest) -> None:
        request.model_name = "digits"
        _input(name="image", datatype=datatype, shape=shape, raw=raw)(request)

    return change


def _hidden(request: messages.ModelInferRequest) -> None:
    _image("UINT8", [1, 8, 8], bytes(64))(request)
    request.model_name = "hidden"


def _both(*changes: Change) -> Change:
    def change(request: messages.ModelInferRequest) -> None:
        for one in changes:
            one(request)

    return change


def _packed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


CASES = [
    # --- bytes that are no message --------------------------------------------------------------------
    Bad("noise", "no ModelInferRequest", raw=b"\xff\xfe\xfd\xfc"),
    Bad("truncated", "no ModelInferRequest", raw=b"\x0a\x7fnumbers"),
    Bad("a name that is not UTF-8", "no ModelInferRequest", raw=b"\x0a\x02\xff\xfe"),
    Bad("empty", "model_name: There is no endpoint or model ''", code=NOT_FOUND, raw=b""),
    Bad(
        "larger than the limit",
        "larger than max",
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        change=_input(shape=[LIMIT // 8, 4], raw=bytes(2 * LIMIT)),
    ),
    Bad(
        "a compressed bomb",
        "larger than max",
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        change=_input(shape=[LIMIT, 4], raw=bytes(16 * LIMIT)),
        compression=grpc.Compression.Gzip,
    ),
    # --- who, and what ----------------------------------------------------------------------------------
    Bad("no key", "Authorization: ", code=grpc.StatusCode.UNAUTHENTICATED, role=None),
    Bad("wrong role", "Authorization: ", code=grpc.StatusCode.PERMISSION_DENIED, role="outcome"),
    Bad(
        "statistics are for operators",
        "Authorization: ",
        code=grpc.StatusCode.PERMISSION_DENIED,
        role="predict",
        method="ModelStatistics",
        raw=b"",
    ),
    Bad(
        "loading is for administrators",
        "Authorization: ",
        code=grpc.StatusCode.PERMISSION_DENIED,
        role="operate",
        method="RepositoryModelLoad",
        raw=b"",
    ),
    Bad(
        "a load that names nothing",
        "names no model",
        method="RepositoryModelLoad",
        raw=b"",
    ),
    Bad("two keys", "sent 2 times", metadata=(("x-api-key", "another"),)),
    Bad("an idempotency key of two words", "Idempotency-Key: ", metadata=(("idempotency-key", "a b"),)),
    Bad("unknown model", "model_name: ", lambda r: setattr(r, "model_name", "nobody"), NOT_FOUND),
    Bad("a model name of 60 kB", "model_name: ", lambda r: setattr(r, "model_name", "é%" * 20_000), NOT_FOUND),
    Bad("unknown revision", "model_version: ", lambda r: setattr(r, "model_version", "99"), NOT_FOUND),
    Bad(
        "unknown version",
        "model_version: ",
        _both(lambda r: setattr(r, "model_name", "holds"), lambda r: setattr(r, "model_version", "9" * 30)),
        NOT_FOUND,
    ),
    # --- tensors ----------------------------------------------------------------------------------------
    Bad("no inputs", "inputs: ", lambda r: r.ClearField("inputs")),
    Bad("another input", "inputs.other: ", _input(name="other")),
    Bad("an input twice", "inputs[1].name: ", _second),
    Bad("no datatype", "inputs[0].datatype: ", _input(datatype="")),
    Bad("unknown datatype", "inputs[0].datatype: ", _input(datatype="FP128")),
    Bad("no shape", "inputs[0].shape: ", _input(shape=[])),
    Bad("negative shape", "inputs[0].shape: ", _input(shape=[1, -4])),
    Bad("a huge shape", "inputs[0].shape: ", _input(shape=[1 << 40, 1 << 20])),
    Bad("a shape of more than the limit", "inputs[0].shape: ", _input(shape=[1 << 19, 4])),
    Bad("a shape too deep", "inputs[0].shape: ", _input(shape=[1] * 20)),
    Bad("no rows", "inputs[0].shape: ", _input(shape=[0, 4], raw=b"")),
    Bad("too many rows", "limits.rows", _input(shape=[10_001, 4], raw=bytes(160_016))),
    Bad("a row too short", "inputs.input: ", _input(shape=[1, 3], raw=bytes(12))),
    Bad("too few bytes", "raw_input_contents[0]: ", _input(raw=bytes(15))),
    Bad("too many bytes", "raw_input_contents[0]: ", _input(raw=bytes(17))),
    Bad("bytes for nobody", "raw_input_contents: ", lambda r: r.raw_input_contents.append(b"")),
    Bad("no bytes", "inputs[0].contents: ", lambda r: r.ClearField("raw_input_contents")),
    Bad("both forms", "inputs[0].contents: ", lambda r: r.inputs[0].contents.fp32_contents.extend([1, 2, 3, 4])),
    Bad("wrong contents", "inputs[0].contents: ", _input(contents={"fp64_contents": [1, 2, 3, 4]})),
    Bad("too few elements", "inputs[0].contents: ", _input(contents={"fp32_contents": [1, 2, 3]})),
    Bad(
        "beyond its type",
        "inputs[0].contents: ",
        _both(_input(contents={"uint_contents": [1, 2, 3, 256]}), _input(datatype="UINT8")),
    ),
    Bad("NaN", "inputs.input[0][2]: ", _input(raw=np.float32([1, 2, np.nan, 4]).tobytes())),
    Bad("infinity", "inputs.input[0][0]: ", _input(contents={"fp32_contents": [np.inf, 2, 3, 4]})),
    Bad("beyond float32", "inputs.input[0][0]: ", _input(datatype="FP64", raw=np.float64([1e300, 1, 1, 1]).tobytes())),
    Bad("text for numbers", "inputs.input: ", _input(datatype="BYTES", raw=_packed(b"1") * 4)),
    Bad("elements beyond the bytes", "raw_input_contents[0]: ", _input(datatype="BYTES", raw=b"\xff\xff\xff\x7fabcd")),
    Bad("BOOL that is none", "raw_input_contents[0]: ", _input(datatype="BOOL", raw=b"\x00\x01\x02\x01")),
    Bad("an image that is none", "inputs.image[0]", _image("BYTES", [1], _packed(b"\x89PNG no picture in here"))),
    Bad("an image of one dimension", "inputs.image.shape: ", _image("UINT8", [4], bytes(4))),
    Bad("an image without pixels", "inputs.image.shape: ", _image("UINT8", [1, 0, 8], b"")),
    Bad("pixels of more than 255", "inputs.image.data: ", _image("UINT16", [1, 1, 2], b"\x00\x01\x00\x01")),
    # --- parameters and outputs -------------------------------------------------------------------------
    Bad("unknown parameter", "parameters.speed: ", _parameter("speed", int64_param=1)),
    Bad("no time", "parameters.timeout: ", _parameter("timeout", int64_param=0)),
    Bad("time of NaN", "parameters.max_ms: ", _parameter("max_ms", double_param=float("nan"))),
    Bad("strategy of a number", "parameters.strategy: ", _parameter("strategy", int64_param=1)),
    Bad(
        "a strategy where none may be chosen",
        "options.strategy: ",
        _parameter("strategy", string_param="only"),
        grpc.StatusCode.PERMISSION_DENIED,
    ),
    Bad(
        "a strategy of a blind endpoint",
        "options.strategy: ",
        _both(_hidden, _parameter("strategy", string_param="soft")),
        grpc.StatusCode.PERMISSION_DENIED,
    ),
    Bad("probabilities of a blind endpoint", "outputs[0].name: ", _both(_hidden, _output("probabilities"))),
    Bad("a context of NaN", "parameters.context.a: ", _parameter("context.a", double_param=float("inf"))),
    Bad("a context too long", "context.a: ", _parameter("context.a", string_param="x" * 2000)),
    Bad("a context too wide", "context: ", lambda r: [r.parameters[f"context.{i}"] for i in range(65)]),
    Bad("unknown output", "outputs[0].name: ", _output("logits")),
    Bad(
        "unknown parameter of an output",
        "outputs[0].parameters: ",
        _output("label", classification=messages.InferParameter(int64_param=3)),
    ),
]


@pytest.fixture(scope="module")
def site(rpc: Any, module_server: Callable[..., Any], module_digits: Path, new_key: Any) -> Any:
    """One worker whose messages may have a mebibyte; every role has a key."""
    rpc.extend(module_digits)
    config = module_digits / "quorate.yaml"
    config.write_text(f"{config.read_text()}\nlimits: {{body_bytes: 1MiB}}\n")
    keys = {role: new_key(module_digits, role) for role in ("predict", "outcome", "operate", "admin")}
    running = module_server(module_digits, "--grpc-port", "0")
    running.grpc, running.keys = rpc.address(running), keys
    return running


@pytest.mark.parametrize("bad", CASES, ids=[bad.name for bad in CASES])
def test_a_bad_call_is_refused_and_named(rpc: Any, site: Any, bad: Bad) -> None:
    request: Any = rpc.request("numbers", ROW)
    if bad.change is not None:
        bad.change(request)
    key = () if bad.role is None else (("x-api-key", site.keys[bad.role]),)
    with grpc.insecure_channel(site.grpc, options=(("grpc.max_send_message_length", -1),)) as channel:
        infer = rpc.method(channel, bad.method)
        code, details, trailing = rpc.ended(
            lambda: infer(
                request if bad.raw is None else bad.raw,
                timeout=GENEROUS,
                metadata=(*key, *bad.metadata),
                compression=bad.compression,
            )
        )
        assert code is bad.code, details
        assert bad.says in details
        if "larger than max" not in bad.says:  # that is gRPC's own
            assert trailing["x-request-id"]
            assert trailing["quorate-code"] not in ("internal", "no_quorum")
        good = rpc.method(channel, "ModelInfer")(
            rpc.request("numbers", ROW), timeout=GENEROUS, metadata=(("x-api-key", site.keys["predict"]),)
        )
    assert rpc.outputs(good)["probabilities"] == [[0.5, 0.5]]


def test_nothing_was_our_fault(site: Any) -> None:
    assert "Traceback" not in site.log()
    assert "failed (" not in site.log()
