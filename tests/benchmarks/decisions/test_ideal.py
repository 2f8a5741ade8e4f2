"""The ideal learner's model is that of the pools: its likelihoods sum to 1, and it is calibrated on them."""

import itertools

import numpy as np
import pytest

from benchmarks.decisions import ideal
from benchmarks.decisions.online import switching
from quorate.core.online import dissent

OWN = np.array([0.5, 0.6, 0.7])


@pytest.mark.parametrize("common", [0.0, 0.6, 1.0])
def test_likelihoods_of_all_that_can_be_said_sum_to_one(common: float) -> None:
    said = np.array(list(itertools.product(range(4), repeat=3)))
    found = ideal.likelihood(said, OWN, top=0.9, common=common, k=4)
    assert found.sum(axis=0) == pytest.approx(np.ones((3, 4)))
    for member in range(3):  # what a member says is right as often as it should be
        right = (said[:, member] == 2)[:, None] * found[:, :, 2]
        assert right.sum(axis=0) == pytest.approx(np.where(np.arange(3) == member, 0.9, OWN[member]))


def test_with_all_outcomes_it_beats_the_clairvoyant_and_sight_helps_where_they_are_late() -> None:
    def share(late: int, *, looks: bool) -> float:
        s = switching(3, 1200, 0.6, 400, late, 1.0)
        assert s.own is not None
        assert s.best is not None
        most = ideal.accuracy(
            s.said, s.truth, s.known, s.own, top=0.9, common=0.6, k=s.k, stretch=400, looks=looks
        )  # fmt: skip
        return most / float((s.said[np.arange(1200), s.best] == s.truth).mean())

    assert share(0, looks=False) > 1
    assert share(200, looks=True) > share(200, looks=False) + 0.01


def test_how_members_agree_tells_who_is_the_best_where_no_outcome_does() -> None:
    """What votes mean beside the member apart is learned in two stretches, and holds in the three after them."""
    n = 2000
    s = switching(60, n, 0.6, 400, 0, 1.0)
    assert s.best is not None
    arrays, at, ok = dissent.start(9), np.arange(n, dtype=float), np.ones((n, 9), bool)
    dissent.watch(arrays, s.said, ok, at)
    who = dissent.who(arrays, at)
    assert (who[:, 0] == s.best).mean() > 0.85
    places = dissent.cells(s.said, ok, who, s.k)
    dissent.learn(arrays, places[:800], s.truth[:800])
    found = dissent.Votes.of(arrays, s.k).shares.take(places[800:])[:, 0].argmax(axis=1)
    later = slice(800, n)
    clairvoyant = (s.said[np.arange(n), s.best] == s.truth)[later].mean()
    assert (found == s.truth[later]).mean() >= 0.97 * clairvoyant
    sizes = (s.said[later, :, None] == np.arange(s.k)).sum(axis=1)
    assert (sizes.argmax(axis=1) == s.truth[later]).mean() < 0.9 * clairvoyant
