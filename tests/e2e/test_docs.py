"""docs/client.md, and the client in the README, against a real server: all Python and every command runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quorate.clock import SystemClock
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.training.register import register_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text("utf-8")
SAMPLES = ROOT / "examples" / "digits" / "samples"
DEFAULT = "http://127.0.0.1:8000"
WINE = """
import numpy as np
def predict(alcohol, acid):
    strong = (alcohol > 13).astype(np.float32)
    return np.stack([1 - strong, strong], axis=1)
"""


@pytest.fixture(scope="module")
def site(module_server: Callable[..., Any], module_digits: Path) -> Any:
    """Serves ``digits`` and ``wine``, which takes two columns."""
    home = Home(module_digits)
    columns = tuple(TensorSpec(name, "float32", (None,)) for name in ("alcohol", "acid"))
    register_model(
        Registry(home.registry, SystemClock()),
        name="strong",
        format="callable",
        files={"wine.py": WINE.encode()},
        signature=Signature("columns", columns, OutputSpec("scores", ("light", "strong"))),
        options={"entry": "predict"},
        sample_raw={"alcohol": np.float32([12, 14]), "acid": np.float32([1, 2])},
    )
    text = home.config.read_text().replace(
        "endpoints:", "  wine: {task: classification, members: [strong]}\nendpoints:"
    )
    home.config.write_text(f"{text}\n  wine: {{pool: wine, strategies: {{only: {{kind: single, member: strong}}}}}}\n")
    return module_server(module_digits)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the page's user has in the current folder."""
    for name in ("7.png", "3.png"):
        shutil.copy(SAMPLES / name, tmp_path)
    shutil.copytree(SAMPLES, tmp_path / "pictures")
    (tmp_path / "wine.csv").write_text("alcohol,acid\n13.2,1.8\n12.4,2.3\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_python_runs(site: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 8
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block.replace(DEFAULT, site.url), names)  # noqa: S102
    out = capsys.readouterr().out
    assert out.startswith("7 0.")
    assert "['7', '3']" in out
    assert "\n20\n2 0 0 ()\n404 not_found options.strategy" in out
    assert "True\ndigits True" in out


def test_the_client_in_the_readme_runs(site: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    (block,) = re.findall(r"^```python\n(from quorate import Client.*?)^```", readme, re.DOTALL | re.MULTILINE)
    there = folder / "examples" / "digits-cnn" / "samples"
    there.mkdir(parents=True)
    shutil.copy(SAMPLES / "7.png", there / "7-ruled.png")
    for name in ("3.png", "7.png"):
        shutil.copy(SAMPLES / name, folder / {"3.png": "a.jpg", "7.png": "b.jpg"}[name])
    exec(block.replace(DEFAULT, site.url), {})  # noqa: S102
    assert capsys.readouterr().out.split() == ["3", "7"]


def test_its_commands_run(site: Any, folder: Path) -> None:
    (block,) = re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    lines = [line.removeprefix("$ ") for line in block.splitlines()]
    assert len(lines) == 4
    quorate = folder / "quorate"
    quorate.write_text(f"#!{sys.executable}\nfrom quorate.cli import main\nmain()\n")
    quorate.chmod(0o755)
    environment = {**os.environ, "QUORATE_URL": site.url, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    for line in lines:
        run = subprocess.run(["/bin/sh", "-c", line], env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, line + run.stderr
        assert run.stdout or "--output" in line
    assert (folder / "labels.csv").read_text().count("\n") == 1 + len(list(SAMPLES.iterdir()))


def test_every_parameter_and_option_is_on_the_page() -> None:
    import inspect

    from quorate import Client
    from quorate.cli.predict import command

    for function in (Client.__init__, Client.predict, Client.predict_many, Client.outcome):
        for name in inspect.signature(function).parameters:
            if name not in ("self", "transport", "clock", "sleep", "rng", "at", "reward", "endpoint"):
                assert name in PAGE, name
    for name in inspect.signature(command).parameters:
        if name not in ("endpoint", "paths"):
            assert f"--{name.strip('_').replace('_', '-')}" in PAGE, name
