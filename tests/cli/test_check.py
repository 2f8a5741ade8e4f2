"""``quorate check`` from the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quorate.cli import main


def _run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(args)
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


def test_what_is_right(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(capsys, "check", "--project", str(project.home.root))
    assert (code, out, err) == (0, "quorate.yaml is right: 1 endpoint over 1 pool.\n", "")


def test_it_needs_no_store_and_changes_nothing(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    project.database.close()
    for path in project.home.state.glob("store.db*"):
        path.unlink()
    before = sorted(project.home.root.rglob("*"))
    assert _run(capsys, "check", "--project", str(project.home.root))[0] == 0
    assert sorted(project.home.root.rglob("*")) == before


def test_every_problem_is_shown(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    project.write(project.home.config.read_text().replace("kind: mean", "kind: men").replace("quorum: 2", "quorm: 2"))
    code, out, err = _run(capsys, "check", "--project", str(project.home.root))
    assert (code, out) == (2, "")
    assert [line.split(": ")[2] for line in err.splitlines()] == ["quorate.yaml:7", "quorate.yaml:11"]


def test_json_carries_file_line_path_and_message(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(project.home.root)
    assert json.loads(_run(capsys, "check", "--json", "--project", folder)[1]) == {
        "ok": True,
        "problems": [],
        "notices": [],
    }
    project.write(project.home.config.read_text().replace("fallback: [best]", "fallback: [none]"))
    code, out, err = _run(capsys, "check", "--json", "--project", folder)
    assert (code, err) == (2, "")
    [problem] = json.loads(out)["problems"]
    assert (problem["file"], problem["line"], problem["path"]) == ("quorate.yaml", 10, "endpoints.main.fallback[0]")
    assert "there is no strategy 'none'" in problem["message"]
