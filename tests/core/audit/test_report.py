"""A whole audit: verdicts, sums that fit, and settings that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from quorate.core.audit.game import Rows
from quorate.core.audit.report import audit
from quorate.core.combine.mean import Mean
from quorate.errors import InvalidInput

from .conftest import numbers, scores


def test_everybody_gets_a_verdict() -> None:
    rows = scores(4000, [1.2, 1.1, 1.0, 1.2, -3.0], seed=1, copies={3: 0})
    found = audit(rows, Mean(), None, "accuracy", margin=0.01, costs=[1, 1, 1, 2, 1])
    *three, copy, wrong = (m.verdict for m in found.members)
    assert three == ["useful"] * 3
    assert copy in ("redundant", "harmful")  # counted twice, its original outweighs the others
    assert wrong == "harmful"
    assert found.keep == 0b00111
    assert sum(m.shapley.value for m in found.members) == pytest.approx(found.whole.value - found.nothing)
    assert (found.searched, found.checked, found.groups) == (2000, 2000, 4000)
    assert all(m.shapley.low <= m.shapley.value <= m.shapley.high for m in found.members)
    assert found.members[4].leave_one_out.high < 0
    assert {found.members[j].kept is not None for j in (0, 1, 2)} == {True}
    assert found.members[3].kept is None
    copies = next(p for p in found.pairs if (p.first, p.second) == (0, 3))
    assert copies.q is not None
    assert copies.q.value == max(p.q.value for p in found.pairs if p.q is not None)
    assert (found.orders, found.sampling) == (None, 0.0)


@pytest.mark.parametrize("metric", ["log_loss", "brier", "macro_f1"])
def test_other_metrics_find_the_harmful_one(metric: str) -> None:
    found = audit(scores(1500, [1.2, 1.1, -4.0], seed=3), Mean(), None, metric)
    assert found.members[2].verdict == "harmful"
    assert found.keep == 0b011


def test_numbers_have_a_margin_of_their_own_error() -> None:
    found = audit(numbers(2000, [1.0, 1.0, 8.0]), Mean(), None, "mse")
    assert found.members[2].verdict == "harmful"
    assert found.margin == pytest.approx(0.01 * -found.whole.value, rel=0.2)
    assert audit(numbers(2000, [1.0, 1.0, 8.0]), Mean(), None, "mae").keep == 0b011


def test_more_than_ten_members_are_drawn_and_the_same_seed_says_the_same() -> None:
    rows = scores(120, [1.0] * 10 + [0.0])
    one, two = (audit(rows, Mean(), None, "accuracy", seed=5) for _ in range(2))
    assert one == two
    assert one.orders is not None
    assert 0 < one.sampling < 0.02


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"metric": "mse"}, "metric"),
        ({"margin": -1.0}, "margin"),
        ({"margin": float("nan")}, "margin"),
        ({"costs": [1.0]}, "costs"),
        ({"costs": [1.0, -1.0, 0.0]}, "costs"),
    ],
)
def test_settings_that_are_wrong(changes: dict, path: str) -> None:
    asked = {"metric": "accuracy"} | changes
    with pytest.raises(InvalidInput) as wrong:
        audit(scores(100, [1.0, 1.0, 1.0]), Mean(), None, **asked)
    assert wrong.value.path == path


def test_too_few_rows_or_members() -> None:
    with pytest.raises(InvalidInput, match="needs 40 independent decisions") as few:
        audit(scores(30, [1.0, 1.0]), Mean(), None, "accuracy")
    assert few.value.path == "since"
    rows = scores(200, [1.0, 1.0])
    with pytest.raises(InvalidInput, match="got 10"):
        audit(Rows(rows.outputs, rows.status, rows.truth, np.arange(200) // 20), Mean(), None, "accuracy")
    with pytest.raises(InvalidInput, match="two members or more"):
        audit(scores(200, [1.0]), Mean(), None, "accuracy")
