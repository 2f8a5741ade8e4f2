"""Vowpal Wabbit learns the rewards; shares follow from its predictions by SquareCB.

In the control process one Vowpal Wabbit workspace regresses the reward on the features of each strategy (adaptive,
normalised, importance-invariant gradient steps; one pass). Feature j of strategy s is weight ``s d + j`` of a table
that is large enough for all, so nothing collides, and what is published is that table: workers multiply, and do not
need Vowpal Wabbit. Rows of which all rewards are known weigh 1; of any other, the assigned strategy's counts 1 over
its propensity (cut at ``max_weight``), the importance-weighted regression that Vowpal Wabbit calls ``mtr``.

With ``y_s`` the predicted reward, cut to [0, 1], ``y*`` the highest of the k and n the rows so far:
``p_s = 1 / (k + gamma (y* - y_s))`` for all but the best, which has the rest; ``gamma = gamma_scale n^(1/2)``.

Numbers are not standardised (Vowpal Wabbit follows their scale itself): declare ranges for those far from 0. There is
no ``discount``; ``power_t: 0`` keeps the steps from getting smaller.

References: D. Foster, A. Rakhlin, "Beyond UCB: optimal and efficient contextual bandits with regression oracles",
ICML 2020 (SquareCB); N. Karampatziakis, J. Langford, "Online importance weight aware updates", UAI 2011; A. Bietti,
A. Agarwal, J. Langford, "A contextual bandit bake-off", JMLR 22, 2021 (mtr).
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.select.evidence import Evidence, Floats, Weights
from quorate.core.select.features import FeatureParams, Features, check_features
from quorate.core.select.learner import Arrays, Learner, setting
from quorate.core.types import Scalar, State
from quorate.errors import ConfigError


@dataclass(frozen=True, slots=True)
class VwParams(FeatureParams):
    """See :mod:`quorate.backends.vw`, and :class:`FeatureParams` for what learners have in common."""

    gamma_scale: float = setting(10.0, "How fast the shares concentrate.")
    learning_rate: float = setting(0.5, "Of Vowpal Wabbit.")
    l2: float = setting(0.0, "Of Vowpal Wabbit.")
    power_t: float = setting(0.5, "Of Vowpal Wabbit: how fast its steps get smaller.")
    max_weight: float = setting(100.0, "The most that a row counts.")


class Vw(Learner):
    """Regression by Vowpal Wabbit, exploration by SquareCB. Learning needs the extra ``vw``."""

    kind = "vw"
    Params = VwParams

    def __init__(self, strategies: Sequence[str], params: Any = None) -> None:
        super().__init__(strategies, params)
        p = self.params
        self.features = Features(p.features, p.ranges, p.values, p.buckets)
        m = self.features.numbers
        self._unscaled = np.zeros(m), np.ones(m)

    def check(self) -> None:
        """Vowpal Wabbit is there, features are declared one way, nothing is to be forgotten by weights."""
        super().check()
        p = self.params
        check_features(p.features, p.ranges, p.values, p.buckets)
        if p.discount < 1.0 or p.half_life_s is not None:
            path = "discount" if p.discount < 1.0 else "half_life_s"
            raise ConfigError("Vowpal Wabbit cannot discount rows; set power_t to 0 instead.", path=path)
        for name in ("gamma_scale", "learning_rate"):
            self._above(name, getattr(p, name), 0.0)
        for name in ("l2", "power_t"):
            self._at_least(name, getattr(p, name), 0.0)
        self._at_least("max_weight", p.max_weight, 1.0)
        _library()

    def facts(self) -> frozenset[str]:
        """The facts among the features."""
        return self.features.facts()

    def _start(self, k: int) -> Arrays:
        return {"model": np.empty(0, np.uint8), "weights": np.zeros((k, self.features.width))}

    def _add(self, arrays: Arrays, evidence: Evidence, weights: Weights) -> int:
        vw = _library()
        workspace = self._workspace(vw, arrays["model"])
        parser = vw.TextFormatParser(workspace)
        numbers, rest = self.features.raw(evidence.source)
        missing: NDArray[np.bool_] = np.isnan(numbers)
        vectors = np.concatenate([np.where(missing, 0.0, numbers), missing, rest], axis=1)
        whole = set(np.flatnonzero(~np.isnan(evidence.rewards).any(1)).tolist())
        unusable = 0
        for i, vector in enumerate(vectors):
            columns = np.flatnonzero(vector)
            learned = self._learnable(evidence, i, i in whole)
            unusable += not learned
            for arm, weight in learned:
                pairs = zip((columns + arm * self.features.width).tolist(), vector[columns].tolist(), strict=True)
                text = " ".join(f"{index}:{value!r}" for index, value in pairs)
                workspace.learn_one(parser.parse_line(f"{float(evidence.rewards[i, arm])!r} {weight!r} | {text}"))
        # Read again, a model has forgotten how many examples this process saw, which is no part of what it learned.
        model = self._workspace(vw, np.frombuffer(workspace.serialize(), np.uint8))
        k, d = arrays["weights"].shape
        arrays["model"] = np.frombuffer(model.serialize(), np.uint8).copy()
        arrays["weights"] = np.array(model.weights()[: k * d, 0, 0], np.float64).reshape(k, d)
        return unusable

    def _learnable(self, evidence: Evidence, i: int, whole: bool) -> list[tuple[int, float]]:
        """Strategies of row i whose rewards are learned, with the weights they have."""
        if whole:
            return [(arm, 1.0) for arm in range(evidence.rewards.shape[1])]
        arm = int(evidence.assigned[i])
        chance = float(evidence.propensities[i, arm])
        if math.isnan(evidence.rewards[i, arm]) or not chance > 0.0:
            return []
        return [(arm, min(1.0 / chance, self.params.max_weight))]

    def _workspace(self, vw: Any, model: NDArray[np.uint8]) -> Any:
        if len(model):
            return vw.Workspace(["--quiet"], model_data=model.tobytes())
        p = self.params
        bits = max(math.ceil(math.log2(len(self.strategies) * self.features.width)), 1)
        numbers = {"--learning_rate": p.learning_rate, "--l2": p.l2, "--power_t": p.power_t, "--bit_precision": bits}
        return vw.Workspace(["--quiet", "--noconstant", *(str(part) for pair in numbers.items() for part in pair)])

    def _publish(self, arrays: Arrays) -> Arrays:
        return {}

    def predict(self, state: State, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]) -> Floats:
        """The expected reward of each strategy ``[k]``, cut to [0, 1]."""
        x = self.features.vector(context, facts, *self._unscaled)
        found: Floats = np.clip(state.arrays["weights"] @ x, 0.0, 1.0)
        return found

    def distribution(
        self, state: State | None, context: Mapping[str, Scalar], facts: Mapping[str, Scalar]
    ) -> NDArray[np.float64]:
        """SquareCB's, under the floors; see :meth:`Policy.distribution`."""
        state = state or self.initial()
        rewards = self.predict(state, context, facts)
        k, best = len(rewards), int(rewards.argmax())
        gamma = self.params.gamma_scale * math.sqrt(float(state.arrays["rows"][0]))
        q: Floats = 1.0 / (k + gamma * (rewards[best] - rewards))
        q[best] = 0.0
        q[best] = 1.0 - q.sum()
        return self._share(q, state.arrays)


def _library() -> Any:
    try:
        return importlib.import_module("vowpal_wabbit_next")
    except ImportError as error:
        raise ConfigError(
            "the policy 'vw' learns with Vowpal Wabbit, which is not installed; run: pip install 'quorate[vw]'.",
            path="kind",
        ) from error
