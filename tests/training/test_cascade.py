import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from quorate.codecs import state as state_codec
from quorate.core.calibrate.ece import of_answers
from quorate.core.calibrate.methods import calibrate, fit, strategy_of
from quorate.core.combine.cascade import Cascade
from quorate.core.plan.cascade import CascadePlan
from quorate.core.plan.trace import trace
from quorate.core.types import OutputSpec, State, Status
from quorate.errors import InvalidInput
from quorate.training.cascade import Fitting, Promise, fit_cascade, fit_with_way
from tests.training.cascades import CLASSES, COSTS, MEMBERS, fitted, pool


def served(state: State, outputs: Any, y: Any) -> tuple[float, float, Any]:
    """Accuracy, mean cost, and who was asked, through the plan and the combiner that serve."""
    ok = np.zeros(outputs.shape[:2], np.int8)
    found = trace(CascadePlan(state), outputs, ok)
    answer = Cascade().combine(outputs, found.status(ok), state)
    cost = found.asked @ np.array([state.meta["costs"][name] for name in state.meta["members"]])
    return float((answer.argmax(axis=1) == y).mean()), float(cost.mean()), found.asked


@pytest.mark.parametrize("cost", [1.5, 4.0, 9.0])
def test_what_is_served_is_what_was_expected(cost: float) -> None:
    outputs, y = pool(8000, 50)
    state = fitted(cost=cost)
    accuracy, spent, asked = served(state, outputs, y)
    expected = state.meta["expected"]
    assert expected["cost"] <= cost
    assert spent == pytest.approx(cost, rel=0.12)
    assert accuracy == pytest.approx(expected["accuracy"][0], abs=0.03)
    stages = [[MEMBERS.index(name) for name in stage] for stage in state.meta["stages"]]
    assert [asked[:, stage].any(axis=1).mean() for stage in stages] == pytest.approx(expected["reached"], abs=0.06)
    assert expected["reached"][0] == 1.0
    assert sorted(name for stage in state.meta["stages"] for name in stage) == sorted(MEMBERS)


@pytest.mark.parametrize("groups", [None, (("small",), ("middle", "large"))])
def test_what_a_stage_costs_besides_is_paid_for_each_and_makes_it_go_on_less(groups: Any) -> None:
    outputs, y = pool(800, 0)
    wish: dict[str, Any] = {"costs": COSTS, "stages": groups}
    free = Fitting(outputs, y, MEMBERS, CLASSES, COSTS, stages=groups)
    besides = Fitting(outputs, y, MEMBERS, CLASSES, COSTS, stages=groups, stage=3.0)
    sizes, further = free.where.sets.sum(axis=1), []
    for fitting in (free, besides):
        router, played = fitting.route(np.array([0.01]))
        further.append((sizes[played.final[:, 0]] > sizes[router.start[0].argmax()]).mean())
    assert 0.0 < further[1] < further[0] - 0.1, "at the same price another stage is less often worth it"
    state = fit_cascade(outputs, y, MEMBERS, CLASSES, stage=3.0, within={"cost": 8.0}, **wish)
    expected, stages = state.meta["expected"], state.meta["stages"]
    each = [3.0 + sum(COSTS[name] for name in stage) for stage in stages]
    assert expected["cost"] == pytest.approx(float(np.dot(expected["reached"], each)))
    assert 4.0 < expected["cost"] <= 8.0
    assert state.meta["stage"] == 3.0
    points = {point["kind"]: point["cost"] for point in state.meta["frontier"]}
    assert (points["cheapest"], points["all"]) == (1.0 + 3.0, 15.0 + 3.0)
    assert points["random"] == pytest.approx(expected["cost"])
    assert 4.0 <= points["oracle"] < points["all"]


def test_a_promise_of_cost_counts_the_stages() -> None:
    population, truth = pool(20_000, 99)
    outputs, y = pool(1500, 3)
    within = {"cost": 9.0, "risk": 0.1}
    state = fit_cascade(outputs, y, MEMBERS, CLASSES, costs=COSTS, stage=2.0, within=within)
    _, spent, asked = served(state, population, truth)
    stages = [[MEMBERS.index(name) for name in stage] for stage in state.meta["stages"]]
    count = sum(float(asked[:, stage].any(axis=1).mean()) for stage in stages)
    assert count > 1.02
    assert spent + 2.0 * count == pytest.approx(state.meta["expected"]["cost"], rel=0.05)
    assert spent < 7.0 < spent + 2.0 * count <= 9.0


def test_more_money_buys_accuracy_and_more_than_one_member_alone_does() -> None:
    outputs, y = pool(8000, 50)
    found = [served(fitted(cost=cost), outputs, y) for cost in (1.5, 4.0, 9.0)]
    assert found[0][0] < found[1][0] < found[2][0]
    alone = {name: (outputs[:, j].argmax(axis=1) == y).mean() for j, name in enumerate(MEMBERS)}
    assert found[1][0] > alone["middle"] + 0.01, "for what the middle one costs"
    assert found[2][0] > alone["large"] - 0.005, "for less than the large one costs"


def test_a_promise_of_accuracy_is_kept_on_rows_never_seen() -> None:
    """Thirty fits with a risk of one in five: those that fall short are no more than chance allows of it."""
    noise, names, costs = (1.3, 0.5), ("small", "large"), {"small": 1.0, "large": 10.0}
    population, truth = pool(10_000, 999, noise, k=2)
    risk, runs, broken, spent = 0.2, 30, 0, []
    promise = {"accuracy": 0.85, "risk": risk}
    for seed in range(runs):
        outputs, y = pool(240, 10_000 + seed, noise, k=2)
        try:
            state = fit_cascade(outputs, y, names, ("a", "b"), costs=costs, at_least=promise, held=0.5, seed=seed)
        except InvalidInput:
            continue  # nothing was promised
        accuracy, cost, _ = served(state, population, truth)
        broken += accuracy < promise["accuracy"]
        spent.append(cost)
    assert len(spent) > runs / 2
    assert np.mean(spent) < 0.9 * sum(costs.values()), "it does not just ask everybody"
    assert broken <= binom.ppf(0.999, runs, risk), broken


def test_a_promise_of_cost_with_a_risk_is_kept_too() -> None:
    population, truth = pool(10_000, 999)
    outputs, y = pool(900, 1)
    wish = {"cost": 6.0, "risk": 0.05}
    state = fit_cascade(outputs, y, MEMBERS, CLASSES, costs=COSTS, within=wish, seed=1)
    _, spent, _ = served(state, population, truth)
    assert spent <= 6.0
    assert spent > 3.0
    assert state.meta["promise"] == wish


def test_what_cannot_be_promised_is_not() -> None:
    outputs, y = pool(300, 1)
    with pytest.raises(InvalidInput, match=r"an accuracy of 0\.999 cannot be promised at risk 0\.05"):
        fit_cascade(outputs, y, MEMBERS, CLASSES, costs=COSTS, at_least={"accuracy": 0.999, "risk": 0.05})
    with pytest.raises(InvalidInput, match=r"held to a cost of 0\.5 a row; the cheapest costs 1"):
        fit_cascade(outputs, y, MEMBERS, CLASSES, costs=COSTS, within={"cost": 0.5})
    with pytest.raises(InvalidInput, match="needs held-out rows"):
        Fitting(outputs, y, MEMBERS, CLASSES, COSTS).state(Promise("accuracy", 0.5, 0.1))


def test_its_way_through_held_out_rows_is_what_is_expected_of_it() -> None:
    outputs, y = pool(800, 0)
    wish: Any = {"costs": COSTS, "within": {"cost": 4.0}, "seed": 0}
    state, way = fit_with_way(outputs, y, MEMBERS, CLASSES, **wish)
    asked = way.status == int(Status.OK)
    assert {tuple(row) for row in asked.tolist()} <= {tuple(row) for row in state.arrays["subsets"].tolist()}
    spent = asked @ np.array([COSTS[name] for name in MEMBERS])
    assert spent.mean() == pytest.approx(state.meta["expected"]["cost"])
    assert (way.answers.argmax(axis=1) == y).mean() == pytest.approx(state.meta["expected"]["accuracy"][0])
    np.testing.assert_allclose(way.answers.sum(axis=1), 1.0, atol=1e-5)
    # Cross-fitted: it does less well there than the cascade that has seen these rows.
    own = trace(CascadePlan(state), outputs, np.zeros(outputs.shape[:2], np.int8))
    seen = Cascade().combine(outputs, own.status(np.zeros(outputs.shape[:2], np.int8)), state)
    likely = [np.log(each[np.arange(800), y]).mean() for each in (way.answers, seen)]
    assert likely[0] < likely[1]


def test_rows_that_only_test_a_promise_go_the_way_of_the_cascade_as_it_is() -> None:
    outputs, y = pool(900, 1)
    wish: Any = {"costs": COSTS, "within": {"cost": 6.0, "risk": 0.05}, "seed": 1}
    state, way = fit_with_way(outputs, y, MEMBERS, CLASSES, **wish)
    ok = np.zeros(outputs.shape[:2], np.int8)
    status = trace(CascadePlan(state), outputs, ok).status(ok)
    answer = Cascade().combine(outputs, status, state)
    same = (status == way.status).all(axis=1) & (np.abs(answer - way.answers) < 1e-5).all(axis=1)
    tests = np.sort(np.random.default_rng(1).permutation(900)[:270])
    assert same[tests].all()
    assert not same.all()  # the others were answered by what was not fitted on them


def mixed(n: int, seed: int) -> tuple[Any, Any]:
    """Of 31 classes, so that combiners have no corrections: half of what members say is far too sure, and nothing but
    how sure it is tells which half. So the rows that stop early are those that are too sure."""
    rng = np.random.default_rng(seed)
    y, found = rng.integers(31, size=n), []
    for signal in (2.2, 3.2):
        z = rng.normal(size=(n, 31))
        z[np.arange(n), y] += signal
        steep = np.where(rng.random(n) < 0.5, 6.0, 1.0)[:, None]
        scores = np.exp(steep * signal * (z - z.max(axis=1, keepdims=True)))
        found.append(scores / scores.sum(axis=1, keepdims=True))
    return np.stack(found, axis=1).astype(np.float32), y


def test_a_calibration_on_its_own_way_lowers_the_error_of_what_it_answers_in_the_end() -> None:
    outputs, y = mixed(1500, 0)
    names, classes = ("small", "large"), tuple(f"c{i}" for i in range(31))
    fitting = Fitting(outputs, y, names, classes, {"small": 1.0, "large": 8.0})
    state, way = fitting.state(Promise("cost", 4.0)), fitting.way(Promise("cost", 4.0))
    fresh, truth = mixed(5000, 77)
    ok = np.zeros(fresh.shape[:2], np.int8)
    status = trace(CascadePlan(state), fresh, ok).status(ok)
    plain = Cascade().combine(fresh, status, state)
    about = strategy_of(Cascade(), names)
    made = [fit("temperature", way.answers, y, classes, about, each) for each in (None, way.status)]
    pooled, by_set = (calibrate(plain, each, status) for each in made)
    before, common, after = (of_answers(each, truth) for each in (plain, pooled, by_set))
    assert before is not None
    assert common is not None
    assert after is not None
    assert before.error.low > 0.05
    assert after.error.value < 0.8 * before.error.value
    assert after.error.value < common.error.value
    np.testing.assert_array_equal(by_set.argmax(axis=1), plain.argmax(axis=1))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "one of at_least"),
        ({"at_least": {"accuracy": 0.9, "risk": 0.1}, "within": {"cost": 3.0}}, "one of at_least"),
        ({"at_least": {"accuracy": 0.9}}, r"expected at_least: \{accuracy, risk\}; got \{accuracy\}"),
        ({"within": {"cost": 3.0, "accuracy": 0.9}}, r"expected within: \{cost, risk \(optional\)\}"),
        ({"at_least": {"accuracy": 90, "risk": 0.1}}, "'accuracy' is a share between 0 and 1; got 90"),
        ({"within": {"cost": 0.0}}, "'cost' must be above 0"),
        ({"within": {"cost": 3.0}, "unit": "euro"}, "'cost' or 'ms'"),
        ({"within": {"cost": 3.0}, "costs": {"small": 1.0}}, "a cost for each of the members"),
        ({"within": {"cost": 3.0}, "costs": dict.fromkeys(MEMBERS, 0.0)}, "with one above 0"),
        ({"within": {"cost": 3.0}, "stages": [["small"], ["large"]]}, "name each of the members"),
        ({"within": {"cost": 3.0}, "stage": -0.5}, "'stage' is a cost"),
        ({"within": {"cost": 3.0, "risk": 0.1}, "held": 1.0}, "'held' is a share"),
        ({"within": {"cost": 3.0, "risk": 0.1}, "held": 0.01}, "needs 50 rows"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: Any, sentence: str) -> None:
    outputs, y = pool(200, 1)
    with pytest.raises(InvalidInput, match=sentence):
        fit_cascade(outputs, y, MEMBERS, CLASSES, **({"costs": COSTS} | settings))


def test_too_many_members_must_be_grouped() -> None:
    outputs, y = pool(120, 1, noise=[1.0] * 7)
    names, costs = [f"m{j}" for j in range(7)], {f"m{j}": 1.0 for j in range(7)}
    with pytest.raises(InvalidInput, match="at most 6 members or groups"):
        fit_cascade(outputs, y, names, CLASSES, costs=costs, within={"cost": 3.0})
    stages = [names[:2], names[2:4], names[4:]]
    state = fit_cascade(outputs, y, names, CLASSES, costs=costs, within={"cost": 5.0}, stages=stages)
    Cascade().check(names, OutputSpec("scores", CLASSES), state)
    _, _, asked = served(state, outputs, y)
    for stage in stages:
        inside = asked[:, [names.index(name) for name in stage]]
        assert (inside.all(axis=1) == inside.any(axis=1)).all(), "a group is asked whole"


def test_the_same_rows_give_the_same_state_and_it_travels_as_files() -> None:
    outputs, y = pool(300, 2)
    once, again = (
        fit_cascade(outputs, y, MEMBERS, CLASSES, costs=COSTS, within={"cost": 4.0}, unit="ms", seed=3)
        for _ in range(2)
    )
    assert state_codec.encode(once) == state_codec.encode(again)
    read = state_codec.decode(state_codec.encode(once))
    Cascade().check(MEMBERS, OutputSpec("scores", CLASSES), read)
    assert served(read, outputs, y)[:2] == served(once, outputs, y)[:2]
    assert read.meta["unit"] == "ms"
    assert read.meta["rows"] == 300


def test_on_digits_a_cascade_is_as_good_as_the_costliest_member_for_a_fraction() -> None:
    """scikit-learn's digits: a stump, a linear model and a support vector machine, probabilities out of fold."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = load_digits(return_X_y=True)
    models = {
        "bayes": GaussianNB(var_smoothing=1e-2),
        "line": make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200)),
        "near": KNeighborsClassifier(5),
    }
    outputs = np.stack([cross_val_predict(m, x, y, cv=4, method="predict_proba") for m in models.values()], axis=1)
    order = np.random.default_rng(0).permutation(len(y))
    fit, test = order[:1100], order[1100:]
    costs = {"bayes": 1.0, "line": 3.0, "near": 50.0}
    classes = [str(c) for c in range(10)]
    outputs = outputs.astype(np.float32)
    state = fit_cascade(outputs[fit], y[fit], list(models), classes, costs=costs, within={"cost": 12.0})
    accuracy, spent, _ = served(state, outputs[test], y[test])
    dearest = (outputs[test, 2].argmax(axis=1) == y[test]).mean()
    assert spent < 0.3 * costs["near"]
    assert accuracy > dearest - 0.01
    assert math.isfinite(spent)
