"""A benchmark's parts: one that fails stops no other, and is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.harness import parts, wrk
from benchmarks.harness.found import Found
from benchmarks.harness.table import QUORATE, Row


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wrk, "ensure", lambda: "wrk")


def measured(bad: int = 0) -> Found:
    return Found([Row("w", QUORATE, "answers", "1/s", (2.0,))], bad)


def rows() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(Path("build/bench/some.json").read_text())
    return found


def test_what_was_measured_is_written_and_the_logs_go() -> None:
    Path("build/bench/run").mkdir(parents=True)
    assert parts.run({"a": measured}, "some") == 0
    assert [row["value"] for row in rows()] == [2.0]
    assert not Path("build/bench/run").exists()


@pytest.mark.parametrize("error", [RuntimeError("first\nno such server\n"), SystemExit("no such server"), OSError()])
def test_a_part_that_fails_is_a_row_and_the_others_go_on(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> Found:
        raise error

    Path("build/bench/run").mkdir(parents=True)
    assert parts.run({"broken": fails, "a": measured}, "some") == 1
    assert [(row["workload"], row["value"]) for row in rows()] == [("broken", None), ("w", 2.0)]
    said = capsys.readouterr().out
    assert "FAILED: broken" in said
    assert "it failed: " + ("OSError" if isinstance(error, OSError) else "no such server") in said
    assert Path("build/bench/run").exists()


def test_a_wrong_answer_is_a_failure() -> None:
    assert parts.run({"a": lambda: measured(bad=1)}, "some") == 1


def test_an_interrupt_ends_it() -> None:
    def interrupted() -> Found:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parts.run({"a": interrupted, "b": measured}, "some")
