import numpy as np
import pytest

from quorate.codecs.snapshot import PolicyRoute, StrategyRoute
from quorate.errors import Forbidden, InvalidInput, NotFound
from quorate.serving.cost import Cost
from quorate.serving.endpoint import reserve
from quorate.serving.strategy import LoadedStrategy

MEAN = StrategyRoute("average", "mean", ("a", "b", "c"), 2)
BEST = StrategyRoute("best", "single", ("b",), 1)
SPLIT = PolicyRoute("split", {"weights": {"average": 3, "best": 1}})


@pytest.fixture
def pool(house):
    return house.pool(a=house.inline(0.2), b=house.inline(0.4), c=house.inline(0.9))


def test_a_strategy_sees_only_its_own_columns_in_its_own_order(house, pool):
    strategy = LoadedStrategy(StrategyRoute("pair", "mean", ("c", "a"), 1), pool, None)
    execution = house.execution(pool)
    assert strategy.next(execution) == [2, 0]
    house.ran(execution, [2, 0])
    assert strategy.next(execution) == []
    assert strategy.answer(execution)[0].tolist() == pytest.approx([0.45, 0.55])


def test_an_answer_needs_the_quorum_in_every_row(house):
    def half(tensors):
        return np.array([[0.5, 0.5], [np.nan, np.nan]], np.float32)

    pool = house.pool(a=house.inline(half), b=house.inline(0.4), c=house.inline(lambda t: 1 / 0))
    execution = house.execution(pool, rows=2)
    house.ran(execution, [0, 1, 2])
    two = LoadedStrategy(MEAN, pool, None)
    assert two.answer(execution) is None
    assert two.hopeless(execution)
    assert two.missing(execution) == ("a", "c")
    one = LoadedStrategy(StrategyRoute("average", "mean", ("a", "b", "c"), 1), pool, None)
    assert not one.hopeless(execution)
    assert one.answer(execution)[:, 1].tolist() == pytest.approx([0.45, 0.4])


def test_members_that_were_skipped_are_not_missing(house, pool):
    execution = house.execution(pool)
    house.ran(execution, [1])
    assert LoadedStrategy(MEAN, pool, None).missing(execution) == ()


def test_a_strategy_whose_state_was_lost_is_hopeless_from_the_start(house, pool):
    route = StrategyRoute("stack", "stack", ("a", "b", "c"), 1, state={"state.json": "digest"})
    strategy = LoadedStrategy(route, pool, None)
    execution = house.execution(pool)
    house.ran(execution, [0, 1, 2])
    assert strategy.hopeless(execution)
    assert strategy.answer(execution) is None


def test_the_policy_draws_with_the_uniform_number(house, pool):
    endpoint = house.endpoint(pool, [MEAN, BEST], SPLIT)
    low, high = endpoint.choose(None, {}, lambda: 0.74), endpoint.choose(None, {}, lambda: 0.76)
    assert (low.strategy.name, high.strategy.name) == ("average", "best")
    assert low.propensities == (0.75, 0.25)
    assert (low.source, low.unit) == ("policy", None)


def test_sticky_assignment_depends_on_the_unit_only(house, pool):
    policy = PolicyRoute("split", {"weights": {"average": 1, "best": 1}}, sticky="user")
    endpoint = house.endpoint(pool, [MEAN, BEST], policy)
    chosen = {
        user: {endpoint.choose(None, {"user": user}, lambda u=uniform: u).strategy.name for uniform in (0.0, 0.5, 0.99)}
        for user in ("ann", "bob", "cid", "dan", "eve", "fay")
    }
    assert all(len(names) == 1 for names in chosen.values())
    assert len(set.union(*chosen.values())) == 2
    assert endpoint.choose(None, {"user": "ann"}, lambda: 0.1).unit == "ann"
    for context in ({}, {"user": None}):
        with pytest.raises(InvalidInput) as caught:
            endpoint.choose(None, context, lambda: 0.1)
        assert caught.value.path == "context.user"


def test_the_caller_may_choose_only_where_it_says_so(house, pool):
    allowed = house.endpoint(pool, [MEAN, BEST], SPLIT, caller_may_choose=True)
    choice = allowed.choose("best", {}, lambda: 0.0)
    assert (choice.strategy.name, choice.source, choice.propensities) == ("best", "caller", (0.0, 1.0))
    with pytest.raises(NotFound, match="average, best") as missing:
        allowed.choose("worst", {}, lambda: 0.0)
    assert missing.value.path == "options.strategy"
    with pytest.raises(Forbidden):
        house.endpoint(pool, [MEAN, BEST], SPLIT).choose("best", {}, lambda: 0.0)


def test_the_caller_may_choose_a_member_which_answers_alone(house, pool):
    endpoint = house.endpoint(pool, [MEAN, BEST], SPLIT, caller_may_choose=True)
    choice = endpoint.choose("c", {}, lambda: 0.0)
    assert (choice.strategy.name, choice.source, choice.propensities) == ("c", "caller", (0.0, 0.0))
    assert (choice.strategy.members, choice.strategy.quorum) == (("c",), 1)
    assert endpoint.strategy("c") is choice.strategy
    execution = house.execution(pool)
    house.ran(execution, choice.strategy.next(execution))
    assert choice.strategy.answer(execution)[0].tolist() == pytest.approx([0.1, 0.9])
    assert "c" not in endpoint.names
    with pytest.raises(NotFound, match="members: a, b, c"):
        endpoint.choose("d", {}, lambda: 0.0)
    blind = house.endpoint(pool, [MEAN, BEST], PolicyRoute("split", SPLIT.params, blind=True), caller_may_choose=True)
    for refusing in (blind, house.endpoint(pool, [MEAN, BEST], SPLIT)):
        with pytest.raises(Forbidden):
            refusing.choose("c", {}, lambda: 0.0)


def test_a_strategy_comes_before_a_member_of_its_name(house, pool):
    endpoint = house.endpoint(pool, [StrategyRoute("c", "mean", ("a", "b"), 1), BEST], caller_may_choose=True)
    assert endpoint.choose("c", {}, lambda: 0.0).strategy.members == ("a", "b")


def test_the_caller_never_chooses_on_a_blind_endpoint(house, pool):
    policy = PolicyRoute("split", {"weights": {"average": 1, "best": 1}}, blind=True)
    endpoint = house.endpoint(pool, [MEAN, BEST], policy, caller_may_choose=True)
    with pytest.raises(Forbidden, match="blind"):
        endpoint.choose("best", {}, lambda: 0.0)


def test_the_reserve_is_twice_the_fallbacks_cost_and_a_quarter_at_most(house, pool):
    pool.members[1].unit.cost = Cost(10.0, 1.0)
    fallback = [LoadedStrategy(BEST, pool, None)]
    assert reserve([], pool, 1, 1.0) == 0.0
    assert reserve(fallback, pool, 5, 1.0) == pytest.approx(0.032)
    assert reserve(fallback, pool, 5, 0.1) == pytest.approx(0.025)


def test_members_that_two_fallbacks_share_are_reserved_for_once(house, pool):
    for member in pool.members:
        member.unit.cost = Cost(10.0, 0.0)
    fallback = [LoadedStrategy(route, pool, None) for route in (BEST, MEAN)]
    assert reserve(fallback, pool, 1, 1.0) == pytest.approx(0.062)
