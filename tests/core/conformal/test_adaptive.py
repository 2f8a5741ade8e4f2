"""Levels that adapt: the bound that holds for any sequence, cold starts, shifts, and outcomes late or missing."""

from typing import Any

import numpy as np
import pytest

from quorate.codecs import state as state_codec
from quorate.core.conformal import adaptive
from quorate.core.conformal.adaptive import TARGETS, Adaptation, Adapted, Known
from quorate.core.conformal.calibrated import Calibrated, covers
from quorate.training.conformal import fit_conformal_values


def calibrated(rng: np.random.Generator, n: int = 400, scale: float = 1.0) -> Calibrated:
    """Of residuals that are normal."""
    y = rng.normal(scale=scale, size=n)
    return Calibrated(fit_conformal_values(np.zeros((n, 1), np.float32), y, ("y",)))


def served(
    begin: Calibrated, scores: np.ndarray[Any, Any], *, coverage: float = 0.9, late: int = 0, share: float = 1.0
) -> np.ndarray[Any, Any]:
    """Which rows are covered where their scores are learned from ``late`` rows later."""
    settings, known = Adaptation(), adaptive.start(begin, Adaptation())
    now, found, one = begin.threshold(coverage), np.zeros(len(scores), bool), np.ones(1)
    present = np.random.default_rng(0).random(len(scores)) < share
    for i, score in enumerate(scores):
        found[i] = covers(np.array([score]), one, now, [0])[0]
        if i >= late and present[i - late]:
            at, asked = slice(i - late, i - late + 1), np.array([coverage])
            known = adaptive.learn(known, scores[at], one, settings, asked, found[at])
            now = Adapted(adaptive.pack(known)).threshold(coverage)
    return found


@pytest.mark.parametrize("rate", [0.005, 0.05])
@pytest.mark.parametrize("kind", ["shift", "adversary", "never", "always"])
def test_one_expert_is_as_good_as_proposition_4_1_says_for_any_sequence(rate: float, kind: str) -> None:
    rng = np.random.default_rng(1)
    settings = Adaptation(targets=(0.1,), rates=(rate,), window=200, correction=0.0)
    known, rows = adaptive.start(calibrated(rng), settings), 1500
    missed = np.zeros(rows)
    for t in range(rows):
        level = float(known.levels[0, 0])
        score = {"shift": abs(rng.normal()) * (1 + t / 300), "never": 1e9 + t, "always": -1.0 - t}.get(kind)
        if score is None:  # just outside, where that is possible
            score = 1e9 + t if level > 0 else -1.0
        before = known
        known = adaptive.learn(known, np.array([score]), np.ones(1), settings)
        beta = beta_of(before, score)
        missed[t] = level >= beta
        so_far = missed[: t + 1].mean()
        assert abs(so_far - 0.1) <= (max(0.1, 0.9) + rate) / (rate * (t + 1)) + 1e-9
    assert known.rows == rows


def beta_of(known: Known, score: float) -> float:
    return 1.0 - float((known.scores < score).sum() + ((known.scores == score) & (known.ties < 1.0)).sum()) / (
        len(known.scores) + 1
    )


def test_before_the_first_outcome_it_is_the_plain_threshold() -> None:
    begin = calibrated(np.random.default_rng(0))
    fresh = Adapted(adaptive.pack(adaptive.start(begin, Adaptation())))
    for coverage in (0.5, 0.75, 0.9, 0.93, 0.99):
        assert fresh.level(coverage) == pytest.approx(coverage)
        assert fresh.threshold(coverage).scores == pytest.approx(begin.threshold(coverage).scores)


def test_of_many_scores_it_begins_with_evenly_many_from_low_to_high() -> None:
    begin = calibrated(np.random.default_rng(0), 20_000)
    known = adaptive.start(begin, Adaptation(window=500))
    assert len(known.scores) == 500
    quantiles = np.linspace(0.05, 0.95, 19)
    assert np.quantile(known.scores, quantiles) == pytest.approx(np.quantile(begin.scores, quantiles), abs=0.02)
    assert not (np.diff(known.scores) >= 0).all()


def test_under_exchangeable_rows_the_coverage_stays() -> None:
    rng = np.random.default_rng(5)
    found = served(calibrated(rng), np.abs(rng.normal(size=4000)))
    assert abs(found.mean() - 0.9) < 0.012


@pytest.mark.parametrize(("late", "share"), [(0, 1.0), (200, 1.0), (0, 0.2)])
def test_under_a_shift_it_covers_where_the_plain_threshold_does_not(late: int, share: float) -> None:
    rng = np.random.default_rng(6)
    begin = calibrated(rng)
    scale = np.repeat([1.0, 2.5], [1000, 4000])
    scores = np.abs(rng.normal(size=5000)) * scale
    plain = covers(scores, np.ones(5000), begin.threshold(0.9), np.zeros(5000, np.intp))
    found = served(begin, scores, late=late, share=share)
    assert plain.mean() < 0.7
    assert abs(found.mean() - 0.9) < 0.02
    assert abs(found[-2000:].mean() - 0.9) < 0.03


def test_however_late_and_whatever_comes_answers_cover_as_often_as_asked_in_the_long_run() -> None:
    """Easy and hard stretches, each as long as outcomes are late: what the newest outcomes say is always wrong."""
    rng = np.random.default_rng(8)
    late, rows, step = 100, 8000, 20
    scores = np.abs(rng.normal(size=rows)) * np.where(np.arange(rows) // late % 2, 5.0, 0.2)
    begin, off = calibrated(rng), {}
    for correction in (0.0, 0.005):
        settings = Adaptation(targets=(0.1,), correction=correction, window=200)
        known, now, found = adaptive.start(begin, settings), begin.threshold(0.9), np.zeros(rows, bool)
        for i in range(0, rows, step):
            found[i : i + step] = scores[i : i + step] <= now.scores[0]
            if i >= late:
                at = slice(i - late, i - late + step)
                known = adaptive.learn(known, scores[at], np.ones(step), settings, np.full(step, 0.9), found[at])
                now = Adapted(adaptive.pack(known)).threshold(0.9)
        off[correction] = found.mean() - 0.9
        missed = int((~found[: rows - late]).sum())
        assert known.missed[0] == missed
        assert known.correction[0] == pytest.approx(correction * (0.1 * (rows - late) - missed))
    assert off[0.0] < -0.03
    assert abs(off[0.005]) < 0.015


def test_all_at_once_and_one_by_one_come_to_the_same() -> None:
    rng = np.random.default_rng(7)
    begin, settings = calibrated(rng), Adaptation(window=100)
    scores, ties = np.abs(rng.normal(size=300)) * 2, rng.random(300)
    whole = adaptive.learn(adaptive.start(begin, settings), scores, ties, settings)
    parts = adaptive.start(begin, settings)
    for part in np.array_split(np.arange(300), 7):
        parts = adaptive.unpack(state_codec.decode(state_codec.encode(adaptive.pack(parts))))
        parts = adaptive.learn(parts, scores[part], ties[part], settings)
    for mine, other in zip(whole, parts, strict=True):
        assert np.array_equal(mine, other)
    assert np.array_equal(np.sort(whole.scores), np.sort(scores[-100:]))


def test_levels_between_targets_are_between_theirs() -> None:
    rng = np.random.default_rng(9)
    known = adaptive.start(calibrated(rng), Adaptation())
    known = adaptive.learn(known, np.abs(rng.normal(size=400)) * 1.5, np.ones(400), Adaptation())
    state = adaptive.pack(known)
    adapted = Adapted(state)
    at = np.clip(state.arrays["served"], 0.0, 1.0)
    for target, level in zip(TARGETS, at, strict=True):
        assert adapted.level(1 - target) == pytest.approx(1 - level)
    for i in range(len(TARGETS) - 1):
        middle = adapted.level(1 - (TARGETS[i] + TARGETS[i + 1]) / 2)
        assert middle == pytest.approx(1 - (at[i] + at[i + 1]) / 2)
    assert adapted.level(0.999) == pytest.approx(1 - at[0] / 10)


def test_it_counts_what_its_levels_missed() -> None:
    rng = np.random.default_rng(10)
    begin = calibrated(rng)
    known = adaptive.learn(
        adaptive.start(begin, Adaptation()), np.abs(rng.normal(size=3000)), np.ones(3000), Adaptation()
    )
    assert known.rows == 3000
    assert known.missed / 3000 == pytest.approx(known.targets, abs=0.02)
    assert np.isclose(known.weights.sum(axis=1), 1).all()
