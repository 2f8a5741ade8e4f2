"""The training report: the same facts as Markdown, JSON and a table, and what they mean in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quorate.core.calibrate.ece import Error
from quorate.core.stats.intervals import Interval
from quorate.training import choice
from quorate.training.evaluate import Comparison, Evaluation, Round, Score

CALIBRATION = ("strategy", "calibration", "error before", "error")
_ABOUT_ERRORS = (
    "Expected calibration error of the greatest probability, in at most 15 bins of equal mass, without its bias and "
    "with 95 % limits; a lower limit of 0 means that these rows show none. Calibration moves no label."
)
COLUMNS = ("name", "what", "accuracy", "macro F1", "log loss")


def verdict(evaluation: Evaluation) -> list[str]:
    """Sentences: does a strategy beat the best member beyond the interval, which do worse, who beats the baseline."""
    best = next(member for member in evaluation.members if member.name == evaluation.best_member)
    who = f"the best member ({best.name}, {_percent(best.accuracy.estimate)})"
    rows = f"on these {evaluation.rows} rows"
    better = [c for c in evaluation.comparisons if c.difference.low > 0]
    worse = [c for c in evaluation.comparisons if c.difference.high < 0]
    words = [f"{c.strategy} beats {who} beyond the interval {rows}: {_points(c)}." for c in better]
    if not evaluation.comparisons:
        words.append(f"No strategy combines several members, so there is nothing to compare with {who}.")
    elif not better:
        closest = max(evaluation.comparisons, key=lambda c: c.difference.estimate)
        words.append(
            f"No strategy beats {who} beyond the interval {rows}; "
            f"the closest is {closest.strategy}, {_points(closest)}."
        )
    words += [f"{c.strategy} is worse than {who} beyond the interval {rows}: {_points(c)}." for c in worse]
    below = [s.name for s in evaluation.members if s.accuracy.low <= evaluation.baseline.high]
    always = f"always answering '{evaluation.majority}' ({_percent(evaluation.baseline.estimate)})"
    words.append(
        f"Not clearly better than {always}: {', '.join(below)}."
        if below
        else f"Every member is far better than {always}."
    )
    return words


def caveats(evaluation: Evaluation) -> str:
    """How the numbers were made."""
    return (
        f"Held-out test part of '{evaluation.data}', {evaluation.rows} rows that nothing was fitted on; the "
        f"registered artifacts and the combiners that serve. Intervals are 95 %: Wilson for accuracy, seeded "
        "bootstrap for macro F1. Comparisons are paired on the same rows and hold together "
        f"(95 % for all {len(evaluation.comparisons)}, Bonferroni); the best member was picked on these rows, "
        "which favours it."
        + (
            ""
            if evaluation.choice is None
            else " What was chosen on the validation part, by accuracy and then log loss, is favoured by nothing here."
        )
    )


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """All figures as plain data; intervals are ``{estimate, low, high}``."""
    return {
        "endpoint": evaluation.endpoint,
        "pool": evaluation.pool,
        "data": evaluation.data,
        "rows": evaluation.rows,
        "classes": list(evaluation.classes),
        "baseline": {"label": evaluation.majority, "accuracy": evaluation.baseline._asdict()},
        "members": [_score(score) for score in evaluation.members],
        "strategies": [_score(score) for score in evaluation.strategies],
        "best_member": evaluation.best_member,
        "comparisons": [
            {"strategy": c.strategy, "accuracy_difference": c.difference._asdict()} for c in evaluation.comparisons
        ],
        "choice": choice.to_json(evaluation),
        "rounds": [asdict(found) for found in evaluation.rounds],
        "calibration": [
            {
                "strategy": c.strategy,
                "method": c.method,
                "error": c.error._asdict(),
                "before": None if c.before is None else c.before._asdict(),
            }
            for c in evaluation.calibrations
        ],
        "verdict": verdict(evaluation),
        "caveats": caveats(evaluation),
    }


def to_markdown(evaluation: Evaluation) -> str:
    """The report as a Markdown page."""
    lines = [
        f"# Endpoint {evaluation.endpoint}: members and strategies",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in table(evaluation)),
        "",
        "## Is an ensemble better than the best member?",
        "",
        *verdict(evaluation),
        "",
        "| strategy | accuracy less the best member's |",
        "|---|---|",
        *(f"| {c.strategy} | {_points(c)} |" for c in evaluation.comparisons),
        "",
        *choice.to_markdown(evaluation),
        *_calibration(evaluation),
        *_boosting(evaluation.rounds),
        caveats(evaluation),
        "",
    ]
    return "\n".join(lines)


def _boosting(rounds: Sequence[Round]) -> list[str]:
    if not rounds:
        return []
    return [
        "## Boosting rounds (SAMME, on the training part)",
        "",
        "| member | weighted error | weight | effective rows | heaviest row |",
        "|---|---|---|---|---|",
        *(
            f"| {r.member} | {r.error:.4f} | {r.weight:.2f} | {r.effective_rows:.0f} | {r.heaviest:.1f} times equal |"
            for r in rounds
        ),
        "",
        "Each round sees the rows as the rounds before it weighted them: what they got wrong counts more.",
        "",
    ]


def calibration_table(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Strategies under :data:`CALIBRATION`: the method, the calibration error before it and now; all as text."""
    return [
        (c.strategy, c.method or "none", "" if c.before is None else _error(c.before), _error(c.error))
        for c in evaluation.calibrations
    ]


def _calibration(evaluation: Evaluation) -> list[str]:
    if not evaluation.calibrations:
        return []
    return [
        "## Do confidences come true?",
        "",
        f"| {' | '.join(CALIBRATION)} |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in calibration_table(evaluation)),
        "",
        _ABOUT_ERRORS,
        "",
    ]


def _error(error: Error) -> str:
    return f"{error.value:.4f} [{error.low:.4f}, {error.high:.4f}]"


def table(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """The rows under :data:`COLUMNS`: members, strategies, baseline; all as text."""
    rows = [
        (
            s.name,
            s.kind,
            _shown(s.accuracy),
            _shown(s.macro_f1),
            f"{s.log_loss:.3f}",
        )
        for s in (*evaluation.members, *evaluation.strategies)
    ]
    return [*rows, (f"always '{evaluation.majority}'", "baseline", _shown(evaluation.baseline), "", "")]


def write(evaluation: Evaluation, folder: Path) -> tuple[Path, Path]:
    """Write ``report.md`` and ``report.json`` into ``folder``; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / "report.md", folder / "report.json"
    page.write_text(to_markdown(evaluation), "utf-8")
    data.write_text(json.dumps(to_json(evaluation), indent=1, allow_nan=False) + "\n", "utf-8")
    return page, data


def show(evaluation: Evaluation) -> None:
    """Print the table and the verdict on stdout."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console()
    title = f"Endpoint {evaluation.endpoint} on {evaluation.rows} held-out rows, 95 % intervals"
    shown = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False, show_edge=False)
    for column in COLUMNS:
        shown.add_column(column, no_wrap=True, justify="right" if column == "log loss" else "left")
    for index, row in enumerate(table(evaluation), start=1):
        shown.add_row(
            *row, end_section=index in (len(evaluation.members), len(evaluation.members + evaluation.strategies))
        )
    console.print(shown)
    if any(found.method is not None for found in evaluation.calibrations):
        errors = Table(title="Calibration errors", title_justify="left", box=SIMPLE, pad_edge=False, show_edge=False)
        for column in CALIBRATION:
            errors.add_column(column, no_wrap=True)
        for row in calibration_table(evaluation):
            errors.add_row(*row)
        console.print(errors)
    for sentence in [*verdict(evaluation), *choice.verdict(evaluation)]:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _score(score: Score) -> dict[str, Any]:
    return {
        "name": score.name,
        "kind": score.kind,
        "members": list(score.members),
        "accuracy": score.accuracy._asdict(),
        "macro_f1": score.macro_f1._asdict(),
        "log_loss": score.log_loss,
    }


def _shown(interval: Interval) -> str:
    return f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(comparison: Comparison) -> str:
    return choice.points(comparison.difference)
