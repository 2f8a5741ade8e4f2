"""``quorate experiments`` against a control port that is made up: what is asked, and what is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

import quorate.cli.experiments as command
from quorate.cli import main
from quorate.client import Experiments

SHOWN: dict[str, Any] = {
    "id": "0123456789abcdef", "name": "trial", "endpoint": "e", "state": "decided", "version": 3, "author": "key k",
    "created": 1.0, "started": 2.0, "ended": 3.0, "base_revision": 1, "revision": 2, "registration": {"name": "trial"},
    "verdict": {"verdict": "better", "winner": "b", "warnings": []}, "conclusion": None,
    "latest": {"number": 1, "at": 3.0, "hidden": False, "body": {
        "known": {"a": 10, "b": 11}, "comparisons": [{"treatment": "b", "estimate": 0.1, "low": 0.01, "high": 0.2}],
    }},
}  # fmt: skip
ID = SHOWN["id"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[httpx.Request]:
    seen: list[httpx.Request] = []

    def site(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        path = request.url.path
        if path.endswith("/report"):
            wants_json = request.headers["accept"] == "application/json"
            return (
                httpx.Response(200, json={"looks": []}) if wants_json else httpx.Response(200, text="<!doctype html>")
            )
        if path.endswith("/selftest"):
            found = {"false_positives": 9, "runs": 10, "looks": 5, "units": 100, "false_positive_rate": 0.9}
            more = {"low": 0.5, "high": 1.0, "alpha": 0.05, "assignment": {"counts": {}, "p_value": 1.0}, "ok": False}
            return httpx.Response(200, json=found | more)
        return httpx.Response(201 if path == "/v1/experiments" and request.method == "POST" else 200, json=SHOWN)

    made = lambda url, key: Experiments(url, key, transport=httpx.MockTransport(site))  # noqa: E731
    monkeypatch.setattr(command, "Experiments", made)
    monkeypatch.chdir(tmp_path)
    Path("trial.yaml").write_text("name: trial\nstop: {max_units: 100}\n")
    return seen


def _run(line: str, status: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["experiments", *line.split()])
    assert ended.value.code == status


def test_registering_and_starting(asked: list[httpx.Request], capsys: pytest.CaptureFixture[str]) -> None:
    _run("register trial.yaml --start")
    assert capsys.readouterr().out == f"{ID}\n"
    assert json.loads(asked[0].content) == {"name": "trial", "stop": {"max_units": 100}}
    assert [r.url.path for r in asked] == ["/v1/experiments", f"/v1/experiments/{ID}/start"]
    assert asked[1].headers["if-match"] == '"3"'


@pytest.mark.parametrize("action", ["start", "stop", "promote", "keep"])
def test_changes(asked: list[httpx.Request], capsys: pytest.CaptureFixture[str], action: str) -> None:
    _run(f"{action} {ID} --if-version 3")
    assert (asked[0].method, asked[0].url.path) == ("POST", f"/v1/experiments/{ID}/{action}")
    assert asked[0].headers["if-match"] == '"3"'
    out, err = capsys.readouterr()
    assert "0.1 (0.01 to 0.2)" in out
    assert ("policy: b" in err) == (action == "promote")


def test_revising_and_withdrawing(asked: list[httpx.Request]) -> None:
    _run(f"revise {ID} trial.yaml")
    _run(f"withdraw {ID}")
    assert [r.method for r in asked] == ["PUT", "DELETE"]


def test_looking(asked: list[httpx.Request], capsys: pytest.CaptureFixture[str]) -> None:
    for line in (f"show {ID}", f"wait {ID}"):
        _run(line)
        assert "verdict.winner" in capsys.readouterr().out
    _run(f"show {ID} --json")
    assert json.loads(capsys.readouterr().out)["verdict"]["winner"] == "b"


def test_reports_are_files(asked: list[httpx.Request], capsys: pytest.CaptureFixture[str]) -> None:
    _run(f"report {ID} --for statistician --output report.html")
    assert Path("report.html").read_text() == "<!doctype html>"
    assert asked[0].url.params["for"] == "statistician"
    _run(f"report {ID} --json")
    assert json.loads(capsys.readouterr().out) == {"looks": []}
    _run(f"report {ID} --output no/such/folder.html", 2)


def test_a_self_test_that_fails_exits_with_1(asked: list[httpx.Request], capsys: pytest.CaptureFixture[str]) -> None:
    _run("selftest trial.yaml --runs 10", 1)
    assert capsys.readouterr().out == "not ok\n"


@pytest.mark.parametrize("text", [None, "- a", "{", "a: [1"])
def test_files_that_are_no_registration(
    asked: list[httpx.Request], capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    Path("trial.yaml").unlink()
    if text is not None:
        Path("trial.yaml").write_text(text)
    _run("register trial.yaml", 2)
    assert "trial.yaml" in capsys.readouterr().err
    assert asked == []
