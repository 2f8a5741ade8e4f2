"""Both ports do what their OpenAPI documents say; ``make check-api`` tries much more than this."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PORTS = ("inference", "control")
METHODS = {"get", "put", "post", "delete", "patch", "options"}
PIXELS = [[0] * 8] * 8
SEVEN = (Path(__file__).parents[2] / "examples" / "digits" / "samples" / "7.png").read_bytes()
TENSOR = {"name": "image", "shape": [1, 8, 8], "datatype": "UINT8", "data": PIXELS}
ROWS = json.dumps(PIXELS).encode() + b"\n[1]\n"
TRIAL = {
    "name": "trial",
    "endpoint": "digits",
    "control": "soft-vote",
    "treatments": ["stacking"],
    "metric": {"kind": "accuracy"},
    "minimum_effect": 0.05,
    "stop": {"max_units": 1000, "max_days": 7},
}
LEFT_OUT = {
    "apply", "cancel_job", "cancel_replay", "cancel_pool_audit", "withdraw_experiment", "dataset_file",
    "delete_dataset", "switch", "learner", "reset", "warm_start", "newest_warm_start", "shares_over_time",
    "who_is_trusted", "regret_over_time", "frontier", "refit",
}  # fmt: skip
CHANGING = {f"/v1/experiments/{name}" for name in ("plan", "selftest")}  # these need traffic with outcomes
CHANGING |= {f"/v1/experiments/{{id}}/{name}" for name in ("start", "stop", "promote", "keep")}
BODIES: dict[str, Any] = {
    "register_experiment": TRIAL,
    "revise_experiment": TRIAL,
    "predict": {"instances": [PIXELS]},
    "outcomes": [{"id": "x", "truth": "7"}],
    "infer": {"inputs": [TENSOR]},
    "inferVersion": {"inputs": [TENSOR]},
    "repositoryIndex": {},
    "write_dataset": {"endpoint": "digits"},
    "erase": {"endpoint": "digits", "unit": "nobody"},
    "explain_example": {"context": {"tier": "gold"}, "facts": {"input.rows": 2}},
    "plan_switch": {"to": "stacking"},
    "submit_replay": {"endpoint": "digits", "strategy": "svm"},
    "submit_pool_audit": {"name": "digits"},
}


class Site:
    """A server, both documents, and the values that path parameters take."""

    def __init__(self, server: Any) -> None:
        self.http = server.http
        self.bases = {"inference": server.url, "control": server.control}
        self.documents = {port: self.http.get(f"{base}/openapi.json").json() for port, base in self.bases.items()}
        answer = self.http.post(f"{server.url}/v1/endpoints/digits/predict", json=BODIES["predict"])
        self.values = {
            "endpoint": "digits",
            "model": "digits",
            "version": "1",
            "name": "svm",
            "id": answer.json()["id"],
            "number": "1",
            "strategy": "stacking",
        }

        asked = {"endpoint": "digits", "decisions": [self.values["id"]], "dry_run": True}
        self.erasure = self.http.post(f"{server.control}/v1/erasures", json=asked).json()["id"]
        wanted = self.http.post(f"{server.control}/v1/datasets", json={"endpoint": "digits"})
        self.dataset = wanted.json()["id"]
        submitted = self.http.post(
            f"{server.control}/v1/jobs?endpoint=digits", content=ROWS, headers={"content-type": "application/x-ndjson"}
        )
        self.job = submitted.json()["id"]
        where = f"{server.control}/v1/jobs/{self.job}"
        server.until(lambda: self.http.get(where).json()["state"] == "done", within=60, what=server.log)
        # Of one decision without an outcome: the replay ends with an error that says so.
        self.replay = self.http.post(f"{server.control}/v1/replays", json=BODIES["submit_replay"]).json()["id"]
        self.audit = self.http.post(f"{server.control}/v1/pool-audits", json=BODIES["submit_pool_audit"]).json()["id"]

        registered = self.http.post(f"{server.control}/v1/experiments", json=TRIAL)
        self.experiment = registered.json()["id"]

    def operations(self, port: str) -> list[tuple[str, str, dict[str, Any]]]:
        """Method, path and description of each operation."""
        paths = self.documents[port]["paths"]
        return [(method, path, item[method]) for path, item in paths.items() for method in METHODS & item.keys()]

    def url(self, port: str, path: str) -> str:
        """An address that exists; ``{name}`` is an endpoint below ``/v1/endpoints``, else a model."""
        values = {**self.values, "name": "digits"} if path.startswith("/v1/endpoints") else self.values
        if path.startswith("/v1/jobs"):
            values = {"id": self.job}
        if path.startswith("/v1/erasures"):
            values = {"id": self.erasure}
        if path.startswith("/v1/datasets"):
            values = {"id": self.dataset}
        if path.startswith("/v1/replays"):
            values = {"id": self.replay}
        if path.startswith("/v1/pool-audits"):
            values = {"id": self.audit}
        if path.startswith("/v1/experiments"):
            values = {"id": self.experiment}
        return self.bases[port] + re.sub(r"{(\w+)}", lambda found: values[found[1]], path)


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], module_digits: Path) -> Site:
    return Site(module_server(module_digits))


def _resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def _fits(document: dict[str, Any], schema: dict[str, Any], value: Any, path: str = "$") -> None:
    """As much of JSON Schema as shows a field too many, one missing, or one of another type."""
    schema = _resolve(document, schema)
    if "anyOf" in schema:
        assert any(_fitting(document, one, value) for one in schema["anyOf"]), f"{path} fits none: {value!r}"
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "number": (int, float),
        "integer": int,
        "boolean": bool,
        "null": type(None),
    }
    wanted = schema.get("type")
    if wanted is not None:
        names = [wanted] if isinstance(wanted, str) else wanted
        assert isinstance(value, tuple(kinds[name] for name in names)), f"{path} is {value!r}, not {wanted}"  # type: ignore[misc]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        assert set(schema.get("required", ())) <= value.keys(), f"{path} lacks a field: {sorted(value)}"
        more = schema.get("additionalProperties", True)
        for name, one in value.items():
            if name in known:
                _fits(document, known[name], one, f"{path}.{name}")
            else:
                assert more is not False, f"{path}.{name} is not declared"
                if isinstance(more, dict):
                    _fits(document, more, one, f"{path}.{name}")
    if isinstance(value, list) and "items" in schema:
        for i, one in enumerate(value):
            _fits(document, schema["items"], one, f"{path}[{i}]")
    if "enum" in schema:
        assert value in schema["enum"], f"{path} is {value!r}"
    if "pattern" in schema:
        assert re.search(schema["pattern"], value), f"{path} is {value!r}"


def _fitting(document: dict[str, Any], schema: dict[str, Any], value: Any) -> bool:
    try:
        _fits(document, schema, value)
    except AssertionError:
        return False
    return True


def _check(site: Site, port: str, operation: dict[str, Any], answer: Any) -> None:
    """The status is declared, the media type is, and the body fits its schema."""
    status = str(answer.status_code)
    assert status in operation["responses"], f"{answer.request.url}: {status}"
    media = answer.headers["content-type"]
    declared = operation["responses"][status]["content"]
    assert media.partition(";")[0] in {name.partition(";")[0] for name in declared}, media
    if "json" in media and "ndjson" not in media:
        (schema,) = (found["schema"] for name, found in declared.items() if "json" in name)
        _fits(site.documents[port], schema, json.loads(answer.content))


@pytest.mark.parametrize("port", PORTS)
def test_good_requests_are_answered_as_declared(site: Site, port: str) -> None:
    seen = 0
    for method, path, operation in site.operations(port):
        if operation["operationId"] in LEFT_OUT or path in CHANGING:
            continue  # changes things, or there is none yet; their own tests are in tests/control
        body: dict[str, Any] = {"json": BODIES.get(operation["operationId"])}
        if operation["operationId"] in ("batch", "submit_job"):
            body = {"content": ROWS, "headers": {"content-type": "application/x-ndjson"}}
        if operation["operationId"] == "submit_job":
            body["params"] = {"endpoint": "digits"}
        if operation["operationId"] == "model_preview":
            body = {"content": SEVEN, "headers": {"content-type": "image/png"}}
        answer = site.http.request(method, site.url(port, path), **body)
        assert answer.status_code in (200, 201, 202), f"{method} {path}: {answer.text}"
        _check(site, port, operation, answer)
        seen += 1
    assert seen >= 10


@pytest.mark.parametrize("port", PORTS)
def test_bad_requests_are_answered_as_declared(site: Site, port: str) -> None:
    for method, path, operation in site.operations(port):
        wrong = site.bases[port] + re.sub(r"{(\w+)}", "nope", path)
        answers = [site.http.request(method, wrong, headers={"host": "evil.example"})]
        if "{" in path:
            answers.append(site.http.request(method, wrong, json=BODIES.get(operation["operationId"])))
        if operation.get("requestBody"):
            answers += [
                site.http.request(method, site.url(port, path), content=content, headers={"content-type": kind})
                for content, kind in ((b"{", "application/json"), (b'{"a": 1}', "application/json"), (b"x", "text/csv"))
            ]
        for answer in answers:
            assert 400 <= answer.status_code < 500, f"{method} {path}: {answer.text}"
            _check(site, port, operation, answer)


@pytest.mark.parametrize("port", PORTS)
def test_undeclared_methods_are_405_with_those_that_are_allowed(site: Site, port: str) -> None:
    found: dict[str, set[str]] = {}
    for method, path, _ in site.operations(port):
        found.setdefault(path, set()).add(method.upper())
    found.pop("/v1/endpoints/apply", None)  # to GET, `apply` is the name of an endpoint
    for path, methods in found.items():
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - methods:
            answer = site.http.request(method, site.url(port, path))
            assert answer.status_code == 405, f"{method} {path}"
            assert methods <= set(answer.headers["allow"].split(", "))


@pytest.mark.parametrize("port", PORTS)
def test_the_page_shows_every_operation_and_loads_nothing(site: Site, port: str) -> None:
    page = site.http.get(f"{site.bases[port]}/docs").text
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)
    for _, path, _ in site.operations(port):
        assert path in page
