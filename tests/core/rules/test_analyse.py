import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.rules.analyse import implies
from quorate.core.rules.evaluate import compiled
from quorate.core.rules.parse import parse
from quorate.core.rules.ruleset import Ruleset, said
from quorate.errors import ConfigError


def findings(*texts):
    return [(f.rule, f.kind, f.by) for f in Ruleset(texts, "policy").findings()]


@pytest.mark.parametrize(
    "text",
    [
        "context.a > 5 and context.a < 3",
        "context.a > 5 and context.a <= 5",
        "5 < context.a < 5",
        "context.a == 'x' and context.a == 'y'",
        "context.a == 'x' and context.a > 1",
        "context.a in ['x', 'y'] and context.a not in ['y', 'x', 'z']",
        "context.a and not context.a",
        "missing(context.a) and context.a > 1",
        "context.a == null and context.a != null",
        "input.rows < 1",
        "input.rows <= 0.5",
        "time.hour >= 24",
        "time.hour > 3 and time.hour < 4",
        "time.weekday == 6.5",
        "input.kind == 'picture'",
        "input.missing > 1",
        "1 > 2",
        "1 / 0 > 0",
        "context.a > 1 / 0",
        "false",
        "default(context.a, 3) > 5 and (missing(context.a) or context.a < 2)",
        "context.a + context.b > 3 and not (context.a + context.b > 3)",
        "context.a < context.b and context.b <= context.a",
        "context.a == context.b and context.b != context.a",
        "(context.a > 5 or context.b > 5) and context.a < 1 and context.b < 1",
        "not (context.a > 5 or context.a <= 5)",  # both are unknown without a, and then so is this
        "not (context.a > 5) and not (context.a <= 5)",
        "lower(context.a) == 'x' and not lower(context.a) == 'x'",
    ],
)
def test_contradictions_are_found(text):
    assert findings(text) == [(0, "never", ())]


@pytest.mark.parametrize(
    "text",
    [
        "context.a >= 5 and context.a <= 5",
        "context.a > 0.1 and context.a < 0.2",
        "time.hour >= 23",
        "missing(context.a) and default(context.a, 7) > 5",
        "context.a != 'x' and context.a != 'y'",
        "not missing(context.a) and default(context.a, true)",
    ],
)
def test_what_can_be_is_not_called_impossible(text):
    assert findings(text) == []


def test_a_rule_behind_one_that_fires_whenever_it_would_is_found():
    assert findings("context.a > 3", "context.a > 5") == [(1, "shadowed", (0,))]
    assert findings("context.a > 5", "context.a > 3") == []
    assert findings("context.a > 3", "context.b > 3", "context.a == 4 and context.b == 9") == [(2, "shadowed", (0,))]
    assert findings("context.a > 3", "context.a < 5", "context.a != 10") == [(2, "shadowed", (0, 1))]
    assert findings("context.a in ['x']", "context.a == 'x' and input.rows > 3") == [(1, "shadowed", (0,))]
    # an earlier rule that is unknown has not fired
    assert findings("context.a > 3", "context.a <= 3", "missing(context.a)") == []


def test_a_rule_that_always_fires_ends_the_list():
    assert findings("true", "context.a > 1") == [(0, "always", ()), (1, "shadowed", (0,))]
    assert findings("missing(context.a)", "context.a != null", "context.b > 1") == [
        (1, "always", (0,)),
        (2, "shadowed", (1,)),
    ]
    assert findings("context.a > 3", "not (context.a > 3)") == []  # unknown without a


def test_findings_are_said_in_words():
    rules = Ruleset(["input.rows < 1", "context.a > 1", "context.a > 2", "true", "context.b"], "policy")
    assert [said(finding) for finding in rules.findings()] == [
        "rule 1 can never fire: no value of input.rows makes its condition true. Correct it, or remove it.",
        "rule 3 can never fire: rule 2 fires whenever it would. Remove it, or move it up.",
        "rule 4 fires for every request; what follows is not reached.",
        "rule 5 can never fire: rule 4 fires whenever it would. Remove it, or move it up.",
    ]


def test_one_condition_implies_another():
    both = parse("request.interpretable and context.a > 1")
    assert implies(both, parse("request.interpretable"))
    assert not implies(parse("context.a > 1"), parse("request.interpretable"))
    assert implies(parse("context.a > 2"), parse("context.a >= 2"))


def test_too_many_clauses_are_given_up_soundly():
    wide = " and ".join(f"(context.a{i} > 1 or context.b{i} > 1)" for i in range(12))
    assert findings(wide, "context.a0 > 5") == []


# --- against trying everything out ------------------------------------------------------------------

VALUES = (None, -1, 0, 1, 2.5, "x", "y", True, False)
NAMES = ("a", "b")
subjects = st.sampled_from(["context.a", "context.b", "default(context.a, 1)", 'default(context.b, "x")'])
numbers = st.sampled_from(["-1", "0", "1", "2.5", "context.a + 1", "context.a / context.b", "context.b", "1 / 0"])
atoms = st.one_of(
    st.builds("{} {} {}".format, subjects, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), numbers),
    st.builds("{} {} {}".format, numbers, st.sampled_from(["<", "<=", ">", ">="]), subjects),
    st.builds("{} {} {}".format, subjects, st.sampled_from(["==", "!="]), st.sampled_from(["'x'", "true", "null"])),
    st.builds("{} {} {}".format, subjects, st.sampled_from(["in", "not in"]), st.sampled_from(["[0, 1]", "['x']"])),
    st.sampled_from(["context.a", "context.b", "missing(context.a)", "true", "missing(context.a / context.b)"]),
)
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=250, deadline=None)
@given(st.lists(conditions, min_size=1, max_size=4))
def test_nothing_that_happens_is_called_impossible(texts):
    try:
        rules = Ruleset(texts, "front")
    except ConfigError:  # the types clash
        return
    fired, ended = set(), set()
    for values in itertools.product(VALUES, repeat=len(NAMES)):
        first = rules.first(dict(zip(NAMES, values, strict=True)), {})
        fired.add(first)
        if first is None:
            ended |= set(range(len(texts)))
        else:
            ended |= set(range(first))
    for finding in rules.findings():
        if finding.kind == "always":
            assert finding.rule not in ended  # a later one, or none, was reached
        else:
            assert finding.rule not in fired


@settings(max_examples=150, deadline=None)
@given(conditions, conditions)
def test_what_implies_does_so_everywhere(one, other):
    try:
        Ruleset([one, other], "front")
    except ConfigError:
        return
    if implies(parse(one), parse(other)):
        closures = compiled(parse(one)), compiled(parse(other))
        for values in itertools.product(VALUES, repeat=len(NAMES)):
            context = dict(zip(NAMES, values, strict=True))
            first, second = (closure(context, {}) for closure in closures)
            assert first is not True or second is True
