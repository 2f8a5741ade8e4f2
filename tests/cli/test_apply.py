"""``quorate apply`` from the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quorate.cli import main
from quorate.codecs import snapshot


def _run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(args)
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


def test_it_says_which_revisions_are_new(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(project.home.root)
    code, out, _ = _run(capsys, "apply", "--project", folder)
    assert code == 0
    assert [line.split() for line in out.splitlines()[2:]] == [["main", "1", "new", "revision"], ["snapshot", "1"]]
    assert snapshot.current_version(project.home.snapshot) == 1
    code, out, _ = _run(capsys, "apply", "--project", folder)
    assert [line.split() for line in out.splitlines()[2:]] == [["main", "1", "unchanged"], ["snapshot", "1"]]


def test_json(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "apply", "--json", "--project", str(project.home.root))
    assert code == 0
    assert json.loads(out) == {
        "revisions": {"main": 1},
        "snapshot_version": 1,
        "changed": ["main"],
        "removed": [],
        "notices": [],
    }


def test_notices_go_to_stderr(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    text = project.home.config.read_text()
    project.write(text.replace("best: 1}}", "best: 1}, blind: true}\n    caller_may_choose: true"))
    code, out, err = _run(capsys, "apply", "--json", "--project", str(project.home.root))
    assert code == 0
    assert "is blind" in err
    assert json.loads(out)["notices"] == [err.strip()]


def test_every_problem_is_a_line_on_stderr_and_the_exit_code_is_2(
    project: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    text = project.home.config.read_text()
    project.write(text.replace("[a, b, c]", "[a, b, nobody]").replace("[best]", "[none]"))
    code, out, err = _run(capsys, "apply", "--project", str(project.home.root))
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith("quorate: error: quorate.yaml:2: There is no model 'nobody'")
    assert second.startswith("quorate: error: quorate.yaml:10: endpoints.main.fallback: there is no strategy 'none'")


def test_a_version_that_is_not_the_expected_one_is_refused(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    project.apply()
    code, _, err = _run(capsys, "apply", "--expected", "0", "--project", str(project.home.root))
    assert code == 2
    assert "version 1 by now, not 0" in err


def test_a_folder_without_a_configuration(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _run(capsys, "apply", "--project", str(tmp_path))
    assert code == 2
    assert "There is no quorate.yaml" in err
    assert list(tmp_path.iterdir()) == []
