"""The control port's OpenAPI document: what FastAPI derives from the handlers, with our problems for its errors."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from starlette.responses import Response

from quorate.control.experiments.registration import Registration
from quorate.spec import json_schema
from quorate.telemetry.exposition import CONTENT_TYPE
from quorate.web import openapi

_GATE = ("unauthenticated", "forbidden", "malformed_request", "not_ready")
_TAGS = {
    "models": "The registry.",
    "endpoints": "What is served, its history, and changing it.",
    "decisions": "Single answers, and how strategies compare.",
    "captures": "Inputs that are kept, data sets made of them, and erasing one subject.",
    "replays": "What would have been with another strategy or policy.",
    "pool audits": "What the members of a pool are worth, and which can go.",
    "experiments": "Strategies compared on live traffic.",
    "jobs": "Files scored in the background.",
    "audit": "Who changed what.",
    "about": "What this port can do and how the processes are.",
}


ETAG = r'^("[0-9]{1,15}"|[0-9]{1,15}|\*)$'


class PlainText(Response):
    """A Prometheus exposition."""

    media_type = CONTENT_TYPE


class Png(Response):
    """A picture."""

    media_type = "image/png"


class Page(Response):
    """An HTML page."""

    media_type = "text/html"


def reading(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The problems a reading handler may answer besides the gate's; parameters may always be invalid."""
    return dict(openapi.problems(*_GATE, "invalid_input", *codes).items())


METRICS = {
    **reading(),
    200: {"description": "The exposition.", "content": {CONTENT_TYPE: {"schema": {"type": "string"}}}},
}
CHANGING = reading(
    "not_found", "conflict", "too_large", "unsupported_media_type", "registry", "format_refused", "store"
)
PREVIEW = {
    **reading("not_found", "registry", "too_large", "unsupported_media_type"),
    200: {"description": "The picture.", "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
}
PICTURE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One encoded picture.",
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    },
}
APPLY: dict[str, Any] = {
    "parameters": [
        openapi.parameter(
            "If-Match",
            "header",
            {"type": "string", "pattern": ETAG},
            "The ETag of /v1/endpoints: apply only if nobody has changed anything since.",
        )
    ],
    "requestBody": {
        "required": False,
        "description": "A whole quorate.yaml: YAML (`application/yaml`), or the same as JSON, which is YAML too.",
        "content": {"application/json": {"schema": openapi.ref("Configuration")}},
    },
}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document; built once, then the same object."""
    if app.openapi_schema is None:
        derived = app.openapi()
        schemas = derived["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for path in derived["paths"].values():
            for operation in path.values():
                operation["responses"] = {
                    status: _labelled(status, found) for status, found in sorted(operation["responses"].items())
                }
        app.openapi_schema = openapi.document(
            title=app.title,
            version=app.version,
            description=app.description,
            paths=derived["paths"],
            schemas={**schemas, **_configuration(), **_registration()},
            tags=_TAGS,
        )
    return app.openapi_schema


def _configuration() -> dict[str, Any]:
    """The JSON Schema of quorate.yaml as components; its parts refer to one another there."""
    text = msgspec.json.encode(json_schema()).replace(b"#/$defs/", b"#/components/schemas/")
    root = msgspec.json.decode(text)
    parts: dict[str, Any] = root.pop("$defs")
    del root["$schema"]
    return {**parts, "Configuration": root}


def _registration() -> dict[str, Any]:
    """The JSON Schema of an experiment's registration as components."""
    root = Registration.model_json_schema(ref_template="#/components/schemas/{model}")
    parts: dict[str, Any] = root.pop("$defs")
    return {**parts, "Registration": root}


def _labelled(status: str, response: dict[str, Any]) -> dict[str, Any]:
    if status == "422" and "application/json" in response["content"]:
        return openapi.problems("invalid_input")["422"]
    return {**response, "headers": {**openapi.REQUEST_ID, **response.get("headers", {})}}
