"""What an experiment measures: declared metrics, their components in the store, and their value per unit.

A component is what is stored per decision: ``accuracy``, ``absolute_error``, ``value`` or ``reward:NAME``, with how
many rows have it and their total. A unit's value is the mean of its decisions' values, so every unit counts once; a
ratio has the sums of both its rewards over the unit's decisions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from quorate.core.stats.metric import Metric

ACCURACY = "accuracy"
ABSOLUTE_ERROR = "absolute_error"
VALUE = "value"
LATENCY = "latency_ms"
_REWARD = "reward:"

RewardName = Annotated[str, Field(min_length=1, max_length=64, description="A metric that outcomes report.")]
Better = Annotated[Literal["higher", "lower"], Field(description="Which is better.")]


def reward(name: str) -> str:
    """The component of a reward.

    >>> reward("clicks")
    'reward:clicks'
    """
    return _REWARD + name


class Part(BaseModel):
    """What all parts of a registration share: unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Accuracy(Part):
    """The share of rows answered rightly; what was not answered, or only with an abstention, is not right."""

    kind: Literal["accuracy"]


class AbsoluteError(Part):
    """The mean absolute error of an endpoint whose answer is one number; lower is better."""

    kind: Literal["absolute_error"]


class Reward(Part):
    """The mean of a reward; ``low`` and ``high`` bound it, which the methods without approximation need."""

    kind: Literal["reward"]
    reward: RewardName = "reward"
    better: Better = "higher"
    low: float | None = None
    high: float | None = None


class Ratio(Part):
    """The sum of one reward over the sum of another, as revenue per visit; the unit is what is independent."""

    kind: Literal["ratio"]
    numerator: RewardName
    denominator: RewardName
    better: Better = "higher"


class Quantile(Part):
    """A quantile of a reward, or of ``latency_ms``."""

    kind: Literal["quantile"]
    of: RewardName
    q: Annotated[float, Field(gt=0, lt=1)]
    better: Better = "higher"


class Value(Part):
    """The business value of a request, as the endpoint declares it."""

    kind: Literal["value"]


class Weighed(Part):
    """One part of a weighted metric."""

    weight: Annotated[float, Field(description="Negative where less is better.")]
    metric: Annotated[Accuracy | AbsoluteError | Reward | Value, Field(discriminator="kind")]


class Weighted(Part):
    """Several metrics in one number: the sum of ``weight`` times metric, of units that have all of them."""

    kind: Literal["weighted"]
    parts: Annotated[tuple[Weighed, ...], Field(min_length=2, max_length=16, strict=False)]


Declared = Annotated[
    Accuracy | AbsoluteError | Reward | Ratio | Quantile | Value | Weighted, Field(discriminator="kind")
]
Single = Accuracy | AbsoluteError | Reward | Value


def component(metric: Single) -> str:
    """The component that a metric of one component rests on."""
    return reward(metric.reward) if isinstance(metric, Reward) else metric.kind


def components(metric: Any) -> tuple[str, ...]:
    """All components that a declared metric rests on; the latency is part of every exposure and none."""
    if isinstance(metric, Ratio):
        return (reward(metric.numerator), reward(metric.denominator))
    if isinstance(metric, Quantile):
        return () if metric.of == LATENCY else (reward(metric.of),)
    if isinstance(metric, Weighted):
        return tuple(dict.fromkeys(component(part.metric) for part in metric.parts))
    return (component(metric),)


def title(metric: Any) -> str:
    """A declared metric in words."""
    if isinstance(metric, Reward):
        return f"mean {metric.reward}"
    if isinstance(metric, Ratio):
        return f"{metric.numerator} per {metric.denominator}"
    if isinstance(metric, Quantile):
        return f"{metric.q:.4g} quantile of {metric.of}"
    if isinstance(metric, Weighted):
        return " ".join(f"{part.weight:+g} × {title(part.metric)}" for part in metric.parts)
    return {"accuracy": "accuracy", "absolute_error": "mean absolute error", "value": "value per request"}[metric.kind]


def higher_is_better(metric: Any) -> bool:
    """Whether more of a declared metric is better."""
    return not isinstance(metric, AbsoluteError) and getattr(metric, "better", "higher") == "higher"


def statistical(metric: Any, *, binary: bool) -> Metric:
    """The metric as :mod:`quorate.core.stats` knows it; ``binary``: all values of units are 0 or 1."""
    name, higher = title(metric), higher_is_better(metric)
    if isinstance(metric, Ratio):
        return Metric("ratio", name, higher)
    if isinstance(metric, Quantile):
        return Metric("quantile", name, higher, q=metric.q)
    if isinstance(metric, Accuracy):
        return Metric("binary", name) if binary else Metric("mean", name, low=0.0, high=1.0)
    if isinstance(metric, Reward) and metric.low is not None and metric.high is not None:
        whole = binary and metric.low == 0 and metric.high == 1
        return Metric("binary", name, higher) if whole else Metric("mean", name, higher, metric.low, metric.high)
    return Metric("mean", name, higher)
