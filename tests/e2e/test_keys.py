"""API keys on a running server: who may do what on which port, and from when on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-P", "-c", "from quorate.cli import main; main()"]
PIXELS = {"instances": [[[0] * 8] * 8]}
# What is asked: port, method, path, body, and the roles that may.
ASKED: list[tuple[str, str, str, Any, set[str]]] = [
    ("inference", "POST", "/v1/endpoints/digits/predict", PIXELS, {"predict", "operate", "admin"}),
    ("inference", "GET", "/v2/models/digits", None, {"predict", "operate", "admin"}),
    ("inference", "POST", "/v2/repository/index", {}, {"predict", "operate", "admin"}),
    ("inference", "POST", "/v1/outcomes", [{"id": "x"}], {"outcome", "operate", "admin"}),
    ("control", "GET", "/v1/models", None, {"operate", "admin"}),
    ("control", "GET", "/v1/audit", None, {"operate", "admin"}),
    ("control", "POST", "/v1/endpoints/apply?dry_run=true", None, {"admin"}),
]
OPEN = [
    ("inference", "/v2/health/live"),
    ("inference", "/v2/health/ready"),
    ("inference", "/openapi.json"),
    ("inference", "/docs"),
    ("control", "/openapi.json"),
    ("control", "/docs"),
    ("control", "/v1/health"),  # on loopback, where probes and scrapers have no keys
    ("control", "/metrics"),
]


def test_keys_come_into_force_at_once_and_their_roles_hold(
    server: Callable[..., Any], digits: Path, keys: Callable[..., str]
) -> None:
    running = server(digits)
    bases = {"inference": running.url, "control": running.control}
    assert "No API keys" in running.log()

    def status(port: str, method: str, path: str, body: Any, key: str | None, header: str = "x-api-key") -> int:
        value = f"Bearer {key}" if header == "authorization" else key
        headers = {} if key is None else {header: str(value)}
        return int(running.http.request(method, bases[port] + path, json=body, headers=headers).status_code)

    for port, method, path, body, _ in ASKED:
        assert status(port, method, path, body, None) in (200, 202), path

    made = {
        role: json.loads(keys(digits, "create", f"for {role}", "--role", role, "--json"))
        for role in ("admin", "predict", "outcome", "operate")
    }
    running.until(
        lambda: status(*ASKED[0][:4], None) == 401, within=10, what=lambda: "requests without a key are refused"
    )
    for role, key in made.items():
        running.until(
            lambda key=key: status(*ASKED[0][:4], key["secret"]) != 401, within=10, what=lambda: "the key is known"
        )
        for port, method, path, body, roles in ASKED:
            found = status(port, method, path, body, key["secret"])
            assert found == status(port, method, path, body, key["secret"], "authorization")
            assert (found in (200, 202)) if role in roles else (found == 403), (role, path, found)
    for port, method, path, body, _ in ASKED:
        assert status(port, method, path, body, None) == 401, path
    for port, path in OPEN:
        assert status(port, "GET", path, None, None) == 200, path

    keys(digits, "revoke", made["predict"]["id"])
    running.until(
        lambda: status(*ASKED[0][:4], made["predict"]["secret"]) == 401, within=10, what=lambda: "the key is refused"
    )
    assert status(*ASKED[0][:4], made["operate"]["secret"]) == 200
    assert not any(key["secret"] in path.read_text("latin-1") for key in made.values() for path in _files(digits))


def _files(project: Path) -> list[Path]:
    """Everything Quorate wrote there."""
    return [path for path in (project / ".quorate").rglob("*") if path.is_file()] + [project / "serve.log"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_machines_are_not_served_without_keys(digits: Path, host: str) -> None:
    line = [*COMMAND, "serve", str(digits), "--host", host, "--port", "0", "--control-port", "0"]
    run = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2
    assert "no API keys" in run.stderr
    assert "quorate keys create" in run.stderr
    assert "--insecure" in run.stderr
    assert "Traceback" not in run.stderr


def test_other_machines_are_served_with_keys_or_when_asked_for(
    server: Callable[..., Any], digits: Path, new_key: Callable[[Path, str], str]
) -> None:
    insecure = server(digits, "--host", "127.0.0.2", "--insecure")
    assert insecure.http.get(f"{insecure.control}/v1/models").status_code == 200
    insecure.stop()
    key = new_key(digits, "operate")
    keyed = server(digits, "--host", "0.0.0.0")
    url = keyed.control.replace("0.0.0.0", "127.0.0.1")
    assert keyed.http.get(f"{url}/v1/models").status_code == 401
    assert keyed.http.get(f"{url}/metrics").status_code == 401  # other machines could read it here
    assert keyed.http.get(f"{url}/v1/models", headers={"x-api-key": key}).status_code == 200
