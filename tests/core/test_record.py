"""What is recorded of a decision: nothing that was to be left out, everything that metrics need."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quorate.core.record import Recorder, sampled
from quorate.core.types import Decision, MemberRun, Status
from quorate.ids import DecisionId


def decision(**changes: Any) -> Decision:
    base: dict[str, Any] = {
        "id": str(DecisionId(1000, 0, 0, 0)), "endpoint": "e", "revision": 1, "state_version": 0, "source": "policy",
        "arrived": 1.0, "queue_ms": 0.0, "latency_ms": 1.0, "context": {"user": "ann", "age": 30, "none": None},
        "strategies": ("s",), "propensities": (1.0,), "assigned": "s", "served": "s",
        "members": (MemberRun("a", 1, Status.OK, 1.0),), "outputs": np.ones((2, 1, 3), "f4"),
        "status": np.zeros((2, 1), "i1"), "answer": np.ones((2, 3), "f4"), "degraded": False, "rows": 2,
        "input_digest": b"d", "unit": "ann",
    }  # fmt: skip
    return Decision(**(base | changes))


def test_by_default_the_record_is_the_decision() -> None:
    made = decision()
    assert Recorder().record(made) is made
    assert not Recorder().changes


def test_an_unsampled_decision_lacks_what_is_omitted_and_nothing_else() -> None:
    made = decision()
    record = Recorder(0.0, ("outputs", "context")).record(made)
    assert (record.outputs.shape, dict(record.context)) == ((2, 1, 0), {})
    for field in Decision._fields:
        if field not in ("outputs", "context"):
            assert getattr(record, field) is getattr(made, field)
    assert dict(Recorder(0.0, ("outputs",)).record(made).context) == made.context
    assert Recorder(0.0, ("context",)).record(made).outputs.shape == (2, 1, 3)


def test_the_sample_follows_from_the_id_has_its_share_and_grows() -> None:
    ids = [str(DecisionId(1000 + i // 50, i % 3, 0, i)) for i in range(20_000)]
    some, more = ([sampled(id_, share) for id_ in ids] for share in (0.1, 0.3))
    assert some == [sampled(id_, 0.1) for id_ in ids]
    assert abs(sum(some) / len(ids) - 0.1) < 0.01  # 4.7 standard deviations
    assert all(b for a, b in zip(some, more, strict=True) if a)
    recorder = Recorder(0.1)
    whole = [recorder.record(decision(id=id_)).outputs.shape[2] == 3 for id_ in ids[:200]]
    assert whole == some[:200]


def test_redacted_keys_are_removed_or_hashed_and_the_unit_with_its_key() -> None:
    made = decision()
    gone = Recorder(redact={"user": "remove"}, sticky="user", secret="s").record(made)
    assert (dict(gone.context), gone.unit) == ({"age": 30, "none": None}, None)
    hashed = Recorder(redact={"user": "hash", "none": "hash"}, sticky="user", secret="s").record(made)
    assert hashed.context["user"] == hashed.unit != "ann"
    assert len(str(hashed.unit)) == 32
    assert (hashed.context["age"], hashed.context["none"]) == (30, None)
    assert list(hashed.context) == list(made.context)
    other = Recorder(redact={"age": "hash"}, sticky="user", secret="s").record(made)
    assert other.unit == "ann"
    assert dict(made.context) == {"user": "ann", "age": 30, "none": None}  # the answer's own stays


def test_a_hash_is_the_same_for_a_value_and_another_for_another_project() -> None:
    def of(secret: str, value: Any) -> Any:
        return Recorder(redact={"k": "hash"}, secret=secret).record(decision(context={"k": value})).context["k"]

    assert of("a", "x") == of("a", "x")
    assert len({of("a", "x"), of("b", "x"), of("a", "y"), of("", "x")}) == 4
    assert of("a", "\ud800") != of("a", "x")  # a lone surrogate is refused later, by the codec


@pytest.mark.parametrize("sample", [0.0, 1.0])
def test_redaction_does_not_depend_on_the_sample(sample: float) -> None:
    record = Recorder(sample, redact={"user": "remove"}).record(decision())
    assert "user" not in record.context
