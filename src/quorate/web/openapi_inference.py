"""The inference port's OpenAPI document, written by hand: the port itself is raw ASGI."""

from __future__ import annotations

from quorate.web import openapi
from quorate.web.openapi import Schema, answer, listing, obj, parameter, problems, ref
from quorate.web.openapi_parts import ANSWER, BOOLEAN, HEADERS, NAME, NUMBER, READ, SCALAR, STRING, WRITE
from quorate.web.openapi_protocol import protocol_paths, protocol_schemas

ID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"

_ENDPOINT = parameter("endpoint", "path", NAME, "The endpoint's name.")
_BATCH = (*READ, "not_found", "too_large", "unsupported_media_type", "invalid_input", "overloaded", "not_ready")

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
            "description": "Deadline in milliseconds; the endpoint's own is the most. Members that, as measured, "
            "cannot answer within it are not asked, unless the endpoint is blind.",
        },
        min_confidence={
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": 1,
            "description": "Confidence below which a row gets no answer; a cascade asks further members first. Not of "
            "a blind endpoint, nor of a regression.",
        },
    )
    prediction = obj(
        "",
        label={**STRING, "description": "The class; a blind endpoint tells nothing else."},
        confidence={**NUMBER, "description": "The label's probability."},
        probabilities={"type": "object", "additionalProperties": NUMBER},
        value={**NUMBER, "description": "The answer of a regression."},
        values={"type": "object", "additionalProperties": NUMBER, "description": "The same where it has several."},
        abstained={**BOOLEAN, "description": "Whether there is no answer to this row; where min_confidence was asked."},
        reason={**STRING, "description": "Why there is none."},
        members={
            **listing(STRING),
            "description": "The members that answered this row, where the request or a plan of stages chose them.",
        },
    )
    return {
        "Instance": _INSTANCE,
        "Options": options,
        "Context": {
            "type": "object",
            "description": "What is known about the caller or case; policies and rules see it, and it is recorded.",
            "additionalProperties": {**SCALAR, "maxLength": 1024},
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
            id={**STRING, "description": "The decision's id; outcomes refer to it."},
            endpoint=STRING,
            predictions=listing(ref("Prediction")),
            degraded={**BOOLEAN, "description": "Whether a member that was asked failed; absent where blind."},
            missing={**listing(STRING), "description": "The members that failed; absent where blind."},
            latency_ms={**NUMBER, "description": "From arrival to answer; absent where blind."},
            strategy={**STRING, "description": "What answered; absent where blind."},
        ),
        **_batch_schemas(),
        **_outcome_schemas(),
        **protocol_schemas(),
    }


def _batch_schemas() -> Schema:
    error = obj("code detail", code=STRING, detail=STRING, path=STRING)
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
                decision={**STRING, "description": "The decision's id; outcomes refer to it and `decision_row`."},
                decision_row=count,
                revision=count,
                strategy={**STRING, "description": "What answered; absent where blind."},
                degraded={**BOOLEAN, "description": "Whether a member that was asked failed; absent where blind."},
                endpoint={**STRING, "description": "Who answered, where a front was asked."},
            ),
        },
        "BatchSummary": {
            "description": "The last line out: `summary`.",
            **obj(
                "rows answered failed complete",
                rows=count,
                answered=count,
                failed=count,
                complete={**BOOLEAN, "description": "Whether all of the input was read and answered."},
                error=error,
                ignored={**listing(STRING), "description": "Columns that the endpoint does not take."},
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
        reward={**NUMBER, "description": "What the answer was worth: the metric `reward`."},
        rewards={
            "type": "object",
            "minProperties": 1,
            "maxProperties": 32,
            "propertyNames": {**name, "not": {"const": "truth"}},
            "additionalProperties": NUMBER,
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
            rejected=listing(obj("index detail", index=count, detail=STRING, code=STRING, path=STRING)),
            more_rejected={**count, "description": "Of lines: rejected ones that are not listed."},
        ),
    }


def _predict() -> Schema:
    image: Schema = {"schema": {"type": "string", "format": "binary"}}
    return {
        "tags": ["predict"],
        "operationId": "predict",
        "summary": "Ask an endpoint.",
        "description": (
            "Ask an endpoint. A JSON body carries rows, context and options. A raw `image/*` body is one row; "
            "`strategy`, `max_ms`, `min_confidence` and `context.KEY` are query parameters then, and only then. "
            "Multipart has `file` (one row each), `context` and `options`."
        ),
        "parameters": [_ENDPOINT, *HEADERS],
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
        "responses": {"200": answer("The answer.", ref("PredictResponse")), **problems(*ANSWER)},
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
        parameter(
            "min_confidence",
            "query",
            {"type": "number", "minimum": 0, "maximum": 1},
            "Confidence below which a row gets no answer.",
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
        "parameters": [_ENDPOINT, *options, *HEADERS[:2]],
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
    lines: Schema = {"type": "string", "description": "An `Outcome` a line; any number of them."}
    return {
        "tags": ["outcomes"],
        "operationId": "outcomes",
        "summary": "Report truths or rewards.",
        "description": (
            "Report what turned out true, or what an answer was worth: one outcome, a list, or lines. Sending it again "
            "changes nothing; it may come late, out of order, and before its decision is known."
        ),
        "parameters": HEADERS[:2],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": one_or_many}, "application/x-ndjson": {"schema": lines}},
        },
        "responses": {
            "202": answer("Written down.", ref("OutcomesResponse")),
            **problems(*WRITE, "overloaded", "not_ready"),
        },
    }


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
                "responses": {"200": answer("A page.", STRING, "text/html; charset=utf-8"), **problems(*about)},
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
            **protocol_paths(),
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
