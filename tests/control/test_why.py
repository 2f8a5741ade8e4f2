"""Why a strategy was chosen, in words, from the record and the revision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quorate.codecs.snapshot import EndpointRoute, PolicyRoute, RecordRoute, StrategyRoute
from quorate.control.why import made_by, why
from quorate.core.types import Decision, MemberRun, Status

NAMES = ("average", "best")
STRATEGIES = tuple(StrategyRoute(name, "mean", ("a",), 1) for name in NAMES)
RULES = {
    "rules": [
        {"when": "context.tier == 'gold'", "use": "best"},
        {"when": "input.rows > 9", "use": {"average": 3, "best": 1}},
    ],
    "otherwise": "average",
}


def decision(**more: Any) -> Decision:
    plain: dict[str, Any] = {
        "id": "0190b3a0-1234-7000-8000-000000000001",
        "endpoint": "main",
        "revision": 1,
        "state_version": 0,
        "source": "policy",
        "arrived": 1.0,
        "queue_ms": 0.0,
        "latency_ms": 1.0,
        "context": {},
        "strategies": NAMES,
        "propensities": (1.0, 0.0),
        "assigned": "average",
        "served": "average",
        "members": (MemberRun("a", 1, Status.OK, 1.0),),
        "outputs": np.zeros((1, 1, 2), np.float32),
        "status": np.zeros((1, 1), np.int8),
        "answer": np.zeros((1, 2), np.float32),
        "degraded": False,
        "rows": 1,
        "input_digest": b"",
    }
    return Decision(**plain | more)


def route(kind: str, params: dict[str, Any], record: RecordRoute | None = None, **more: Any) -> EndpointRoute:
    policy = PolicyRoute(kind, params, **more)
    return EndpointRoute("main", 1, "letters", STRATEGIES, policy, record=record or RecordRoute())


@pytest.mark.parametrize(
    ("made", "endpoint", "expected"),
    [
        (
            decision(),
            route("fixed", {"strategy": "average"}),
            ["The policy 'fixed' took 'average', which has a probability of 1 there."],
        ),
        (
            decision(propensities=(0.25, 0.75)),
            route("split", {"weights": {"average": 1, "best": 3}}, sticky="user"),
            [
                "The policy 'split' drew 'average', which has a probability of 0.25 there.",
                "The draw depends on context.user, so requests with the same value get the same.",
            ],
        ),
        (
            decision(context={"tier": "gold"}, source="rule", propensities=(0.0, 1.0), assigned="best", served="best"),
            route("rules", RULES),
            ["Rule 1 fired: 'best'. Its condition: context.tier == 'gold'"],
        ),
        (
            decision(facts={"input.rows": 12}, source="rule", propensities=(0.75, 0.25), served="best"),
            route("rules", RULES),
            [
                "Rule 2 fired, by a draw with a probability of 0.75: 'average'. Its condition: input.rows > 9",
                "It could not answer, so 'best' did.",
            ],
        ),
        (
            decision(facts={"input.rows": 1, "front": "door", "front.rule": "2"}),
            route("rules", RULES),
            [
                "The request came through the front 'door', which sent it here by its rule 2.",
                "None of the 2 rules fired, so 'otherwise' decided: 'average'.",
            ],
        ),
        (
            decision(source="cache", facts={"input.rows": 1, "front": "door", "front.rule": "otherwise"}),
            route("rules", RULES),
            [
                "The request came through the front 'door', which sent it here because none of its rules fired.",
                "None of the 2 rules fired, so 'otherwise' decided: 'average'.",
                "The answer was kept from an earlier request with the same input.",
            ],
        ),
        (
            decision(source="caller", assigned="a", served=None, error="no_quorum", propensities=(0.0, 0.0)),
            route("rules", RULES),
            ["The caller asked for 'a'.", "It could not answer (no_quorum), and no fallback could."],
        ),
        (
            decision(),
            None,
            ["'average' had a probability of 1; revision 1 of the endpoint is not known here."],
        ),
        (
            decision(),
            route("not-installed", {}),
            ["The policy 'not-installed' took 'average', which has a probability of 1 there."],
        ),
    ],
)
def test_the_choice_in_words(made: Decision, endpoint: EndpointRoute | None, expected: list[str]) -> None:
    assert why(made, endpoint) == expected


def test_what_was_not_recorded_is_not_guessed() -> None:
    hidden = route("rules", RULES, RecordRoute(redact={"tier": "hash"}))
    made = decision(source="rule", context={"tier": "2f"}, propensities=(0.0, 1.0), assigned="best", served="best")
    (sentence,) = why(made, hidden)
    assert sentence.endswith("which one fired cannot be told: the context was not recorded as it came (context.tier).")
    omitted = route("rules", RULES, RecordRoute(sample=0.0, omit=("context",)))
    assert "cannot be told" in why(made._replace(context={}), omitted)[0]
    # the recorded context does not lead to the recorded probabilities
    assert "cannot be told" in why(made._replace(context={}), route("rules", RULES))[0]


def test_a_learners_choice_names_what_it_knew(monkeypatch: pytest.MonkeyPatch) -> None:
    from quorate import plugins
    from quorate.core.select.base import Policy

    class Learner(Policy):
        kind = "learner"
        learns = True

        def check(self) -> None:
            """Nothing to check."""

        def distribution(self, state: Any, context: Any, facts: Any) -> Any:
            return np.array([0.5, 0.5])

    monkeypatch.setattr(plugins, "build", lambda family, kind, params, names: Learner(names))
    made = decision(propensities=(0.875, 0.125), state_version=12)
    (sentence,) = why(made, route("learner", {}))
    assert sentence == (
        "The policy 'learner' drew 'average', to which it gave a probability of 0.875 "
        "by what it had learned (state 12)."
    )
    assert "before it had learned anything" in why(made._replace(state_version=0), route("learner", {}))[0]


def test_the_revision_that_decided_is_looked_up(project: Any) -> None:
    project.apply()
    with project.database.read() as connection:
        found, _ = made_by(connection, decision())
        assert found is not None
        assert found.policy.kind == "split"
        assert made_by(connection, decision(revision=7)) == (None, None)
        assert made_by(connection, decision(endpoint="other")) == (None, None)
