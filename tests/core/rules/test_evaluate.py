import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.rules.check import check
from quorate.core.rules.evaluate import compiled, matches
from quorate.core.rules.parse import parse
from quorate.core.rules.trace import trace


def value(text, context=None, facts=None):
    node = parse(text)
    check(node, "policy")
    return compiled(node)(context or {}, facts or {})


@pytest.mark.parametrize(
    ("text", "context", "expected"),
    [
        ("context.a > 1", {"a": 2}, True),
        ("context.a > 1", {"a": 1}, False),
        ("context.a > 1", {}, None),
        ("context.a > 1", {"a": None}, None),
        ("context.a > 1", {"a": "2"}, None),
        ("context.a > 1", {"a": True}, None),
        ("context.a > 1", {"a": math.nan}, None),
        ("context.a < 1", {"a": -math.inf}, None),
        ("context.a == 1", {"a": 1.0}, True),
        ("context.a == 1", {"a": True}, None),
        ("context.a != 'x'", {"a": 1}, None),
        ("context.a == 9007199254740993", {"a": 9007199254740992}, False),
        ("1 < context.a <= 3", {"a": 3}, True),
        ("1 < context.a <= 3", {"a": 1}, False),
        ("context.a", {"a": True}, True),
        ("context.a", {"a": 1}, 1),
        ("not context.a", {"a": 1}, None),
        ("not context.a", {"a": False}, True),
        ("context.a in [1, 2]", {"a": 2.0}, True),
        ("context.a in [1, 2]", {"a": True}, None),
        ("context.a not in ['x']", {"a": "y"}, True),
        ("context.a not in ['x']", {}, None),
        ("context.a == null", {}, True),
        ("context.a == null", {"a": math.nan}, True),
        ("context.a != null", {"a": 0}, True),
        ("missing(context.a)", {"a": 0}, False),
        ("missing(1 / context.a)", {"a": 0}, True),
        ("default(context.a, 5) > 4", {}, True),
        ("default(context.a, 5) > 4", {"a": 1}, False),
        ("default(context.a, 5) > 4", {"a": "x"}, None),
        ("1 / context.a > 0", {"a": 0}, None),
        ("5 % context.a == 1", {"a": 0}, None),
        ("5 % context.a == 1", {"a": 4}, True),
        ("context.a * context.a > 1", {"a": 1e200}, None),
        ("context.a * 1e300 > 1", {"a": 9 * 10**18}, None),
        ("abs(-context.a) == 2 and max(context.a, 1, 3) == 3", {"a": 2}, True),
        ("min(context.a, 1) == 1", {"a": "x"}, None),
        ("number(context.a) > 40", {"a": "41.5"}, True),
        ("number(context.a) > 40", {"a": "nan"}, None),
        ("number(context.a) > 40", {"a": "4_1"}, None),
        ("len(context.a) == 3", {"a": "abc"}, True),
        ("len(context.a) == 3", {"a": 3}, None),
        ("lower(context.a) == 'ab'", {"a": "AB"}, True),
        ("startswith(context.a, 'x') or endswith(context.a, 'z')", {"a": "yz"}, True),
        ("contains(context.a, 'y')", {"a": "xyz"}, True),
        ("matches(context.a, 'a*c')", {"a": "abc"}, True),
        # Kleene's tables
        ("context.u > 1 and context.f", {"f": False}, False),
        ("context.u > 1 and context.t", {"t": True}, None),
        ("context.u > 1 or context.t", {"t": True}, True),
        ("context.u > 1 or context.f", {"f": False}, None),
        ("not (context.u > 1)", {}, None),
    ],
)
def test_values(text, context, expected):
    found = value(text, context)
    assert found == expected
    assert type(found) is type(expected)


def test_facts_and_context_are_apart():
    assert value("input.rows > 1", {"input.rows": 5}, {"input.rows": 1}) is False
    assert value("context.rows > 1", {"rows": 5}, {"rows": 1}) is True


@given(st.text("ab", max_size=8), st.text("ab*", max_size=6))
def test_patterns_mean_what_a_regular_expression_with_dot_star_means(text, pattern):
    import re

    expected = re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), text) is not None
    assert matches(text, pattern) == expected


@pytest.mark.parametrize(
    ("text", "context", "why"),
    [
        ("context.a > 1", {}, "context.a is not in the context"),
        ("context.a > 1", {"a": math.nan}, "context.a is nan, which is no number to compute with"),
        ("input.distance > 1", {}, "input.distance is not known"),
        ("1 / context.a > 0 and true", {"a": 0}, "division by zero"),
        ("context.a * 1e300 > 0", {"a": 1e300}, "the result is too large"),
        ("context.a > 1", {"a": "x"}, "'>' cannot compare text with a number"),
        ("len(context.a) > 1", {"a": 5}, "'len' can do nothing with 5"),
        ("context.a in ['x']", {"a": True}, "it can do nothing with true"),
        ("not context.a", {"a": "x"}, "it can do nothing with 'x'"),
    ],
)
def test_what_is_unknown_says_why(text, context, why):
    found = trace(parse(text), text, context, {})
    assert found.value is None
    assert found.why == why


def test_a_trace_has_every_part_with_its_value():
    text = "context.a > 1 and not (input.rows in [5])"
    found = trace(parse(text), text, {"a": 2}, {"input.rows": 5})
    assert [(depth, part.text, part.value) for depth, part in found.flat()] == [
        (0, text, False),
        (1, "context.a > 1", True),
        (2, "context.a", 2),
        (1, "not (input.rows in [5])", False),
        (2, "(input.rows in [5])", True),
        (3, "input.rows", 5),
    ]
