"""docs/grpc.md against a real server; its other example runs with ``make check-clients``."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quorate.serving.grpc import server as port
from quorate.serving.grpc import service
from quorate.serving.grpc.status import TABLE
from quorate.web.limits import READ_TIMEOUT_S

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "grpc.md").read_text("utf-8")
ADDRESS = "127.0.0.1:8003"


def test_its_python_runs(
    rpc: Any, server: Callable[..., Any], digits: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    stock, own = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert "tritonclient" in stock
    running = server(digits, "--grpc-port", "0")
    shutil.copy(ROOT / "examples" / "digits" / "samples" / "7.png", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert ADDRESS in own
    exec(own.replace(ADDRESS, rpc.address(running)).replace("timeout=1.0", "timeout=30.0"), {})  # noqa: S102
    assert re.fullmatch(r"label 7\n[0-9a-f]{32}\n", capsys.readouterr().out)


def test_every_method_status_and_limit_is_on_the_page() -> None:
    (methods,) = (one.methods for one in service.messages.DESCRIPTOR.services_by_name.values())
    for name in (method.name for method in methods):
        assert f"`{name}`" in PAGE, name
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*) \|$", PAGE, re.MULTILINE))
    for code, status in TABLE.items():
        assert f"`{code}`" in rows[status.name], code
    for number in (port.STREAMS, service.CALLS, READ_TIMEOUT_S):
        assert f"{number:,g}" in PAGE or f"{number:,}" in PAGE
    assert f"{service.WAY_BACK_MS:g} ms" in PAGE
