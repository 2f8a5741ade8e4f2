"""Calibrations are fitted on what the strategy answers to rows it was not fitted on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import (
    CalibrationRoute,
    EndpointRoute,
    MemberRoute,
    PolicyRoute,
    PoolRoute,
    StrategyRoute,
)
from quorate.core.calibrate.methods import calibrate, check, fit, strategy_of
from quorate.core.combine.cascade import Cascade
from quorate.core.combine.mean import Mean
from quorate.core.types import OutputSpec, Signature, State, TensorSpec
from quorate.errors import ConfigError, InvalidInput
from quorate.registry.registry import Registry
from quorate.testing.clock import FakeClock
from quorate.training import report
from quorate.training.calibrate import Of, fit_calibration, held_out_answers
from quorate.training.cascade import fit_with_way
from quorate.training.data import Dataset
from quorate.training.estimator import estimators
from quorate.training.evaluate import combined, evaluate, model_outputs
from quorate.training.fitters import fit_stack
from quorate.training.recipe import Fit, Recipe
from quorate.training.splits import split
from quorate.training.train import train_pool

X, Y = load_iris(return_X_y=True)
CLASSES = ("0", "1", "2")
MEMBERS = ("line", "tree")
RNG = np.random.default_rng(0)


def recipe(states: dict[str, Fit]) -> Recipe:
    data = Dataset("iris", {"input": X}, Y.astype(str))
    return Recipe(
        data=data,
        split=split(data, seed=1),
        signature=Signature(
            "array", (TensorSpec("input", "float64", (None, 4)),), OutputSpec("scores", classes=CLASSES)
        ),
        preprocess=[{"kind": "normalise", "mean": X.mean(axis=0).tolist()}],
        trainers=estimators(
            {"line": LogisticRegression(C=100.0, max_iter=500), "tree": DecisionTreeClassifier(random_state=0)}
        ),
        states=states,
        code="1",
        folds=3,
    )


STATES = {
    "sure": Fit("temperature", of="mean"),
    "stacked-steps": Fit("isotonic", of="stacked"),
    "near-pairs": Fit("venn-abers", of=Of("knora-u", {"voting": "soft"}, "near")),
    "stacked": Fit("stack"),
    "near": Fit("knora-u", settings={"k": 5}),
    "weights": Fit("log-odds"),
    "weights-sure": Fit("temperature", of="weights"),
}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry", FakeClock())


def state_of(registry: Registry, name: str) -> State:
    files = registry.manifest(name).files
    return state_codec.decode({file: registry.read_blob(digest) for file, digest in files.items()})


def test_they_are_trained_after_what_they_calibrate_and_kept(registry: Registry) -> None:
    trained = train_pool(recipe(STATES), registry)
    assert set(trained.made) == {*MEMBERS, *STATES}
    spec = OutputSpec("scores", CLASSES)
    check(state_of(registry, "sure"), spec, strategy_of(Mean(), MEMBERS))
    made = {name: state_of(registry, name).meta["strategy"] for name in STATES if STATES[name].of is not None}
    assert {name: found["kind"] for name, found in made.items()} == {
        "sure": "mean", "stacked-steps": "stack", "near-pairs": "knora-u", "weights-sure": "weighted",
    }  # fmt: skip
    assert made["near-pairs"]["params"] == {"voting": "soft"}
    again = train_pool(recipe(STATES), registry)
    assert again.made == ()
    changed = train_pool(recipe({**STATES, "near": Fit("knora-u", settings={"k": 7})}), registry)
    assert set(changed.made) == {"near", "near-pairs"}  # the calibration of what was fitted anew, and no other


@pytest.mark.parametrize("promise", [{"within": {"cost": 2.0}}, {"at_least": {"accuracy": 0.5, "risk": 0.2}}])
def test_a_cascade_is_calibrated_on_its_own_way_through_rows_that_it_has_not_seen(
    promise: dict[str, Any], registry: Registry
) -> None:
    settings = {**promise, "costs": {"line": 1.0, "tree": 3.0}, "held": 0.5}
    states = {"steps": Fit("cascade", settings=settings), "steps-sure": Fit("temperature", of="steps")}
    trained = train_pool(recipe(states), registry)
    state, plain = state_of(registry, "steps-sure"), state_of(registry, "steps")
    assert (state.version, state.meta["rows"], state.meta["strategy"]["kind"]) == (2, 105, "cascade")
    spec = OutputSpec("scores", CLASSES)
    check(state, spec, strategy_of(Cascade(), MEMBERS))
    held = np.load(registry.root.parent / "held" / "steps.npz")
    priced = {"costs": plain.meta["costs"], "unit": plain.meta["unit"]}
    _, way = fit_with_way(held["outputs"], held["truth"], MEMBERS, CLASSES, seed=0, **{**settings, **priced})
    again = fit("temperature", way.answers, held["truth"], CLASSES, strategy_of(Cascade(), MEMBERS), way.status)
    assert state_codec.encode(again) == state_codec.encode(state)
    assert set(trained.made) == {*MEMBERS, *states}
    assert train_pool(recipe(states), registry).made == ()
    # A calibration that is added to a cascade that was there sees the same.
    more = train_pool(recipe({**states, "again": Fit("temperature", of="steps")}), registry)
    assert more.made == ("again",)
    assert state_codec.encode(state_of(registry, "again")) == state_codec.encode(state)


def test_a_fitted_combiner_answers_rows_that_it_has_not_seen() -> None:
    outputs = RNG.dirichlet(np.ones(3), size=(60, 2)).astype(np.float32)
    y = np.arange(60) % 3
    seen: list[set[int]] = []

    def refit(rows: np.ndarray) -> State:
        seen.append(set(rows.tolist()))
        return fit_stack(outputs[rows], y[rows], MEMBERS, CLASSES, C=1.0)

    answers, _ = held_out_answers(Of("stack"), outputs, y, MEMBERS, CLASSES, state=refit, features=None, seed=0)
    assert len(seen) == 5
    assert set.union(*({*range(60)} - rows for rows in seen)) == {*range(60)}
    whole = fit_stack(outputs, y, MEMBERS, CLASSES, C=1.0)
    own, _ = held_out_answers(Of("stack"), outputs, y, MEMBERS, CLASSES, state=whole, features=None, seed=0)
    truth = np.arange(60), y
    assert np.log(answers[truth]).mean() < np.log(own[truth]).mean()  # on rows it has seen it does too well


def test_what_cannot_be_calibrated_is_refused() -> None:
    outputs = RNG.dirichlet(np.ones(3), size=(6, 2)).astype(np.float32)
    with pytest.raises(InvalidInput, match="two rows of every class"):
        fit_calibration(
            "temperature", Of("stack"), outputs, np.array([0, 0, 1, 1, 1, 2]), MEMBERS, CLASSES,
            state=lambda rows: State("", 1),
        )  # fmt: skip
    with pytest.raises(ConfigError, match="no 'nobody'"):
        fit_calibration("temperature", Of("nobody"), outputs, np.arange(6) % 3, MEMBERS, CLASSES)


@pytest.mark.parametrize(
    ("states", "match"),
    [
        ({"a": Fit("temperature", of="nobody")}, "'nobody'"),
        ({"a": Fit("temperature", of="online")}, "does not learn"),
        ({"a": Fit("temperature", of=Of("stack", state="b"))}, "no combiner's state"),
        ({"a": Fit("temperature", of=Of("mean", state="b")), "b": Fit("isotonic", of="mean")}, "no combiner's state"),
        ({"a": Fit("temperature", ("line",), of="b"), "b": Fit("stack")}, "leave out its own"),
        ({"a": Fit("temperature", of="b"), "b": Fit("isotonic", of="mean")}, "calibrated already"),
        ({"a": Fit("temperature", of="a")}, "calibrated already"),
        (
            {"a": Fit("temperature", of=Of("mean", calibrate="b")), "b": Fit("isotonic", of="mean")},
            "calibrated already",
        ),
        (
            {"a": Fit("conformal", of=Of("vote", calibrate="b")), "b": Fit("isotonic", of="mean")},
            "no calibration of that",
        ),
        ({"a": Fit("conformal", of=Of("mean", calibrate="b"))}, "no calibration of that"),
    ],
)
def test_a_recipe_names_a_strategy_that_there_is(states: dict[str, Fit], match: str, registry: Registry) -> None:
    with pytest.raises(ConfigError, match=match):
        train_pool(recipe(states), registry)


def test_only_calibrations_are_of_a_strategy() -> None:
    with pytest.raises(ConfigError, match="needs the strategy"):
        Fit("temperature")
    with pytest.raises(ConfigError, match="is about no strategy"):
        Fit("stack", of="mean")


def test_the_report_has_the_error_before_and_after(registry: Registry) -> None:
    made = recipe({"sure": Fit("temperature", of="mean")})
    trained = train_pool(made, registry)
    members = tuple(
        MemberRoute(
            m.name, m.version, m.format, m.digest, m.files, made.signature, m.tensors, m.output_name, m.preprocess
        )
        for m in trained.members.values()
    )
    plain = StrategyRoute("plain", "mean", MEMBERS, 1)
    route = CalibrationRoute("sure", 1, trained.states["sure"].files)
    strategies = (plain, StrategyRoute("calibrated", "mean", MEMBERS, 1, calibrate=route))
    endpoint = EndpointRoute("iris", 1, "iris", strategies, PolicyRoute("fixed", {"strategy": "plain"}))
    test = made.data.take(made.split.test)
    found = evaluate(PoolRoute("iris", "classification", made.signature, members), endpoint, registry, test, "0")
    assert [(c.strategy, c.method, c.before is None) for c in found.calibrations] == [
        ("plain", None, True),
        ("calibrated", "temperature", False),
    ]
    assert found.calibrations[1].before == found.calibrations[0].error
    np.testing.assert_array_equal(found.strategies[0].right, found.strategies[1].right)
    assert found.strategies[0].log_loss != found.strategies[1].log_loss
    raw = dict(test.raw)
    outputs = np.stack([model_outputs(registry, m, raw) for m in trained.members.values()], axis=1)
    answer = calibrate(combined(plain, outputs, registry, trained.members["line"], raw), state_of(registry, "sure"))
    likely = answer[np.arange(len(test)), test.truth(CLASSES)].astype(np.float64)
    assert found.strategies[1].log_loss == pytest.approx(-np.log(np.maximum(likely, 1.2e-7)).mean(), rel=1e-5)
    page, data = report.to_markdown(found), report.to_json(found)
    assert "## Do confidences come true?" in page
    assert [row[:2] for row in report.calibration_table(found)] == [("plain", "none"), ("calibrated", "temperature")]
    shown: Any = data["calibration"][1]
    assert shown["error"]["low"] <= shown["error"]["value"] <= shown["error"]["high"]
    assert data["calibration"][0]["before"] is None
