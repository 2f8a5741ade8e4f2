"""Settling the values of one decision: states, what counts, and what is kept."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from quorate.control.outcomes.settling import SERIES, fits, merged, settle
from quorate.core.outcomes import OutcomeRules
from quorate.core.types import Decision
from quorate.store.ledger import PENDING, StoredOutcome

RULES = OutcomeRules(correction_s=10.0)


def decision(**changes: Any) -> Decision:
    fields: dict[str, Any] = {
        "id": "d", "endpoint": "e", "revision": 1, "state_version": 0, "source": "policy", "arrived": 0.0,
        "queue_ms": 0.0, "latency_ms": 5.0, "context": {}, "strategies": ("s",), "propensities": (1.0,),
        "assigned": "s", "served": "s", "members": (), "outputs": np.zeros((2, 0, 2), np.float32),
        "status": np.zeros((2, 0), np.int8), "answer": np.float32([[0, 1], [0, 1]]), "degraded": False, "rows": 2,
        "input_digest": b"", "classes": ("no", "yes"),
    }  # fmt: skip
    return Decision(**(fields | changes))


def said(
    label: str | None = None, value: float | None = None, *, at: float, row: int = 0, metric: str = "truth",
    source: str = "user",
) -> StoredOutcome:  # fmt: skip
    return StoredOutcome("d", row, metric, source, label, value, at, at, PENDING)


@pytest.mark.parametrize(
    ("value", "fit"),
    [
        (said("yes", at=1.0), True),
        (said("maybe", at=1.0), False),
        (said(value=1.0, at=1.0), False),
        (said("yes", at=1.0, row=2), False),
        (said(value=2.0, at=1.0, metric="clicks"), True),
        (said(value=math.nan, at=1.0, metric="clicks"), False),
        (said(value=math.inf, at=1.0, metric="clicks"), False),
    ],
)
def test_what_fits_a_decision_of_classes(value: StoredOutcome, fit: bool) -> None:
    assert fits(value, decision()) is fit
    assert settle([value], decision(), RULES).values[0].state == ("joined" if fit else "invalid")


def test_what_fits_a_decision_of_numbers() -> None:
    numbers = decision(output_kind="values", classes=())
    assert fits(said(value=1.0, at=1.0), numbers)
    assert not fits(said("yes", at=1.0), numbers)


def test_states_and_what_counts_in_any_order() -> None:
    values = [
        said("no", at=1.0),
        said("yes", at=5.0),
        said("no", at=12.0),
        said("no", at=90.0, source="expert"),
        said("yes", at=2.0, row=1),
        said("maybe", at=3.0, row=1),
        said(value=1.0, at=4.0, metric="clicks"),
        said(value=3.0, at=14.0, metric="clicks"),
    ]
    for seed in range(20):
        found = settle(random.Random(seed).sample(values, len(values)), decision(), RULES)
        states = {(o.row, o.metric, o.source, o.at): o.state for o in found.values}
        assert states == {
            (0, "truth", "user", 1.0): "replaced",
            (0, "truth", "user", 5.0): "joined",
            (0, "truth", "user", 12.0): "late",
            (0, "truth", "expert", 90.0): "joined",
            (1, "truth", "user", 2.0): "joined",
            (1, "truth", "user", 3.0): "invalid",
            (0, "clicks", "user", 4.0): "replaced",
            (0, "clicks", "user", 14.0): "joined",
        }
        assert {key: (o.label, o.value) for key, o in found.counted.items()} == {
            (0, "truth"): ("no", None),
            (1, "truth"): ("yes", None),
            (0, "clicks"): (None, 3.0),
        }
        assert found.first == {(0, "truth"): 1.0, (1, "truth"): 2.0, (0, "clicks"): 4.0}


def test_one_value_alone_is_settled_as_among_others() -> None:
    one = said("yes", at=1.0)
    alone, among = settle([one], decision(), RULES), settle([one, said("no", at=1.0, row=1)], decision(), RULES)
    assert alone.values == [value for value in among.values if value.row == 0]
    assert alone.first.items() <= among.first.items()
    assert alone.counted.items() <= among.counted.items()


def test_what_is_told_again_adds_nothing() -> None:
    one = said("yes", at=1.0)._replace(received=5.0)
    assert merged([one], [one]) == ([one], False)
    assert merged([one], [one._replace(received=7.0)]) == ([one], False)
    assert merged([one], [one._replace(received=3.0)])[1]  # another journal has it earlier
    assert merged([one], [one._replace(at=2.0, received=7.0)])[1]
    both = [said("no", at=1.0), said("yes", at=1.0)]
    assert merged((), both)[0] == merged((), both[::-1])[0] == [both[1]]  # told at once: order does not matter


def test_a_series_is_kept_short_and_counts_the_same() -> None:
    rules = OutcomeRules()
    values = [said(("no", "yes")[i % 2], at=float(i)) for i in range(40)]
    kept: list[StoredOutcome] = []
    for value in values:
        found = settle([*kept, value], decision(), rules)
        kept = found.values
        assert len(kept) <= SERIES
    assert found.counted == settle(values, decision(), rules).counted
    assert found.first == {(0, "truth"): 0.0}
    window = settle(values, decision(), RULES)
    assert len(window.values) + len(window.dropped) == 40
    assert window.counted[0, "truth"].at == 10.0
