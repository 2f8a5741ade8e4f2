"""The pre-registration of an experiment: everything that decides its verdict, fixed before the first unit.

What is wrong is one sentence that names the field.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from quorate.control.experiments import metrics
from quorate.control.experiments.metrics import Better, Declared, Part, Quantile, Ratio, RewardName
from quorate.core.stats.compare import Method
from quorate.errors import InvalidInput
from quorate.spec.model import NAME, STICKY

DAY = 86_400.0
GUARDED = ("error_rate", "latency", "degraded", "fallback", "reward")

Name = Annotated[str, Field(pattern=NAME)]
ContextKey = Annotated[str, Field(pattern=STICKY)]


class Stop(Part):
    """The stop rule: the method, its error rates, and where the experiment ends without a verdict.

    ``max_units`` counts units whose outcome is known, of all arms together.
    """

    method: Annotated[Method, Field(description="See the page on statistics.")] = "tuned"
    alpha: Annotated[float, Field(ge=1e-6, le=0.5, description="Probability of a difference found where none is.")] = (
        0.05
    )
    power: Annotated[float, Field(ge=0.5, lt=1, description="Probability of finding the minimum effect.")] = 0.8
    max_units: Annotated[int, Field(ge=10, le=100_000_000)]
    max_days: Annotated[float, Field(gt=0, le=366)]
    looks: Annotated[int, Field(ge=1, le=1000, description="Planned looks; group_sequential counts them.")] = 30


class GuardRail(Part):
    """What must not get worse by more than ``margin``: harm beyond it ends the experiment.

    ``margin`` is absolute, in the units of the metric: 0.01 of an error rate, 5 of a latency in milliseconds. A latency
    is its mean, or with ``q`` that quantile.
    """

    metric: Literal["error_rate", "latency", "degraded", "fallback", "reward"]
    margin: Annotated[float, Field(gt=0)]
    reward: RewardName | None = None
    better: Better = "higher"
    q: Annotated[float | None, Field(gt=0, lt=1)] = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.reward is not None) != (self.metric == "reward"):
            raise ValueError("'reward' names the reward of a guard rail with metric: reward, and of no other")
        if self.q is not None and self.metric != "latency":
            raise ValueError("'q' belongs to a guard rail with metric: latency")
        return self

    @property
    def higher_is_better(self) -> bool:
        """Whether more is better: only of a reward that says so."""
        return self.metric == "reward" and self.better == "higher"

    @property
    def title(self) -> str:
        """It in words."""
        if self.metric == "reward":
            return f"mean {self.reward}"
        if self.metric == "latency":
            return "mean latency (ms)" if self.q is None else f"{self.q:.4g} quantile of the latency (ms)"
        return {"error_rate": "error rate", "degraded": "degraded share", "fallback": "fallback share"}[self.metric]


class PrePeriod(Part):
    """The unit's own mean of the metric in so many days before the start."""

    pre_period_days: Annotated[float, Field(gt=0, le=366)]


class Registration(Part):
    """What is registered; strategies are those of the endpoint, rewards those that its outcomes report."""

    name: Name
    endpoint: Name
    control: Name
    treatments: Annotated[tuple[Name, ...], Field(min_length=1, max_length=10, strict=False)]
    metric: Declared
    minimum_effect: Annotated[float, Field(gt=0, description="The smallest absolute difference that matters.")]
    stop: Stop
    allocation: Annotated[
        dict[Name, Annotated[float, Field(gt=0, le=1e6)]],
        Field(description="Weight of every arm in the split; equal by default.", default_factory=dict),
    ]
    unit: Annotated[
        Literal["request"] | ContextKey,
        Field(description="What is assigned: every request, or context.KEY, of which equal values keep their arm."),
    ] = "request"
    outcome_window_s: Annotated[
        float, Field(gt=0, le=366 * DAY, description="Seconds after a request in which its outcome counts.")
    ] = 7 * DAY
    look_every_s: Annotated[float, Field(ge=0.5, le=30 * DAY, description="Seconds between looks.")] = 3600.0
    guard_rails: Annotated[tuple[GuardRail, ...], Field(max_length=10, strict=False)] = ()
    segments: Annotated[tuple[ContextKey, ...], Field(max_length=8, strict=False)] = ()
    covariate: Annotated[
        ContextKey | PrePeriod | None,
        Field(description="Known of a unit before it is assigned, to reduce variance (CUPED)."),
    ] = None
    blind: Annotated[
        bool | None, Field(description="Answers do not show which arm gave them; by default as the endpoint is.")
    ] = None
    hide_until_verdict: Annotated[bool, Field(description="Operators see no arm's results before the verdict.")] = False
    conclude: Annotated[
        Literal["ask", "auto"],
        Field(description="auto: the verdict is carried out by itself, unless something speaks against a promotion."),
    ] = "ask"
    notes: Annotated[str, Field(max_length=10_000)] = ""

    @property
    def arms(self) -> tuple[str, ...]:
        """Control, then the treatments."""
        return (self.control, *self.treatments)

    @property
    def shares(self) -> dict[str, float]:
        """The probability of each arm."""
        weights = {arm: self.allocation.get(arm, 1.0) for arm in self.arms}
        return {arm: weight / sum(weights.values()) for arm, weight in weights.items()}

    @property
    def sticky(self) -> str | None:
        """The context key of the unit; None where requests are assigned."""
        return None if self.unit == "request" else self.unit.removeprefix("context.")

    @property
    def keys(self) -> tuple[str, ...]:
        """The context keys that are kept of every exposure: segments, then the covariate's."""
        named = [*self.segments, *([self.covariate] if isinstance(self.covariate, str) else [])]
        return tuple(key.removeprefix("context.") for key in named)

    @property
    def components(self) -> tuple[str, ...]:
        """All that is stored per decision: the metric's components and the guard rails' rewards."""
        guarded = (metrics.reward(rail.reward) for rail in self.guard_rails if rail.reward is not None)
        return tuple(dict.fromkeys([*metrics.components(self.metric), *guarded]))

    @property
    def digest(self) -> str:
        """SHA-256 of the registration, which says that nobody changed it afterwards."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def parse(data: Any) -> Registration:
    """Check a registration as read from JSON or YAML; :class:`InvalidInput` names the first field that is wrong."""
    if not isinstance(data, Mapping):
        raise InvalidInput("A registration is an object of settings, as docs/experiments.md shows.", path="body")
    try:
        made = Registration.model_validate(dict(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or "body"
        said = _PATTERNS if first["type"] == "string_pattern_mismatch" else first["msg"].removeprefix("Value error, ")
        got = "" if first["type"] in ("missing", "value_error") else f"; got {_shown(first['input'])}"
        raise InvalidInput(f"'{path}' is wrong: {said}{got}.", path=path) from None
    _consistent(made)
    return made


_PATTERNS = "names are of letters, digits, '.', '_' and '-', those of things in lower case; a key is context.KEY"


def _consistent(made: Registration) -> None:
    """What must hold between the fields."""
    if len(set(made.arms)) < len(made.arms):
        raise InvalidInput(f"Every arm is named once; got {', '.join(made.arms)}.", path="treatments")
    unknown = sorted(made.allocation.keys() - set(made.arms))
    missing = [arm for arm in made.arms if arm not in made.allocation]
    if unknown or (made.allocation and missing):
        raise InvalidInput(
            f"The allocation has a weight for each of {', '.join(made.arms)}, and for no other; "
            + (f"got '{unknown[0]}'." if unknown else f"there is none for '{missing[0]}'."),
            path=f"allocation.{(unknown or missing)[0]}",
        )
    if len(set(made.segments)) < len(made.segments):
        raise InvalidInput(f"Every segment is named once; got {', '.join(made.segments)}.", path="segments")
    if isinstance(made.covariate, PrePeriod) and made.sticky is None:
        raise InvalidInput(
            "A request has no time before the experiment; name a unit, as context.user_id, or another covariate.",
            path="covariate.pre_period_days",
        )
    if made.covariate is not None and isinstance(made.metric, Quantile):
        raise InvalidInput("A covariate reduces no quantile's variance; leave it out.", path="covariate")
    if made.hide_until_verdict and not made.blind:
        raise InvalidInput(
            "What is hidden from operators is blind to callers too; set blind: true.", path="hide_until_verdict"
        )
    rails = [rail.title for rail in made.guard_rails]
    if len(set(rails)) < len(rails):
        raise InvalidInput(f"Every guard rail is named once; got {', '.join(rails)}.", path="guard_rails")
    _method_fits(made)


def _method_fits(made: Registration) -> None:
    method, metric = made.stop.method, made.metric
    if (method == "nonparametric") != isinstance(metric, Quantile) and method in (
        "nonparametric",
        "betting",
        "bernstein",
    ):
        expected = "a quantile metric" if method == "nonparametric" else "the mean of a bounded metric"
        raise InvalidInput(
            f"The method '{method}' is for {expected}; got {metrics.title(metric)}. Take 'tuned'.", path="stop.method"
        )
    if method in ("betting", "bernstein"):
        known = not isinstance(metric, Ratio) and metrics.statistical(metric, binary=False).bounded
        if not known:
            raise InvalidInput(
                f"The method '{method}' needs bounds of every value; give the metric's low and high, or take 'tuned'.",
                path="stop.method",
            )
    low, high = getattr(metric, "low", None), getattr(metric, "high", None)
    if (low is None) != (high is None) or (low is not None and high is not None and not low < high):
        raise InvalidInput(
            f"low is below high, and both are given or neither; got {low} and {high}.", path="metric.low"
        )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 64 else text[:61] + "…"
