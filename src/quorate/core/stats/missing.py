"""Are outcomes missing more often in one arm? If so, the units with an outcome are no longer comparable.

The difference of the shares with an outcome gets the asymptotic confidence sequence for two proportions, tuned to
10,000 units, so that the check may be made at every look. It can only see different *shares*; outcomes that are
missing for different reasons in equal shares it cannot.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from quorate.core.stats import mixture

ALPHA = 0.001
_PLANNED = 10_000.0


class Missingness(NamedTuple):
    """Shares with an outcome by arm, treatment - control with limits, and whether they differ at this alpha."""

    control: float
    treatment: float
    difference: float
    low: float
    high: float
    p_value: float
    differs: bool


def missingness(
    control_assigned: int, control_known: int, treatment_assigned: int, treatment_known: int, *, alpha: float = ALPHA
) -> Missingness:
    """Of units assigned and those of them with a known outcome, in each arm.

    Count only units that are old enough for their outcome: an outcome that is not due is not missing. With an empty
    arm nothing is claimed. :class:`ValueError` unless ``0 <= known <= assigned``.
    """
    arms = ((control_assigned, control_known), (treatment_assigned, treatment_known))
    if not all(0 <= known <= assigned for assigned, known in arms):
        raise ValueError(f"known outcomes lie between 0 and the units assigned; got {arms}.")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha lies between 0 and 1, like 0.001; got {alpha}.")
    shares = [known / assigned if assigned else math.nan for assigned, known in arms]
    if not (control_assigned and treatment_assigned):
        return Missingness(shares[0], shares[1], math.nan, -1.0, 1.0, 1.0, False)
    variance = 0.0
    for assigned, known in arms:
        share = (known + 1) / (assigned + 2)
        variance += share * (1 - share) / assigned
    se = math.sqrt(variance)
    found = shares[1] - shares[0]
    r = mixture.tuned_for(_PLANNED, alpha) * (control_assigned + treatment_assigned)
    half = float(mixture.z_normal(r, alpha)) * se
    p_value = min(1.0, math.exp(-float(mixture.log_e_normal(found / se, r))))
    return Missingness(
        shares[0], shares[1], found, max(found - half, -1.0), min(found + half, 1.0), p_value, p_value <= alpha
    )
