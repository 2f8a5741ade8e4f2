"""YAML to data: types as in YAML 1.2, a line for every setting, bounds, and nothing that executes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.spec.document import MAX_BYTES, MAX_DEPTH, MAX_NODES, parse
from quorate.spec.problems import ConfigProblems


def _problem(text: str | bytes) -> tuple[int | None, str]:
    with pytest.raises(ConfigProblems) as caught:
        parse(text, "quorate.yaml")
    assert str(caught.value).startswith("quorate.yaml:") or caught.value.line is None
    return caught.value.line, caught.value.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-02", "2024-01-02"),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("3.", 3.0),
        ("-.inf", float("-inf")),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("!!int '12'", 12),
        ("bag:3", "bag:3"),
        ("=", "="),
    ],
)
def test_scalars(text: str, value: object) -> None:
    data, _ = parse(f"a: {text}")
    assert data == {"a": value}
    assert type(data["a"]) is type(value)


def test_every_setting_has_its_line() -> None:
    text = "# first\npools:\n  digits:\n    members: [a,\n      b]\n\nserver: {port: 1}\n"
    _, origin = parse(text)
    assert origin.lines[("pools",)] == 2
    assert origin.lines[("pools", "digits", "members", 0)] == 4
    assert origin.lines[("pools", "digits", "members", 1)] == 5
    assert origin.lines[("server", "port")] == 7


def test_an_alias_is_the_value_it_names() -> None:
    data, _ = parse("a: &x {k: [1, 2]}\nb: *x\n")
    assert data == {"a": {"k": [1, 2]}, "b": {"k": [1, 2]}}
    assert data["a"] is not data["b"]


def test_all_duplicate_keys_are_named() -> None:
    with pytest.raises(ConfigProblems) as caught:
        parse("a: 1\nb: {x: 1, x: 2}\na: 3\n", "quorate.yaml")
    assert [(p.line, p.message) for p in caught.value.problems] == [
        (2, "'x' is set twice in b, first in line 2; remove one of them."),
        (3, "'a' is set twice in the top level, first in line 1; remove one of them."),
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: [1,\nb: {", 2, "not valid YAML"),
        ("a: 1\n\tb: 2", 2, "not valid YAML"),
        ("a: 1\n---\nb: 2", 2, "not valid YAML"),
        ("a: *nothing", 1, "not valid YAML"),
        ("a: 1\nb: \x07", 2, "not allowed"),
        (b"a: 1\nb: \xff", 2, "UTF-8"),
        ("a: 1\n1: 2", 2, "keys are text"),
        ("a: 1\n? [x]\n: 2", 2, "keys are text"),
        ("a: 1\n<<: {b: 1}", None, None),
        ("a: 1\nb: !!int x", 2, "tagged as int"),
        ("a: !!python/object/apply:os.system [id]", 1, "has the tag"),
        ("a: !!python/name:os.system ''", 1, "has the tag"),
        ("a: !local x", 1, "has the tag"),
        ("a: !!binary aGk=", 1, "has the tag"),
        ("a: !!set {x, y}", 1, "has the tag"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str | bytes, line: int | None, words: str | None) -> None:
    if words is None:  # a merge key is a plain key here, which no section knows
        assert "<<" in parse(text)[0]
        return
    found, message = _problem(text)
    assert found == line
    assert words in message


def test_alias_bomb_is_bounded() -> None:
    levels = "\n".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 10))
    _, message = _problem(f"l0: &l0 [x, x]\n{levels}\n")
    assert f"more than {MAX_NODES} values" in message


def test_an_alias_that_contains_itself_is_refused() -> None:
    _, message = _problem("a: &a [*a]")
    assert f"deeper than {MAX_DEPTH}" in message


@pytest.mark.parametrize("depth", [MAX_DEPTH + 2, 200, 5000])
def test_deep_nesting_is_refused(depth: int) -> None:
    _, message = _problem("[" * depth + "]" * depth)
    assert f"deeper than {MAX_DEPTH}" in message


def test_a_huge_file_is_refused() -> None:
    _, message = _problem("#" * (MAX_BYTES + 1))
    assert f"at most {MAX_BYTES}" in message


def test_an_empty_file_has_no_settings() -> None:
    assert parse("# nothing\n")[0] == {}


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except ConfigProblems as error:
        assert error.problems  # noqa: PT017 - both ways out are right


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        parse(raw)
    except ConfigProblems as error:
        assert error.problems  # noqa: PT017
