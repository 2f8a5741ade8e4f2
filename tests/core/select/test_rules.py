import pytest

from quorate.core.select.rules import Rule, Rules, RulesParams
from quorate.errors import ConfigError


def rules(*pairs, otherwise="a"):
    return Rules(["a", "b", "c"], RulesParams(tuple(Rule(*pair) for pair in pairs), otherwise))


def test_the_first_rule_that_is_true_decides():
    policy = rules(("context.x > 1", "b"), ("context.x > 0", {"b": 1, "c": 3}), otherwise={"a": 1, "b": 1})
    given = [(2, [0, 1, 0], 0), (1, [0, 0.25, 0.75], 1), (0, [0.5, 0.5, 0], None), (None, [0.5, 0.5, 0], None)]
    for x, expected, fired in given:
        assert policy.distribution(None, {"x": x}, {}).tolist() == expected
        assert policy.fired({"x": x}, {}) == fired


def test_it_looks_at_the_facts_its_conditions_name():
    policy = rules(("input.rows > 3 and context.tier == 'gold'", "b"), ("member.svm.healthy", "c"))
    assert policy.facts() == {"input.rows", "member.svm.healthy"}
    assert policy.ruleset.keys == {"tier"}


def test_huge_weights_do_not_overflow():
    assert rules(("true", {"a": 1e308, "b": 1e308})).distribution(None, {}, {}).tolist() == [0.5, 0.5, 0]


@pytest.mark.parametrize(
    ("policy", "path", "says"),
    [
        (rules(), "rules", "there is no rule"),
        (rules(("true", "d")), "rules[0].use", "no strategy 'd'"),
        (rules(("true", "a"), ("true", {"a": 1, "d": 1})), "rules[1].use.d", "no strategy 'd'"),
        (rules(("true", {"a": -1})), "rules[0].use.a", ">= 0; got -1"),
        (rules(("true", {"a": float("nan")})), "rules[0].use.a", ">= 0; got nan"),
        (rules(("true", {"a": 0})), "rules[0].use", "weight above 0"),
        (rules(("true", "a"), otherwise="d"), "otherwise", "no strategy 'd'"),
        (rules(("true", "a"), ("input.row > 1", "a")), "rules[1].when", "column 1: there is no fact 'input.row'"),
        (rules(*[("true", "a")] * 65), "rules", "at most 64"),
    ],
)
def test_what_is_wrong_says_where(policy, path, says):
    with pytest.raises(ConfigError) as caught:
        policy.check()
    assert caught.value.path == path
    assert says in caught.value.message
