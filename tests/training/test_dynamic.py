from typing import Any

import numpy as np
import pytest
from sklearn.naive_bayes import MultinomialNB

from quorate.core.combine.competence import DynamicParams
from quorate.core.combine.des_p import DesP
from quorate.core.combine.knora_u import KnoraU
from quorate.core.combine.vote import Vote, VoteParams
from quorate.errors import InvalidInput
from quorate.training.dynamic import METHODS, fit_dynamic

MEMBERS = ["left", "right", "coin"]
CLASSES = ["a", "b"]


def sides(n: int, seed: int) -> tuple[Any, Any, Any]:
    """Two members that are nearly always right on their side of 0 and rather wrong on the other, one that guesses."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 2)) * [1.0, 100.0]  # the second says nothing, and loudly
    y = rng.integers(2, size=n)
    left = features[:, 0] < 0
    chance = np.stack([np.where(left, 0.97, 0.35), np.where(left, 0.35, 0.97), np.full(n, 0.5)], axis=1)
    right = rng.random((n, 3)) < chance
    said = np.where(right, y[:, None], 1 - y[:, None])
    sure = rng.uniform(0.6, 0.9, size=(n, 3))
    outputs = np.empty((n, 3, 2), np.float32)
    np.put_along_axis(outputs, said[:, :, None], sure[:, :, None].astype(np.float32), axis=2)
    np.put_along_axis(outputs, 1 - said[:, :, None], 1 - sure[:, :, None].astype(np.float32), axis=2)
    return features.astype(np.float32), outputs, y


@pytest.mark.parametrize("method", METHODS)
def test_where_members_are_good_on_different_sides_selection_beats_the_vote(method: str) -> None:
    from quorate import plugins

    known, test = sides(1500, 1), sides(1500, 2)
    state = fit_dynamic(method, *known, MEMBERS, CLASSES, k=15)
    features, outputs, y = test
    status = np.zeros(outputs.shape[:2], np.int8)
    answer = plugins.load("combiners", method)(DynamicParams()).combine(outputs, status, state, features)
    vote = Vote(VoteParams("hard")).combine(outputs, status)
    accuracy, voted = ((each.argmax(axis=1) == y).mean() for each in (answer, vote))
    assert accuracy > voted + 0.02, (accuracy, voted)
    if method in ("ola", "knora-e"):  # those that drop who is worse come near the best there is
        assert accuracy > 0.9


def test_scaling_makes_a_loud_feature_count_no_more_than_others() -> None:
    (known, outputs, y), (features, asked, truth) = sides(1500, 1), sides(1500, 2)
    status = np.zeros(asked.shape[:2], np.int8)
    right = []
    for scale in (True, False):
        state = fit_dynamic("des-p", known, outputs, y, MEMBERS, CLASSES, scale=scale)
        right.append((DesP().combine(asked, status, state, features).argmax(axis=1) == truth).mean())
    assert right[0] > right[1] + 0.05


@pytest.mark.parametrize("space", ["input", "outputs"])
def test_the_meta_model_is_scikit_learns_naive_bayes_on_evidence_from_the_other_rows(space: Any) -> None:
    """All of it spelt out, row by row."""
    k, kp = 4, 3
    features, outputs, y = sides(60, 5)
    state = fit_dynamic("meta-des", features, outputs, y, MEMBERS, CLASSES, k=k, kp=kp, space=space)
    hits = outputs.argmax(axis=2) == y[:, None]
    scaled = (features - features.mean(axis=0, dtype=float)) / features.std(axis=0, dtype=float)
    profiles = outputs[:, :, 0].astype(float)
    examples, truths = [], []
    for i in range(60):
        others = np.delete(np.arange(60), i)
        points = scaled if space == "input" else profiles
        near = others[np.argsort(((points[others] - points[i]) ** 2).sum(axis=1), kind="stable")[:k]]
        similar = others[np.argsort(((profiles[others] - profiles[i]) ** 2).sum(axis=1), kind="stable")[:kp]]
        for j in range(3):
            f1 = hits[near, j].astype(float)
            f2 = outputs[near, j, y[near]]
            examples.append([*f1, *f2, f1.mean(), *hits[similar, j], outputs[i, j].max()])
            truths.append(hits[i, j])
    bayes = MultinomialNB().fit(np.digitize(np.array(examples), np.linspace(0.1, 1, 10)), truths)
    np.testing.assert_allclose(
        state.arrays["coefficients"], bayes.feature_log_prob_[1] - bayes.feature_log_prob_[0], rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(state.arrays["intercept"][0], np.diff(bayes.class_log_prior_)[0], rtol=1e-12)


def test_where_all_members_are_always_right_none_is_told_apart() -> None:
    y = np.array([0, 1] * 10)
    outputs = np.repeat(np.eye(2, dtype=np.float32)[y][:, None], 3, axis=1)
    state = fit_dynamic("meta-des", np.zeros((20, 1), np.float32), outputs, y, MEMBERS, CLASSES)
    assert not state.arrays["coefficients"].any()
    assert not state.arrays["intercept"].any()


def test_equal_rows_are_each_others_neighbours_and_a_constant_feature_does_no_harm() -> None:
    features, outputs, y = sides(40, 3)
    features[:, 1] = 7.0
    features[:] = features[0]
    state = fit_dynamic("knora-u", features, outputs, y, MEMBERS, CLASSES, k=3)
    answer = KnoraU().combine(outputs[:1], np.zeros((1, 3), np.int8), state, features[:1])
    assert np.isfinite(answer).all()
    fit_dynamic("meta-des", features, outputs, y, MEMBERS, CLASSES)


FEATURES, OUTPUTS, Y = sides(30, 0)


@pytest.mark.parametrize(
    ("arguments", "settings", "message", "path"),
    [
        (("nearest", FEATURES, OUTPUTS, Y), {}, "no method 'nearest'", "method"),
        (("ola", None, OUTPUTS, Y), {}, r"features \[30, d\].*got none", "features"),
        (("ola", FEATURES[:5], OUTPUTS, Y), {}, r"got \[5, 2\]", "features"),
        (("ola", FEATURES, OUTPUTS, Y[:5]), {}, "one truth for each", "y"),
        (("ola", FEATURES, OUTPUTS, Y), {"k": 31}, "leave 31 reference rows", "k"),
        (("meta-des", FEATURES, OUTPUTS, Y), {"k": 30}, "leave 31 reference rows", "k"),
        (("ola", FEATURES, OUTPUTS, Y), {"k": 0}, "at least 1", "k"),
        (("ola", FEATURES, np.full_like(OUTPUTS, np.nan), Y), {}, "must be finite", "outputs"),
    ],
)
def test_refuses_what_cannot_be_fitted(arguments: Any, settings: Any, message: str, path: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        fit_dynamic(*arguments, MEMBERS, CLASSES, **settings)
    assert caught.value.path == path
