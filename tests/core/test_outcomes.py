"""Which of several values counts: by source and by the correction window, in any order."""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import pytest

from quorate.core.outcomes import PRECEDENCE, OutcomeRules, decisive, series
from quorate.spec import outcomes as spec


class Said(NamedTuple):
    label: str
    at: float
    received: float
    source: str = "user"

    @property
    def rank(self) -> tuple[float, float, str, float]:
        return (self.at, self.received, self.label, 0.0)


FIRST, SOON, AGAIN, LATE = Said("a", 5.0, 10.0), Said("b", 6.0, 20.0), Said("c", 4.0, 15.0), Said("d", 9.0, 21.0)


@pytest.mark.parametrize(
    ("window", "counts", "late"),
    [(None, LATE, []), (100.0, LATE, []), (10.0, SOON, [LATE]), (9.9, FIRST, [LATE, SOON]), (1.0, FIRST, None)],
)
def test_the_one_known_last_counts_of_those_in_the_window(
    window: float | None, counts: Said, late: list[Said] | None
) -> None:
    for order in permutations([FIRST, SOON, AGAIN, LATE]):
        found, beyond = series(order, OutcomeRules(correction_s=window))
        assert found == counts
        assert sorted(beyond) == sorted([SOON, AGAIN, LATE] if late is None else late)


def test_one_value_is_never_late() -> None:
    assert series([LATE], OutcomeRules(correction_s=0.001)) == (LATE, [])


def test_sources_decide_in_the_order_declared_then_by_name() -> None:
    values = [Said("x", 1.0, 1.0, source) for source in ("zoo", "user", "ape", "expert", "ground_truth")]
    rules = OutcomeRules(precedence=("expert", "zoo"))
    order = []
    while values:
        order.append(decisive(values, rules).source)
        values = [value for value in values if value.source != order[-1]]
    assert order == ["expert", "zoo", "ape", "ground_truth", "user"]


def test_the_configuration_has_the_same_default() -> None:
    assert spec.PRECEDENCE == PRECEDENCE == OutcomeRules().precedence
