"""The messages: compiled from the files beside them, with the numbers that the protocol has."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from grpc_tools import protoc

import quorate
from quorate.serving.grpc import health_pb2, open_inference_pb2

SOURCE = Path(quorate.__file__).parents[1]
FOLDER = SOURCE / "quorate" / "serving" / "grpc"

NUMBERS = {
    "ServerMetadataResponse": "name:1 version:2 extensions:3",
    "ModelMetadataResponse": "name:1 versions:2 platform:3 inputs:4 outputs:5",
    "InferParameter": "bool_param:1 int64_param:2 string_param:3 double_param:4 uint64_param:5",
    "InferTensorContents": (
        "bool_contents:1 int_contents:2 int64_contents:3 uint_contents:4 uint64_contents:5 fp32_contents:6 "
        "fp64_contents:7 bytes_contents:8"
    ),
    "ModelInferRequest": ("model_name:1 model_version:2 id:3 parameters:4 inputs:5 outputs:6 raw_input_contents:7"),
    "ModelInferRequest.InferInputTensor": "name:1 datatype:2 shape:3 parameters:4 contents:5",
    "ModelInferRequest.InferRequestedOutputTensor": "name:1 parameters:2",
    "ModelInferResponse": ("model_name:1 model_version:2 id:3 parameters:4 outputs:5 raw_output_contents:6"),
    "ModelInferResponse.InferOutputTensor": "name:1 datatype:2 shape:3 parameters:4 contents:5",
    "RepositoryIndexResponse.ModelIndex": "name:1 version:2 state:3 reason:4",
    "RepositoryModelLoadRequest": "repository_name:1 model_name:2 parameters:3",
    "ModelStatistics": (
        "name:1 version:2 last_inference:3 inference_count:4 execution_count:5 inference_stats:6 batch_stats:7"
    ),
    "InferStatistics": (
        "success:1 fail:2 queue:3 compute_input:4 compute_infer:5 compute_output:6 cache_hit:7 cache_miss:8"
    ),
}


@pytest.mark.parametrize("name", ["open_inference", "health"])
def test_the_compiled_messages_are_not_stale(name: str, tmp_path: Path) -> None:
    source = FOLDER / f"{name}.proto"
    arguments = ["protoc", f"--proto_path={SOURCE}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", str(source)]
    assert protoc.main(arguments) == 0
    for made in (tmp_path / "quorate" / "serving" / "grpc").iterdir():
        assert made.read_bytes() == (FOLDER / made.name).read_bytes(), f"{made.name} is stale; run `make grpc`."


@pytest.mark.parametrize("name", NUMBERS)
def test_names_and_numbers_are_those_of_the_protocol(name: str) -> None:
    outer, _, inner = name.partition(".")
    found: Descriptor = open_inference_pb2.DESCRIPTOR.message_types_by_name[outer]
    if inner:
        found = found.nested_types_by_name[inner]
    assert " ".join(f"{one.name}:{one.number}" for one in found.fields) == NUMBERS[name]


def test_services_have_their_public_names() -> None:
    (inference,) = open_inference_pb2.DESCRIPTOR.services_by_name.values()
    assert inference.full_name == "inference.GRPCInferenceService"
    (health,) = health_pb2.DESCRIPTOR.services_by_name.values()
    assert health.full_name == "grpc.health.v1.Health"
    assert [method.name for method in health.methods] == ["Check", "Watch", "List"]
