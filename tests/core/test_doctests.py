"""Every example in a docstring of the light modules runs."""

import doctest
import importlib
import pkgutil

import pytest

import quorate.core
import quorate.testing

MODULES = [
    "quorate.errors",
    "quorate.clock",
    "quorate.ids",
    "quorate.plugins",
    "quorate.home",
    *(
        module.name
        for package in (quorate.core, quorate.testing)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ),
]

TRAINING = ("quorate.training.bagging", "quorate.training.boosting")

WITH_EXAMPLES = {
    *TRAINING,
    "quorate.ids",
    "quorate.core.combine.average",
    "quorate.core.combine.mean",
    "quorate.core.combine.single",
    "quorate.core.combine.vote",
    "quorate.core.combine.weighted",
    "quorate.core.plan.all_at_once",
    "quorate.core.plan.budgeted",
    "quorate.core.plan.stages",
    "quorate.core.facts",
    "quorate.core.rules.evaluate",
    "quorate.core.rules.lexer",
    "quorate.core.rules.parse",
    "quorate.core.rules.ruleset",
    "quorate.core.rules.written",
    "quorate.core.select.assign",
    "quorate.core.select.fixed",
    "quorate.core.select.rules",
    "quorate.core.select.split",
    "quorate.core.stats.f1",
    "quorate.core.stats.histogram",
    "quorate.core.stats.intervals",
    "quorate.testing.clock",
}


@pytest.mark.parametrize("name", [*MODULES, *TRAINING])
def test_examples_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert result.attempted or name not in WITH_EXAMPLES, f"{name} should show an example"
