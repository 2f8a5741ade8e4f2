"""The report says in words what the figures say, whichever way they fall."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from quorate.core.stats.intervals import Interval, wilson
from quorate.training import report
from quorate.training.evaluate import Comparison, Evaluation, Score


def score(name: str, right: int, members: tuple[str, ...] = ()) -> Score:
    accuracy = wilson(right, 100)
    return Score(
        name, "mean" if members else "member", members or (name,), accuracy, accuracy, 0.5, np.arange(100) < right
    )


def evaluation(*comparisons: Comparison, weak: bool = False) -> Evaluation:
    return Evaluation(
        endpoint="fruit",
        pool="fruit",
        data="market",
        rows=100,
        classes=("apple", "pear"),
        majority="pear",
        baseline=wilson(50, 100),
        members=(score("tree", 90), score("line", 55 if weak else 85)),
        strategies=tuple(score(c.strategy, 90, ("tree", "line")) for c in comparisons),
        best_member="tree",
        comparisons=comparisons,
    )


BETTER = Comparison("stacking", Interval(0.05, 0.01, 0.09))
EQUAL = Comparison("mean", Interval(0.01, -0.03, 0.05))
WORSE = Comparison("vote", Interval(-0.06, -0.1, -0.02))


def test_a_strategy_that_is_better_is_named_with_its_interval() -> None:
    words = report.verdict(evaluation(BETTER, EQUAL))
    assert words[0] == (
        "stacking beats the best member (tree, 90.0 %) beyond the interval on these 100 rows: +5.0 points [+1.0, +9.0]."
    )
    assert not any(sentence.startswith("mean") or "No strategy" in sentence for sentence in words)


def test_no_winner_is_said_as_plainly() -> None:
    words = report.verdict(evaluation(EQUAL, WORSE))
    assert words[0] == (
        "No strategy beats the best member (tree, 90.0 %) beyond the interval on these 100 rows; "
        "the closest is mean, +1.0 points [-3.0, +5.0]."
    )
    assert words[1].startswith("vote is worse than the best member (tree, 90.0 %)")


def test_an_interval_that_touches_zero_wins_nothing() -> None:
    assert "No strategy" in report.verdict(evaluation(Comparison("mean", Interval(0.05, 0.0, 0.1))))[0]


def test_without_ensembles_there_is_nothing_to_compare() -> None:
    assert "No strategy combines several members" in report.verdict(evaluation())[0]


def test_members_near_the_baseline_are_named() -> None:
    assert report.verdict(evaluation(EQUAL))[-1] == "Every member is far better than always answering 'pear' (50.0 %)."
    weak = report.verdict(evaluation(EQUAL, weak=True))[-1]
    assert weak == "Not clearly better than always answering 'pear' (50.0 %): line."


def test_the_files_hold_every_member_and_strategy_with_intervals(tmp_path: Path) -> None:
    page, data = report.write(evaluation(BETTER, WORSE), tmp_path / "new")
    text = page.read_text()
    for name in ("tree", "line", "stacking", "vote"):
        assert f"| {name} | " in text
    assert "| tree | member | 0.900 [0.826, 0.945] | 0.900 [0.826, 0.945] | 0.500 |" in text
    assert "| always 'pear' | baseline | 0.500 [0.404, 0.596] |" in text
    found = json.loads(data.read_text())
    assert found["strategies"][0]["members"] == ["tree", "line"]
    assert found["members"][0]["accuracy"] == pytest.approx({"estimate": 0.9, "low": 0.8256, "high": 0.9448}, abs=1e-3)
    assert found["comparisons"][0] == {
        "strategy": "stacking",
        "accuracy_difference": {"estimate": 0.05, "low": 0.01, "high": 0.09},
    }
    assert found["verdict"] == report.verdict(evaluation(BETTER, WORSE))


def test_the_table_fits_a_terminal_of_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    report.show(evaluation(BETTER, EQUAL))
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("stacking  "))
    assert row.split() == ["stacking", "mean", "0.900", "[0.826,", "0.945]", "0.900", "[0.826,", "0.945]", "0.500"]
    assert len(row) <= 80
    assert any("beats the best member" in line for line in lines)
