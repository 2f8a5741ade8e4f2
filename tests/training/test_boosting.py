"""SAMME against the published algorithm, by hand and against scikit-learn's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.ensemble import AdaBoostClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from quorate.core.combine.weighted import Weighted
from quorate.errors import ConfigError, InvalidInput
from quorate.training import boosting
from quorate.training.boosting import Samme, ensemble_weights, judge, reweighted
from quorate.training.estimator import Estimator
from quorate.training.trainer import Rows

X, Y = load_wine(return_X_y=True)
ROWS = Rows({"input": X.astype(np.float32)}, Y.astype(np.int64), ("0", "1", "2"))
ROUNDS = tuple(f"round-{number}" for number in range(5))


def stumps(learning_rate: float = 1.0) -> Samme:
    trainers = tuple(Estimator(name, DecisionTreeClassifier(max_depth=1, random_state=0)) for name in ROUNDS)
    return Samme(trainers, learning_rate)


@pytest.mark.parametrize("learning_rate", [1.0, 0.3])
def test_errors_and_weights_are_scikit_learns(learning_rate: float) -> None:
    reference = AdaBoostClassifier(
        DecisionTreeClassifier(max_depth=1, random_state=0), n_estimators=5, learning_rate=learning_rate, random_state=0
    ).fit(X.astype(np.float32), Y)
    found = stumps(learning_rate).fit(ROWS)
    assert [member.metrics[boosting.ERROR] for member in found] == pytest.approx(reference.estimator_errors_, rel=1e-9)
    assert [member.metrics[boosting.WEIGHT] for member in found] == pytest.approx(reference.estimator_weights_)
    assert [member.metrics[boosting.ROUND] for member in found] == [1, 2, 3, 4, 5]


def test_the_ensemble_beats_its_rounds_where_the_rounds_are_weak() -> None:
    found = stumps().fit(ROWS)
    outputs = np.stack([member.answers(ROWS.inputs) for member in found], axis=1)
    state = ensemble_weights({name: member.metrics for name, member in zip(ROUNDS, found, strict=True)})
    combined = Weighted().combine(outputs, np.zeros(outputs.shape[:2], np.int8), state)
    alone = max((outputs[:, m].argmax(axis=1) == Y).mean() for m in range(5))
    assert (combined.argmax(axis=1) == Y).mean() > alone + 0.1


def test_one_round_by_hand() -> None:
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    wrong = np.array([True, False, True, False])
    error, weight = judge(wrong, weights, 3, 1.0, "m")
    assert error == pytest.approx(0.4)
    assert weight == pytest.approx(np.log(0.6 / 0.4) + np.log(2))
    after = reweighted(weights, wrong, weight)
    expected = weights * np.array([3, 1, 3, 1])  # exp(weight) = 0.6 / 0.4 * 2
    assert after == pytest.approx(expected / expected.sum())
    # What was wrong now weighs (K - 1) / K in all, the point at which the same answers would be chance.
    assert after[wrong].sum() == pytest.approx(2 / 3)


def test_a_round_that_is_always_right_has_a_finite_weight_and_changes_nothing() -> None:
    wrong = np.zeros(10, bool)
    skewed = np.arange(1, 11) / 55
    error, weight = judge(wrong, skewed, 2, 1.0, "m")
    assert (error, weight) == (0.0, pytest.approx(np.log(0.95 / 0.05)))
    assert reweighted(skewed, wrong, weight) == pytest.approx(np.full(10, 0.1))


def test_a_round_no_better_than_chance_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Round 'm' is wrong on 75% of the weighted rows"):
        judge(np.array([True, True, True, False]), np.full(4, 0.25), 3, 1.0, "m")


def test_extreme_weights_do_not_overflow() -> None:
    after = reweighted(np.full(4, 0.25), np.array([True, False, False, False]), 1e4)
    assert after.tolist() == [1, 0, 0, 0]


def test_metrics_say_how_uneven_the_rows_were() -> None:
    first, second, *_ = stumps().fit(ROWS)
    assert first.metrics[boosting.EFFECTIVE] == pytest.approx(len(X))
    assert first.metrics[boosting.HEAVIEST] == pytest.approx(1)
    assert second.metrics[boosting.EFFECTIVE] < len(X)
    assert second.metrics[boosting.HEAVIEST] > 1


def test_members_that_were_not_boosted_have_no_weight() -> None:
    with pytest.raises(ConfigError, match="'plain' was not boosted"):
        ensemble_weights({"plain": {}})


def test_an_estimator_that_heeds_no_weights_cannot_be_boosted() -> None:
    with pytest.raises(InvalidInput, match="takes no sample_weight"):
        Samme((Estimator("near", KNeighborsClassifier()),)).fit(ROWS)


@dataclass(frozen=True)
class Spy:
    """Passes on to a trainer and remembers the weights."""

    trainer: Estimator
    seen: list[np.ndarray]

    names = ("spy",)
    libraries = ()
    cost = 1.0

    def fit(self, rows: Rows) -> object:
        assert rows.weights is not None
        self.seen.append(rows.weights)
        return self.trainer.fit(rows)


def test_the_next_round_really_sees_other_weights() -> None:
    seen: list[np.ndarray] = []
    stump = Estimator("s", DecisionTreeClassifier(max_depth=1, random_state=0))
    found = Samme((Spy(stump, seen), Spy(stump, seen))).fit(ROWS)  # type: ignore[arg-type]
    wrong = found[0].answers(ROWS.inputs).argmax(axis=1) != Y
    assert seen[0] == pytest.approx(1 / len(X))
    assert seen[1][wrong].min() > seen[1][~wrong].max()
    assert seen[1].sum() == pytest.approx(1)
