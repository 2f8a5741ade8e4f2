"""Answers, model metadata and the repository's index as the protocol's messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quorate.core.types import OutputSpec
from quorate.serving.grpc.open_inference_pb2 import (
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataResponse,
    ModelStatisticsResponse,
    RepositoryIndexResponse,
)
from quorate.serving.grpc.tensors import parameters
from quorate.serving.oip_models import Answered
from quorate.serving.oip_responses import available, check_output, default, output_tensor
from quorate.serving.oip_tensors import to_bytes
from quorate.serving.statistics import Statistics

Requested = Sequence[ModelInferRequest.InferRequestedOutputTensor]


def check_outputs(requested: Requested, output: OutputSpec, *, blind: bool, told: bool = False) -> None:
    """Refuse unknown outputs before anything runs: no decision is made for an answer that cannot be sent."""
    names = available(output, blind=blind, told=told)
    for index, one in enumerate(requested):
        check_output(one.name, parameters(one.parameters), index, names)


def infer_response(
    request: ModelInferRequest, answered: Answered, output: OutputSpec, *, blind: bool, sure: bool = False
) -> bytes:
    """The serialized answer; outputs are always in raw form."""
    names = available(output, blind=blind, told=bool(answered.told))
    response = ModelInferResponse(model_name=answered.name, model_version=answered.version, id=request.id)
    for key, value in answered.parameters.items():
        _set(response.parameters[key], value)
    for name in [one.name for one in request.outputs] or default(output, blind=blind, sure=sure):
        array = output_tensor(name, answered.output, output, answered.told)
        response.outputs.add(name=name, datatype=names[name][0], shape=array.shape)
        response.raw_output_contents.append(to_bytes(array))
    return bytes(response.SerializeToString())


def _set(parameter: Any, value: Any) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, str):
        parameter.string_param = value


def metadata_response(about: dict[str, Any]) -> ModelMetadataResponse:
    """Model metadata from its REST form."""
    return ModelMetadataResponse(**about)


def index_response(models: list[dict[str, str]]) -> RepositoryIndexResponse:
    """The repository's index from its REST form."""
    return RepositoryIndexResponse(models=[RepositoryIndexResponse.ModelIndex(**one) for one in models])


def statistics_response(found: list[Statistics]) -> ModelStatisticsResponse:
    """Statistics as the extension's message."""
    response = ModelStatisticsResponse()
    for one in found:
        stats = response.model_stats.add(name=one.name, version=one.version)
        stats.inference_count = one.inference_count
        stats.execution_count = one.execution_count
        for name, duration in one.durations.items():
            field = getattr(stats.inference_stats, name)
            field.count, field.ns = duration.count, duration.ns
    return response
