"""Recipes of pools that answer numbers: members, stacking, and intervals that hold the truth as often as was asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeRegressor

from quorate.clock import SystemClock
from quorate.codecs import held
from quorate.codecs import state as state_codec
from quorate.core.conformal.calibrated import Calibrated
from quorate.core.types import OutputSpec, Signature, State, TensorSpec
from quorate.errors import ConfigError, InvalidInput
from quorate.registry.registry import Registry
from quorate.training.bagging import Bootstrap
from quorate.training.boosting import Samme
from quorate.training.data import Dataset
from quorate.training.estimator import Estimator, estimators
from quorate.training.evaluate import model_outputs
from quorate.training.quantiles import Quantiles
from quorate.training.recipe import Fit, Recipe
from quorate.training.splits import folds, split
from quorate.training.train import train_pool

SETTINGS = {"score": "cqr", "lower": "low", "upper": "high"}


def drawn(n: int, seed: int = 0) -> tuple[Any, Any]:
    """Numbers whose noise grows with the first column."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.0, 1.0, (n, 3))
    return x, 10.0 * np.sin(3.0 * x[:, 1]) + (0.2 + 3.0 * x[:, 0]) * rng.normal(size=n)


X, Y = drawn(1600)
DATA = Dataset("waves", {"input": X}, Y)


def recipe(trainers: Any, names: tuple[str, ...] = ("wave",), **states: Fit) -> Recipe:
    return Recipe(
        data=DATA,
        split=split(DATA, seed=0),
        signature=Signature("array", (TensorSpec("input", "float64", (None, 3)),), OutputSpec("values", names=names)),
        preprocess=[{"kind": "normalise"}],
        trainers=trainers,
        states=states,
        code="1",
        folds=3,
    )


def plain() -> Any:
    tree = Estimator("bag", DecisionTreeRegressor(max_depth=5, random_state=0))
    return (*estimators({"line": LinearRegression(), "tree": DecisionTreeRegressor(max_depth=6)}), Bootstrap(tree, 1))


def quantiles(name: str = "ends", **settings: Any) -> Quantiles:
    made = {"n_estimators": 60, "max_depth": 2, "random_state": 0, **settings}
    alphas = {"low": 0.05, "high": 0.95}
    return Quantiles(name, {n: GradientBoostingRegressor(loss="quantile", alpha=a, **made) for n, a in alphas.items()})


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry", SystemClock())


def state_of(registry: Registry, name: str) -> State:
    files = registry.manifest(name).files
    return state_codec.decode({file: registry.read_blob(digest) for file, digest in files.items()})


def outputs_of(registry: Registry, names: Any, rows: Any) -> Any:
    return np.stack([model_outputs(registry, registry.manifest(name), {"input": X[rows]}) for name in names], axis=1)


def test_a_pool_of_numbers_is_trained_with_its_intervals(registry: Registry) -> None:
    made = recipe(
        plain(),
        stacked=Fit("stack"),
        widths=Fit("conformal", of="mean"),
        spread=Fit("conformal", of="mean", settings={"score": "normalised"}),
        sure=Fit("conformal", of="stacked"),
    )
    trained = train_pool(made, registry)
    assert set(trained.made) == {"line", "tree", "bag", "stacked", "widths", "spread", "sure"}
    line = registry.manifest("line")
    part = made.split.validation
    error = outputs_of(registry, ["line"], part)[:, 0, 0] - Y[part]
    assert line.metrics["validation_rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-5)
    assert line.metrics["validation_mae"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
    assert (line.format, line.signature) == ("onnx", made.signature)
    members = ("line", "tree", "bag")
    mean = {"kind": "mean", "members": list(members), "params": {}, "state": None}
    widths, spread, sure = (Calibrated(state_of(registry, name)) for name in ("widths", "spread", "sure"))
    assert (widths.of, spread.of) == (mean, mean)
    assert sure.of == mean | {"kind": "stack", "state": trained.states["stacked"].digest}
    assert (widths.score, spread.score, widths.rows) == ("absolute", "normalised", len(part))
    assert widths.classes == ("wave",)
    # What was promised holds on the test part, within three deviations of 240 rows on either side.
    test = made.split.test
    outputs = outputs_of(registry, members, test)
    ok = np.zeros(outputs.shape[:2], np.int8)
    for found in (widths, spread):
        ends = found.intervals(outputs.mean(axis=1), outputs, ok, found.threshold(0.9))
        inside = (ends[:, 0] <= Y[test]) & (Y[test] <= ends[:, 1])
        assert inside.mean() == pytest.approx(0.9, abs=0.085)
    flat = widths.intervals(outputs.mean(axis=1), outputs, ok, widths.threshold(0.9))
    assert np.ptp(flat[:, 1] - flat[:, 0]) < 1e-4
    assert np.ptp(ends[:, 1] - ends[:, 0]) > 1.0
    kept = held.decode((registry.root.parent / "held" / "stacked.npz").read_bytes())
    assert (kept.classes, kept.outputs.shape) == ((), (len(made.split.train), 3, 1))
    np.testing.assert_array_equal(kept.truth, Y[made.split.train])
    assert train_pool(made, registry).made == ()


def test_two_quantiles_are_one_member_and_make_intervals_that_are_wide_where_the_noise_is(registry: Registry) -> None:
    members = (quantiles(), quantiles("few", n_estimators=30))
    made = recipe(members, ("low", "high"), ends_of=Fit("conformal", of="mean", settings=SETTINGS))
    train_pool(made, registry)
    manifest = registry.manifest("ends")
    assert (manifest.format, manifest.signature) == ("onnx", made.signature)
    assert "validation_rmse" not in manifest.metrics
    test = made.split.test
    outputs = outputs_of(registry, ("ends", "few"), test)
    answers = outputs.mean(axis=1)
    found = Calibrated(state_of(registry, "ends_of"))
    ends = found.intervals(answers, outputs, np.zeros(outputs.shape[:2], np.int8), found.threshold(0.9))
    inside = (ends[:, 0] <= Y[test]) & (Y[test] <= ends[:, 1])
    assert inside.mean() == pytest.approx(0.9, abs=0.085)
    noisy = X[test, 0] > 0.5
    widths = ends[:, 1] - ends[:, 0]
    assert widths[noisy].mean() > 1.2 * widths[~noisy].mean()


def test_quantiles_answer_as_their_regressors_do(registry: Registry) -> None:
    trainer = quantiles()
    made = recipe((trainer,), ("low", "high"))
    train_pool(made, registry)
    train = made.split.train
    fitted = [each.fit(X[train].astype(np.float32), Y[train]) for each in trainer.regressors.values()]
    expected = np.column_stack([each.predict(X[:50].astype(np.float32)) for each in fitted])
    np.testing.assert_allclose(outputs_of(registry, ["ends"], slice(0, 50))[:, 0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("trainer", "names", "match"),
    [
        (Estimator("m", LogisticRegression()), ("wave",), "no regressor"),
        (Samme((Estimator("m", DecisionTreeRegressor()),)), ("wave",), "learns classes"),
        (
            Quantiles("m", {"a": LinearRegression(), "b": KernelRidge()}),
            ("a", "b"),
            "must become one ONNX graph, and its 'b' cannot",
        ),
    ],
)
def test_what_does_not_make_a_member_is_refused(
    trainer: Any, names: tuple[str, ...], match: str, registry: Registry
) -> None:
    with pytest.raises(InvalidInput, match=match):
        train_pool(recipe((trainer,), names), registry)


@pytest.mark.parametrize(
    ("states", "names", "match"),
    [
        ({"s": Fit("greedy")}, ("wave",), "'greedy' is not fitted on numbers"),
        ({"s": Fit("temperature", of="mean")}, ("wave",), "'temperature' is not fitted on numbers"),
        ({"s": Fit("stack")}, ("low", "high"), "but for 'stack' of one target"),
        ({"s": Fit("stack", settings={"C": 1.0})}, ("wave",), "no setting 'C' where numbers"),
        ({"s": Fit("conformal", of="mean", settings={"conditional": True})}, ("wave",), "no setting 'conditional'"),
        ({"s": Fit("conformal", of="vote")}, ("wave",), "'vote'"),
    ],
)
def test_a_recipe_of_numbers_that_cannot_be_is_refused_before_anything_is_fitted(
    states: dict[str, Fit], names: tuple[str, ...], match: str, registry: Registry
) -> None:
    with pytest.raises(ConfigError, match=match):
        train_pool(recipe(plain(), names, **states), registry)
    assert registry.names() == ()


def test_truths_and_signature_must_be_of_one_kind(registry: Registry) -> None:
    words = Dataset("waves", {"input": X}, np.where(Y > 0, "up", "down"))
    with pytest.raises(ConfigError, match="answers numbers, and the labels of 'waves' are classes"):
        train_pool(replace(recipe(plain()), data=words), registry)
    classes = Signature("array", (TensorSpec("input", "float64", (None, 3)),), OutputSpec("scores", classes=("a", "b")))
    with pytest.raises(ConfigError, match="answers classes, and the labels of 'waves' are numbers"):
        train_pool(replace(recipe(plain()), signature=classes), registry)
    with pytest.raises(InvalidInput, match="must be finite"):
        Dataset("waves", {"input": X[:2]}, np.array([1.0, np.nan]))


def test_numbers_are_dealt_at_random_in_the_same_shares() -> None:
    parts = split(DATA, seed=3)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [1120, 240, 240]
    assert sorted(np.concatenate([parts.train, parts.validation, parts.test]).tolist()) == list(range(1600))
    assert not np.array_equal(parts.test, split(DATA, seed=4).test)
    found = folds(DATA.take(parts.train), 4, seed=1)
    assert [len(fold.held) for fold in found] == [280] * 4
    assert DATA.classes == ()
    assert DATA.truth(()) is DATA.labels
    assert DATA.digest != replace(DATA, labels=Y + 1.0).digest
