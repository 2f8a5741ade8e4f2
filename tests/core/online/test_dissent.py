"""Who stands apart is seen without outcomes; what that means is learned from them, whoever it is by then."""

import numpy as np
import pytest
from numpy.typing import NDArray

from quorate.core.online import dissent

M, K = 5, 4


def alone(n: int, who: int, said: int = 1) -> NDArray[np.intp]:
    """All say 0 but one."""
    labels = np.zeros((n, M), np.intp)
    labels[:, who] = said
    return labels


def everyone(labels: NDArray[np.intp]) -> NDArray[np.bool_]:
    return np.ones(labels.shape, bool)


def watched(labels: NDArray[np.intp], first: float = 100.0) -> dict[str, NDArray[np.float64]]:
    arrays = dissent.start(M)
    dissent.watch(arrays, labels, everyone(labels), first + np.arange(len(labels)))
    return arrays


def test_nobody_is_apart_while_all_agree() -> None:
    arrays = watched(np.zeros((20, M), np.intp))
    assert dissent.now(arrays).tolist() == [-1]
    assert dissent.who(arrays, np.array([50.0, 500.0])).tolist() == [[-1], [-1]]


def test_a_decision_adds_how_far_one_is_behind_the_others() -> None:
    arrays = watched(np.array([[0, 0, 0, 1, 2]]))
    expected = [0.0, 0.0, 0.0, ((3 - 1) / 5) ** dissent.FORCE, ((3 - 1) / 5) ** dissent.FORCE]
    assert arrays["apart"] == pytest.approx(np.array([expected]))
    dissent.watch(arrays, alone(1, 0), everyone(alone(1, 0)), np.array([101.0]))
    for i, rho in enumerate(dissent.MEMORIES):
        assert arrays["apart"][i] == pytest.approx(rho * np.array(expected) + [(3 / 5) ** dissent.FORCE, 0, 0, 0, 0])


def test_who_was_apart_is_remembered_for_outcomes_that_come_late() -> None:
    labels = np.vstack([alone(40, 2), alone(60, 4)])
    arrays = watched(labels)
    assert dissent.now(arrays).tolist() == [4]
    assert dissent.who(arrays, np.array([100.0, 101.0, 141.0, 200.0])).tolist() == [[-1], [2], [2], [4]]
    again = dissent.start(M)  # decision by decision comes to the same
    for i in range(len(labels)):
        row = slice(i, i + 1)
        dissent.watch(again, labels[row], everyone(labels[row]), 100.0 + np.arange(i, i + 1))
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)


def test_a_member_that_did_not_answer_is_neither_apart_nor_a_voice() -> None:
    labels, ok = alone(30, 2), everyone(alone(30, 2))
    ok[:, 2] = False
    arrays = dissent.start(M)
    dissent.watch(arrays, labels, ok, np.arange(30.0))
    assert dissent.now(arrays).tolist() == [-1]
    there, nobody = (dissent.cells(labels[:1], ok[:1], np.array([[j]]), K) for j in (2, -1))
    assert np.array_equal(there, nobody)


def test_more_changes_than_are_remembered() -> None:
    labels = np.vstack([alone(60, i % M) for i in range(dissent.KEPT + 20)])
    arrays = watched(labels, 1000.0)
    assert arrays["apart_since"].shape == (1, dissent.KEPT)
    assert dissent.who(arrays, np.array([1001.0])).tolist() == [[-1]]  # forgotten
    assert dissent.who(arrays, np.array([1e9])).tolist() == [dissent.now(arrays).tolist()]


@pytest.mark.parametrize("m", [2, 5, 9, 30])
@pytest.mark.parametrize("k", [2, 3, 12])
def test_one_row_and_many_come_to_the_same(m: int, k: int) -> None:
    rng = np.random.default_rng(m * k)
    arrays = dissent.start(m)
    arrays["cells"] = rng.uniform(0, 9, arrays["cells"].shape)
    for apart in (0, m - 1, -1):
        arrays["apart_who"][:, -1] = apart
        votes = dissent.Votes.of(arrays, k)
        labels = rng.integers(0, rng.integers(1, k + 1), (40, m))
        many = votes.of_rows(labels, None)
        assert np.array_equal(many, [votes.one(row) for row in labels])
        assert many.sum(axis=2) == pytest.approx(1)
        assert np.array_equal(many, votes.of_rows(labels, np.ones((40, m), bool)))


def test_the_share_of_a_place_by_hand() -> None:
    arrays, labels = dissent.start(M), alone(3, 1)
    arrays["apart_who"][:, -1] = 1
    places = dissent.cells(labels, everyone(labels), np.full((3, 1), 1), K)
    found = dissent.learn(arrays, places, np.array([1, 1, 0]))
    share = (np.array([4, 1, 0, 0]) + 0.25) / (5 + 0.25 * K)
    assert found[0, 0] == pytest.approx(share / share.sum())
    f, s = dissent.FORGET, dissent.STRENGTH
    right, seen = np.array([0, f + 1, 0, 0]), (f + 1) * np.array([1, 1, 2, 2])  # two classes that nobody said
    expected = (right + s * share) / (seen + s)
    assert found[2, 0] == pytest.approx(expected / expected.sum())
    assert arrays["cells"][0].sum() == pytest.approx(K * (f**2 + f + 1))
    right, seen = np.array([1, f**2 + f, 0, 0]), (f**2 + f + 1) * np.array([1, 1, 2, 2])
    expected = (right + s * share) / (seen + s)
    assert dissent.Votes.of(arrays, K).one(labels[0])[0] == pytest.approx(expected / expected.sum())


def test_what_the_one_apart_means_holds_for_the_next_one() -> None:
    """Only the member that stands alone is right; after a change another is, of which no outcome is known yet."""
    arrays, rng = dissent.start(M), np.random.default_rng(0)
    truths = rng.integers(0, K, 60)
    labels = np.repeat((truths[:, None] + 1) % K, M, axis=1)
    labels[:, 2] = truths
    at = np.arange(60.0)
    dissent.watch(arrays, labels, everyone(labels), at)
    dissent.learn(arrays, dissent.cells(labels, everyone(labels), dissent.who(arrays, at), K), truths)
    moved = labels[:, [2, 1, 0, 3, 4]]
    dissent.watch(arrays, moved, everyone(moved), at + 60)
    assert dissent.now(arrays)[0] == 0
    told = dissent.Votes.of(arrays, K).of_rows(moved, None)
    assert (told[:, 0].argmax(axis=1) == truths).all()
