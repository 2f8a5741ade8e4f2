"""The Open Inference Protocol's part of the inference port's OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.web.openapi import Schema, answer, listing, obj, parameter, problems, ref
from quorate.web.openapi_parts import ANSWER, BOOLEAN, HEADERS, INTEGER, NAME, READ, SCALAR, STRING

_UNSIGNED, _SIGNED = ("UINT8", "UINT16", "UINT32", "UINT64"), ("INT8", "INT16", "INT32", "INT64")
_DATATYPES = ("BOOL", *_UNSIGNED, *_SIGNED, "FP16", "FP32", "FP64", "BYTES")

_MODEL = parameter("model", "path", NAME, "An endpoint, or one model of a pool.")
_VERSION = parameter(
    "version",
    "path",
    {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"},
    "An endpoint's revision or a model's version.",
)


def protocol_schemas() -> Schema:
    """The protocol's bodies, by name."""
    datatype: Schema = {
        "type": "string",
        "enum": list(_DATATYPES),
    }
    shape = listing({"type": "integer", "minimum": -1})
    parameters: Schema = {"type": "object", "additionalProperties": SCALAR}
    data: Schema = {"type": "array", "description": "Flat or nested, row-major."}
    tensor: Schema = {"name": STRING, "shape": shape, "datatype": datatype}
    rows: Schema = {**listing({"type": "integer", "minimum": 0}), "minItems": 1, "maxItems": 8}
    given = obj("name shape datatype", **{**tensor, "shape": rows}, parameters=parameters, data=data)
    return {
        "OipError": obj("error", error=STRING),
        "OipServer": obj("name version extensions", name=STRING, version=STRING, extensions=listing(STRING)),
        "OipLive": obj("live", live=BOOLEAN),
        "OipReady": obj("ready", name=STRING, ready=BOOLEAN),
        "OipDuration": obj("count ns", count=INTEGER, ns=INTEGER),
        "OipStatistics": obj("model_stats", model_stats=listing(ref("OipModelStatistics"))),
        "OipModelStatistics": obj(
            "name version last_inference inference_count execution_count inference_stats",
            name=STRING,
            version=STRING,
            last_inference=INTEGER,
            inference_count=INTEGER,
            execution_count=INTEGER,
            inference_stats={"type": "object", "additionalProperties": ref("OipDuration")},
            response_stats={"type": "object"},
            batch_stats=listing({"type": "object"}),
            memory_usage=listing({"type": "object"}),
        ),
        "OipTensor": {**obj("name shape datatype", **tensor), "additionalProperties": True},
        "OipModel": obj(
            "name versions platform inputs outputs",
            name=STRING,
            versions=listing(STRING),
            platform=STRING,
            inputs=listing(ref("OipTensor")),
            outputs=listing(ref("OipTensor")),
            parameters={"type": "object"},
        ),
        "OipInferRequest": obj(
            "inputs",
            id=STRING,
            parameters=parameters,
            inputs={**listing(given), "minItems": 1},
            outputs=listing(obj("name", name=STRING, parameters=parameters)),
        ),
        "OipInferResponse": obj(
            "model_name outputs",
            id=STRING,
            model_name=STRING,
            model_version=STRING,
            parameters={"type": "object"},
            outputs=listing(obj("name shape datatype", **tensor, parameters=parameters, data=data)),
        ),
        "OipRepositoryRequest": obj(""),
        "OipIndexRequest": {**obj("", ready=BOOLEAN), "additionalProperties": True},
        "OipIndex": listing(obj("name", name=STRING, version=STRING, state=STRING, reason=STRING)),
    }


def _problems(*codes: str) -> Schema:
    return problems(*codes, media_type="application/json", schema="OipError")


def _get(operation: str, summary: str, schema: str, parameters: Sequence[Schema] = (), *codes: str) -> Schema:
    return {
        "get": {
            "tags": ["open inference protocol"],
            "operationId": operation,
            "summary": summary,
            "parameters": [*parameters, HEADERS[0]],
            "responses": {"200": answer("Yes.", ref(schema)), **_problems(*READ, *codes)},
        }
    }


def _infer(operation: str, parameters: Sequence[Schema]) -> Schema:
    return {
        "post": {
            "tags": ["open inference protocol"],
            "operationId": operation,
            "summary": "Infer; the binary tensor extension is understood both ways.",
            "parameters": [*parameters, *HEADERS],
            "requestBody": {"required": True, "content": {"application/json": {"schema": ref("OipInferRequest")}}},
            "responses": {"200": answer("The answer.", ref("OipInferResponse")), **_problems(*ANSWER)},
        }
    }


def _repository(action: str, summary: str) -> Schema:
    return {
        "tags": ["open inference protocol"],
        "operationId": f"repositoryModel{action.capitalize()}",
        "summary": summary,
        "description": "Needs the role `admin`. Answered when this worker has done it; the others follow.",
        "parameters": [_MODEL, HEADERS[0]],
        "requestBody": {"required": False, "content": {"application/json": {"schema": ref("OipRepositoryRequest")}}},
        "responses": {
            "200": answer("Done.", ref("OipRepositoryRequest")),
            **_problems(*READ, "not_found", "too_large", "invalid_input", "overloaded", "not_ready"),
        },
    }


def protocol_paths() -> Schema:
    """The protocol's operations, by path."""
    index = {
        "tags": ["open inference protocol"],
        "operationId": "repositoryIndex",
        "summary": "Every endpoint and model that is served.",
        "parameters": [HEADERS[0]],
        "requestBody": {"required": False, "content": {"application/json": {"schema": ref("OipIndexRequest")}}},
        "responses": {
            "200": answer("The index.", ref("OipIndex")),
            **_problems(*READ, "too_large", "unsupported_media_type", "invalid_input", "not_ready"),
        },
    }
    paths: Schema = {
        "/v2": _get("serverMetadata", "Name, version and extensions.", "OipServer"),
        "/v2/health/live": _get("live", "Whether the server runs.", "OipLive"),
        "/v2/health/ready": _get("ready", "Whether it can answer.", "OipReady", (), "not_ready"),
        "/v2/repository/index": {"post": index},
        "/v2/models/stats": _get(
            "statistics", "Counts and times of all. Needs the role `operate`.", "OipStatistics", (), "not_ready"
        ),
    }
    for action, summary in (
        ("unload", "Take an endpoint, or a model with its pool, out of memory, in every worker, until it is loaded."),
        ("load", "Bring an endpoint, or a model with its pool, back into memory, in every worker."),
    ):
        paths[f"/v2/repository/models/{{model}}/{action}"] = {"post": _repository(action, summary)}
    for place, suffix, parameters in (
        ("/v2/models/{model}", "", [_MODEL]),
        ("/v2/models/{model}/versions/{version}", "Version", [_MODEL, _VERSION]),
    ):
        paths |= {
            place: _get(
                f"model{suffix}", "Inputs, outputs and versions.", "OipModel", parameters, "not_found", "not_ready"
            ),
            f"{place}/ready": _get(
                f"modelReady{suffix}", "Whether it can answer.", "OipReady", parameters, "not_found", "not_ready"
            ),
            f"{place}/stats": _get(
                f"modelStatistics{suffix}",
                "Counts and times. Needs the role `operate`.",
                "OipStatistics",
                parameters,
                "not_found",
                "not_ready",
            ),
            f"{place}/infer": _infer(f"infer{suffix}", parameters),
        }
    return paths
