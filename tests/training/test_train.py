"""The training flow on a small pool: registered, resumable, nothing fitted on what it is judged by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import EndpointRoute, MemberRoute, PolicyRoute, PoolRoute, StrategyRoute
from quorate.core.types import OutputSpec, Signature, State, TensorSpec
from quorate.errors import ConfigError, InvalidInput, ParityError
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.testing.clock import FakeClock
from quorate.training import estimator, train
from quorate.training.boosting import Samme
from quorate.training.data import Dataset
from quorate.training.estimator import Estimator, estimators
from quorate.training.evaluate import evaluate, model_outputs
from quorate.training.export import Exported
from quorate.training.recipe import Fit, Recipe, code_digest
from quorate.training.splits import split
from quorate.training.train import train_pool

X, Y = load_iris(return_X_y=True)
CLASSES = ("0", "1", "2")
PRICES = {"line": 1.0, "trees": 3.0}
FOLDS = [f"fold {number}: {name}" for number in (1, 2, 3) for name in ("line", "trees")]


def recipe(**changes: Any) -> Recipe:
    data = Dataset("iris", {"input": X}, Y.astype(str))
    made = Recipe(
        data=data,
        split=split(data, seed=1),
        signature=Signature(
            "array", (TensorSpec("input", "float64", (None, 4)),), OutputSpec("scores", classes=CLASSES)
        ),
        preprocess=[{"kind": "normalise", "mean": X.mean(axis=0).tolist()}],
        trainers=estimators(
            {
                "line": make_pipeline(StandardScaler(), LogisticRegression()),
                "trees": RandomForestClassifier(5, random_state=0),
            }
        ),
        states={"weights": Fit("log-odds"), "stacked": Fit("stack")},
        code="1",
        folds=3,
    )
    return replace(made, **changes)


class Steps:
    """Records what a progress bar would show."""

    def __init__(self) -> None:
        self.total = 0
        self.done: list[str] = []

    @contextmanager
    def __call__(self, label: str, total: int) -> Iterator[Callable[[str], None]]:
        self.total += total
        yield self.done.append


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry", FakeClock())


def test_a_pool_is_trained_registered_and_answers_as_evaluated(registry: Registry) -> None:
    steps = Steps()
    made = recipe()
    trained = train_pool(made, registry, steps)
    assert steps.done == ["line", "trees", *FOLDS, "weights", "stacked"]
    assert steps.total == len(steps.done)
    assert trained.made == ("line", "trees", "weights", "stacked")
    line = registry.manifest("line")
    assert line.format == "onnx"
    assert line.data_digest == made.data.digest
    assert line.preprocess[0]["version"] == 1
    assert line.parent is None
    validation = made.data.take(made.split.validation)
    output = model_outputs(registry, line, dict(validation.raw))
    right = (output.argmax(axis=1) == validation.truth(CLASSES)).mean()
    assert line.metrics["validation_accuracy"] == pytest.approx(right)
    state = registry.manifest("stacked")
    assert (state.kind, state.notes["members"]) == ("state", "line:1, trees:1")
    files = {name: registry.read_blob(digest) for name, digest in state.files.items()}
    assert state_codec.decode(files).meta["members"] == ["line", "trees"]


def test_what_is_there_from_the_same_data_and_code_is_kept(registry: Registry) -> None:
    train_pool(recipe(), registry, Steps())
    steps = Steps()
    again = train_pool(recipe(), registry, steps)
    assert (again.made, steps.done) == ((), [])
    assert again.kept == ("line", "trees", "weights", "stacked")
    assert again.members["line"].ref == "line:1"


def test_an_interrupted_run_goes_on_where_it_was(registry: Registry) -> None:
    @contextmanager
    def killed(label: str, total: int) -> Iterator[Callable[[str], None]]:
        def step(what: str) -> None:
            raise KeyboardInterrupt

        yield step

    with pytest.raises(KeyboardInterrupt):
        train_pool(recipe(), registry, killed)
    trained = train_pool(recipe(), registry, Steps())
    assert trained.kept == ("line",)
    assert trained.made == ("trees", "weights", "stacked")


@pytest.mark.parametrize("change", ["code", "data", "force"])
def test_other_data_or_code_or_force_train_again(registry: Registry, change: str) -> None:
    train_pool(recipe(), registry, Steps())
    data = recipe().data
    labels = data.labels.copy()
    labels[0] = "1"
    changed = {"code": {"code": "2"}, "data": {"data": replace(data, labels=labels)}, "force": {}}[change]
    trained = train_pool(recipe(**changed), registry, Steps(), force=change == "force")
    assert trained.kept == ()
    assert registry.manifest("line").ref == "line:2"
    assert registry.manifest("line").parent == "line:1"
    assert registry.manifest("stacked").notes["members"] == "line:2, trees:2"


def test_a_cascade_without_costs_reckons_with_what_members_take(registry: Registry) -> None:
    told = {"within": {"cost": 1e6}}
    states = {"timed": Fit("cascade", settings=told), "priced": Fit("cascade", settings=told | {"costs": PRICES})}
    train_pool(recipe(states=states), registry, Steps())
    found = {}
    for name in states:
        files = {file: registry.read_blob(digest) for file, digest in registry.manifest(name).files.items()}
        found[name] = state_codec.decode(files).meta
    assert (found["timed"]["unit"], found["priced"]["unit"]) == ("ms", "cost")
    assert found["priced"]["costs"] == PRICES
    assert all(0 < ms < 1e4 for ms in found["timed"]["costs"].values())
    with pytest.raises(InvalidInput, match="one of at_least"):
        Fit("cascade", settings={"costs": PRICES})


def test_only_log_odds_need_no_folds(registry: Registry) -> None:
    steps = Steps()
    train_pool(recipe(states={"weights": Fit("log-odds")}), registry, steps)
    assert steps.done == ["line", "trees", "weights"]


class Spy(TransformerMixin, BaseEstimator):
    """Remembers which rows it was fitted on, by their identity in the first column."""

    seen: list[set[float]] = []  # noqa: RUF012  (clones share it)

    def fit(self, x: np.ndarray, y: np.ndarray) -> Spy:
        self.seen.append(set(x[:, 0].tolist()))
        self.fitted_ = True
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        return x


def test_transforms_and_members_see_only_the_training_part(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.hstack([np.arange(len(X), dtype=np.float32)[:, None], X.astype(np.float32)])
    data = Dataset("iris", {"input": rows}, Y.astype(str))
    signature = Signature("array", (TensorSpec("input", "float32", (None, 5)),), OutputSpec("scores", classes=CLASSES))
    made = recipe(
        data=data,
        split=split(data),
        signature=signature,
        preprocess=[{"kind": "flatten"}],
        trainers=estimators({"spied": make_pipeline(Spy(), GaussianNB())}),
        states={"stacked": Fit("stack")},
    )
    registered: list[str] = []

    def register(_: Registry, *, name: str, **__: Any) -> Manifest:
        registered.append(name)
        return Manifest(name=name, format="onnx", version=1)

    # A transformer of one's own can be exported nowhere; what is fitted on is all that matters here.
    monkeypatch.setattr(train, "register_model", register)
    monkeypatch.setattr(estimator, "to_artifact", lambda *_: Exported("onnx", {}, (), "output"))
    Spy.seen.clear()
    train_pool(made, registry, Steps())
    allowed = set(made.split.train.astype(float).tolist())
    assert registered == ["spied"]
    assert len(Spy.seen) == 1 + 3
    assert Spy.seen[0] == allowed
    for seen in Spy.seen[1:]:
        assert seen < allowed
    for row in allowed:
        assert sum(row not in seen for seen in Spy.seen[1:]) == 1, "each row is out of exactly one fold"


def test_a_tampered_model_is_not_registered(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    other = estimator.to_artifact(
        LogisticRegression().fit(X.astype(np.float32), Y[::-1].astype(str)), X.astype(np.float32)
    )
    monkeypatch.setattr(estimator, "to_artifact", lambda *_: other)
    with pytest.raises(ParityError, match="does not answer as its reference"):
        train_pool(recipe(), registry, Steps())
    assert registry.names() == ()


def test_a_class_missing_in_training_is_refused(registry: Registry) -> None:
    data = recipe().data
    found = split(data, seed=1)
    kept = found.train[data.labels[found.train] != "2"]
    with pytest.raises(InvalidInput, match="'line' learned the classes 0, 1;"):
        train_pool(recipe(split=replace(found, train=kept)), registry, Steps())


def test_rows_that_are_no_matrix_are_refused(registry: Registry) -> None:
    with pytest.raises(InvalidInput, match="'flatten' or 'matrix'"):
        train_pool(recipe(preprocess=[], data=replace(recipe().data, raw={"other": X})), registry, Steps())


def test_strategies_are_evaluated_by_the_combiners_that_serve(registry: Registry) -> None:
    made = recipe()
    trained = train_pool(made, registry, Steps())
    members = tuple(
        MemberRoute(
            m.name, m.version, m.format, m.digest, m.files, made.signature, m.tensors, m.output_name, m.preprocess
        )
        for m in trained.members.values()
    )
    both = ("line", "trees")
    endpoint = EndpointRoute(
        name="iris",
        revision=1,
        pool="iris",
        strategies=(
            StrategyRoute("one", "single", ("trees",), 1),
            StrategyRoute("reversed", "mean", ("trees", "line"), 1),
            StrategyRoute("hard", "vote", both, 1, {"voting": "hard"}),
            StrategyRoute("weights", "weighted", both, 1, state=trained.states["weights"].files),
            StrategyRoute("stacked", "stack", both, 1, state=trained.states["stacked"].files),
        ),
        policy=PolicyRoute("fixed", {"strategy": "one"}),
    )
    pool = PoolRoute("iris", "classification", made.signature, members)
    test = made.data.take(made.split.test)
    found = evaluate(pool, endpoint, registry, test, "0")
    by_name = {score.name: score for score in (*found.members, *found.strategies)}
    np.testing.assert_array_equal(by_name["one"].right, by_name["trees"].right)
    outputs = np.stack([model_outputs(registry, m, dict(test.raw)) for m in trained.members.values()])
    mean = outputs.mean(axis=0).argmax(axis=1) == test.truth(CLASSES)
    np.testing.assert_array_equal(by_name["reversed"].right, mean)
    assert found.baseline.estimate == pytest.approx((test.labels == "0").mean())
    assert [c.strategy for c in found.comparisons] == ["reversed", "hard", "weights", "stacked"]
    assert by_name["stacked"].accuracy.estimate > 0.8


def test_the_code_digest_sees_contents_and_order(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("ab")
    two.write_text("c")
    before = code_digest(one, two)
    assert code_digest(two, one) != before
    one.write_text("a")
    two.write_text("bc")
    assert code_digest(one, two) != before


def boosted(**changes: Any) -> Recipe:
    stumps = tuple(Estimator(name, DecisionTreeClassifier(max_depth=1, random_state=0)) for name in ("one", "two"))
    line = Estimator("line", make_pipeline(StandardScaler(), LogisticRegression()))
    return recipe(
        **{"trainers": (line, Samme(stumps)), "states": {"samme": Fit("samme", ("one", "two"))}} | changes,
    )


def state_of(registry: Registry, name: str) -> State:
    files = registry.manifest(name).files
    return state_codec.decode({file: registry.read_blob(digest) for file, digest in files.items()})


def test_boosted_members_say_their_rounds_and_weigh_by_them(registry: Registry) -> None:
    train_pool(boosted(), registry)
    one, two = registry.manifest("one"), registry.manifest("two")
    assert (one.metrics["samme_round"], two.metrics["samme_round"]) == (1, 2)
    assert one.metrics["samme_error"] > 0
    assert two.metrics["samme_heaviest_row"] > one.metrics["samme_heaviest_row"]
    state = state_of(registry, "samme")
    assert state.meta["members"] == ["one", "two"]
    assert state.arrays["weights"].tolist() == [one.metrics["samme_weight"], two.metrics["samme_weight"]]


def test_members_that_depend_on_each_other_are_made_together(registry: Registry) -> None:
    train_pool(boosted(), registry)
    lost = registry.manifest("two").files["model.onnx"]
    next(path for path in registry.root.rglob(f"*{lost[2:]}") if path.is_file()).unlink()
    trained = train_pool(boosted(), registry)
    assert trained.made == ("one", "two", "samme")
    assert trained.kept == ("line",)


def test_a_state_is_fitted_on_the_members_it_names(registry: Registry) -> None:
    steps = Steps()
    states = {"some": Fit("stack", ("two", "one")), "all": Fit("log-odds")}
    train_pool(boosted(states=states), registry, steps)
    assert state_of(registry, "some").meta["members"] == ["one", "two"], "in the pool's order"
    assert state_of(registry, "all").meta["members"] == ["line", "one", "two"]
    assert [step for step in steps.done if step.startswith("fold")] == [f"fold {n}: one, two" for n in (1, 2, 3)]


def test_folds_of_a_run_that_was_cut_off_are_not_fitted_again(registry: Registry) -> None:
    @contextmanager
    def cut_off(label: str, total: int) -> Iterator[Callable[[str], None]]:
        def step(what: str) -> None:
            if what == "fold 2: line":
                raise KeyboardInterrupt

        yield step

    with pytest.raises(KeyboardInterrupt):
        train_pool(recipe(), registry, cut_off)
    steps = Steps()
    train_pool(recipe(), registry, steps)
    assert steps.done == [*FOLDS[3:], "weights", "stacked"]
    whole = Registry(registry.root.parent / "whole" / "registry", FakeClock())
    train_pool(recipe(), whole)
    assert registry.manifest("stacked").files == whole.manifest("stacked").files
    assert not (registry.root.parent / "work").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_as_many_processes_as_one_likes_make_the_same(registry: Registry, jobs: int) -> None:
    train_pool(recipe(jobs=jobs), registry)
    alone = Registry(registry.root.parent / "alone" / "registry", FakeClock())
    train_pool(recipe(), alone)
    for name in ("line", "trees", "weights", "stacked"):
        assert registry.manifest(name).files == alone.manifest(name).files


def test_names_must_be_known_and_taken_once(registry: Registry) -> None:
    twice = (Estimator("line", LogisticRegression()), Estimator("line", LogisticRegression()))
    with pytest.raises(ConfigError, match="Two trainers make 'line'"):
        train_pool(recipe(trainers=twice), registry)
    with pytest.raises(ConfigError, match="State 'stacked' names 'tree', which no trainer makes"):
        train_pool(recipe(states={"stacked": Fit("stack", ("line", "tree"))}), registry)
    with pytest.raises(ConfigError, match="'line' was not boosted"):
        train_pool(recipe(states={"samme": Fit("samme")}), registry)


def test_other_parameters_are_another_recipe() -> None:
    forests = [estimators({"trees": RandomForestClassifier(n, random_state=0)}) for n in (5, 5, 6)]
    first, same, other = (recipe(trainers=trainers).key for trainers in forests)
    assert first == same != other
    random = [estimators({"trees": RandomForestClassifier(random_state=np.random.RandomState(1))}) for _ in range(2)]
    assert len({recipe(trainers=trainers).key for trainers in random}) == 1, "places in memory are no parameters"


def test_a_state_fitted_another_way_is_fitted_anew(registry: Registry) -> None:
    train_pool(recipe(states={"weights": Fit("log-odds")}), registry)
    trained = train_pool(recipe(states={"weights": Fit("stack")}), registry)
    assert trained.made == ("weights",)
    assert state_of(registry, "weights").kind == "stack"
