"""The inference port's OpenAPI document, written by hand: the port itself is raw ASGI."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.web import openapi
from quorate.web.openapi import NAME_PATTERN, Schema, answer, listing, obj, parameter, problems, ref

ID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"

_UNSIGNED, _SIGNED = ("UINT8", "UINT16", "UINT32", "UINT64"), ("INT8", "INT16", "INT32", "INT64")
_DATATYPES = ("BOOL", *_UNSIGNED, *_SIGNED, "FP16", "FP32", "FP64", "BYTES")

_STRING: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_INTEGER: Schema = {"type": "integer"}
_BOOLEAN: Schema = {"type": "boolean"}
_NAME: Schema = {"type": "string", "pattern": NAME_PATTERN}
_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}

_ENDPOINT = parameter("endpoint", "path", _NAME, "The endpoint's name.")
_MODEL = parameter("model", "path", _NAME, "An endpoint, or one model of a pool.")
_VERSION = parameter(
    "version",
    "path",
    {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"},
    "An endpoint's revision or a model's version.",
)
_HEADERS = [
    parameter("X-Request-Id", "header", _STRING, "Sent back and recorded; a new one is made where it is missing."),
    parameter("traceparent", "header", _STRING, "W3C trace context; recorded with the decision and passed on."),
    parameter(
        "Idempotency-Key",
        "header",
        {"type": "string", "pattern": "^[!-~]{1,255}$"},
        "Retries with the same key and body get the first answer and stay one decision.",
    ),
]

_READ = ("unauthenticated", "forbidden", "malformed_request")
_WRITE = (*_READ, "not_found", "conflict", "too_large", "unsupported_media_type", "invalid_input")
_BATCH = (*_READ, "not_found", "too_large", "unsupported_media_type", "invalid_input", "overloaded", "not_ready")
_ANSWER = (*_WRITE, "overloaded", "not_ready", "no_quorum")

_INSTANCE: Schema = {
    "description": 'One row: a nested list of numbers, an object by column name, or `{"b64": …}` for an image.',
    "type": ["array", "object", "number", "string"],
}


def _schemas() -> Schema:
    options = obj(
        "",
        strategy={
            "type": ["string", "null"],
            "description": "A strategy, or a member of the pool, which then answers alone, where callers may choose.",
        },
        max_ms={
            "type": ["number", "null"],
            "exclusiveMinimum": 0,
            "maximum": 3_600_000,
            "description": "Deadline in milliseconds; the endpoint's own is the most.",
        },
    )
    prediction = obj(
        "",
        label={**_STRING, "description": "The class; a blind endpoint tells nothing else."},
        confidence={**_NUMBER, "description": "The label's probability."},
        probabilities={"type": "object", "additionalProperties": _NUMBER},
        value={**_NUMBER, "description": "The answer of a regression."},
        values={"type": "object", "additionalProperties": _NUMBER, "description": "The same where it has several."},
    )
    return {
        "Instance": _INSTANCE,
        "Options": options,
        "Context": {
            "type": "object",
            "description": "What is known about the caller or case; policies and rules see it, and it is recorded.",
            "additionalProperties": {**_SCALAR, "maxLength": 1024},
            "propertyNames": {"maxLength": 1024},
            "maxProperties": 64,
        },
        "PredictRequest": obj(
            "instances",
            instances={**listing(ref("Instance")), "minItems": 1},
            context=ref("Context"),
            options=ref("Options"),
        ),
        "Prediction": prediction,
        "PredictResponse": obj(
            "id endpoint predictions",
            id={**_STRING, "description": "The decision's id; outcomes refer to it."},
            endpoint=_STRING,
            predictions=listing(ref("Prediction")),
            degraded={**_BOOLEAN, "description": "Whether a member that was asked failed; absent where blind."},
            missing={**listing(_STRING), "description": "The members that failed; absent where blind."},
            latency_ms={**_NUMBER, "description": "From arrival to answer; absent where blind."},
            strategy={**_STRING, "description": "What answered; absent where blind."},
        ),
        **_batch_schemas(),
        **_outcome_schemas(),
        **_oip_schemas(),
    }


def _batch_schemas() -> Schema:
    error = obj("code detail", code=_STRING, detail=_STRING, path=_STRING)
    count: Schema = {"type": "integer", "minimum": 0}
    own: Schema = {"type": ["string", "integer"], "maxLength": 256}
    return {
        "BatchLine": {
            "description": "One line in: a row by itself, or this.",
            **obj("instance", instance=ref("Instance"), id=own, context=ref("Context")),
        },
        "BatchRow": {
            "description": "One line out: a prediction or an error.",
            **obj(
                "row",
                row={**count, "description": "The row's number in the input; blank lines are none."},
                id={**own, "description": "The row's own id, where it was sent with one."},
                prediction=ref("Prediction"),
                error=error,
                decision={**_STRING, "description": "The decision's id; outcomes refer to it and `decision_row`."},
                decision_row=count,
                revision=count,
                strategy={**_STRING, "description": "What answered; absent where blind."},
                degraded={**_BOOLEAN, "description": "Whether a member that was asked failed; absent where blind."},
            ),
        },
        "BatchSummary": {
            "description": "The last line out: `summary`.",
            **obj(
                "rows answered failed complete",
                rows=count,
                answered=count,
                failed=count,
                complete={**_BOOLEAN, "description": "Whether all of the input was read and answered."},
                error=error,
                ignored={**listing(_STRING), "description": "Columns that the endpoint does not take."},
            ),
        },
    }


def _outcome_schemas() -> Schema:
    name: Schema = {"type": "string", "minLength": 1, "maxLength": 64}
    outcome = obj(
        "id",
        id={"type": "string", "pattern": ID_PATTERN, "description": "A decision's id."},
        row={"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "default": 0},
        truth={"type": ["string", "number"], "maxLength": 1000, "description": "The right label, or the true value."},
        reward={**_NUMBER, "description": "What the answer was worth: the metric `reward`."},
        rewards={
            "type": "object",
            "minProperties": 1,
            "maxProperties": 32,
            "propertyNames": {**name, "not": {"const": "truth"}},
            "additionalProperties": _NUMBER,
        },
        source={**name, "default": "user"},
        at={
            "type": "number",
            "minimum": 946_684_800,
            "description": "When it became known: Unix seconds, at most an hour ahead; now by default.",
        },
    )
    outcome["oneOf"] = [{"required": [name]} for name in ("truth", "reward", "rewards")]
    count: Schema = {"type": "integer", "minimum": 0}
    return {
        "Outcome": outcome,
        "OutcomesResponse": obj(
            "accepted duplicate pending rejected",
            accepted=count,
            duplicate=count,
            pending={**count, "description": "Accepted, but the decision is not known here yet."},
            rejected=listing(obj("index detail", index=count, detail=_STRING, code=_STRING, path=_STRING)),
        ),
    }


def _oip_schemas() -> Schema:
    datatype: Schema = {
        "type": "string",
        "enum": list(_DATATYPES),
    }
    shape = listing({"type": "integer", "minimum": -1})
    parameters: Schema = {"type": "object", "additionalProperties": _SCALAR}
    data: Schema = {"type": "array", "description": "Flat or nested, row-major."}
    tensor: Schema = {"name": _STRING, "shape": shape, "datatype": datatype}
    rows: Schema = {**listing({"type": "integer", "minimum": 0}), "minItems": 1, "maxItems": 8}
    given = obj("name shape datatype", **{**tensor, "shape": rows}, parameters=parameters, data=data)
    return {
        "OipError": obj("error", error=_STRING),
        "OipServer": obj("name version extensions", name=_STRING, version=_STRING, extensions=listing(_STRING)),
        "OipLive": obj("live", live=_BOOLEAN),
        "OipReady": obj("ready", name=_STRING, ready=_BOOLEAN),
        "OipDuration": obj("count ns", count=_INTEGER, ns=_INTEGER),
        "OipStatistics": obj("model_stats", model_stats=listing(ref("OipModelStatistics"))),
        "OipModelStatistics": obj(
            "name version last_inference inference_count execution_count inference_stats",
            name=_STRING,
            version=_STRING,
            last_inference=_INTEGER,
            inference_count=_INTEGER,
            execution_count=_INTEGER,
            inference_stats={"type": "object", "additionalProperties": ref("OipDuration")},
            response_stats={"type": "object"},
            batch_stats=listing({"type": "object"}),
            memory_usage=listing({"type": "object"}),
        ),
        "OipTensor": {**obj("name shape datatype", **tensor), "additionalProperties": True},
        "OipModel": obj(
            "name versions platform inputs outputs",
            name=_STRING,
            versions=listing(_STRING),
            platform=_STRING,
            inputs=listing(ref("OipTensor")),
            outputs=listing(ref("OipTensor")),
            parameters={"type": "object"},
        ),
        "OipInferRequest": obj(
            "inputs",
            id=_STRING,
            parameters=parameters,
            inputs={**listing(given), "minItems": 1},
            outputs=listing(obj("name", name=_STRING, parameters=parameters)),
        ),
        "OipInferResponse": obj(
            "model_name outputs",
            id=_STRING,
            model_name=_STRING,
            model_version=_STRING,
            parameters={"type": "object"},
            outputs=listing(obj("name shape datatype", **tensor, parameters=parameters, data=data)),
        ),
        "OipRepositoryRequest": obj(""),
        "OipIndexRequest": {**obj("", ready=_BOOLEAN), "additionalProperties": True},
        "OipIndex": listing(obj("name", name=_STRING, version=_STRING, state=_STRING, reason=_STRING)),
    }


def _oip_problems(*codes: str) -> Schema:
    return problems(*codes, media_type="application/json", schema="OipError")


def _predict() -> Schema:
    image: Schema = {"schema": {"type": "string", "format": "binary"}}
    return {
        "tags": ["predict"],
        "operationId": "predict",
        "summary": "Ask an endpoint.",
        "description": (
            "Ask an endpoint. A JSON body carries rows, context and options. A raw `image/*` body is one row; "
            "`strategy`, `max_ms` and `context.KEY` are query parameters then, and only then. Multipart has `file` "
            "(one row each), `context` and `options`."
        ),
        "parameters": [_ENDPOINT, *_HEADERS],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": ref("PredictRequest")},
                "image/png": image,
                "image/jpeg": image,
                "multipart/form-data": {
                    "schema": obj(
                        "file",
                        file={"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}},
                        context=ref("Context"),
                        options=ref("Options"),
                    )
                },
            },
        },
        "responses": {"200": answer("The answer.", ref("PredictResponse")), **problems(*_ANSWER)},
    }


def _batch() -> Schema:
    binary: Schema = {"schema": {"type": "string", "format": "binary"}}
    tables = dict.fromkeys(("application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"), binary)
    # What a line is: JSON Schema has no lines, and its words for text in another type are annotations only.
    row = {"anyOf": [ref("BatchLine"), ref("Instance")]}
    told = {"anyOf": [ref("BatchRow"), obj("summary", summary=ref("BatchSummary"))]}
    lines: Schema = {"schema": {"type": "string", "contentMediaType": "application/json", "contentSchema": row}}
    answered: Schema = {"schema": {"type": "string", "contentMediaType": "application/json", "contentSchema": told}}
    options = [
        parameter("strategy", "query", {"type": "string"}, "See predict."),
        parameter(
            "max_ms",
            "query",
            {"type": "number", "exclusiveMinimum": 0, "maximum": 3_600_000},
            "Deadline of each group of rows.",
        ),
    ]
    return {
        "tags": ["predict"],
        "operationId": "batch",
        "summary": "Score many rows, streamed both ways.",
        "description": (
            "The answer begins while the body is still sent: read while you send, or send 1 MiB at most at a time. "
            "Rows are scored in groups, each one decision, and answered in order; a bad row fails alone. "
            "`context.KEY` may be given as query parameters. `Accept` chooses the answer's format: that of the body by "
            "default, and an Arrow stream for a Parquet file."
        ),
        "parameters": [_ENDPOINT, *options, *_HEADERS[:2]],
        "requestBody": {"required": True, "content": {"application/x-ndjson": lines, **tables}},
        "responses": {
            "200": {
                "description": "The rows, in order.",
                "headers": openapi.REQUEST_ID,
                "content": {"application/x-ndjson": answered, **tables},
            },
            **problems(*_BATCH),
        },
    }


def _outcomes() -> Schema:
    # In a list each is judged for itself, so what is no outcome there is an answer's `rejected`, not an error.
    item: Schema = {"type": "object", "description": "An `Outcome`; one that is not is listed in `rejected`."}
    one_or_many = {"anyOf": [ref("Outcome"), {**listing(item), "minItems": 1}]}
    return {
        "tags": ["outcomes"],
        "operationId": "outcomes",
        "summary": "Report truths or rewards.",
        "description": (
            "Report what turned out true, or what an answer was worth: one outcome or a list. Sending it again changes "
            "nothing; it may come late, out of order, and before its decision is known."
        ),
        "parameters": _HEADERS[:2],
        "requestBody": {"required": True, "content": {"application/json": {"schema": one_or_many}}},
        "responses": {
            "202": answer("Written down.", ref("OutcomesResponse")),
            **problems(*_WRITE, "overloaded", "not_ready"),
        },
    }


def _oip_get(operation: str, summary: str, schema: str, parameters: Sequence[Schema] = (), *codes: str) -> Schema:
    return {
        "get": {
            "tags": ["open inference protocol"],
            "operationId": operation,
            "summary": summary,
            "parameters": [*parameters, _HEADERS[0]],
            "responses": {"200": answer("Yes.", ref(schema)), **_oip_problems(*_READ, *codes)},
        }
    }


def _oip_infer(operation: str, parameters: Sequence[Schema]) -> Schema:
    return {
        "post": {
            "tags": ["open inference protocol"],
            "operationId": operation,
            "summary": "Infer; the binary tensor extension is understood both ways.",
            "parameters": [*parameters, *_HEADERS],
            "requestBody": {"required": True, "content": {"application/json": {"schema": ref("OipInferRequest")}}},
            "responses": {"200": answer("The answer.", ref("OipInferResponse")), **_oip_problems(*_ANSWER)},
        }
    }


def _oip_repository(action: str, summary: str) -> Schema:
    return {
        "tags": ["open inference protocol"],
        "operationId": f"repositoryModel{action.capitalize()}",
        "summary": summary,
        "description": "Needs the role `admin`. Answered when this worker has done it; the others follow.",
        "parameters": [_MODEL, _HEADERS[0]],
        "requestBody": {"required": False, "content": {"application/json": {"schema": ref("OipRepositoryRequest")}}},
        "responses": {
            "200": answer("Done.", ref("OipRepositoryRequest")),
            **_oip_problems(*_READ, "not_found", "too_large", "invalid_input", "overloaded", "not_ready"),
        },
    }


def _oip_paths() -> Schema:
    index = {
        "tags": ["open inference protocol"],
        "operationId": "repositoryIndex",
        "summary": "Every endpoint and model that is served.",
        "parameters": [_HEADERS[0]],
        "requestBody": {"required": False, "content": {"application/json": {"schema": ref("OipIndexRequest")}}},
        "responses": {
            "200": answer("The index.", ref("OipIndex")),
            **_oip_problems(*_READ, "too_large", "unsupported_media_type", "invalid_input", "not_ready"),
        },
    }
    paths: Schema = {
        "/v2": _oip_get("serverMetadata", "Name, version and extensions.", "OipServer"),
        "/v2/health/live": _oip_get("live", "Whether the server runs.", "OipLive"),
        "/v2/health/ready": _oip_get("ready", "Whether it can answer.", "OipReady", (), "not_ready"),
        "/v2/repository/index": {"post": index},
        "/v2/models/stats": _oip_get(
            "statistics", "Counts and times of all. Needs the role `operate`.", "OipStatistics", (), "not_ready"
        ),
    }
    for action, summary in (
        ("unload", "Take an endpoint, or a model with its pool, out of memory, in every worker, until it is loaded."),
        ("load", "Bring an endpoint, or a model with its pool, back into memory, in every worker."),
    ):
        paths[f"/v2/repository/models/{{model}}/{action}"] = {"post": _oip_repository(action, summary)}
    for place, suffix, parameters in (
        ("/v2/models/{model}", "", [_MODEL]),
        ("/v2/models/{model}/versions/{version}", "Version", [_MODEL, _VERSION]),
    ):
        paths |= {
            place: _oip_get(
                f"model{suffix}", "Inputs, outputs and versions.", "OipModel", parameters, "not_found", "not_ready"
            ),
            f"{place}/ready": _oip_get(
                f"modelReady{suffix}", "Whether it can answer.", "OipReady", parameters, "not_found", "not_ready"
            ),
            f"{place}/stats": _oip_get(
                f"modelStatistics{suffix}",
                "Counts and times. Needs the role `operate`.",
                "OipStatistics",
                parameters,
                "not_found",
                "not_ready",
            ),
            f"{place}/infer": _oip_infer(f"infer{suffix}", parameters),
        }
    return paths


def inference_document(version: str) -> Schema:
    """The OpenAPI 3.1 document of the inference port; ``version`` is the release."""
    about = ("unauthenticated", "forbidden", "malformed_request")
    meta: Schema = {
        "/openapi.json": {
            "get": {
                "tags": ["about"],
                "operationId": "openapi",
                "summary": "This document.",
                "security": [{}],
                "responses": {"200": answer("OpenAPI 3.1.", {"type": "object"}), **problems(*about)},
            }
        },
        "/docs": {
            "get": {
                "tags": ["about"],
                "operationId": "docs",
                "summary": "This document as a page.",
                "security": [{}],
                "responses": {"200": answer("A page.", _STRING, "text/html; charset=utf-8"), **problems(*about)},
            }
        },
    }
    return openapi.document(
        title="Quorate inference",
        version=version,
        description=(
            "Endpoints answer with the model or ensemble that their policy chooses. Errors are problem JSON; "
            'those of the Open Inference Protocol are `{"error": …}` as it says.'
        ),
        paths={
            "/v1/endpoints/{endpoint}/predict": {"post": _predict()},
            "/v1/endpoints/{endpoint}/batch": {"post": _batch()},
            "/v1/outcomes": {"post": _outcomes()},
            **_oip_paths(),
            **meta,
        },
        schemas=_schemas(),
        tags={
            "predict": "Answers.",
            "outcomes": "Truths and rewards, as they become known.",
            "open inference protocol": "Version 2 of the protocol, for stock clients.",
            "about": "What this port can do.",
        },
    )
