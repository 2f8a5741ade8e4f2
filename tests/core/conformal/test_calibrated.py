"""Coverage in simulations, with bounds that the mathematics gives; ties; classes with rows of their own."""

from typing import Any

import numpy as np
import pytest

from quorate.codecs import state as state_codec
from quorate.core.conformal.calibrated import Calibrated, covers, state_of
from quorate.core.types import OutputSpec, State
from quorate.errors import ConfigError
from quorate.training.conformal import fit_conformal, fit_conformal_values

CLASSES = tuple("abcde")
RUNS, CALIBRATION, NEW = 400, 60, 60


def world(rng: np.random.Generator, n: int, votes: int | None = None) -> tuple[Any, Any]:
    """Answers that are sure of themselves and often wrong, and truths; with ``votes`` shares of so many votes."""
    p = rng.dirichlet(np.full(5, 0.5), n)
    y = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    said = p**3 / (p**3).sum(axis=1, keepdims=True)
    if votes is not None:
        said = np.stack([rng.multinomial(votes, row) for row in said]) / votes
    return said.astype(np.float32), y.astype(np.int64)


def covered(score: str, coverage: float, votes: int | None = None, **settings: Any) -> np.ndarray[Any, Any]:
    """Share of new rows covered, a run each."""
    rng = np.random.default_rng(11)
    found = []
    for run in range(RUNS):
        answers, y = world(rng, CALIBRATION + NEW, votes)
        state = fit_conformal(answers[:CALIBRATION], y[:CALIBRATION], CLASSES, score=score, seed=run, **settings)
        calibrated = Calibrated(state)
        draws = 1.0 - rng.random((NEW, 2))
        sets = calibrated.sets(answers[CALIBRATION:], draws, calibrated.threshold(coverage))
        found.append(sets[np.arange(NEW), y[CALIBRATION:]].mean())
    return np.array(found)


def within(found: np.ndarray[Any, Any], low: float, high: float) -> bool:
    """Four standard errors of the mean are allowed."""
    error = 4 * found.std(ddof=1) / len(found) ** 0.5
    return bool(low - error <= found.mean() <= high + error)


@pytest.mark.parametrize("score", ["lac", "aps", "raps"])
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_the_coverage_is_what_was_asked_and_hardly_more(score: str, coverage: float) -> None:
    settings = {"penalty": 0.05, "free": 2} if score == "raps" else {}
    found = covered(score, coverage, **settings)
    assert within(found, coverage, coverage + 1 / (CALIBRATION + 1))


@pytest.mark.parametrize("score", ["lac", "aps"])
def test_scores_that_tie_cover_no_more_than_others(score: str) -> None:
    """Without the numbers beside them, all rows at the threshold would be covered: far more than was asked."""
    found = covered(score, 0.7, votes=3)
    assert within(found, 0.7, 0.7 + 1 / (CALIBRATION + 1))


def test_without_their_numbers_ties_would_cover_too_much() -> None:
    rng = np.random.default_rng(5)
    answers, y = world(rng, 4000, votes=3)
    calibrated = Calibrated(fit_conformal(answers[:2000], y[:2000], CLASSES))
    threshold = calibrated.threshold(0.7)
    all_in = calibrated.sets(answers[2000:], np.full((2000, 2), 1e-12), threshold)
    some = calibrated.sets(answers[2000:], 1.0 - rng.random((2000, 2)), threshold)
    truth = np.arange(2000), y[2000:]
    assert all_in[truth].mean() > 0.75
    assert abs(some[truth].mean() - 0.7) < 0.05


def test_each_class_is_covered_where_each_has_rows_of_its_own() -> None:
    rng = np.random.default_rng(8)
    weights = np.array([0.5, 0.3, 0.2])

    def rare(n: int) -> tuple[Any, Any]:
        """The last class is rarely seen for what it is."""
        y = rng.choice(3, n, p=weights)
        p = rng.dirichlet(np.ones(3), n) + 2.0 * np.eye(3)[np.where(y == 2, rng.integers(0, 3, n), y)]
        return (p / p.sum(axis=1, keepdims=True)).astype(np.float32), y.astype(np.int64)

    plain, own = np.zeros((RUNS, 3)), np.zeros((RUNS, 3))
    for run in range(RUNS):
        answers, y = rare(400)
        new, truth = rare(300)
        for found, conditional in ((plain, False), (own, True)):
            calibrated = Calibrated(fit_conformal(answers, y, ("a", "b", "c"), conditional=conditional, seed=run))
            sets = calibrated.sets(new, 1.0 - rng.random((300, 2)), calibrated.threshold(0.9))
            inside = sets[np.arange(300), truth]
            found[run] = [inside[truth == c].mean() for c in range(3)]
    assert plain[:, 2].mean() < 0.85
    for c in range(3):
        assert within(own[:, c], 0.9, 0.9 + 1 / (0.15 * 400))


def test_intervals_cover_as_often_as_was_asked() -> None:
    rng = np.random.default_rng(2)
    runs, n = 300, 80
    found: dict[str, list[float]] = {"absolute": [], "normalised": [], "cqr": []}
    for _ in range(runs):
        noise = rng.uniform(0.2, 2.0, 2 * n)
        y = rng.normal(size=2 * n) * noise
        members = (0.3 * rng.normal(size=(2 * n, 4, 1)) * noise[:, None, None]).astype(np.float32)
        said = members.mean(axis=1)
        quantiles = np.stack([-noise, noise], axis=1).astype(np.float32)
        status = np.zeros((n, 4), np.int8)
        for score, numbers in found.items():
            answers = quantiles if score == "cqr" else said
            names = ("low", "high") if score == "cqr" else ("y",)
            more: dict[str, Any] = {"outputs": members[:n]} if score == "normalised" else {}
            more |= {"lower": "low", "upper": "high"} if score == "cqr" else {}
            calibrated = Calibrated(fit_conformal_values(answers[:n], y[:n], names, score=score, **more))
            ends = calibrated.intervals(answers[n:], members[n:], status, calibrated.threshold(0.9))
            inside = (y[n:] >= ends[:, 0]) & (y[n:] <= ends[:, 1])
            numbers.append(float(inside.mean()))
            scores, ties = calibrated.of_truths(answers[n:], members[n:], status, np.ones((n, 2)), y[n:])
            said_so = covers(scores, ties, calibrated.threshold(0.9), np.zeros(n, np.intp))
            assert (inside == said_so).mean() > 0.999
    for numbers in found.values():
        assert within(np.array(numbers), 0.9, 0.9 + 1 / (n + 1))


def test_a_coverage_that_rows_cannot_promise_is_said_and_leaves_nothing_out() -> None:
    answers, y = world(np.random.default_rng(0), 18)
    calibrated = Calibrated(fit_conformal(answers, y, CLASSES))
    assert calibrated.lacks(0.9) is None
    assert calibrated.lacks(0.95) == "a coverage of 0.95 needs 19 calibration rows; the state has 18"
    threshold = calibrated.threshold(0.95)
    assert not threshold.bounded
    assert calibrated.sets(answers, np.ones((18, 2)), threshold).all()


def test_the_rarest_class_says_what_can_be_promised() -> None:
    answers, _ = world(np.random.default_rng(0), 50)
    y = np.array([0] * 20 + [1] * 15 + [2] * 9 + [3] * 3 + [4] * 3)
    calibrated = Calibrated(fit_conformal(answers, y, CLASSES, conditional=True))
    assert calibrated.rows == 3
    assert "needs 9 calibration rows of class 'd'; the state has 3" in str(calibrated.lacks(0.9))


def test_sets_grow_with_the_coverage() -> None:
    rng = np.random.default_rng(4)
    answers, y = world(rng, 500)
    calibrated = Calibrated(fit_conformal(answers[:300], y[:300], CLASSES, score="aps"))
    draws = 1.0 - rng.random((200, 2))
    before = np.zeros((200, 5), bool)
    for coverage in (0.5, 0.7, 0.9, 0.99):
        now = calibrated.sets(answers[300:], draws, calibrated.threshold(coverage))
        assert (now >= before).all()
        before = now
    assert before.sum() > 200


def test_it_survives_its_codec_and_refuses_what_is_not_its() -> None:
    answers, y = world(np.random.default_rng(0), 40)
    state = fit_conformal(answers, y, CLASSES, score="raps", penalty=0.1, free=1, of={"kind": "mean"})
    again = Calibrated(state_codec.decode(state_codec.encode(state)))
    draws = np.full((40, 2), 0.5)
    before = Calibrated(state).sets(answers, draws, Calibrated(state).threshold(0.8))
    assert np.array_equal(again.sets(answers, draws, again.threshold(0.8)), before)
    assert again.of == {"kind": "mean"}
    again.check(OutputSpec("scores", CLASSES))
    with pytest.raises(ConfigError, match="fitted on scores of a, b, c, d, e; the pool answers scores of no, yes"):
        again.check(OutputSpec("scores", ("no", "yes")))
    with pytest.raises(ConfigError, match="kind 'conformal', version 1; got 'weighted', version 1"):
        Calibrated(State("weighted", 1, {}, {}))


def test_scores_lie_in_order_within_their_groups() -> None:
    rng = np.random.default_rng(6)
    groups = rng.integers(0, 3, 30)
    scores, ties = np.round(rng.random(30), 1), rng.random(30)
    meta = {"output": "scores", "score": "lac", "classes": ["a", "b", "c"]}
    arrays = state_of(meta, scores, ties, groups).arrays
    starts = arrays["starts"]
    for c in range(3):
        mine = list(
            zip(arrays["scores"][starts[c] : starts[c + 1]], arrays["ties"][starts[c] : starts[c + 1]], strict=True)
        )
        assert mine == sorted(zip(scores[groups == c], ties[groups == c], strict=True))
