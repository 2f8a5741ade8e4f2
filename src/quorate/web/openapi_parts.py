"""What the operations of the inference port share: types, headers, and the errors they may answer."""

from __future__ import annotations

from quorate.web.openapi import NAME_PATTERN, Schema, parameter

STRING: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
NAME: Schema = {"type": "string", "pattern": NAME_PATTERN}
SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}

HEADERS = [
    parameter("X-Request-Id", "header", STRING, "Sent back and recorded; a new one is made where it is missing."),
    parameter("traceparent", "header", STRING, "W3C trace context; recorded with the decision and passed on."),
    parameter(
        "Idempotency-Key",
        "header",
        {"type": "string", "pattern": "^[!-~]{1,255}$"},
        "Retries with the same key and body get the first answer and stay one decision.",
    ),
]

READ = ("unauthenticated", "forbidden", "malformed_request")
WRITE = (*READ, "not_found", "conflict", "too_large", "unsupported_media_type", "invalid_input")
ANSWER = (*WRITE, "overloaded", "not_ready", "no_quorum")
