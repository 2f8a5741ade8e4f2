"""Rewards: what strategies earned by an answer, in one number between 0 and 1, higher is better."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quorate.codecs.snapshot import RewardRoute
from quorate.core.types import FloatArray, OutputSpec
from quorate.errors import ConfigError
from quorate.spec.model import RewardSpec

ACCURACY, ERROR, VALUE = "accuracy", "error", "value"
FROM_TRUTH = (ACCURACY, ERROR)
"""Metrics that follow from the truth; VALUE is the business value that the endpoint declares, all others are rewards
that are told by name."""


def reward_route(spec: RewardSpec | None, output: OutputSpec, *, valued: bool) -> RewardRoute:
    """What is learned from, defaults filled in; ``valued`` says whether the endpoint declares what answers are worth.

    :class:`ConfigError` with a path below the policy's ``reward``.
    """
    spec = spec or RewardSpec()
    metric = spec.metric or (ACCURACY if output.kind == "scores" else ERROR)
    fitting = ACCURACY if output.kind == "scores" else ERROR
    if metric in FROM_TRUTH and metric != fitting:
        raise ConfigError(
            f"'{metric}' is no metric of models that answer {output.kind}; use '{fitting}', or the name of a reward.",
            path="metric",
        )
    if metric == ERROR and len(output.names) > 1:
        raise ConfigError(
            f"the models answer {len(output.names)} numbers, of which no one is the error; send a reward and name it.",
            path="metric",
        )
    if metric == ERROR and spec.low is None:
        raise ConfigError("'error' needs to know which error counts as 0; set low to the worst one.", path="low")
    if metric == VALUE and not valued:
        raise ConfigError("the endpoint does not say what answers are worth; declare its 'value'.", path="metric")
    if metric == VALUE and (spec.low is None or spec.high is None):
        raise ConfigError("'value' has no scale of its own; set low to the worst one and high to the best.", path="low")
    low = 0.0 if spec.low is None else spec.low
    high = (0.0 if metric == ERROR else 1.0) if spec.high is None else spec.high
    if low == high:
        raise ConfigError(f"low and high are both {low:g}; one counts as 0 and the other as 1.", path="high")
    return RewardRoute(metric, low, high)


def normalised(values: NDArray[np.float64], reward: RewardRoute) -> NDArray[np.float64]:
    """Values of the metric as rewards in [0, 1]; those beyond ``low`` and ``high`` count as these, NaN stays."""
    return np.clip((values - reward.low) / (reward.high - reward.low), 0.0, 1.0)


def of_truths(answers: FloatArray, truths: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """``accuracy`` (0 or 1) or ``error`` of answers ``[..., n, k]`` whose truths ``[n]`` are class indices or numbers.

    NaN where the answer is not known.
    """
    known = np.isfinite(answers).all(axis=-1)
    if metric == ACCURACY:
        right = np.where(known, np.nan_to_num(answers).argmax(axis=-1), -1) == truths
        return np.where(known, right.astype(np.float64), np.nan)
    return np.where(known, np.abs(answers[..., 0].astype(np.float64) - truths), np.nan)


def worst(metric: str, reward: RewardRoute) -> float:
    """What an answer earns that was none: as much as the worst one."""
    return 0.0 if metric == ACCURACY else reward.low
