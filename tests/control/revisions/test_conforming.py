"""A conformal state is resolved for the strategy it was fitted for, or what is wrong is said with its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import ConformalRoute, EndpointRoute
from quorate.control.revisions.apply import read_config
from quorate.control.revisions.resolve import resolve
from quorate.core.calibrate.methods import fit, strategy_of
from quorate.core.combine.mean import Mean
from quorate.core.types import State
from quorate.registry.manifest import Manifest
from quorate.spec import ConfigProblems
from quorate.training.conformal import fit_conformal, fit_conformal_values


def register(project: Any, name: str, state: State) -> Manifest:
    made: Manifest = project.registry.register(
        Manifest(name=name, format="state", kind="state"), {**state_codec.encode(state)}
    )
    return made


def fitted(rows: int = 40, of: Any = None, classes: tuple[str, ...] = ("no", "yes"), **settings: Any) -> State:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(len(classes)), rows).astype(np.float32)
    return fit_conformal(p, np.arange(rows) % len(classes), classes, of=of, **settings)


def text(strategy: str, rest: str = "", pool: str = "{task: classification, members: [a, b, c]}") -> str:
    head = f"pools:\n  letters: {pool}\nendpoints:\n  main:\n    pool: letters\n    strategies:\n"
    return f"{head}      s: {strategy}\n{rest}"


def endpoint(project: Any, *given: str) -> EndpointRoute:
    project.write(text(*given))
    config, _ = read_config(project.home)
    found: EndpointRoute = resolve(config, project.registry).routing.endpoints[0]
    return found


def problems(project: Any, *given: str) -> list[Any]:
    with pytest.raises(ConfigProblems) as caught:
        endpoint(project, *given)
    return list(caught.value.problems)


def test_a_name_is_a_state_and_a_section_says_more(project: Any) -> None:
    files = register(project, "sure", fitted()).files
    short = endpoint(project, "{kind: mean, conformal: sure}")
    assert short.strategies[0].conformal == ConformalRoute(files)
    assert short.on_full == "drop"
    whole = "{kind: mean, conformal: {state: 'sure:1', coverage: 0.95, adaptive: true, abstain: ambiguous}}"
    long = endpoint(project, whole)
    assert long.strategies[0].conformal == ConformalRoute(files, 0.95, True, "ambiguous")
    assert long.on_full == "shed"  # what it learns from must be recorded
    assert endpoint(project, "{kind: mean}").strategies[0].conformal is None


def test_it_is_for_the_strategy_it_was_fitted_for(project: Any) -> None:
    weights = project.weights("w", ["a", "b"], [2.0, 1.0])
    of = {"kind": "weighted", "members": ["a", "b"], "params": {"weights": None}, "state": weights.digest}
    register(project, "sure", fitted(of=of))
    assert endpoint(project, "{kind: weighted, members: [a, b], state: w, conformal: sure}").strategies[0].conformal
    newer = project.weights("w", ["a", "b"], [1.0, 1.0])
    for strategy, message in {
        "{kind: mean, members: [a, b], conformal: sure}": "the kind weighted; this one has mean",
        "{kind: weighted, members: [b, a], state: 'w:1', conformal: sure}": "the members a, b; this one has b, a",
        "{kind: weighted, members: [a, b], state: w, conformal: sure}": f"; this one has {newer.digest}",
        "{kind: weighted, members: [a, b], weights: [2, 1], conformal: sure}": "the params {'weights': None}",
    }.items():
        assert any(message in str(each) for each in problems(project, strategy)), strategy


@pytest.mark.parametrize(
    ("strategy", "rest", "message"),
    [
        ("{kind: mean, conformal: nothing}", "", "There is no model 'nothing'"),
        ("{kind: mean, conformal: a}", "", "'a:1' is a model; expected a combiner's state"),
        ("{kind: mean, conformal: w}", "", "expected a state of kind 'conformal', version 1; got 'weighted'"),
        ("{kind: mean, conformal: other}", "", "fitted on scores of x, y; the pool answers scores of no, yes"),
        (
            "{kind: mean, conformal: {state: sure, coverage: 0.99}}",
            "",
            "needs 99 calibration rows; the state has 40",
        ),
        ("{kind: mean, conformal: {state: own, adaptive: true}}", "", "does not adapt"),
        ("{kind: online, conformal: sure}", "", "Set adaptive: true"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(project: Any, strategy: str, rest: str, message: str) -> None:
    register(project, "sure", fitted())
    register(project, "own", fitted(conditional=True))
    register(project, "other", fitted(classes=("x", "y")))
    project.weights("w", ["a", "b", "c"], [1, 1, 1])
    (problem,) = problems(project, strategy, rest)
    assert message in str(problem)
    assert "endpoints.main.strategies.s.conformal" in str(problem) or problem.path.endswith(("conformal", "state"))


def test_sets_belong_to_the_calibration_of_the_answers_that_they_were_fitted_on(project: Any) -> None:
    scores = np.random.default_rng(0).dirichlet([1, 1], size=50).astype(np.float32)
    for _ in range(2):
        made = fit("temperature", scores, np.arange(50) % 2, ("no", "yes"), strategy_of(Mean(), "abc"))
        first = register(project, "true", made)
    digest = project.registry.manifest("true:1").digest
    assert digest == first.digest  # the same numbers
    register(project, "true", fit("isotonic", scores, np.arange(50) % 2, ("no", "yes"), strategy_of(Mean(), "abc")))
    of = {"kind": "mean", "members": ["a", "b", "c"], "params": {}, "state": None}
    register(project, "plain", fitted(of=of))
    register(project, "sets", fitted(of=of | {"calibrate": digest}))
    adaptive = "conformal: {state: sets, adaptive: true}"
    for strategy in (
        "{kind: mean, calibrate: 'true:1', conformal: sets}",
        "{kind: mean, calibrate: 'true:2', conformal: sets}",
        f"{{kind: mean, calibrate: 'true', {adaptive}}}",
        f"{{kind: mean, calibrate: 'true', refit: auto, {adaptive}}}",
    ):
        assert endpoint(project, strategy).strategies[0].conformal is not None, strategy
    for strategy, message in {
        "{kind: mean, calibrate: 'true', conformal: sets}": "answers of another version of the calibration",
        "{kind: mean, calibrate: 'true', conformal: plain}": "not calibrated, and those of this strategy are. Fit it "
        "for them: Fit('conformal', of='true')",
        "{kind: mean, conformal: sets}": "that are calibrated, and those of this strategy are not",
        "{kind: vote, conformal: sets}": "that are calibrated, and those of this strategy are not",
    }.items():
        assert any(message in str(each) for each in problems(project, strategy)), strategy
    register(project, "true", made)
    (problem,) = problems(project, "{kind: mean, calibrate: 'true', refit: auto, conformal: sets}")
    assert "Set adaptive: true" in str(problem)


@pytest.mark.parametrize("coverage", [0.4, 1.0, "0.9"])
def test_coverages_that_cannot_be_are_refused(project: Any, coverage: Any) -> None:
    register(project, "sure", fitted())
    given = f"'{coverage}'" if isinstance(coverage, str) else coverage
    (problem,) = problems(project, f"{{kind: mean, conformal: {{state: sure, coverage: {given}}}}}")
    assert "coverage" in str(problem)


def test_numbers_are_not_abstained_from_and_disagreement_needs_members_and_their_outputs(project: Any) -> None:
    for name in ("p", "q"):
        project.model(name, targets=("y",))
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(30, 2, 1)).astype(np.float32)
    state = fit_conformal_values(outputs.mean(axis=1), rng.normal(size=30), ("y",), score="normalised", outputs=outputs)
    register(project, "range", state)
    pool = "{task: regression, members: [p, q]}"
    assert endpoint(project, "{kind: mean, conformal: range}", "", pool).strategies[0].conformal is not None
    for strategy, rest, message in (
        ("{kind: mean, conformal: {state: range, abstain: ambiguous}}", "", "abstaining is about labels"),
        ("{kind: single, member: p, conformal: range}", "", "the strategy has one"),
        ("{kind: mean, conformal: range}", "    cache: {}\n", "Remove the cache"),
    ):
        (problem,) = problems(project, strategy, rest, pool)
        assert message in str(problem)


def test_a_blind_endpoint_is_told_that_it_has_no_sets(project: Any) -> None:
    register(project, "sure", fitted())
    project.write(text("{kind: mean, conformal: sure}", "    policy: {kind: fixed, strategy: s, blind: true}\n"))
    config, _ = read_config(project.home)
    notices = resolve(config, project.registry).notices
    assert "endpoints.main is blind, so its answers have no conformal sets." in notices
