from itertools import combinations
from typing import Any

import numpy as np
import pytest

from quorate.core.cascade import evidence, router
from quorate.core.cascade.evidence import columns, entries, knots_of, seen
from quorate.core.cascade.lone import Lone, bits
from quorate.core.cascade.posterior import posterior, softmax
from quorate.core.cascade.router import FEW_CLASSES, heard, larger

CASES = [
    pytest.param(4, 7, "crossed", id="few classes, all corrections"),
    pytest.param(3, 2, "plain", id="two classes, corrections that are not crossed"),
    pytest.param(6, 43, "none", id="many classes, none"),
    pytest.param(3, FEW_CLASSES, "none", id="as many classes as there are columns for"),
]


def made(m: int, k: int, corrected: str, seed: int = 0) -> tuple[dict[str, Any], Any]:
    """Arrays of a state with every set of members, its parameters drawn at random; and 200 rows of answers."""
    rng = np.random.default_rng(seed)
    outputs = rng.dirichlet(np.full(k, 0.3), size=(200, m)).astype(np.float32)
    outputs[:3] = np.eye(k, dtype=np.float32)[0]  # as sure as can be
    outputs[3] = 1.0 / k  # and not at all
    sets = np.array(
        [[j in some for j in range(m)] for size in range(m, 0, -1) for some in combinations(range(m), size)], bool
    )
    given = seen(outputs, np.ones((200, m), bool))
    knots, coarse, fine = (knots_of(given, count) for count in (5, 3, 8))
    f = {"none": 0, "plain": evidence.width(m, k, 5), "crossed": evidence.width(m, k, 5, 3)}[corrected]
    s = len(sets)
    arrays = {
        "subsets": sets, "routed": sets.sum(axis=1) != 2, "knots": knots, "coarse": coarse, "fine": fine,
        "weights": rng.normal(1.0, 0.5, (s, m)) * sets, "biases": rng.normal(size=(s, k)),
        "corrections": rng.normal(size=(s, f, k)),
    }  # fmt: skip
    routed = sets[arrays["routed"]]
    r = len(routed)
    gains = rng.normal(size=(r, router.width(m, k, 8) + 1, r))
    return arrays | {"asks": larger(routed), "gains": gains, "start": rng.random(r)}, outputs


@pytest.mark.parametrize(("m", "k", "corrected"), CASES)
def test_a_posterior_is_the_same_bit_for_bit_alone_and_among_others(m: int, k: int, corrected: str) -> None:
    arrays, outputs = made(m, k, corrected)
    lone, given = Lone(arrays), seen(outputs, np.ones(outputs.shape[:2], bool))
    for at, members in enumerate(arrays["subsets"]):
        together = posterior(given.of(members), at, arrays)
        alone = np.stack([lone.said(at, row).p for row in outputs])
        assert np.array_equal(together, alone), members
        some = posterior(seen(outputs[5:6], members[None]), at, arrays)
        assert np.array_equal(some[0], together[5]), members
        assert np.array_equal(lone.said(at, outputs[7]).answer, together[7].astype(np.float32))


@pytest.mark.parametrize(("m", "k", "corrected"), CASES)
def test_gains_are_those_of_the_columns_laid_out(m: int, k: int, corrected: str) -> None:
    arrays, outputs = made(m, k, corrected, 1)
    lone, given = Lone(arrays), seen(outputs, np.ones(outputs.shape[:2], bool))
    for place, at in enumerate(lone.routed):
        members, further = arrays["subsets"][at], lone.further[place]
        assert sorted(further) == np.flatnonzero(arrays["asks"][place]).tolist()
        some = given.of(members)
        x = heard(some, posterior(some, at, arrays), arrays["fine"])
        expected = (x @ arrays["gains"][place, :-1] + arrays["gains"][place, -1])[:, further]
        found = np.array([lone.gains(place, lone.said(at, row)) for row in outputs])
        assert np.allclose(found, expected, rtol=1e-12, atol=1e-10), members


@pytest.mark.parametrize("crossed", [False, True])
def test_entries_are_the_columns_that_are_not_0(crossed: bool) -> None:
    arrays, outputs = made(4, 5, "none")
    coarse = arrays["coarse"] if crossed else None
    ok = np.random.default_rng(2).random((200, 4)) < 0.6
    for members in ([True] * 4, [True, False, True, False]):
        given = seen(outputs, ok).of(np.array(members))
        where, values = entries(given, np.array(members), arrays["knots"], coarse)
        dense = np.zeros((200, evidence.width(4, 5, 5, 3 if crossed else 0)))
        np.add.at(dense, (np.arange(200)[:, None], where), values)
        assert np.array_equal(dense, columns(given, arrays["knots"], coarse))


def test_the_sum_of_corrections_does_not_depend_on_how_the_rows_are_cut() -> None:
    """Above what one block holds: rows and columns so many that they are summed in several."""
    arrays, outputs = made(4, 7, "crossed")
    many = np.tile(outputs, (40, 1, 1))
    given = seen(many, np.ones(many.shape[:2], bool))
    found = posterior(given, 0, arrays)
    assert np.array_equal(found, np.tile(found[:200], (40, 1)))
    x = columns(given.take(slice(0, 200)), arrays["knots"], arrays["coarse"])
    logits = np.einsum("nmk,m->nk", given.logs[:200], arrays["weights"][0]) + arrays["biases"][0]
    assert np.allclose(found[:200], softmax(logits + x @ arrays["corrections"][0]), atol=1e-12)


def test_sets_are_numbers() -> None:
    assert [bits(some) for some in ([False, False], [True, False], [True, True])] == [0, 1, 3]
