"""Pool audits in words: how they stand, what each member is worth, what goes and what that comes to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quorate.console import words
from quorate.console.evidence.replay_words import briefly
from quorate.console.evidence.table import Cell, Line, spans
from quorate.console.evidence.wording import STATES, limits, when

METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "brier": "Brier score",
    "mse": "squared error",
    "mae": "absolute error",
}
SHARES = frozenset({"accuracy", "macro_f1"})
TONES = {"harmful": "worse", "redundant": "worse", "useful": "better"}
VERDICTS = {"harmful": "harmful", "redundant": "redundant", "useful": "useful", "unclear": "not clear"}
MEASURES = {"q": "Q statistic", "disagreement": "Disagreement", "double_fault": "Double fault"}
OF_NUMBERS = {"correlation": "Correlation of errors", "disagreement": "Mean distance"}

Text = Callable[[float | None], str]


def value(metric: str) -> Text:
    """How values of a metric are written."""
    return words.percent if metric in SHARES else _number


def gain(metric: str) -> Text:
    """How gains are written: those of shares in points."""

    def said(change: float | None) -> str:
        if change is None:
            return words.DASH
        text = f"{change * 100:+.2f} points" if metric in SHARES else f"{change:+.4g}"
        return text.replace("-", "\N{MINUS SIGN}")

    return said


def _number(found: float | None) -> str:
    return words.DASH if found is None else f"{found:.4g}".replace("-", "\N{MINUS SIGN}")


def cost(amount: float | None, unit: str | None) -> str:
    """What a member costs."""
    if amount is None:
        return words.DASH
    return words.milliseconds(amount) if unit == "ms" else f"{amount:.4g}"


def about(question: Mapping[str, Any]) -> str:
    """What was asked, in a few words."""
    strategy, since, until = question["strategy"], question["since"], question["until"]
    how = "as the endpoint combines them"
    if strategy is not None:
        how = f"combined by {strategy if isinstance(strategy, str) else briefly(strategy)}"
    time = "all decisions that are kept"
    if since is not None:
        time = f"since {when(since)}" + ("" if until is None else f" until {when(until)}")
    elif until is not None:
        time = f"until {when(until)}"
    return f"{how}; {time}"


def line(found: Mapping[str, Any]) -> Line:
    """An audit as a row of the list."""
    answer, error = found["answer"], found["error"]
    head = Cell(when(found["created"]), about(found["question"]))
    if answer is None:
        why = "" if error is None else error["message"]
        tone = "worse" if found["state"] == "failed" else ""
        return Line(found["id"], [head, Cell(STATES.get(found["state"], found["state"]), why, tone), *[Cell()] * 3])
    drop, check, metric = answer["recommended"]["drop"], answer["check"], answer["metric"]
    return Line(
        found["id"],
        [
            head,
            Cell(f"drop {words.listed(drop)}" if drop else "keep all", f"{METRICS[metric]}, margin {margin(answer)}"),
            Cell(saving(answer) or words.DASH),
            Cell(gain(metric)(check["gain"]["value"]), _limits(check["gain"], gain(metric))),
            Cell(f"{answer['rows']:,}", f"{answer['decisions']:,} independent"),
        ],
    )


def margin(answer: Mapping[str, Any]) -> str:
    """What may be lost."""
    found = answer["margin"]
    return f"{100 * found:.3g} points" if answer["metric"] in SHARES else f"{found:.3g}"


def saving(answer: Mapping[str, Any]) -> str:
    """What dropping saves; nothing where costs are not known or nothing is dropped."""
    recommended = answer["recommended"]
    if not recommended["drop"] or recommended["saves"] is None:
        return ""
    share = "" if recommended["share"] is None else f" ({recommended['share']:.0%})".replace("%", " %")
    money = ""
    if answer["money_per_million"]:
        currency = f" {answer['currency']}" if answer["currency"] else ""
        money = f", {answer['money_per_million']:.3g}{currency} for a million requests"
    unit = " a request" if answer["unit"] == "ms" else ""
    return f"{cost(recommended['saves'], answer['unit'])}{unit}{share}{money}"


def member_lines(answer: Mapping[str, Any]) -> list[Line]:
    """The members, those of the highest Shapley value first; pictures of one column share a scale with zero."""
    metric, members = answer["metric"], sorted(answer["members"], key=lambda m: -(m["shapley"]["value"] or 0.0))
    columns = [
        spans([(m[name]["low"], m[name]["value"], m[name]["high"]) for m in members], zero=True)
        for name in ("shapley", "leave_one_out")
    ]
    text, change = value(metric), gain(metric)
    return [
        Line(
            m["name"],
            [
                m["name"],
                Cell(VERDICTS[m["verdict"]], m["reason"], f"text {TONES.get(m['verdict'], '')}".strip()),
                Cell(change(m["shapley"]["value"]), _limits(m["shapley"], change), span=columns[0][i]),
                Cell(change(m["leave_one_out"]["value"]), _limits(m["leave_one_out"], change), span=columns[1][i]),
                Cell(text(m["alone"]["value"]), _limits(m["alone"], text)),
                Cell(cost(m["cost"], answer["unit"])),
            ],
        )
        for i, m in enumerate(members)
    ]


def step_lines(answer: Mapping[str, Any]) -> list[Line]:
    """The steps of the search, on the rows of the check."""
    metric = answer["metric"]
    text, change = value(metric), gain(metric)
    places = spans([(s["gain"]["low"], s["gain"]["value"], s["gain"]["high"]) for s in answer["steps"]], zero=True)
    return [
        Line(
            f"{i}",
            [
                Cell(f"without {s['drops']}", f"{words.counted(len(s['keeps']), 'member')} left"),
                Cell(text(s["value"]["value"]), _limits(s["value"], text)),
                Cell(change(s["gain"]["value"]), _limits(s["gain"], change), span=places[i]),
                Cell("yes" if s["holds"] else "no", "", "" if s["holds"] else "worse"),
            ],
        )
        for i, s in enumerate(answer["steps"])
    ]


def headroom_lines(answer: Mapping[str, Any]) -> list[Line]:
    """The oracle, the best single member, the pool."""
    h, metric = answer["headroom"], answer["metric"]
    text, change = value(metric), gain(metric)
    rows = [
        ("a perfect choice among the members", "oracle", None),
        (f"{h['best_member']}, the best single one", "best", "over_best"),
        ("the whole pool", "ensemble", "over_ensemble"),
    ]
    return [
        Line(
            name,
            [
                title,
                Cell(text(h[name]["value"]), _limits(h[name], text)),
                Cell() if over is None else Cell(change(h[over]["value"]), _limits(h[over], change)),
            ],
        )
        for title, name, over in rows
    ]


def check_sentence(answer: Mapping[str, Any]) -> str:
    """What the replay of the recommended pool came to."""
    check, metric = answer["check"], answer["metric"]
    text, change = value(metric), gain(metric)
    rows = words.counted(check["rows"], "row")
    if not answer["recommended"]["drop"]:
        whole = f"{text(check['whole']['value'])} ({_limits(check['whole'], text)})"
        return f"On {rows} that the search did not see, the whole pool's {METRICS[metric]} is {whole}."
    now = f"{text(check['recommended']['value'])} ({_limits(check['recommended'], text)})"
    costs = ""
    if answer["cost"] is not None:
        left, unit = answer["recommended"]["cost"], answer["unit"]
        costs = f" Its members cost {cost(left, unit)} instead of {cost(answer['cost'], unit)}."
    return (
        f"Replayed on {rows} that the search did not see, the recommended pool's {METRICS[metric]} is {now}, the whole "
        f"pool's {text(check['whole']['value'])}: {change(check['gain']['value'])} ({_limits(check['gain'], change)})."
        f"{costs}"
    )


def measures(answer: Mapping[str, Any]) -> dict[str, str]:
    """What the matrix can show of these pairs."""
    numbers = any(pair["correlation"] is not None for pair in answer["pairs"])
    return OF_NUMBERS if numbers else MEASURES


def shade(measure: str, found: float | None) -> int:
    """How strongly a cell is tinted, 0 to 4: the more alike the stronger."""
    if found is None or not math.isfinite(found):
        return 0
    alike = 1 - 2 * found if measure == "disagreement" else 2 * found if measure == "double_fault" else found
    return max(0, min(4, math.ceil(4 * alike - 1e-9)))


def pair_words(pair: Mapping[str, Any], measure: str) -> tuple[str, str]:
    """A pair's figure, and all that is known of it."""
    estimate = pair[measure]
    figure = words.DASH if estimate is None or estimate["value"] is None else _number(round(estimate["value"], 3))
    told = []
    for name, title in (OF_NUMBERS if pair["correlation"] is not None else MEASURES).items():
        each = pair[name]
        if each is not None and each["value"] is not None:
            interval = _limits(each, _number)
            told.append(f"{title} {_number(round(each['value'], 3))}{f' ({interval})' if interval else ''}")
    return figure, f"{pair['first']} and {pair['second']}: {'; '.join(told) or 'too few rows'}."


def _limits(estimate: Mapping[str, Any], text: Text) -> str:
    return limits(estimate["low"], estimate["high"], text)


def names(answer: Mapping[str, Any]) -> Sequence[str]:
    """The members in the pool's order."""
    return [member["name"] for member in answer["members"]]
