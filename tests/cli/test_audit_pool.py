"""``quorate audit-pool`` from the command line, and ``quorate.audit_pool`` from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import quorate
from quorate.cli import main
from quorate.codecs import held
from quorate.codecs.held import HeldOutputs
from quorate.control.pool_audits import local
from quorate.errors import ConfigError, Conflict
from tests.control.pool_audits.conftest import decisions, outputs, truths
from tests.control.replay.conftest import START, Log


@pytest.fixture
def folder(project: Any) -> str:
    """A project with 200 decisions whose third member is harmful."""
    log = Log(project)
    some, truth = decisions(200)
    log.write(some, truths(some, truth))
    return str(project.home.root)


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["audit-pool", *args])
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


def test_tables_and_json(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "main", "--margin", "0.03", "--cost", "a=1", "--cost", "c=3", "--project", folder)
    assert code == 0, err
    for said in (
        "main: 200 rows, accuracy",
        "harmful",
        "Q or correlation",
        "oracle",
        "rows that the search did not see",
    ):
        assert said in out, said
    assert "Drop c (harmful); keep a, b. That saves 3 of cost, 75 % of the members'." in out
    assert "Beware: Only 200 independent decisions" in err
    assert "Assumed: " in err
    code, out, _ = run(capsys, "letters", "--json", "--since", str(START + 100), "--project", folder)
    found = json.loads(out)
    assert (code, found["name"], found["rows"], found["cost"]) == (0, "letters", 100, None)
    assert set(found["members"][0]["shapley"]) == {"value", "low", "high", "standard_error"}


def test_held_out_rows_instead_of_decisions(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores, truth = outputs(300, seed=5)
    file = tmp_path / "held.npz"
    file.write_bytes(held.encode(HeldOutputs(("a", "b", "c"), ("no", "yes"), scores, truth)))
    code, out, _ = run(capsys, "main", "--rows", str(file), "--metric", "log_loss", "--json", "--project", folder)
    found = json.loads(out)
    assert (code, found["source"], found["metric"], found["rows"]) == (0, "held.npz", "log_loss", 300)
    by_python = quorate.audit_pool(folder, "main", rows=file, metric="log_loss")
    assert by_python.whole.value == found["whole"]["value"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("nope",), "There is no endpoint 'nope'"),
        (("main", "--strategy", "nope"), "has and had no strategy 'nope'"),
        (("main", "--strategy", "{"), "--strategy is neither YAML nor JSON"),
        (("main", "--cost", "a"), "--cost is MEMBER=NUMBER; got 'a'"),
        (("main", "--since", "soon"), "--since is a date like"),
        (("main", "--metric", "mse"), "answers classes, which are measured by"),
        (("main", "--rows", "nowhere.npz"), "nowhere.npz cannot be read"),
    ],
)
def test_mistakes(folder: str, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str) -> None:
    code, out, err = run(capsys, *options, "--project", folder)
    assert (code, out) == (2, "")
    assert message in err


def test_from_python(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = quorate.audit_pool(folder, "main", since=START + 50, margin=0.03)
    assert (found.rows, found.recommended.drop) == (150, ("c",))
    with pytest.raises(ConfigError, match=r"no quorate\.yaml"):
        quorate.audit_pool(tmp_path / "empty", "main")

    def hidden(connection: Any, endpoint: str) -> None:
        raise Conflict(f"Endpoint '{endpoint}' hides its arms until the verdict.")

    monkeypatch.setattr(local, "require_shown", hidden)
    with pytest.raises(Conflict, match="hides its arms"):
        quorate.audit_pool(folder, "letters")
