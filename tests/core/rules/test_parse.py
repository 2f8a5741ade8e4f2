import pytest

from quorate.core.rules.lexer import MAX_LENGTH, tokens
from quorate.core.rules.parse import MAX_DEPTH, MAX_NODES, parse
from quorate.core.rules.syntax import Compare, Conjunction, Name, Value
from quorate.core.rules.written import written
from quorate.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("1 + 2 * 3 < 4", "(1 + (2 * 3)) < 4"),
        ("(1 + 2) * 3 < 4", "((1 + 2) * 3) < 4"),
        ("7 - 2 - 1 == 4", "((7 - 2) - 1) == 4"),
        ("-context.a < -2", "(-context.a) < -2"),
        ("1 < context.a <= 3", "(1 < context.a) and (context.a <= 3)"),
        ("not context.a or context.b and context.c", "(not context.a) or (context.b and context.c)"),
        ("context.a not in [1, -2.5]", "context.a not in [1, -2.5]"),
        ("context.tier in ['gold', \"it's\"]", 'context.tier in ["gold", "it\'s"]'),
        ('context["user-id"] == null', "context.user-id == null"),
        ('member["cnn.v2"].healthy', "member.cnn.v2.healthy"),
        ("member.cnn.v2.healthy", "member.cnn.v2.healthy"),
        ("member.bag-2.healthy and endpoint.3d-api.healthy", "member.bag-2.healthy and endpoint.3d-api.healthy"),
        ("member.a.latency_ms-member.b-c.latency_ms > 1", "(member.a.latency_ms - member.b-c.latency_ms) > 1"),
        ("context.member.a-b.c > 1", "(context.member.a - b.c) > 1"),
        ("min(input.rows, 5,1e3) > .5", "min(input.rows, 5, 1000.0) > 0.5"),
        (r'context.a == "a \"quoted\" \\ one"', r'context.a == "a \"quoted\" \\ one"'),
        ("context.in == true", "context.in == true"),
    ],
)
def test_precedence_and_forms(text, means):
    assert written(parse(text)) == means


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 1, "got the end"),
        ("context.a >", 12, "got the end"),
        ("context.a = 3", 11, "did you mean '=='?"),
        ("context.a && true", 11, "did you mean 'and'?"),
        ("context.a == 'x", 14, "does not end"),
        ("(context.a", 11, "parenthesis of column 1"),
        ("context.a) ", 10, "expected an operator or the end"),
        ("context.a in 3", 14, "expected '[' after 'in'"),
        ("context.a in []", 15, "numbers, texts, true and false"),
        ("context.a in [context.b]", 15, "numbers, texts, true and false"),
        ("context.a not 3", 15, "expected 'in' after 'not'"),
        ("context['a'", 12, "expected ']'"),
        ("context[a]", 9, "name in quotes"),
        ("context. == 1", 10, "expected a name after '.'"),
        ("3x < 1", 1, "neither a number nor a name"),
        ("1e999 < 2", 1, "too large"),
        ("1234567890123456789 < 2", 1, "18 digits"),
        ("min(1 2)", 7, "expected ','"),
        ("context.a ; 1", 11, "no meaning"),
    ],
)
def test_what_is_wrong_has_its_column(text, column, says):
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.message.startswith(f"column {column}: ")
    assert says in caught.value.message


def test_length_size_and_depth_are_bounded():
    for text, says in (
        ("1 <" + " " * MAX_LENGTH + "2", "at most 2000 characters"),
        (" + ".join(["1"] * (MAX_NODES + 1)) + " > 1", "at most 200 names"),
        ("(" * (MAX_DEPTH + 1) + "true" + ")" * (MAX_DEPTH + 1), "at most 32 deep"),
        ("not " * (MAX_DEPTH + 1) + "true", "at most 32 deep"),
        ("-" * (MAX_DEPTH + 1) + "1 < 2", "at most 32 deep"),
        ("abs(" * (MAX_DEPTH + 1) + "1", "at most 32 deep"),
        (f"context.a in [{', '.join(['1'] * 300)}]", "at most 200 values"),
    ):
        with pytest.raises(ConfigError, match=says):
            parse(text)
    assert parse("(" * MAX_DEPTH + "true" + ")" * MAX_DEPTH) == Value(0, 68, True)


def test_nodes_know_their_place():
    node = parse("context.a > 1 and input.rows < 2")
    assert isinstance(node, Conjunction)
    second = node.parts[1]
    assert isinstance(second, Compare)
    assert (second.start, second.stop) == (18, 32)
    assert second.left == Name(18, 28, "input.rows")


def test_text_in_quotes_is_never_a_word_or_sign():
    assert [token.kind for token in tokens("'and' '<'")] == ["text", "text", "end"]
    with pytest.raises(ConfigError, match="expected an operator"):
        parse("context.a 'and' context.b")
