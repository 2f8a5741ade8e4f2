"""How many units an experiment needs, and how long it takes, before it starts."""

from __future__ import annotations

from dataclasses import dataclass

from quorate.core.stats.metric import Metric, Sample


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is known of a metric before the experiment: its value, and the standard deviation of one unit.

    ``sd`` is that of the unit's influence on the metric: of the values for a mean, of the linearised values for a
    ratio, ``sqrt(q (1 - q)) / density`` for a quantile, of what CUPED leaves where there are covariates.
    """

    value: float
    sd: float
    n: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes in units with an outcome, both arms together; ``*_days`` only where the daily units are known (else None).

    ``fixed``: what a test with one look needs. ``expected``: mean number until the verdict if the effect is there;
    ``expected_null``: if there is none. ``maximum``: where the experiment ends without a verdict; give it to
    :func:`quorate.core.stats.compare.compare` as ``fixed_n``. ``power``: probability of the right verdict by then.
    ``maximum_treatment`` and ``maximum_control`` are the same by arm. ``assigned`` is how many units must be assigned for
    ``maximum`` to have outcomes.
    """

    method: str
    alpha: float
    effect: float
    looks: int
    power: float
    fixed: int
    expected: int
    expected_null: int
    maximum: int
    maximum_control: int
    maximum_treatment: int
    assigned: int
    expected_days: float | None
    maximum_days: float | None
    assumptions: tuple[str, ...]


def baseline(metric: Metric, history: Sample) -> Baseline:
    """What :func:`plan` needs, from units seen before the experiment."""
    raise NotImplementedError


def plan(
    metric: Metric,
    *,
    baseline: float,
    sd: float | None = None,
    effect: float,
    alpha: float = 0.05,
    power: float = 0.8,
    allocation: float = 0.5,
    daily_units: float | None = None,
    presence: float = 1.0,
    method: str = "tuned",
    looks: int = 30,
) -> Plan:
    """The sizes and the duration of an experiment that is to see a difference of ``effect``, either way.

    ``baseline``: the metric's value in the control arm. ``sd``: of one unit (:class:`Baseline`); a binary metric needs
    none. ``effect``: the smallest difference treatment - control that matters, absolute, in the metric's units (5 %
    of a baseline of 0.2 is 0.01), not 0. ``allocation``: share of units in treatment. ``daily_units``: units assigned per day.
    ``presence``: share of them whose outcome becomes known. ``looks``: how often the data are looked at, evenly.
    """
    raise NotImplementedError
