"""Settings: what is right, what is wrong, and the one sentence that says so."""

from __future__ import annotations

from typing import Any

import pytest

from quorate import plugins
from quorate.codecs.snapshot import JournalSettings, Limits
from quorate.spec import ConfigProblems, build, load
from quorate.spec.model import Spec

KINDS = ", ".join(plugins.names("combiners"))
GOOD = """\
pools:
  digits: {task: classification, members: [bag-a, "bag-b:3", bag-c@champion]}
endpoints:
  main:
    pool: digits
    strategies:
      bagging: {kind: mean, members: [bag-a, bag-b]}
      boosting: {kind: weighted, weights: log-odds}
      named: {kind: weighted, weights: {bag-a: 1, bag-b: 2.5, bag-c: 0}}
      listed: {kind: weighted, weights: [1, 2, 3]}
      votes: {kind: vote, voting: hard, quorum: 2}
      stacking: {kind: stack, state: digits-stacking@champion}
      alone: {kind: single, member: bag-a}
    policy: {kind: split, weights: {bagging: 1, boosting: 1}, blind: true, sticky: context.user_id}
    fallback: [bagging, alone]
    deadline_ms: 200
    quorum: 2
    caller_may_choose: true
    on_member_failure: fallback
    on_full: shed
server: {host: 0.0.0.0, port: 9000, control_port: 9001, workers: 3, allowed_hosts: [models.example.org], drain_s: 5}
limits: {body_bytes: 32MiB, image_pixels: 100, rows: 5, json_depth: 8}
journal: {durability: power, segment_bytes: 1 MB, pending_bytes: 2KiB, stall_ms: 10}
"""
LEAST = "pools: {}\nendpoints: {}\n"


def test_everything_that_can_be_set() -> None:
    spec = load(GOOD).spec
    endpoint = spec.endpoints["main"]
    assert spec.pools["digits"].members == ("bag-a", "bag-b:3", "bag-c@champion")
    assert endpoint.strategies["bagging"].members == ("bag-a", "bag-b")
    assert endpoint.strategies["votes"].params() == {"voting": "hard"}
    assert endpoint.strategies["named"].params() == {"weights": {"bag-a": 1.0, "bag-b": 2.5, "bag-c": 0.0}}
    assert endpoint.policy is not None
    assert endpoint.policy.params() == {"weights": {"bagging": 1.0, "boosting": 1.0}}
    assert (endpoint.policy.blind, endpoint.policy.sticky) == (True, "context.user_id")
    assert (endpoint.deadline_ms, endpoint.on_full) == (200.0, "shed")
    assert spec.server.workers == 3
    assert (spec.limits.body_bytes, spec.journal.segment_bytes, spec.journal.pending_bytes) == (2**25, 10**6, 2048)


def test_defaults_are_those_of_the_manifest() -> None:
    spec = load(LEAST).spec
    assert Limits(**spec.limits.model_dump()) == Limits()
    assert JournalSettings(**spec.journal.model_dump()) == JournalSettings()
    assert (spec.server.host, spec.server.port, spec.server.control_port, spec.server.workers) == (
        "127.0.0.1",
        8000,
        8001,
        1,
    )


def test_a_policy_may_be_just_a_strategys_name() -> None:
    data = {
        "pools": {},
        "endpoints": {"e": {"pool": "p", "strategies": {"soft-vote": {"kind": "vote"}}, "policy": "soft-vote"}},
    }
    policy = build(data).spec.endpoints["e"].policy
    assert policy is not None
    assert (policy.kind, policy.params()) == ("fixed", {"strategy": "soft-vote"})


def _replaced(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (
            "deadline_ms",
            "deadlne_ms",
            16,
            (
                "There is no setting 'deadlne_ms' in endpoints.main; expected one of cache, caller_may_choose, "
                "capture, deadline_ms, fallback, max_in_flight, on_full, on_member_failure, outcomes, policy, pool, "
                "queue_ms, quorum, record, strategies, value; did you mean 'deadline_ms'?"
            ),
        ),
        (
            "quorum: 2\n",
            "quorum: 2\n    outcomes: {precedense: [user]}\n",
            18,
            (
                "There is no setting 'precedense' in endpoints.main.outcomes; expected one of correction_s, "
                "expected_within_s, precedence; did you mean 'precedence'?"
            ),
        ),
        (
            "quorum: 2\n",
            "quorum: 2\n    value: {by_class: {a: {corect: 1}}}\n",
            18,
            (
                "There is no setting 'corect' in endpoints.main.value.by_class.a; expected one of correct, error; did "
                "you mean 'correct'?"
            ),
        ),
        (
            "quorum: 2\n",
            "quorum: 2\n    value: {per_ms: -1}\n",
            18,
            (
                "endpoints.main.value: value has nothing that an outcome decides; give some of correct, error, "
                "by_class, confusion, per_unit_error and rewards."
            ),
        ),
        (
            "quorum: 2\n",
            "quorum: 2\n    value: {rewards: {a: 1}, absent: {b: 0}}\n",
            18,
            "endpoints.main.value: absent has 'b', which is no metric of rewards; add it there, or remove it.",
        ),
        (
            "voting: hard",
            "votng: hard",
            11,
            (
                "There is no setting 'votng' in endpoints.main.strategies.votes; expected one of calibrate, "
                "interpretable, kind, members, quorum, refit, refit_above, state, voting; did you mean 'voting'?"
            ),
        ),
        (
            "kind: mean",
            "kind: men",
            7,
            (
                f"There is no kind 'men' for endpoints.main.strategies.bagging; expected one of {KINDS}; "
                "did you mean 'mean'?"
            ),
        ),
        (
            "{kind: mean, ",
            "{",
            7,
            f"endpoints.main.strategies.bagging.kind is missing; expected one of {KINDS}.",
        ),
        (
            "voting: hard",
            "voting: loud",
            11,
            "endpoints.main.strategies.votes.voting should be 'hard' or 'soft'; got \"loud\".",
        ),
        (
            "weights: log-odds",
            "weights: 3",
            8,
            (
                "endpoints.main.strategies.boosting.weights should be weights by member, a list of weights or "
                "'log-odds'; got 3."
            ),
        ),
        (
            "bag-b: 2.5",
            "bag-b: much",
            9,
            'endpoints.main.strategies.named.weights.bag-b should be a valid number; got "much".',
        ),
        (
            "context.user_id",
            "user_id",
            14,
            (
                "'user_id' cannot stand at endpoints.main.policy.sticky; expected context.KEY, KEY of letters, digits, "
                "'_', '.' and '-'."
            ),
        ),
        (
            "kind: split",
            "kind: splt",
            14,
            (
                "There is no kind 'splt' for endpoints.main.policy; expected one of "
                f"{', '.join(plugins.names('policies'))}; did you mean 'split'?"
            ),
        ),
        ("blind: true", "blind: yes", 14, 'endpoints.main.policy.blind should be a valid boolean; got "yes".'),
        (
            "bag-b:3",
            "Bag B",
            2,
            (
                "'Bag B' cannot stand at pools.digits.members[1]; expected a model of the registry: 'name', 'name:3' "
                "or 'name@alias'."
            ),
        ),
        (
            "  digits: {",
            "  Digits: {",
            2,
            (
                "'Digits' cannot be a name in pools; expected a name of a-z, 0-9, '.', '_' and '-', the first a letter "
                "or a digit."
            ),
        ),
        (
            "task: classification, ",
            "",
            2,
            "pools.digits.task is missing; add it: What the models answer.",
        ),
        (
            "task: classification",
            "task: sorting",
            2,
            "pools.digits.task should be 'classification' or 'regression'; got \"sorting\".",
        ),
        ("quorum: 2\n", "quorum: 0\n", 17, "endpoints.main.quorum should be greater than or equal to 1; got 0."),
        ("quorum: 2\n", "quorum: two\n", 17, 'endpoints.main.quorum should be a valid integer; got "two".'),
        (
            "deadline_ms: 200",
            "deadline_ms: .inf",
            16,
            "endpoints.main.deadline_ms should be a finite number; got Infinity.",
        ),
        ("port: 9000", "port: 70000", 21, "server.port should be less than or equal to 65535; got 70000."),
        ("workers: 3", "workers: true", 21, "server.workers should be a valid integer; got true."),
        (
            "32MiB",
            "32 megs",
            22,
            "limits.body_bytes: expected a number of bytes or a size like 32MiB; got '32 megs'.",
        ),
        (
            "fallback: [bagging, alone]",
            "fallback: bagging",
            15,
            'endpoints.main.fallback should be a list; got "bagging".',
        ),
        (
            "endpoints:",
            "endpoint:",
            3,
            (
                "There is no setting 'endpoint' in quorate.yaml; expected one of endpoints, fronts, "
                "jobs, journal, limits, memory, pools, prices, server; did you mean 'endpoints'?"
            ),
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(old: str, new: str, line: int, message: str) -> None:
    with pytest.raises(ConfigProblems) as caught:
        load(_replaced(old, new), "quorate.yaml")
    assert (line, message) in [(problem.line, problem.message) for problem in caught.value.problems]
    assert all(problem.file == "quorate.yaml" for problem in caught.value.problems)


def test_all_mistakes_at_once_in_order_of_lines() -> None:
    text = GOOD.replace("kind: mean", "kind: men").replace("quorum: 2\n", "quorum: no\n").replace("rows: 5", "row: 5")
    with pytest.raises(ConfigProblems) as caught:
        load(text, "quorate.yaml")
    assert [problem.line for problem in caught.value.problems] == [7, 17, 22]
    assert str(caught.value).endswith("(and 2 more: `quorate check` lists them)")


@pytest.mark.parametrize("text", ["- 1", "text", "3", "null\n"])
def test_what_is_not_a_mapping_of_settings_is_refused(text: str) -> None:
    with pytest.raises(ConfigProblems, match="should be a mapping"):
        load(text)


def test_settings_made_in_python_have_no_lines() -> None:
    with pytest.raises(ConfigProblems) as caught:
        build({"pools": {}, "endpoints": {}, "sever": {}})
    assert caught.value.line is None
    assert caught.value.path == "sever"


def test_the_spec_cannot_be_changed() -> None:
    spec: Any = load(LEAST).spec
    assert isinstance(spec, Spec)
    with pytest.raises(ValueError, match="frozen"):
        spec.server.port = 1
