import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from quorate.web.openapi import METHODS, docs_html
from quorate.web.openapi_inference import inference_document
from quorate.web.problem import TABLE

DOCUMENT = inference_document("1.2.3")
OPERATIONS = [
    (path, method, item[method]) for path, item in DOCUMENT["paths"].items() for method in METHODS if method in item
]


def _references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set()
        return own.union(*map(_references, value.values()))
    return set().union(*map(_references, value)) if isinstance(value, list) else set()


def test_the_promised_routes_are_there():
    assert {
        "/v1/endpoints/{endpoint}/predict",
        "/v1/outcomes",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/{model}",
        "/v2/models/{model}/infer",
        "/v2/models/{model}/versions/{version}/infer",
        "/v2/repository/index",
        "/openapi.json",
        "/docs",
    } <= set(DOCUMENT["paths"])


def test_references_resolve_and_every_schema_is_used():
    names = {reference.removeprefix("#/components/schemas/") for reference in _references(DOCUMENT)}
    assert names == set(DOCUMENT["components"]["schemas"])


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_operations_are_whole(path, method, operation):
    declared = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
    assert declared == set(re.findall(r"{(\w+)}", path))
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    assert operation["summary"]
    assert set(operation["responses"]) - {"200", "202"} <= {str(status) for status, _ in TABLE.values()}
    kind = "application/json" if path.startswith("/v2") else "application/problem+json"
    for status, response in operation["responses"].items():
        if status[0] != "2":
            assert list(response["content"]) == [kind]
    json.dumps(operation)


def test_operation_ids_are_unique():
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(ids) == len(set(ids))


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_shows_every_route_and_loads_nothing():
    page = docs_html(DOCUMENT).decode()
    for path, method, _ in OPERATIONS:
        assert f"{method.upper()}</span> <code>{path}</code>" in page
    parser = _Page()
    parser.feed(page)
    assert not parser.tags & {"script", "img", "iframe", "link", "object"}
    assert parser.links == ["openapi.json"]


def test_the_page_escapes():
    document = {**DOCUMENT, "info": {**DOCUMENT["info"], "title": "<b>&", "description": "`<i>`"}}
    page = docs_html(document).decode()
    assert "<b>&" not in page
    assert "<code>&lt;i&gt;</code>" in page


def test_web_needs_neither_frameworks_nor_numpy():
    modules = [
        f"quorate.web.{p.stem}" for p in Path(sys.modules["quorate.web.openapi"].__file__).parent.glob("[a-z]*.py")
    ]
    heavy = ("numpy", "pydantic", "fastapi", "starlette", "sqlalchemy", "typer", "prometheus_client")
    code = f"import sys, {', '.join(modules)}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
