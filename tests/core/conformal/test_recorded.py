"""What a decision promises, from its record."""

from typing import Any

import numpy as np
import pytest

from quorate.core.conformal.calibrated import Calibrated, Threshold
from quorate.core.conformal.recorded import asked, noted, promised, threshold_of
from quorate.core.types import Decision, MemberRun, Status
from quorate.training.conformal import fit_conformal, fit_conformal_values

CLASSES = ("no", "yes", "so-so")


def decision(said: Any, **changes: Any) -> Decision:
    answer = np.array(said, np.float32)
    n = len(answer)
    fields: dict[str, Any] = {
        "id": "d", "endpoint": "e", "revision": 1, "state_version": 0, "source": "policy", "arrived": 0.0,
        "queue_ms": 0.0, "latency_ms": 1.0, "context": {}, "strategies": ("s",), "propensities": (1.0,),
        "assigned": "s", "served": "s", "members": tuple(MemberRun(m, 1, Status.OK, 1.0) for m in "abc"),
        "outputs": np.repeat(answer[:, None], 3, axis=1), "status": np.zeros((n, 3), np.int8), "answer": answer,
        "degraded": False, "rows": n, "input_digest": b"", "classes": CLASSES, "facts": {"coverage": 0.8},
    }  # fmt: skip
    return Decision(**(fields | changes))


def calibration(**settings: Any) -> Calibrated:
    """The truth has a probability of 0.5 to 0.99: at a coverage of 0.8 whatever has 0.59 or more is in the set."""
    p = np.linspace(0.5, 0.99, 50)
    answers = np.stack([p, 0.6 * (1 - p), 0.4 * (1 - p)], axis=1).astype(np.float32)
    return Calibrated(fit_conformal(answers, np.zeros(50, np.int64), CLASSES, **settings))


def test_sets_have_the_likeliest_first_and_say_why_they_are_no_answer() -> None:
    found = promised(decision([[0.1, 0.8, 0.1], [0.5, 0.3, 0.2]]), calibration(), ("a", "b"), "ambiguous")
    assert found == [
        {"set": ["yes"], "abstained": False, "reason": None},
        {"set": [], "abstained": True, "reason": "empty"},
    ]
    wide = promised(decision([[0.3, 0.5, 0.2]], facts={"coverage": 0.98}), calibration(score="aps"), ("a", "b"))
    assert wide is not None
    assert wide[0]["set"][0] == "yes"
    assert wide[0]["reason"] == ("ambiguous" if len(wide[0]["set"]) > 1 else None)
    assert wide[0]["abstained"] is False


def test_a_threshold_that_was_noted_is_the_one_that_counts() -> None:
    all_in = noted(Threshold(np.array([np.inf]), np.array([1.0])))
    assert all_in == {"coverage.threshold": None, "coverage.tie": 1.0}
    found = promised(decision([[0.5, 0.3, 0.2]], facts={"coverage": 0.8, **all_in}), calibration(), "ab", "ambiguous")
    assert found == [{"set": ["no", "yes", "so-so"], "abstained": True, "reason": "ambiguous"}]
    some = noted(Threshold(np.array([0.7]), np.array([0.25])))
    again = threshold_of(calibration(), {"coverage": 0.8, **some}, 0.8)
    assert (again.scores.tolist(), again.ties.tolist()) == ([0.7], [0.25])


def test_what_is_not_calibrated_leaves_nothing_out_and_says_so() -> None:
    found = promised(decision([[0.5, 0.3, 0.2]]), None, ("a",), "ambiguous")
    assert found == [{"set": list(CLASSES), "abstained": True, "reason": "uncalibrated"}]
    number = decision([[3.0]], output_kind="values", classes=("y",))
    assert promised(number, None, ("a",)) == [{"interval": [None, None], "abstained": False, "reason": "uncalibrated"}]


def test_a_degraded_answer_says_that_it_was_not_calibrated_for() -> None:
    found = promised(decision([[0.1, 0.8, 0.1]], degraded=True), calibration(), ("a", "b"))
    assert found == [{"set": ["yes"], "abstained": False, "reason": "degraded"}]


def test_nothing_is_promised_where_nothing_was_asked_or_answered() -> None:
    assert promised(decision([[0.1, 0.8, 0.1]], facts={}), calibration(), ("a",)) is None
    assert promised(decision([[0.1, 0.8, 0.1]], answer=None), calibration(), ("a",)) is None
    assert asked({"coverage": "0.9"}) is None
    assert asked({"coverage": 0.9}) == 0.9


def test_intervals_look_at_the_members_of_their_strategy() -> None:
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(60, 2, 1)).astype(np.float32)
    y = outputs.mean(axis=(1, 2)) + rng.normal(size=60)
    state = fit_conformal_values(outputs.mean(axis=1), y, ("y",), score="normalised", outputs=outputs)
    said = np.array([[[1.0], [5.0], [3.0]], [[2.0], [90.0], [2.0]], [[2.0], [1.0], [np.nan]]], np.float32)
    status = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1]], np.int8)
    made = decision([[2.0], [2.0], [2.0]], outputs=said, status=status, output_kind="values", classes=("y",))
    calibrated = Calibrated(state)
    found = promised(made, calibrated, ("a", "c"))
    assert found is not None
    threshold, floor = float(calibrated.threshold(0.8).scores[0]), state.meta["floor"]
    for row, spread in ((0, 1.0), (1, 0.0)):
        reach = threshold * (spread + floor)
        assert found[row]["interval"] == pytest.approx([2.0 - reach, 2.0 + reach])
    assert found[2]["interval"] == [None, None]  # one member alone does not disagree with anybody
    without = made._replace(outputs=np.empty((3, 3, 0), np.float32))
    assert promised(without, calibrated, ("a", "c")) is None
