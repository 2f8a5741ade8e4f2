"""``quorate replay`` from the command line, and ``quorate.replay`` from Python."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import quorate
from quorate.cli import main
from quorate.errors import ConfigError
from tests.control.replay.conftest import START, Log, decided, drawn, rewarded, told


@pytest.fixture
def folder(project: Any) -> str:
    """A project with 40 decisions, a truth and a reward for each."""
    log = Log(project)
    some = [decided(i, drawn(40)[i], assigned=("average", "best")[i % 2]) for i in range(40)]
    log.write(
        some, [told(d, "yes") for d in some] + [rewarded(d, {"clicks": float(i % 2)}) for i, d in enumerate(some)]
    )
    return str(project.home.root)


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["replay", "main", *args])
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


def test_tables_and_json(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--strategy", "best", "--project", folder)
    assert code == 0, err
    assert "main: exact, from logged outputs" in out
    assert "best: no difference is shown." in out or "best: better" in out or "best: worse" in out
    assert "Assumed: " in err
    assert "Beware: Only 40 decisions" in err
    code, out, _ = run(capsys, "--strategy", '{"kind": "mean", "members": ["a", "b"]}', "--json", "--project", folder)
    found = json.loads(out)
    assert (code, found["method"], found["counts"]["used"]) == (0, "exact", 40)
    assert found["strategy"] == {"kind": "mean", "members": ["a", "b"]}
    assert set(found["candidate"]) == {"value", "low", "high", "standard_error"}
    code, out, err = run(capsys, "--strategy", "best", "--metric", "clicks", "--project", folder)
    assert (code, "by propensities (dr)" in out, "Effective sample size 20 of 40" in out) == (0, True, True), err


def test_a_policy_in_a_file_or_in_the_option(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("kind: split\nweights: {average: 1, best: 3}\n")
    found = [
        json.loads(run(capsys, "--policy", given, "--json", "--project", folder)[1])
        for given in (str(file), file.read_text(), '{"kind": "split", "weights": {"average": 1, "best": 3}}')
    ]
    assert found[0]["candidate"] == found[1]["candidate"] == found[2]["candidate"]


def test_moments(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    middle = datetime.fromtimestamp(START + 20, UTC)
    for since in (str(START + 20), middle.isoformat(), middle.replace(tzinfo=None).isoformat()):
        out = run(capsys, "--strategy", "best", "--since", since, "--json", "--project", folder)[1]
        assert json.loads(out)["counts"]["used"] == 20
    code, _, err = run(capsys, "--strategy", "best", "--since", "7d", "--project", folder)
    assert (code, "No decision of endpoint 'main' can be used" in err) == (2, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--strategy", "nope"), "has and had no strategy 'nope'"),
        (("--strategy", "{"), "--strategy is neither YAML nor JSON"),
        (("--policy", "nowhere.yaml"), "--policy is a mapping as in quorate.yaml"),
        (("--strategy", "best", "--since", "soon"), "--since is a date like 2026-01-31T12:00"),
        (("--strategy", "best", "--policy", "{kind: split}"), "one of 'strategy' and 'policy'; got both"),
        ((), "one of 'strategy' and 'policy'; got neither"),
        (("--strategy", "a", "--metric", "clicks"), "Serve it with a small share first"),
    ],
)
def test_mistakes(folder: str, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str) -> None:
    code, out, err = run(capsys, *options, "--project", folder)
    assert (code, out) == (2, "")
    assert message in err


def test_from_python(folder: str, tmp_path: Path) -> None:
    found = quorate.replay(folder, "main", "best", since=START + 10)
    assert (found.method, found.counts.used) == ("exact", 30)
    with pytest.raises(ConfigError, match=r"no quorate\.yaml"):
        quorate.replay(tmp_path / "empty", "main", "best")
