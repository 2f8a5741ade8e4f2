"""What answers are worth is checked against what the pool answers, and comes to the served routing."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.codecs import snapshot
from quorate.control.outcomes.rules import rules_in
from quorate.core.outcomes import OutcomeRules
from quorate.core.value import ClassValue, ValueSpec
from quorate.spec import ConfigProblems
from quorate.store.revisions import newest_revision

CLASSES = """
pools: {p: {task: classification, members: [a, b]}}
endpoints:
  e:
    pool: p
    strategies: {average: {kind: mean}}
    outcomes: {precedence: [audit, user], correction_s: 60}
    value: VALUE
"""


def test_what_is_declared_is_what_is_served_and_in_the_revision(project: Any) -> None:
    value = "{correct: 1, by_class: {'yes': {error: -9}}, confusion: {'no': {'yes': -2}}, rewards: {eur: 2}}"
    project.write(CLASSES.replace("VALUE", value))
    project.apply()
    (endpoint,) = snapshot.read(project.home.snapshot).endpoints
    assert endpoint.value == ValueSpec(
        correct=1.0, by_class={"yes": ClassValue(error=-9.0)}, confusion={"no": {"yes": -2.0}}, rewards={"eur": 2.0}
    )
    assert endpoint.outcomes == OutcomeRules(("audit", "user"), 60.0)
    with project.database.read() as connection:
        rules = rules_in(newest_revision(connection, "e").content)
    assert (rules.outcomes, rules.value) == (endpoint.outcomes, endpoint.value)
    assert rules_in('{"endpoint": {"name": "of an older release"}}') == (OutcomeRules(), None)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "{by_class: {maybe: {error: -9}}}",
            "by_class names the class 'maybe'; the classes of pool 'p' are 'no', 'yes'.",
        ),
        (
            "{confusion: {'no': {never: 1}}}",
            "confusion names the class 'never'; the classes of pool 'p' are 'no', 'yes'.",
        ),
        ("{per_unit_error: -1}", "per_unit_error is for numbers, which pool 'p' does not answer. Remove it."),
    ],
)
def test_what_could_never_count_is_a_problem(project: Any, value: str, message: str) -> None:
    project.write(CLASSES.replace("VALUE", value))
    with pytest.raises(ConfigProblems) as caught:
        project.apply()
    assert [problem.message for problem in caught.value.problems] == [f"endpoints.e.value.{message}"]


def test_numbers_have_no_classes(project: Any) -> None:
    project.model("n", targets=("y",))
    config = CLASSES.replace("classification, members: [a, b]", "regression, members: [n]")
    project.write(config.replace("VALUE", "{correct: 1, per_unit_error: -1, by_class: {a: {}}}"))
    with pytest.raises(ConfigProblems) as caught:
        project.apply()
    assert [problem.message for problem in caught.value.problems] == [
        "endpoints.e.value.by_class names the class 'a'; the classes of pool 'p' are none, for it answers numbers.",
        "endpoints.e.value.correct is for classes, which pool 'p' does not answer. Remove it.",
    ]
