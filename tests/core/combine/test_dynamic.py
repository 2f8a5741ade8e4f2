"""The five methods of dynamic selection on cases worked out by hand, and what holds for all of them."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate import plugins
from quorate.codecs.state import decode, encode
from quorate.core.combine.competence import Dynamic, DynamicParams
from quorate.core.combine.mean import Mean
from quorate.core.combine.neighbours import squared_norms
from quorate.core.types import OutputSpec, State
from quorate.errors import ConfigError
from quorate.training.dynamic import METHODS, fit_dynamic

OUTPUT = OutputSpec("scores", classes=("a", "b"))
A, B = [0.8, 0.2], [0.1, 0.9]
UNLIKE = [A, B, B, A]
"""What the four members say of the input in the cases by hand."""


def combiner(method: str, voting: Any = "hard") -> Dynamic:
    made: Dynamic = plugins.load("combiners", method)(DynamicParams(voting))
    return made


def line(method: str, hits: list[list[int]], **meta: Any) -> State:
    """Reference rows at 1, 2, 3 … on a line, a state as the fitter makes it; the input of the cases is at 0."""
    r, m = np.shape(hits)
    reference = np.arange(1.0, r + 1)[:, None]
    arrays = {
        "hits": np.array(hits, np.uint8),
        "reference": reference,
        "norms": squared_norms(reference),
        "centre": np.zeros(1),
        "scale": np.ones(1),
        "fill": np.full(1, reference.mean()),
    }
    names = [f"m{j}" for j in range(m)]
    known = {"members": names, "classes": ["a", "b"], "k": min(3, r), "space": "input", "features": 1}
    return State(method, 1, known | meta, arrays)


def answered(method: str, hits: list[list[int]], voting: Any = "hard", status: Any = (0, 0, 0, 0)) -> list[float]:
    state = line(method, hits)
    run = combiner(method, voting)
    run.check(state.meta["members"], OUTPUT, state)
    outputs = np.array([UNLIKE], np.float32)
    outputs[0, np.array(status) != 0] = np.nan
    answer = run.combine(outputs, np.array([status], np.int8), state, np.zeros((1, 1), np.float32))
    return [round(float(value), 4) for value in answer[0]]


def test_knora_e_takes_those_that_are_right_longest_from_the_nearest_on() -> None:
    hits = [[1, 1, 1, 0], [1, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]]  # only m2 on all three neighbours
    assert answered("knora-e", hits) == [0.0, 1.0]
    shorter = [[1, 1, 0, 1], [1, 0, 1, 0], [0, 1, 1, 1]]  # nobody on three, m0 on two
    assert answered("knora-e", shorter) == [1.0, 0.0]
    assert answered("knora-e", [[0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]) == [0.5, 0.5]  # nobody on the nearest: all
    assert answered("knora-e", hits, status=(0, 0, 1, 0)) == [1.0, 0.0]  # of those that answered, m0 is right longest


def test_knora_u_votes_as_often_as_a_member_is_right() -> None:
    hits = [[1, 1, 1, 0], [1, 0, 1, 0], [1, 0, 0, 0]]  # 3, 1, 2, 0 votes
    assert answered("knora-u", hits) == [0.5, 0.5]
    assert answered("knora-u", hits, "soft") == [round((3 * 0.8 + 3 * 0.1) / 6, 4), round((3 * 0.2 + 3 * 0.9) / 6, 4)]
    assert answered("knora-u", hits, status=(1, 0, 0, 0)) == [0.0, 1.0]
    assert answered("knora-u", hits, status=(1, 2, 1, 0)) == [1.0, 0.0]  # m3 alone, which was never right
    assert answered("knora-u", [[0] * 4] * 3) == [0.5, 0.5]  # nobody: all count equally


def test_des_p_takes_those_better_than_chance() -> None:
    hits = [[1, 1, 0, 0], [1, 0, 0, 1], [0, 1, 1, 0]]  # 2/3, 2/3, 1/3, 1/3 of two classes
    assert answered("des-p", hits) == [0.5, 0.5]
    assert answered("des-p", [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]]) == [round(1 / 3, 4), round(2 / 3, 4)]
    assert answered("des-p", [[0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]) == [0.5, 0.5]  # nobody: all


def test_ola_takes_the_one_that_is_right_most_often_the_first_of_equals() -> None:
    hits = [[0, 1, 0, 1], [1, 1, 0, 1], [1, 0, 0, 0]]
    assert answered("ola", hits, "soft") == [round(value, 4) for value in A]  # m0, m1, m3 tie
    assert answered("ola", hits, "soft", status=(1, 0, 0, 0)) == [round(value, 4) for value in B]
    assert answered("ola", hits) == [1.0, 0.0]


def test_meta_des_is_a_linear_rule_over_binned_evidence() -> None:
    """f1 (one neighbour), f2, f3, f4 (one similar row), f5, all binned: worked out for each member."""
    profiles = np.array([[0.8, 0.1, 0.1, 0.8], [0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]], np.float32)
    state = line("meta-des", [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], k=1, kp=1)
    extra = {
        "profiles": profiles,
        "profile_norms": squared_norms(profiles),
        "supports": np.array([[7, 5, 3, 9], [0, 0, 0, 0], [0, 0, 0, 0]], np.uint8),
        "coefficients": np.array([1.0, 2.0, 0.0, 4.0, 1.0]),
        "intercept": np.array([-72.0]),
    }
    state = dataclasses.replace(state, arrays={**state.arrays, **extra})
    run = combiner("meta-des", "soft")
    run.check(state.meta["members"], OUTPUT, state)
    outputs = np.array([UNLIKE], np.float32)
    # m0: 10 + 2*7 + 4*10 + 8 = 72, not above 72; m1: 0 + 10 + 0 + 9; m2: 10 + 6 + 40 + 9; m3: 0 + 18 + 0 + 8
    zero = np.zeros((1, 4), np.int8)
    answer = run.combine(outputs, zero, state, np.zeros((1, 1), np.float32))
    np.testing.assert_allclose(answer[0], np.mean(UNLIKE, axis=0), rtol=1e-6)  # nobody is competent: all
    arrays = {**state.arrays, "intercept": np.array([-71.0])}
    answer = run.combine(outputs, zero, dataclasses.replace(state, arrays=arrays), np.zeros((1, 1), np.float32))
    np.testing.assert_allclose(answer[0], A, rtol=1e-6)


def data(seed: int, n: int, m: int = 4, k: int = 3) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 5)).astype(np.float32)
    return features, rng.dirichlet(np.ones(k), size=(n, m)).astype(np.float32), rng.integers(k, size=n)


def fitted(method: str, seed: int = 0, order: Any = None, members: Any = None, **settings: Any) -> State:
    features, outputs, y = data(seed, 60)
    rows = np.arange(60) if order is None else order
    columns = np.arange(4) if members is None else members
    names = [f"m{j}" for j in columns]
    return fit_dynamic(method, features[rows], outputs[rows][:, columns], y[rows], names, ["a", "b", "c"], **settings)


@pytest.mark.parametrize("space", ["input", "outputs"])
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_neither_the_order_of_reference_rows_nor_that_of_members_matters(method: str, space: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, outputs, _ = data(seed, 30)
    status = rng.choice(3, size=(30, 4), p=[0.8, 0.1, 0.1]).astype(np.int8)
    run = combiner(method)
    answer = run.combine(outputs, status, fitted(method, space=space), features)
    rows = rng.permutation(60)
    np.testing.assert_array_equal(
        run.combine(outputs, status, fitted(method, order=rows, space=space), features), answer
    )
    if method != "ola":  # which takes the first of equals
        order = rng.permutation(4)
        turned = run.combine(outputs[:, order], status[:, order], fitted(method, members=order, space=space), features)
        np.testing.assert_allclose(turned, answer, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_members_that_did_not_answer_are_as_if_they_were_not_in_the_pool(method: str) -> None:
    features, outputs, _ = data(3, 200)
    status = np.zeros((200, 4), np.int8)
    status[:, 1] = 1
    whole, left = fitted(method, space="outputs"), fitted(method, members=[0, 2, 3], space="outputs")
    if method == "meta-des":  # its model was learned with all members; the rest of it is the same without one
        model = {name: whole.arrays[name] for name in ("coefficients", "intercept")}
        left = dataclasses.replace(left, arrays={**left.arrays, **model})
    run = combiner(method)
    with_gap = run.combine(outputs, status, whole, features)
    np.testing.assert_array_equal(with_gap, run.combine(outputs[:, [0, 2, 3]], status[:, :3] * 0, left, features))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", ["input", "outputs"])
def test_a_state_survives_its_files_and_answers_the_same(method: str, space: Any) -> None:
    state = fitted(method, space=space)
    again = decode(encode(state))
    output = OutputSpec("scores", classes=("a", "b", "c"))
    combiner(method).check(["m0", "m1", "m2", "m3"], output, again)
    features, outputs, _ = data(9, 50)
    status = np.zeros((50, 4), np.int8)
    first, second = (combiner(method).combine(outputs, status, each, features) for each in (state, again))
    np.testing.assert_array_equal(first, second)


def test_features_that_are_not_finite_count_as_the_mean_of_the_reference() -> None:
    for scale in (True, False):
        state = fitted("knora-u", scale=scale)
        features, outputs, _ = data(9, 50)
        known, _, _ = data(0, 60)
        filled = features.copy()
        features[:, 1] = [np.nan, np.inf] * 25
        filled[:, 1] = known[:, 1].astype(np.float64).mean()
        status = np.zeros((50, 4), np.int8)
        first, second = (combiner("knora-u").combine(outputs, status, state, each) for each in (features, filled))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("features", [None, np.zeros((1, 4), np.float32), np.zeros((2, 5), np.float32)])
def test_without_the_features_it_looks_at_there_is_no_answer(features: Any) -> None:
    _, outputs, _ = data(1, 1)
    with pytest.raises(ConfigError, match=r"looks at features \[1, 5\]"):
        combiner("des-p").combine(outputs, np.zeros((1, 4), np.int8), fitted("des-p"), features)


def changed(**arrays: Any) -> State:
    state = fitted("meta-des")
    return dataclasses.replace(state, arrays={**state.arrays, **arrays})


def told(**meta: Any) -> State:
    state = fitted("meta-des")
    return dataclasses.replace(state, meta={**state.meta, **meta})


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, "needs a fitted state"),
        (fitted("ola"), "got kind 'ola'"),
        (told(members=["m1", "m0", "m2", "m3"]), "fitted on the members"),
        (told(classes=["a", "b"]), r"fitted for the classes \[a, b\]"),
        (told(k=0), "'k' is not"),
        (told(k=61), "'k' is not"),
        (told(space="elsewhere"), "'space' is not"),
        (told(features=0), "'space' is not"),
        (told(features=4), "'reference' is not"),
        (told(kp="x"), "metadata is not"),
        (changed(hits=np.full((60, 4), 2, np.uint8)), "'hits' is not"),
        (changed(hits=np.zeros((60, 3), np.uint8)), "'hits' is not"),
        (changed(scale=np.zeros(5)), "'scale' is not"),
        (changed(norms=np.zeros(60)), "'norms' is not"),
        (changed(profile_norms=np.zeros(60)), "'profile_norms' is not"),
        (changed(coefficients=np.zeros(3)), "'coefficients' is not"),
        (changed(reference=np.full((60, 5), np.nan, np.float32)), "'reference' is not"),
    ],
)
def test_check_refuses_a_state_that_does_not_fit(state: State | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        combiner("meta-des").check(["m0", "m1", "m2", "m3"], OutputSpec("scores", classes=("a", "b", "c")), state)
    assert caught.value.path == "state"


def test_check_refuses_other_votes_and_other_outputs() -> None:
    with pytest.raises(ConfigError, match="voting must be") as caught:
        combiner("ola", "loud").check(
            ["m0", "m1", "m2", "m3"], OutputSpec("scores", classes=("a", "b", "c")), fitted("ola")
        )
    assert caught.value.path == "voting"
    with pytest.raises(ConfigError, match="combines scores"):
        combiner("ola").check(["m0"], OutputSpec("values", names=("t",)), None)


@pytest.mark.parametrize("space", ["input", "outputs"])
@pytest.mark.parametrize("method", METHODS)
def test_trust_is_what_the_members_weigh_in_the_answer(method: str, space: Any) -> None:
    """A soft vote is the trust times what members say, row by row; also where all of them say the same."""
    features, outputs, _ = data(11, 300)
    outputs[::7] = outputs[::7, :1]  # all alike
    status = np.random.default_rng(2).choice(3, size=(300, 4), p=[0.8, 0.1, 0.1]).astype(np.int8)
    status[5] = 1
    state, run = fitted(method, space=space), combiner(method, "soft")
    given = outputs.copy()
    given[status != 0] = np.nan
    trust = run.trust(given, status, state, features)
    assert trust is not None
    known = np.isfinite(trust).all(axis=1)
    assert np.flatnonzero(~known).tolist() == np.flatnonzero((status != 0).all(axis=1)).tolist()
    np.testing.assert_allclose(trust[known].sum(axis=1), 1.0)
    assert not trust[known][status[known] != 0].any()
    expected = np.einsum("nm,nmk->nk", trust[known], np.where(status[known][..., None] == 0, outputs[known], 0.0))
    np.testing.assert_allclose(run.combine(given, status, state, features)[known], expected, atol=1e-6)


def test_trust_by_hand_and_what_it_needs() -> None:
    hits = [[1, 1, 1, 0], [1, 0, 1, 0], [1, 0, 0, 0]]  # KNORA-U: 3, 1, 2, 0 votes
    state, run = line("knora-u", hits), combiner("knora-u")
    given = (np.array([UNLIKE], np.float32), np.zeros((1, 4), np.int8))
    found = run.trust(*given, state, np.zeros((1, 1), np.float32))
    assert found is not None
    np.testing.assert_allclose(found, [[1 / 2, 1 / 6, 1 / 3, 0.0]])
    with pytest.raises(ConfigError, match="looks at features"):
        run.trust(*given, state)
    with pytest.raises(ConfigError, match="needs a fitted state"):
        run.trust(*given)
    assert Mean().trust(*given) is None  # of every row the same
