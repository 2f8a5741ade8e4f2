"""Fitting conformal states: on rows that nobody has seen, of the strategy that serves, or not at all."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from quorate import plugins
from quorate.clock import SystemClock
from quorate.codecs import state as state_codec
from quorate.core.calibrate.methods import calibrate, fit, strategy_of
from quorate.core.combine.cascade import Cascade
from quorate.core.combine.mean import Mean
from quorate.core.conformal.calibrated import Calibrated
from quorate.core.plan.trace import trace
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import ConfigError, InvalidInput
from quorate.registry.registry import Registry
from quorate.training.answers import Strategy
from quorate.training.calibrate import Of
from quorate.training.cascade import fit_with_way
from quorate.training.conformal import fit_conformal, fit_conformal_values
from quorate.training.data import Dataset
from quorate.training.estimator import estimators
from quorate.training.evaluate import model_outputs
from quorate.training.recipe import Fit, Recipe
from quorate.training.splits import split
from quorate.training.train import train_pool
from tests.training import cascades

CLASSES = ("a", "b", "c", "d", "e", "f")


def rows(n: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(6, 0.6), n)
    y = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    noisy = 0.5 * p + 0.5 * rng.dirichlet(np.full(6, 0.3), n)
    return noisy.astype(np.float32), y.astype(np.int64)


def tail(n: int) -> tuple[Any, Any]:
    """Of thirty classes each has some probability: sets by probability mass alone are long."""
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(n, 30)), rng.integers(0, 30, n)
    z[np.arange(n), y] += 3.0
    p = np.exp(z)
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32), y


def test_the_same_rows_and_seed_give_the_same_state_and_another_seed_other_ties() -> None:
    answers, y = rows(200)
    one, same, other = (fit_conformal(answers, y, CLASSES, score="aps", seed=seed) for seed in (1, 1, 2))
    assert state_codec.encode(one) == state_codec.encode(same)
    assert not np.array_equal(one.arrays["ties"], other.arrays["ties"])
    assert one.meta["rows"] == len(one.arrays["scores"]) == 200
    assert (np.diff(one.arrays["scores"]) >= 0).all()


def test_raps_chooses_its_penalty_on_rows_that_it_does_not_calibrate_on() -> None:
    answers, y = tail(3000)
    names = [str(c) for c in range(30)]
    state = fit_conformal(answers[:1500], y[:1500], names, score="raps")
    assert state.meta["rows"] == 1200
    assert state.meta["penalty"] > 0
    sizes = {}
    draws = 1.0 - np.random.default_rng(1).random((1500, 2))
    for name, fitted in (("raps", state), ("aps", fit_conformal(answers[:1500], y[:1500], names, score="aps"))):
        calibrated = Calibrated(fitted)
        sets = calibrated.sets(answers[1500:], draws, calibrated.threshold(0.9))
        assert abs(sets[np.arange(1500), y[1500:]].mean() - 0.9) < 0.03
        sizes[name] = sets.sum(axis=1).mean()
    assert sizes["raps"] < 0.8 * sizes["aps"]
    given = fit_conformal(answers, y, names, score="raps", penalty=0.2, free=2)
    assert (given.meta["penalty"], given.meta["free"], given.meta["rows"]) == (0.2, 2, 3000)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"score": "softmax"}, "score"),
        ({"penalty": 0.1, "free": 1}, "penalty"),
        ({"score": "raps", "penalty": 0.1}, "penalty"),
        ({"score": "raps", "penalty": -0.1, "free": 1}, "penalty"),
        ({"y": np.full(20, 6)}, "y"),
        ({"y": np.zeros(20)}, "y"),
        ({"y": np.zeros(19, np.int64)}, "answers"),
        ({"answers": np.full((20, 6), np.nan, np.float32)}, "answers"),
        ({"conditional": True, "y": np.zeros(20, np.int64)}, "conditional"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], path: str) -> None:
    answers, y = rows(20)
    given: dict[str, Any] = {"answers": answers, "y": y, "classes": CLASSES} | changes
    with pytest.raises(InvalidInput) as caught:
        fit_conformal(**given)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"score": "lac"}, "score"),
        ({"score": "normalised"}, "outputs"),
        ({"score": "normalised", "outputs": np.zeros((20, 1, 1), np.float32)}, "outputs"),
        ({"score": "cqr", "lower": "y"}, "lower"),
        ({"names": ("y", "z"), "answers": np.zeros((20, 2), np.float32)}, "score"),
        ({"y": np.zeros(19)}, "answers"),
        ({"y": np.full(20, np.inf)}, "answers"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(changes: dict[str, Any], path: str) -> None:
    given: dict[str, Any] = {"answers": np.zeros((20, 1), np.float32), "y": np.zeros(20), "names": ("y",)} | changes
    with pytest.raises(InvalidInput) as caught:
        fit_conformal_values(**given)
    assert caught.value.path == path


def test_members_that_always_agree_get_a_floor() -> None:
    outputs = np.zeros((20, 3, 1), np.float32)
    state = fit_conformal_values(outputs[:, 0], np.arange(20.0), ("y",), score="normalised", outputs=outputs)
    assert state.meta["floor"] == 1.0
    assert state.arrays["scores"].tolist() == np.arange(20.0).tolist()


# --- of answers that are calibrated, and of a cascade ---------------------------------------------


def covered(state: Any, answers: Any, y: Any, seed: int) -> float:
    calibrated = Calibrated(state)
    draws = 1.0 - np.random.default_rng(seed).random((len(y), 2))
    sets = calibrated.sets(answers, draws, calibrated.threshold(0.9))
    return float(sets[np.arange(len(y)), y].mean())


def test_sets_of_calibrated_answers_cover_where_the_calibration_has_not_seen_their_rows() -> None:
    """Two hundred draws: on rows of their own the coverage is what was asked; on the calibration's own it is not."""
    apart, same = [], []
    about = strategy_of(Mean(), ("m",))
    fresh, truths = rows(1000, 9999)
    for seed in range(200):
        answers, y = rows(120, seed)
        calibration = fit("isotonic", answers[:60], y[:60], CLASSES, about)
        served = calibrate(fresh, calibration)
        for some, found in ((slice(60, None), apart), (slice(0, 60), same)):
            state = fit_conformal(calibrate(answers[some], calibration), y[some], CLASSES, seed=seed)
            found.append(covered(state, served, truths, seed))
    # ceil(61 x 0.9) of 60 rows: 55 / 61 = 0.9016 on average over draws.
    assert np.mean(apart) == pytest.approx(55 / 61, abs=0.01)
    assert np.mean(same) < 0.88


@pytest.mark.parametrize("score", ["lac", "aps"])
@pytest.mark.parametrize("calibration", [None, "temperature", "isotonic"])
def test_sets_of_a_cascade_cover_as_often_as_was_asked(calibration: str | None, score: str) -> None:
    """The whole cascade is fixed, so that the scores of its answers are exchangeable, calibrated or not."""
    members, names, cascade = cascades.MEMBERS, cascades.CLASSES, cascades.fitted()
    sure = None
    if calibration is not None:
        outputs, y = cascades.pool(800, 0)
        wish: Any = {"costs": cascades.COSTS, "within": {"cost": 4.0}, "seed": 0}
        _, way = fit_with_way(outputs, y, members, names, **wish)
        sure = fit(calibration, way.answers, y, names, strategy_of(Cascade(), members), way.status)
    strategy = Strategy(Cascade(), cascade, {"members": list(members)}, sure)
    outputs, y = cascades.pool(12_000, 77)
    answers = strategy.answers(outputs, None)
    rng = np.random.default_rng(0)
    found = []
    for seed in range(100):
        order = rng.permutation(len(y))
        own, rest = order[:200], order[200:]
        state = fit_conformal(answers[own], y[own], names, score=score, seed=seed)
        found.append(covered(state, answers[rest], y[rest], seed))
    assert np.mean(found) == pytest.approx(181 / 201, abs=0.01)


# --- as part of a recipe ----------------------------------------------------------------------------

X, Y = load_iris(return_X_y=True)


def recipe(**states: Fit) -> Recipe:
    data = Dataset("iris", {"input": X}, Y.astype(str))
    members = {"line": LogisticRegression(max_iter=500), "few": DecisionTreeClassifier(max_depth=2, random_state=0)}
    output = OutputSpec("scores", classes=("0", "1", "2"))
    return Recipe(
        data=data,
        split=split(data, seed=0),
        signature=Signature("array", (TensorSpec("input", "float64", (None, 4)),), output),
        preprocess=[{"kind": "normalise"}],
        trainers=estimators(members),
        states=states,
        code="1",
        folds=3,
    )


def test_a_recipe_calibrates_its_strategies_on_the_validation_part(tmp_path: Path) -> None:
    made = recipe(
        surely=Fit("conformal", of="stacked", settings={"score": "aps"}),
        stacked=Fit("stack", settings={"C": 1.0}),
        votes=Fit("conformal", ("few", "line"), of=Of("vote", {"voting": "hard"})),
    )
    registry = Registry(tmp_path / "registry", SystemClock())
    trained = train_pool(made, registry)

    def state(name: str) -> Any:
        files = trained.states[name].files
        return state_codec.decode({file: registry.read_blob(digest) for file, digest in files.items()})

    surely, votes = state("surely"), state("votes")
    stacked = {"kind": "stack", "members": ["line", "few"], "params": {}, "state": trained.states["stacked"].digest}
    assert surely.meta["of"] == stacked
    assert votes.meta["of"] == {"kind": "vote", "members": ["line", "few"], "params": {"voting": "hard"}, "state": None}
    part = made.split.validation
    assert surely.meta["rows"] == votes.meta["rows"] == len(part)
    outputs = [model_outputs(registry, trained.members[name], {"input": X[part]}) for name in ("line", "few")]
    answers = plugins.build("combiners", "stack", {}).combine(
        np.stack(outputs, axis=1), np.zeros((len(part), 2), np.int8), state("stacked")
    )
    by_hand = fit_conformal(answers, Y[part], ("0", "1", "2"), score="aps", of=stacked, seed=0)
    assert np.array_equal(by_hand.arrays["scores"], surely.arrays["scores"])

    again = train_pool(made, registry)
    assert again.made == ()
    assert set(again.kept) == {"line", "few", "surely", "stacked", "votes"}
    changed = recipe(
        surely=Fit("conformal", of="stacked", settings={"score": "aps"}),
        stacked=Fit("stack", settings={"C": 10.0}),
        votes=Fit("conformal", ("few", "line"), of=Of("vote", {"voting": "hard"})),
    )
    assert train_pool(changed, registry).made == ("stacked", "surely")  # another stacking is another strategy


def test_a_calibration_and_the_sets_of_what_it_calibrates_see_different_rows(tmp_path: Path) -> None:
    made = recipe(
        sets=Fit("conformal", of="sure"),
        sure=Fit("temperature", of="stacked"),
        stacked=Fit("stack", settings={"C": 1.0}),
        ways=Fit("conformal", of="steps"),
        steps=Fit("cascade", settings={"within": {"cost": 2.0}, "costs": {"line": 1.0, "few": 2.0}}),
    )
    registry = Registry(tmp_path / "registry", SystemClock())
    trained = train_pool(made, registry)

    def state(name: str) -> Any:
        files = trained.states[name].files
        return state_codec.decode({file: registry.read_blob(digest) for file, digest in files.items()})

    part = made.split.validation
    sets, sure, stacked = state("sets"), state("sure"), state("stacked")
    assert sets.meta["of"] == {
        "kind": "stack", "members": ["line", "few"], "params": {}, "state": trained.states["stacked"].digest,
        "calibrate": trained.states["sure"].digest,
    }  # fmt: skip
    assert (sure.meta["rows"], sets.meta["rows"]) == (len(made.split.train), len(part))
    outputs = [model_outputs(registry, trained.members[name], {"input": X[part]}) for name in ("line", "few")]
    both, ok = np.stack(outputs, axis=1), np.zeros((len(part), 2), np.int8)
    answers = calibrate(plugins.build("combiners", "stack", {}).combine(both, ok, stacked), sure)
    by_hand = fit_conformal(answers, Y[part], ("0", "1", "2"), seed=0)
    assert np.array_equal(by_hand.arrays["scores"], sets.arrays["scores"])
    # A cascade's sets are those of its own way.
    steps = state("steps")
    status = trace(Cascade().plan(("line", "few"), steps), both, ok).status(ok)
    by_hand = fit_conformal(Cascade().combine(both, status, steps), Y[part], ("0", "1", "2"), seed=0)
    assert np.array_equal(by_hand.arrays["scores"], state("ways").arrays["scores"])
    assert train_pool(made, registry).made == ()
    changed = dataclasses.replace(made, states={**made.states, "sure": Fit("isotonic", of="stacked")})
    assert train_pool(changed, registry).made == ("sure", "sets")


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ({"c": Fit("conformal", of="nobody")}, "is about 'nobody'; expected a combiner"),
        ({"c": Fit("conformal", of="stack")}, "which has a state of its own"),
        ({"c": Fit("conformal", of="single")}, "exactly one member"),
        ({"c": Fit("conformal", of="w"), "w": Fit("log-odds")}, "come from the validation part"),
        (
            {"c": Fit("conformal", of="d"), "d": Fit("conformal", of="mean")},
            "is about 'conformal'; expected a combiner",
        ),
        ({"c": Fit("conformal", of=Of("vote", {"voting": 3}))}, "cannot be made from these params"),
        ({"c": Fit("conformal", of="mean", settings={"lower": "x"})}, "no setting 'lower' where classes"),
        ({"c": Fit("conformal", of="s"), "s": Fit("isotonic", of="w"), "w": Fit("log-odds")}, "the validation part"),
    ],
)
def test_a_recipe_that_cannot_be_calibrated_is_refused_before_anything_is_fitted(
    states: dict[str, Fit], message: str, tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "registry", SystemClock())
    with pytest.raises(ConfigError, match=message):
        train_pool(recipe(**states), registry)
    assert registry.names() == ()


def test_of_belongs_to_conformal_alone() -> None:
    with pytest.raises(ConfigError, match="needs the strategy it is about"):
        Fit("conformal")
    with pytest.raises(ConfigError, match="is about no strategy"):
        Fit("stack", of="mean")
