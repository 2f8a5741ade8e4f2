"""The report on what was chosen on the validation part says which way the figures fall, and where the choice errs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quorate.core.stats.intervals import Interval, paired_difference, wilson
from quorate.training import choice, report
from quorate.training.evaluate import Choice, Comparison, Evaluation, Score, _choice, _Scored, best_of

BETTER, UNSURE, WORSE = Interval(0.05, 0.01, 0.09), Interval(0.01, -0.03, 0.05), Interval(-0.06, -0.1, -0.02)
CONFUSION = np.array([[40, 10], [0, 50]])


def score(name: str, right: int, members: tuple[str, ...] = (), log_loss: float = 0.5) -> Score:
    accuracy = wilson(right, 100)
    kind = "mean" if members else "member"
    return Score(name, kind, members or (name,), accuracy, accuracy, log_loss, np.arange(100) < right)


def evaluation(against_member: Interval = UNSURE, **changes: object) -> Evaluation:
    chosen = Choice(
        rows=80,
        strategy="mean",
        member="line",
        validation=(wilson(72, 80), wilson(70, 80)),
        against_member=against_member,
        against_best=UNSURE,
        comparisons=(Comparison("mean", against_member), Comparison("vote", WORSE)),
        confusion=CONFUSION,
    )
    return Evaluation(
        endpoint="fruit",
        pool="fruit",
        data="market",
        rows=100,
        classes=("apple", "pear"),
        majority="pear",
        baseline=wilson(50, 100),
        members=(score("tree", 90), score("line", 85)),
        strategies=(score("mean", 90, ("tree", "line")), score("vote", 79, ("tree", "line")), score("solo", 85)),
        best_member="tree",
        comparisons=(),
        choice=replace(chosen, **changes),  # type: ignore[arg-type]
    )


def test_the_words_name_the_choice_and_both_members_it_is_held_against() -> None:
    nothing = "+1.0 points [-3.0, +5.0], which these rows cannot tell from none"
    assert choice.verdict(evaluation()) == [
        "Chosen on the validation part (80 rows): the strategy mean (90.0 %) and the member line (87.5 %).",
        "On the test part mean is right for 90.0 % [82.6, 94.5].",
        f"Against line, the member chosen the same way: {nothing}.",
        f"Against tree, the member best on the test part: {nothing}.",
        "Beyond the intervals of all 2 comparisons together, better than line: no strategy; worse: vote.",
    ]


@pytest.mark.parametrize(("difference", "words"), [(BETTER, "better beyond"), (WORSE, "worse beyond")])
def test_a_difference_beyond_the_interval_is_said(difference: Interval, words: str) -> None:
    assert words in choice.verdict(evaluation(difference))[2]


def test_a_member_that_is_best_in_both_parts_is_mentioned_once() -> None:
    words = choice.verdict(evaluation(member="tree"))
    assert sum("tree, the member" in sentence for sentence in words) == 1


def test_a_strategy_that_is_the_member_itself_is_not_compared_with_it() -> None:
    alone = evaluation(strategy="solo", member="line")
    alone = replace(alone, strategies=(score("solo", 85, ("line",)),))
    assert "solo is line, the member chosen the same way, alone." in choice.verdict(alone)


def test_without_a_validation_part_nothing_is_said(tmp_path: Path) -> None:
    nothing = replace(evaluation(), choice=None)
    assert choice.verdict(nothing) == choice.to_markdown(nothing) == []
    page, data = report.write(nothing, tmp_path)
    assert json.loads(data.read_text())["choice"] is None
    assert "validation part" not in page.read_text()


def test_the_files_hold_the_choice_its_confusions_and_each_class(tmp_path: Path) -> None:
    page, data = report.write(evaluation(BETTER), tmp_path)
    text = page.read_text()
    assert "| **apple** | 40 | 10 |" in text
    assert "| apple | 50 | 1.000 [0.912, 1.000] | 0.800 [0.670, 0.888] |" in text
    assert "| vote | -6.0 points [-10.0, -2.0] |" in text
    found = json.loads(data.read_text())["choice"]
    assert (found["strategy"], found["member"], found["validation_rows"]) == ("mean", "line", 80)
    assert found["confusion"] == CONFUSION.tolist()
    assert found["against_member"] == {"estimate": 0.05, "low": 0.01, "high": 0.09}
    assert found["test_accuracy"]["estimate"] == 0.9
    assert found["classes"][0]["recall"]["estimate"] == 0.8
    assert found["verdict"] == choice.verdict(evaluation(BETTER))


def test_a_class_that_is_never_answered_has_no_precision() -> None:
    blind = evaluation(confusion=np.array([[0, 5], [0, 5]]))
    found = choice.to_json(blind)
    assert found is not None
    assert found["classes"][0]["precision"] is None
    assert "| apple | 5 | – | 0.000 [0.000, 0.434] |" in choice.to_markdown(blind)


def test_many_classes_show_their_most_frequent_confusions() -> None:
    classes = tuple(f"c{i}" for i in range(choice.MATRIX_CLASSES + 1))
    counts = np.diag(np.full(len(classes), 9))
    counts[3, 5], counts[5, 3] = 4, 2
    lines = choice.to_markdown(replace(evaluation(confusion=counts), classes=classes))
    assert "Most frequent confusions: c5 for c3 (4), c3 for c5 (2)." in lines
    assert not any(line.startswith("| **c0**") for line in lines)


def test_accuracy_decides_then_log_loss() -> None:
    assert best_of([score("a", 90), score("b", 91)]).name == "b"
    assert best_of([score("a", 90, log_loss=0.4), score("b", 90, log_loss=0.3)]).name == "b"


def test_what_is_chosen_on_validation_is_judged_on_the_test_rows() -> None:
    """Here the validation part prefers what the test part does not."""
    both = ("tree", "line")
    validation = _Scored(
        (score("tree", 80), score("line", 85)), (score("mean", 88, both), score("vote", 86, both)), {}, ()
    )
    test = _Scored(
        (score("tree", 95), score("line", 90)),
        (score("mean", 92, both), score("vote", 97, both)),
        {"mean": CONFUSION, "vote": CONFUSION.T},
        (),
    )
    found = _choice(validation, test, 100)
    assert (found.strategy, found.member) == ("mean", "line")
    right = {s.name: s.right for s in (*test.members, *test.strategies)}
    assert found.against_member == paired_difference(right["mean"], right["line"])
    assert found.against_best == paired_difference(right["mean"], right["tree"])
    assert [c.difference for c in found.comparisons] == [
        paired_difference(right[name], right["line"], 0.975) for name in ("mean", "vote")
    ]
    assert found.confusion is CONFUSION
    assert found.validation == (wilson(88, 100), wilson(85, 100))
