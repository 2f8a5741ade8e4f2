"""What the planner and the self-test answer, in the card of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.console import words
from quorate.console.elements import Node
from quorate.console.experiments.said import number, span


class PlanAnswer:
    """How large the experiment must be and how long it takes, and what that rests on."""

    def __init__(self) -> None:
        with Node("div", "answer-plan", role="status", data_testid="plan"):
            self._hint = Node(
                "p", "quiet note", "Says how many units and days it takes, from the endpoint's own traffic."
            )
            with Node("dl", "figures", hidden=True) as self._figures:
                self._size = _Figure("Ends at the latest")
                self._days = _Figure("or after")
                self._expected = _Figure("With the difference there")
                self._null = _Figure("Without one")
                self._power = _Figure("Finds it with")
            self._basis = Node("p", "quiet note", "")
        with (
            Node(
                "div", "scroll", tabindex="0", role="region", aria_label="Other differences", hidden=True
            ) as self._also,
            Node("table"),
        ):
            Node("caption", "quiet", "If another difference mattered")
            with Node("thead"), Node("tr"):
                for title, kind in (("Difference", ""), ("Units, at most", "figure"), ("Time", "figure")):
                    Node("th", kind, title, scope="col")
            self._body = Node("tbody")

    def show(self, answer: Mapping[str, Any]) -> None:
        """Fill in a plan as control gives it."""
        self._hint.put(hidden=True)
        self._figures.put(hidden=False)
        history = answer["history"]
        assigned = f"{words.counted(answer['assigned'], 'unit')} in all"
        self._size(f"{words.counted(answer['maximum'], 'unit')} with an outcome", assigned)
        days = answer["maximum_days"]
        self._days(words.DASH if days is None else span(days), "" if days is not None else "units a day are not known")
        arms = answer["treatments"]
        expected_days = [each["expected_days"] for each in arms if each["expected_days"] is not None]
        when = f"about {span(max(expected_days))}" if expected_days else ""
        self._expected(f"{words.counted(answer['expected'], 'unit')} on average", when)
        null = max(round(each["expected_null"] / each["share"]) for each in arms)
        self._null(f"{words.counted(null, 'unit')} on average", "until it is clear that there is none")
        power, alpha = min(each["power"] for each in arms), sum(each["alpha"] for each in arms)
        self._power(words.percent(power), f"and errs with {words.percent(alpha)} at most")
        seen = f"{words.counted(history['units'], 'unit')} in {span(history['days'])}"
        rate = "" if history["daily_units"] is None else f" at {number(history['daily_units'])} a day"
        self._basis.say(
            f"Rests on {seen}, {words.percent(history['known'] / history['units'], 0)} of them with an outcome; counted"
            f" on{rate or ' no known rate'}, {words.percent(history['presence'], 0)} with one. The {answer['metric']} "
            f"was {number(history['baseline'])}, its standard deviation {number(history['standard_deviation'])}. One "
            f"look at the end would take {words.counted(answer['fixed'], 'unit')}."
        )
        self._others(answer)

    def _others(self, answer: Mapping[str, Any]) -> None:
        """What other differences would take, beside the one that is planned."""
        self._also.put(hidden=not answer["alternatives"])
        self._body.clear()
        with self._body:
            for each in sorted([*answer["alternatives"], answer], key=lambda one: float(one["minimum_effect"])):
                with Node("tr", "planned" if each is answer else ""):
                    Node("th", "", number(each["minimum_effect"]), scope="row")
                    Node("td", "figure", f"{each['maximum']:,}")
                    days = each["maximum_days"]
                    Node("td", "figure", words.DASH if days is None else span(days))


class TestAnswer:
    """Whether the method finds differences on the endpoint's own units where there are none (A/A)."""

    __test__ = False  # no test of pytest's, in spite of its name

    def __init__(self) -> None:
        self._line = Node("p", "selftest", "", role="status", data_testid="selftest", hidden=True)

    def show(self, answer: Mapping[str, Any]) -> None:
        """Say what the simulated experiments claimed."""
        ok = bool(answer["ok"])
        self._line.put(hidden=False)
        self._line.flag("good", ok)
        self._line.flag("bad", not ok)
        self._line.say(
            f"Self-test {'passed' if ok else 'FAILED'}: of {words.counted(answer['runs'], 'experiment')} on "
            f"{words.counted(answer['units'], 'past unit')} whose arms do not differ, "
            f"{answer['false_positives']:,} found a difference ({words.percent(answer['false_positive_rate'])}; 99 % "
            f"interval {words.percent(answer['low'])} to {words.percent(answer['high'])}; "
            f"{words.percent(answer['alpha'])} allowed). {_assignment(answer['assignment'])} Seed {answer['seed']}."
        )


def _assignment(found: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{arm} {count:,}" for arm, count in found["counts"].items())
    fine = "NOT as the split would have it" if found["mismatch"] else "as the split would have it"
    return f"Units were assigned {fine}: {counts}."


class _Figure:
    def __init__(self, title: str) -> None:
        with Node("div"):
            Node("dt", "", title)
            with Node("dd"):
                self._value = Node("span", "value", words.DASH)
                self._more = Node("span", "quiet block", "")

    def __call__(self, value: str, more: str = "") -> None:
        self._value.say(value)
        self._more.say(more)
