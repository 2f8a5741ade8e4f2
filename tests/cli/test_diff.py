"""``quorate diff`` from the command line."""

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


def test_nothing_would_change(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    project.apply()
    assert _run(capsys, "diff", "--project", str(project.home.root))[:2] == (0, "Nothing would change.\n")
    assert _run(capsys, "diff", "--json", "--project", str(project.home.root))[:2] == (0, "[]\n")


def test_a_new_endpoint(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "diff", "--project", str(project.home.root))
    assert (code, out) == (1, "+ endpoint main: new\n")


def test_settings_that_would_change(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    project.apply()
    project.write(project.home.config.read_text().replace("quorum: 2", "deadline_ms: 50") + "limits: {rows: 5}\n")
    code, out, _ = _run(capsys, "diff", "--project", str(project.home.root))
    assert code == 1
    assert out.splitlines() == [
        "~ endpoint main (revision 1 is served now)",
        "    endpoint.deadline_ms: 1000.0 -> 50.0",
        "    endpoint.strategies.average.quorum: 2 -> 1",
        "~ settings",
        "    limits.rows: 10000 -> 5",
    ]


def test_json(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    project.apply()
    project.write(project.home.config.read_text().replace("  main:", "  renamed:"))
    code, out, _ = _run(capsys, "diff", "--json", "--project", str(project.home.root))
    assert code == 1
    assert json.loads(out) == [
        {"endpoint": "renamed", "action": "add", "revision": None, "changes": []},
        {"endpoint": "main", "action": "remove", "revision": 1, "changes": []},
    ]


def test_a_wrong_file_is_exit_code_2(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    project.write(project.home.config.read_text().replace("kind: mean", "kind: men"))
    code, _, err = _run(capsys, "diff", "--project", str(project.home.root))
    assert code == 2
    assert err.startswith("quorate: error: quorate.yaml:7: ")
