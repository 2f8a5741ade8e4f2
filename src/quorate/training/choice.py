"""The report's part on the strategy that was chosen: which, whether it is better than a member alone, where it errs."""

from __future__ import annotations

from typing import Any

import numpy as np

from quorate.core.stats.intervals import Interval
from quorate.core.stats.per_class import ClassScore, class_scores
from quorate.training.evaluate import Choice, Evaluation, Score

MATRIX_CLASSES = 20
"""With more classes the page shows the most frequent confusions instead of the matrix; the JSON has it whole."""
_SHOWN = 10


def verdict(evaluation: Evaluation) -> list[str]:
    """Sentences: what was chosen on the validation part, and what the test part says of that; none without a choice."""
    c = evaluation.choice
    if c is None:
        return []
    chosen = _strategy(evaluation, c)
    limits = f"[{100 * chosen.accuracy.low:.1f}, {100 * chosen.accuracy.high:.1f}]"
    strategy, member = (f"{name} ({percent(i)})" for name, i in zip((c.strategy, c.member), c.validation, strict=True))
    words = [
        f"Chosen on the validation part ({c.rows} rows): the strategy {strategy} and the member {member}.",
        f"On the test part {c.strategy} is right for {percent(chosen.accuracy)} {limits}.",
        _against(c, chosen, c.member, c.against_member, "the member chosen the same way"),
    ]
    if evaluation.best_member != c.member:
        words.append(_against(c, chosen, evaluation.best_member, c.against_best, "the member best on the test part"))
    better = [found.strategy for found in c.comparisons if found.difference.low > 0]
    worse = [found.strategy for found in c.comparisons if found.difference.high < 0]
    if c.comparisons:
        words.append(
            f"Beyond the intervals of all {len(c.comparisons)} comparisons together, better than {c.member}: "
            f"{', '.join(better) or 'no strategy'}; worse: {', '.join(worse) or 'none'}."
        )
    return words


def _against(choice: Choice, chosen: Score, member: str, difference: Interval, who: str) -> str:
    if chosen.members == (member,):
        return f"{choice.strategy} is {member}, {who}, alone."
    if difference.low > 0:
        meaning = "better beyond the interval"
    elif difference.high < 0:
        meaning = "worse beyond the interval"
    else:
        meaning = "which these rows cannot tell from none"
    return f"Against {member}, {who}: {points(difference)}, {meaning}."


def to_json(evaluation: Evaluation) -> dict[str, Any] | None:
    """All figures as plain data; null without a choice, and for precision or recall of a class without rows."""
    c = evaluation.choice
    if c is None:
        return None
    return {
        "validation_rows": c.rows,
        "strategy": c.strategy,
        "member": c.member,
        "validation_accuracy": {"strategy": c.validation[0]._asdict(), "member": c.validation[1]._asdict()},
        "test_accuracy": _strategy(evaluation, c).accuracy._asdict(),
        "against_member": c.against_member._asdict(),
        "against_best_member": c.against_best._asdict(),
        "comparisons": [
            {"strategy": found.strategy, "accuracy_difference": found.difference._asdict()} for found in c.comparisons
        ],
        "confusion": c.confusion.tolist(),
        "classes": [
            {"label": s.label, "rows": s.rows, "precision": _plain(s.precision), "recall": _plain(s.recall)}
            for s in class_scores(c.confusion, evaluation.classes)
        ],
        "verdict": verdict(evaluation),
    }


def to_markdown(evaluation: Evaluation) -> list[str]:
    """Lines of the page; none without a choice."""
    c = evaluation.choice
    if c is None:
        return []
    compared = [
        f"| strategy | accuracy less that of {c.member} |",
        "|---|---|",
        *(f"| {found.strategy} | {points(found.difference)} |" for found in c.comparisons),
        "",
    ]
    return [
        "## Which strategy, then?",
        "",
        *verdict(evaluation),
        "",
        *(compared if c.comparisons else []),
        f"## Where {c.strategy} errs",
        "",
        "| class | rows | precision | recall |",
        "|---|---|---|---|",
        *(_class(found) for found in class_scores(c.confusion, evaluation.classes)),
        "",
        *_confusions(c, evaluation.classes),
    ]


def _class(found: ClassScore) -> str:
    return f"| {found.label} | {found.rows} | {_shown(found.precision)} | {_shown(found.recall)} |"


def _confusions(choice: Choice, classes: tuple[str, ...]) -> list[str]:
    counts = choice.confusion
    if len(classes) <= MATRIX_CLASSES:
        return [
            "Rows are true classes, columns what was answered:",
            "",
            f"| | {' | '.join(classes)} |",
            "|---|" + "---|" * len(classes),
            *(f"| **{label}** | {' | '.join(map(str, counts[i].tolist()))} |" for i, label in enumerate(classes)),
            "",
        ]
    wrong = counts - np.diag(np.diagonal(counts))
    order = [divmod(int(cell), len(classes)) for cell in np.argsort(-wrong, axis=None, kind="stable")[:_SHOWN]]
    found = [f"{classes[a]} for {classes[b]} ({wrong[b, a]})" for b, a in order if wrong[b, a]]
    return [f"Most frequent confusions: {', '.join(found) or 'none'}.", ""]


def _strategy(evaluation: Evaluation, choice: Choice) -> Score:
    return next(found for found in evaluation.strategies if found.name == choice.strategy)


def _plain(interval: Interval) -> dict[str, float] | None:
    return None if np.isnan(interval.estimate) else interval._asdict()


def _shown(interval: Interval) -> str:
    if np.isnan(interval.estimate):
        return "–"
    return f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def percent(interval: Interval) -> str:
    """An accuracy for people.

    >>> percent(Interval(0.9888, 0.96, 1.0))
    '98.9 %'
    """
    return f"{100 * interval.estimate:.1f} %"


def points(difference: Interval) -> str:
    """A difference of accuracies for people.

    >>> points(Interval(0.011, -0.004, 0.026))
    '+1.1 points [-0.4, +2.6]'
    """
    return f"{100 * difference.estimate:+.1f} points [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
