"""Parts of an OpenAPI 3.1 document that all servers share, and a page that shows one without outside scripts."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import msgspec

from quorate.web.problem import MEDIA_TYPE, TABLE

Schema = dict[str, Any]

METHODS = ("get", "put", "post", "delete", "patch")
NAME_PATTERN = "^[a-z0-9][a-z0-9._-]{0,127}$"

PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457 problem. `code` is stable; `path` names the field, header or limit that is wrong.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": sorted(TABLE)},
        "path": {"type": "string"},
        "request_id": {"type": "string"},
    },
}
SECURITY_SCHEMES: Schema = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
SECURITY: list[Schema] = [{}, {"bearer": []}, {"key": []}]
"""A key is needed only where keys exist."""

REQUEST_ID: Schema = {"X-Request-Id": {"schema": {"type": "string"}, "description": "As sent, or a new one."}}


def ref(name: str) -> Schema:
    """A reference to a component schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def obj(required: str, /, **properties: Schema) -> Schema:
    """An object schema without other properties; ``required`` is names separated by blanks."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


def listing(items: Schema) -> Schema:
    """An array schema."""
    return {"type": "array", "items": items}


def parameter(name: str, place: str, schema: Schema, description: str) -> Schema:
    """A path, query or header parameter; only path parameters are required."""
    return {"name": name, "in": place, "required": place == "path", "schema": schema, "description": description}


def answer(description: str, schema: Schema, media_type: str = "application/json") -> Schema:
    """A good response."""
    return {"description": description, "headers": REQUEST_ID, "content": {media_type: {"schema": schema}}}


def problems(*codes: str, media_type: str = MEDIA_TYPE, schema: str = "Problem") -> dict[str, Schema]:
    """The responses for these error codes, by status; headers as :func:`quorate.web.problem.problem` writes them."""
    found: dict[str, Schema] = {}
    for code in codes:
        status, title = TABLE[code]
        headers = dict(REQUEST_ID)
        if status == 429:
            headers["Retry-After"] = {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds."}
        if status == 405:
            headers["Allow"] = {"schema": {"type": "string"}}
        found[str(status)] = {
            "description": f"{title} (`{code}`).",
            "headers": headers,
            "content": {media_type: {"schema": ref(schema)}},
        }
    return found


def document(
    *, title: str, version: str, description: str, paths: Schema, schemas: Schema, tags: Mapping[str, str]
) -> Schema:
    """A whole OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "description": description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name, "description": text} for name, text in tags.items()],
        "security": SECURITY,
        "paths": paths,
        "components": {"schemas": {**schemas, "Problem": PROBLEM}, "securitySchemes": SECURITY_SCHEMES},
    }


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code,pre{font:14px/1.45 ui-monospace,monospace;background:#f3f4f6;border-radius:4px}code{padding:.1em .3em}"
    "pre{padding:.8rem;overflow:auto}h2{margin-top:2.5rem;border-bottom:1px solid #d0d7de}h3{margin-bottom:.2rem}"
    "summary{cursor:pointer}.m{display:inline-block;min-width:4rem;font-weight:700}table{border-collapse:collapse}"
    "td{padding:.15rem 1rem .15rem 0;vertical-align:top}"
)


def docs_html(openapi: Schema) -> bytes:
    """One readable page for an OpenAPI document: no script, nothing loaded from anywhere."""
    info = openapi["info"]
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width,initial-scale=1">',
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
        _prose(info["description"]),
        '<p>The same as data: <a href="openapi.json">openapi.json</a></p>',
    ]
    for tag in openapi["tags"]:
        parts.append(f"<h2>{escape(tag['name'])}</h2>{_prose(tag['description'])}")
        for path, item in openapi["paths"].items():
            parts += [
                _operation(method, path, item[method])
                for method in METHODS
                if method in item and tag["name"] in item[method].get("tags", ())
            ]
    parts.append("<h2>Schemas</h2>")
    for name, schema in openapi["components"]["schemas"].items():
        parts.append(
            f"<details id='{escape(name)}'><summary><code>{escape(name)}</code></summary>{_pre(schema)}</details>"
        )
    parts.append("</main></body></html>")
    return "".join(parts).encode()


def _operation(method: str, path: str, operation: Schema) -> str:
    parts = [
        f"<h3><span class=m>{method.upper()}</span> <code>{escape(path)}</code></h3>",
        _prose(operation.get("description") or operation.get("summary", "")),
    ]
    rows = [
        (f"<code>{escape(p['name'])}</code>", escape(p["in"]), _prose(p.get("description", "")))
        for p in operation.get("parameters", ())
    ]
    rows += [
        ("body", f"<code>{escape(media)}</code>", _pre(content.get("schema", {})))
        for media, content in operation.get("requestBody", {}).get("content", {}).items()
    ]
    rows += [(f"<b>{escape(status)}</b>", "", _prose(r["description"])) for status, r in operation["responses"].items()]
    cells = "".join(f"<tr><td>{a}<td>{b}<td>{c}" for a, b, c in rows)
    return "".join(parts) + f"<details><summary>Parameters, body, answers</summary><table>{cells}</table></details>"


def _prose(text: str) -> str:
    pieces = escape(text).split("`")
    return "<p>" + "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(pieces)) + "</p>" if text else ""


def _pre(value: Any) -> str:
    return f"<pre>{escape(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())}</pre>"
