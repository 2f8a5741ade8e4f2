import math

import numpy as np
import pytest

from quorate.core.select.lin_thompson import LinThompson, LinThompsonParams
from quorate.core.select.lin_ucb import LinUcb, LinUcbParams
from quorate.errors import ConfigError

FEATURES = ("context.age", "input.rows", "context.city")
COMMON = {"features": FEATURES, "ranges": {"input.rows": (0.0, 100.0)}, "values": {"context.city": ("rome", "oslo")}}


def rows(told, n: int = 40, seed: int = 0):
    """Rows with known and missing features of all kinds, of which some tell all rewards and some one."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        context = {"age": float(rng.normal(1e4, 3.0)) if i % 5 else None, "city": ("rome", "oslo", "bonn", None)[i % 4]}
        facts = {"input.rows": int(rng.integers(0, 150))}
        arm, r = int(rng.integers(0, 2)), rng.random(2)
        rewards = r.tolist() if i % 3 else [r[j] if j == arm else None for j in range(2)]
        found.append(told(rewards, arm, [0.4, 0.6], context=context, facts=facts))
    return found


def vectors(given, weights):
    """The same features, standardised the long way, by what is known in the end."""
    age = np.array([math.nan if row.context["age"] is None else row.context["age"] for row in given])
    known = ~np.isnan(age)
    mean = np.average(age[known], weights=weights[known])
    deviation = math.sqrt(np.average((age[known] - mean) ** 2, weights=weights[known]))
    scaled = np.where(known, (age - mean) / deviation, 0.0)
    count = np.array([min(row.facts["input.rows"], 100) / 50 - 1 for row in given])
    city = [{"rome": 0, "oslo": 1, None: 3}.get(row.context["city"], 2) for row in given]
    none = np.zeros(len(given))
    return np.column_stack([scaled, count, ~known, none, np.eye(4)[city], none + 1])


def solved(given, weights, arm: int, ridge: float):
    """theta and V^-1 W V^-1 of one strategy, solved directly."""
    x = vectors(given, weights)
    r = np.array([row.rewards[arm] for row in given])
    seen = ~np.isnan(r)
    x, r, w = x[seen], r[seen], weights[seen]
    v = ridge * np.eye(x.shape[1]) + x.T @ (w[:, None] * x)
    noise = ridge * np.eye(x.shape[1]) + x.T @ ((w * w)[:, None] * x)
    inverse = np.linalg.inv(v)
    return inverse @ (x.T @ (w * r)), inverse @ noise @ inverse


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_bounds_are_those_of_a_direct_solution(told, discount: float) -> None:
    given = rows(told)
    policy = LinUcb(["a", "b"], LinUcbParams(**COMMON, ridge=0.7, exploration=0.4, discount=discount))
    policy.check()
    state = policy.learn(policy.learn(None, given[:13]), given[13:])
    weights = discount ** np.arange(len(given) - 1.0, -1.0, -1.0)
    x = vectors(given, weights)
    solutions = [solved(given, weights, arm, 0.7) for arm in range(2)]
    for i in (0, 1, 3, 7):
        expected = [x[i] @ theta + 0.4 * math.sqrt(x[i] @ doubt @ x[i]) for theta, doubt in solutions]
        assert policy.bounds(state, given[i].context, given[i].facts) == pytest.approx(expected, rel=1e-5)
        predicted = [x[i] @ theta for theta, _ in solutions]
        assert policy.predict(state, given[i].context, given[i].facts) == pytest.approx(predicted, rel=1e-8)
        p = policy.distribution(state, given[i].context, given[i].facts)
        assert p[int(np.argmax(expected))] == 0.99


def test_what_was_never_missing_has_the_priors_doubt_when_it_is(told) -> None:
    policy = LinUcb(["a"], LinUcbParams(features=("context.x",), floor=0.0, ridge=4.0, exploration=1.0))
    state = policy.learn(None, [told([1.0], context={"x": float(i)}) for i in range(10)])
    assert state.arrays["seen"].tolist() == [0, 2]  # the number and the 1, not the flag
    doubt = policy.bounds(state, {}, {}) - policy.predict(state, {}, {})
    assert doubt == pytest.approx([math.sqrt(1 / 4 + 1 / 14)], rel=1e-6)


def test_prior_mean_is_expected_where_nothing_is_known(told) -> None:
    policy = LinUcb(["a", "b"], LinUcbParams(features=("context.x",), prior_mean=0.5, ridge=2.0))
    assert policy.predict(policy.initial(), {"x": 3.0}, {}).tolist() == [0.5, 0.5]
    state = policy.learn(None, [told([1.0, None])] * 2)
    # x is missing: its flag and the 1 share what is learned; V = 2 I + [[2, 2], [2, 2]], b = 2 (1 - 0.5) [1, 1].
    assert policy.predict(state, {}, {}) == pytest.approx([0.5 + 2 * 1 / 6, 0.5])


def test_large_offsets_cost_no_digits(told) -> None:
    rng = np.random.default_rng(1)
    x, r = rng.normal(size=200), rng.random(200)
    near, far = (
        LinUcb(["a"], LinUcbParams(features=("context.x",))).learn(
            None, [told([b], context={"x": offset + a}) for a, b in zip(x, r, strict=True)]
        )
        for offset in (0.0, 2.0**40)
    )
    assert far.arrays["weights"] == pytest.approx(near.arrays["weights"], abs=1e-3)


def test_a_first_value_that_is_far_off_is_forgotten_with_its_row(told) -> None:
    """Callers send the context: one absurd number must not spoil what comes long after it."""
    rng = np.random.default_rng(1)
    given = [told([float(x > 0), 0.5], context={"x": float(x)}) for x in rng.normal(size=600)]
    params = LinUcbParams(features=("context.x",), discount=0.9)
    spoiled, clean = (
        LinUcb(["a", "b"], params).learn(None, rows) for rows in ([told([1, 0], context={"x": 1e12})], given)
    )
    policy = LinUcb(["a", "b"], params)
    for begin in range(0, 600, 10):
        spoiled = policy.learn(spoiled, given[begin : begin + 10])
    for x in (-1.0, 2.0):
        assert policy.bounds(spoiled, {"x": x}, {}) == pytest.approx(policy.bounds(clean, {"x": x}, {}), abs=1e-3)


@pytest.mark.parametrize("params", [{}, {"discount": 0.5}, {"discount": 0.97}, {"half_life_s": 1.0}])
@pytest.mark.parametrize("cls", [LinUcb, LinThompson])
def test_no_number_breaks_it(told, cls, params) -> None:
    """Features of any size, times of any order, next to no ridge: probabilities stay probabilities."""
    rng = np.random.default_rng(0)
    policy = cls(["a", "b"], cls.Params(features=("context.x", "context.y"), ridge=1e-3, **params))
    for _ in range(6):
        state = policy.initial()
        for _ in range(15):
            scale = 10.0 ** rng.uniform(-20, 29, 2)
            x, y = (None if rng.random() < 0.2 else float(rng.normal() * each) for each in scale)
            p = policy.distribution(state, {"x": x, "y": y}, {})
            assert p.min() >= 0
            assert p.sum() == pytest.approx(1)
            arm = int(rng.random() > p[0])
            rewards = [float(rng.random()) if i == arm else None for i in range(2)]
            state = policy.learn(state, [told(rewards, arm, p, float(rng.normal() * 9), {"x": x, "y": y})])


def test_a_constant_feature_and_one_that_is_never_there_are_harmless(told) -> None:
    policy = LinUcb(["a", "b"], LinUcbParams(features=("context.same", "context.never")))
    state = policy.learn(None, [told([1, 0], context={"same": 5.0})] * 50)
    assert np.isfinite(state.arrays["weights"]).all()
    assert policy.distribution(state, {"same": 5.0}, {}).tolist() == [0.99, 0.01]


def test_shares_are_those_of_the_published_ensemble(told) -> None:
    given = rows(told)
    policy = LinThompson(["a", "b"], LinThompsonParams(**COMMON, draws=50, floor=0.1))
    policy.check()
    state = policy.learn(None, given)
    x = vectors(given, np.ones(len(given)))[3]
    members = state.arrays["ensemble"].reshape(50, 2, -1)
    share = np.mean(members[:, 1] @ x > members[:, 0] @ x)
    assert policy.distribution(state, given[3].context, given[3].facts)[1] == pytest.approx(0.1 + 0.8 * share)
    again = LinThompson(["a", "b"], policy.params).learn(None, given)
    assert np.array_equal(again.arrays["ensemble"], state.arrays["ensemble"])


@pytest.mark.parametrize("discount", [1.0, 0.95])
def test_the_ensemble_has_the_posteriors_mean_and_covariance(told, discount: float) -> None:
    given = rows(told)
    params = LinThompsonParams(**COMMON, draws=1000, exploration=0.5, discount=discount)
    state = LinThompson(["a", "b"], params).learn(None, given)
    weights = discount ** np.arange(len(given) - 1.0, -1.0, -1.0)
    members = state.arrays["ensemble"].reshape(1000, 2, -1)
    for arm in range(2):
        theta, doubt = solved(given, weights, arm, 1.0)
        spread = 0.5 * np.sqrt(np.diag(doubt))
        assert np.abs((members[:, arm].mean(0) - theta) / spread).max() < 4 / math.sqrt(1000)
        assert members[:, arm].std(0) / spread == pytest.approx(np.ones(len(theta)), abs=4 / math.sqrt(2000))
        correlation = np.corrcoef(members[:, arm].T)
        exact = 0.25 * doubt / np.outer(spread, spread)
        assert np.abs(correlation - exact).max() < 4.5 / math.sqrt(1000)


@pytest.mark.parametrize(
    "policy",
    [
        LinUcb(["a", "b"], LinUcbParams(features=("context.x",))),
        LinThompson(["a", "b"], LinThompsonParams(features=("context.x",))),
    ],
    ids=lambda policy: policy.kind,
)
def test_learns_which_strategy_is_for_whom(told, policy) -> None:
    """One is right for x > 0, the other for x < 0."""
    rng, state, right = np.random.default_rng(2), policy.initial(), []
    for x in rng.normal(3.0, 1.0, 300).tolist():
        p = policy.distribution(state, {"x": x}, {})
        arm = int(rng.random() >= p[0])
        reward = float(rng.random() < (0.9 if (arm == 0) == (x > 3.0) else 0.1))
        state = policy.learn(state, [told([reward if i == arm else None for i in range(2)], arm, p, context={"x": x})])
        right.append((arm == 0) == (x > 3.0))
    assert np.mean(right[-150:]) > 0.85


@pytest.mark.parametrize(
    ("params", "path"),
    [
        (LinThompsonParams(features=()), "features"),
        (LinThompsonParams(features=FEATURES, ridge=0.0), "ridge"),
        (LinThompsonParams(features=FEATURES, draws=0), "draws"),
        (LinThompsonParams(features=FEATURES, seed=-1), "seed"),
        (LinThompsonParams(features=FEATURES, exploration=math.nan), "exploration"),
    ],
)
def test_refuses_settings_that_make_no_sense(params: LinThompsonParams, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        LinThompson(["a", "b"], params).check()
    assert caught.value.path == path


def test_says_which_facts_it_looks_at() -> None:
    assert LinUcb(["a", "b"], LinUcbParams(**COMMON)).facts() == {"input.rows"}
