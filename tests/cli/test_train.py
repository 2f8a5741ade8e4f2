"""``quorate train`` runs the project's own script, in this process, by the documented convention."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from quorate.cli import main

SCRIPT = """
from __future__ import annotations
from dataclasses import dataclass
from helper import NAME
from quorate.home import Home

@dataclass
class Made:
    home: Home
    force: bool

def train(home, progress, *, force=False):
    made = Made(home, force)
    with progress("pool", 1) as done:
        done(NAME)
    (home.root / "made.txt").write_text(f"{made.home.root.name} {made.force}")
"""


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["train", *args])
    return int(stopped.value.code or 0)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    root.mkdir()
    (root / "train.py").write_text(SCRIPT)
    (root / "helper.py").write_text("NAME = 'a model'\n")
    return root


@pytest.fixture(autouse=True)
def _forget() -> None:
    for name in ("helper", "quorate_project_train"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("force", [False, True])
def test_the_script_gets_home_progress_and_force(
    project: Path, force: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    path = list(sys.path)
    assert run(str(project), *(["--force"] if force else [])) == 0
    assert (project / "made.txt").read_text() == f"shop {force}"
    shown = capsys.readouterr().err
    assert "pool 1/1: a model" in shown
    assert ("from scratch" in shown) == force
    assert sys.path == path


def test_the_current_folder_is_the_default(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert run() == 0
    assert (project / "made.txt").exists()


def test_a_project_without_a_script_is_told_what_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path)) == 2
    assert "There is no train.py in" in capsys.readouterr().err


def test_a_script_without_the_function_is_told_so(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "train.py").write_text("fit = 1\n")
    assert run(str(project)) == 2
    assert "has no function train(home, progress, *, force)" in capsys.readouterr().err
    assert str(project) not in sys.path
