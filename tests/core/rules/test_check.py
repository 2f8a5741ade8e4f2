import pytest

from quorate.core.rules.check import check
from quorate.core.rules.parse import parse
from quorate.errors import ConfigError


@pytest.mark.parametrize(
    "text",
    [
        "context.vip",
        "context.age > 40 and context.tier == 'gold' and context.new != true",
        "input.rows / input.bytes % 7 < min(1, context.x)",
        "input.kind in ['image'] or not member.svm.healthy",
        "context.tier == null and null != drift.state",
        "default(context.age, 3) > 2 and default(drift.state, 'stable') == 'stable'",
        "number(context.age) >= 18 and len(lower(context.name)) > 2",
        "startswith(context.path, '/eu') or matches(context.region, 'eu-*') or contains(input.kind, 'a')",
        "missing(input.distance)",
        "1 < 2",
    ],
)
def test_what_means_something(text):
    check(parse(text), "policy")


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("input.row > 1", 1, "there is no fact 'input.row'"),
        ("1 < input.row", 5, "did you mean 'input.rows'?"),
        ("rows > 1", 1, "expected context.KEY or one of"),
        ("context > 1", 1, "name a key"),
        ("input.rows", 1, "a condition needs a boolean; got a number"),
        ("not input.rows", 5, "'not' needs a boolean"),
        ("true and input.kind", 10, "'and' needs a boolean; got text"),
        ("input.kind > 3", 1, "'>' needs a number; got text"),
        ("input.kind < 'm'", 1, "'<' needs a number"),
        ("input.kind == 3", 1, "text and a number are never equal"),
        ("input.rows in ['a']", 1, "a number is never in a list of texts"),
        ("context.a in [1, 'a']", 14, "have one type"),
        ("input.kind + 1 > 2", 1, "'+' needs a number"),
        ("-input.kind == 1", 2, "'-' needs a number"),
        ("context.a > null", 1, "'==' and '!=' only"),
        ("null == null", 1, "'==' and '!=' only"),
        ("missing(null)", 9, "null is only compared with"),
        ("sqrt(2) > 1", 1, "there is no function 'sqrt'"),
        ("min(1) > 0", 1, "takes 2 or more arguments; got 1"),
        ("missing(context.a, context.b)", 1, "takes 1 arguments; got 2"),
        ("len(input.rows) > 1", 5, "'len' needs text; got a number"),
        ("number(member.a.healthy) > 1", 8, "'number' needs text"),
        ("matches(context.a, context.b)", 20, "text in quotes"),
        ("default(input.rows, 'a') == 'a'", 1, "both must have one type"),
        ("member.svm.health", 1, "there is no fact"),
    ],
)
def test_what_cannot_mean_anything_is_an_error_at_its_column(text, column, says):
    with pytest.raises(ConfigError) as caught:
        check(parse(text), "policy")
    assert caught.value.message.startswith(f"column {column}: ")
    assert says in caught.value.message


def test_a_front_knows_the_input_but_no_pool_of_its_own():
    check(parse("input.kind == 'image' and endpoint.digits.in_flight < 9"), "front")
    check(parse("input.missing > 0.5 and image.sharpness < 0.1 and endpoint.digits.distance > 3"), "front")
    for text in ("input.distance > 3", "member.svm.healthy", "load.queue_ms > 1"):
        with pytest.raises(ConfigError, match="is not known to a front, which has no pool of its own"):
            check(parse(text), "front")
    with pytest.raises(ConfigError, match="not known to an endpoint's own policy"):
        check(parse("endpoint.digits.healthy"), "policy")
