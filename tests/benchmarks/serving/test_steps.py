"""The sequence of everything that is promised: commands that are understood, and what becomes of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults.__main__ import options as faults
from benchmarks.peers.__main__ import options as peers
from benchmarks.serving import __main__ as serving
from benchmarks.serving.steps import STEPS, Step
from benchmarks.serving.verdict import CHECKS
from benchmarks.soak.__main__ import options as soak

OPTIONS = {"peers": peers, "soak": soak, "faults": faults}


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.key)
def test_every_command_is_understood_and_writes_a_file_of_its_own(step: Step, *, quick: bool) -> None:
    command = step.command(quick=quick)
    assert command[:3] == [sys.executable, "-m", f"benchmarks.{step.module}"]
    assert OPTIONS[step.module](command[3:]).name == f"serving-{step.key}"


def test_every_promise_has_a_step() -> None:
    keys = [step.key for step in STEPS]
    assert len(set(keys)) == len(keys)
    assert set(CHECKS) <= set(keys)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Step]:
    """Three steps of which the first fails; each one's command is a program of its own."""
    monkeypatch.setattr(serving, "FOLDER", tmp_path)
    codes = {"a1": "raise SystemExit(3)", "swaps": "print('measured')", "d": "print('more')"}
    monkeypatch.setattr(Step, "command", lambda self, *, quick: [sys.executable, "-c", codes[self.key]])
    found = [step for step in STEPS if step.key in codes]
    monkeypatch.setattr(serving, "STEPS", found)
    return found


def test_a_step_that_fails_stops_no_other(
    steps: list[Step], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serving.main(["--steps", *(step.key for step in steps)]) == 1
    assert (tmp_path / "serving-swaps.txt").read_text() == "measured\n"
    said = capsys.readouterr().out.splitlines()
    states = {line.split()[0]: line.split()[1] for line in said[-len(steps) :]}
    assert states == {"a1": "failed", "swaps": "measured", "d": "measured"}


def test_all_measured_is_a_success(steps: list[Step]) -> None:
    assert serving.main(["--steps", "swaps", "d"]) == 0


def test_what_would_end_too_late_is_not_begun(
    steps: list[Step], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serving.main(["--steps", "a1", "swaps", "--minutes", "1.5"]) == 0
    assert not (tmp_path / "serving-a1.txt").exists()
    assert (tmp_path / "serving-swaps.txt").exists()
    assert "not run: no time left" in capsys.readouterr().out


def test_listing_runs_nothing() -> None:
    command = [sys.executable, "-m", "benchmarks.serving", "--list"]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == len(STEPS) + 1
