"""Adaptive conformal inference: the level that keeps the coverage when the world does not keep still.

What a truth says is one number (beta): how far up its score is among the scores known, as the largest miscoverage at
which it would still have been covered. For each of several targets, experts with different step sizes follow

    level <- level + rate (target - [level >= beta])

which covers as often as was asked in the long run, whatever comes (|errors / T - target| <= (1 + rate) / (rate T)).
Which step size is right changes, too; the experts are weighed by how well their levels have done, in the pinball
loss of beta, and what is served is their weighted mean. A coverage between targets has the level between theirs.

That counts what a level would have covered when its outcome came. Where outcomes are late, another one was in force
when the answer was given; so a slow correction is added that counts what the answers themselves have covered:

    correction <- correction + rate (target - [missed])

Then the answers cover as often as was asked in the long run, however late their outcomes are: target less the share
that was missed is the correction over (rate T), and that is bounded, since where nothing is left out nothing is missed.
Every target has levels of its own, and none is kept above another: a higher coverage may for a while leave out what a
lower one keeps, which is the price of each keeping its promise.

The scores it looks up in are the newest ones: it begins with those of the calibration, and each truth's own takes the
place of the oldest. Else a shift to errors larger than all calibrated ones could only be met by leaving nothing out.

References: I. Gibbs, E. Candès, "Adaptive conformal inference under distribution shift", NeurIPS 2021, equation 2 and
proposition 4.1; the same, "Conformal inference for online prediction with arbitrary distribution shifts", JMLR 2024,
algorithm 1 (DtACI), from which the step sizes, their weights and both constants are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.conformal.calibrated import Calibrated, Threshold
from quorate.core.conformal.quantile import rank
from quorate.core.types import State

KIND, VERSION = "adaptive-coverage", 1
"""Format of the state. Meta: none. Arrays: ``targets`` ``[t]`` miscoverages, ascending; ``levels`` and ``weights``
``[t, e]`` of the experts; ``correction`` ``[t]``; ``served`` ``[t]``, their weighted means, corrected; ``scores`` and
``ties`` ``[w]``, the newest known;
``oldest`` ``[1]``, the place that the next one takes; ``rows`` ``[1]``; ``missed`` ``[t]``, how many of them the level
in force would not have covered."""

RATES = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128)
TARGETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
CORRECTION = 0.005
SPAN = 500
"""Outcomes over which the weights of experts are to be about right: sets how fast weights move, and are shared."""
WINDOW = 500

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Adaptation:
    """Settings of the learner: ``rates`` are the experts' step sizes, ``correction`` that of the correction."""

    targets: tuple[float, ...] = TARGETS
    rates: tuple[float, ...] = RATES
    window: int = WINDOW
    correction: float = CORRECTION


class Known(NamedTuple):
    """What a learner knows; arrays as in :data:`VERSION`."""

    targets: Numbers
    levels: Numbers
    weights: Numbers
    correction: Numbers
    scores: Numbers
    ties: Numbers
    oldest: int
    rows: int
    missed: Numbers


def start(calibrated: Calibrated, settings: Adaptation) -> Known:
    """What is known before the first outcome: the calibration scores, and levels equal to their targets.

    Of more scores than the window holds, evenly many from low to high, in an order that is random but always the same.
    """
    targets = np.array(sorted(settings.targets), np.float64)
    levels = np.repeat(targets[:, None], len(settings.rates), axis=1)
    n = len(calibrated.scores)
    size = min(n, settings.window)
    taken = ((np.arange(size) + 0.5) * n / size).astype(np.intp)
    order = np.random.default_rng(0).permutation(taken)
    weights = np.full_like(levels, 1.0 / len(settings.rates))
    zero = np.zeros(len(targets))
    return Known(targets, levels, weights, zero, calibrated.scores[order], calibrated.ties[order], 0, 0, zero)


def learn(
    known: Known,
    scores: Numbers,
    ties: Numbers,
    settings: Adaptation,
    asked: Numbers | None = None,
    covered: NDArray[np.bool_] | None = None,
) -> Known:
    """What is known after outcomes in their order, given by the scores and ties ``[n]`` of their truths.

    ``asked`` ``[n]`` are the coverages that their answers promised, NaN for none, and ``covered`` ``[n]`` says whether
    these had the truth; of others, and of other targets, it is what the present level would have had.
    """
    targets, levels, weights, correction = known.targets, known.levels, known.weights, known.correction
    window, beside, oldest = known.scores.copy(), known.ties.copy(), known.oldest
    missed = known.missed
    promised = np.full((len(scores), len(targets)), False) if asked is None else _same(1.0 - asked, targets)
    had = np.ones(len(scores), bool) if covered is None else covered
    rates = np.array(settings.rates)
    speed = _speed(targets, len(rates))
    share = 1.0 / (2 * SPAN)
    for i, (score, tie) in enumerate(zip(scores.tolist(), ties.tolist(), strict=True)):
        below = np.count_nonzero(window < score) + np.count_nonzero((window == score) & (beside < tie))
        beta = 1.0 - below / (len(window) + 1)
        miss = np.where(promised[i], not had[i], np.einsum("te,te->t", weights, levels) + correction >= beta)
        missed = missed + miss
        correction = correction + settings.correction * (targets - miss)
        gap = beta - levels
        loss = targets[:, None] * gap - np.minimum(0.0, gap)
        weights = weights * np.exp(-speed[:, None] * loss)
        weights = weights / weights.sum(axis=1, keepdims=True)
        weights = (1 - share) * weights + share / len(rates)
        levels = levels + rates * (targets[:, None] - (levels >= beta))
        if len(window) < settings.window:
            window, beside = np.append(window, score), np.append(beside, tie)
        else:
            window[oldest], beside[oldest] = score, tie
            oldest = (oldest + 1) % len(window)
    return Known(targets, levels, weights, correction, window, beside, oldest, known.rows + len(scores), missed)


def _same(asked: Numbers, targets: Numbers) -> NDArray[np.bool_]:
    """Which target each one is, bool ``[n, t]``; none of them where it is between."""
    found: NDArray[np.bool_] = np.abs(asked[:, None] - targets) < 1e-9
    return found


def _speed(targets: Numbers, experts: int) -> Numbers:
    """How fast weights follow the losses, of the reference's section 4."""
    a, b = 1.0 - targets, targets
    found: Numbers = np.sqrt(3.0 / SPAN) * np.sqrt((np.log(SPAN * experts) + 2.0) / (a**2 * b**3 + b**2 * a**3))
    return found


def pack(known: Known) -> State:
    """What is known as a state."""
    arrays = {
        "targets": known.targets,
        "levels": known.levels,
        "weights": known.weights,
        "correction": known.correction,
        "served": np.einsum("te,te->t", known.weights, known.levels) + known.correction,
        "scores": known.scores,
        "ties": known.ties,
        "oldest": np.array([known.oldest], np.int64),
        "rows": np.array([known.rows], np.int64),
        "missed": known.missed,
    }
    return State(KIND, VERSION, {}, arrays)


def unpack(state: State) -> Known:
    """What a state says."""
    a = state.arrays
    oldest, rows = int(a["oldest"][0]), int(a["rows"][0])
    experts = a["targets"], a["levels"], a["weights"], a["correction"]
    return Known(*experts, a["scores"], a["ties"], oldest, rows, a["missed"])


class Adapted:
    """The thresholds of a learned state, for answering."""

    def __init__(self, state: State) -> None:
        arrays = state.arrays
        order = np.lexsort((arrays["ties"], arrays["scores"]))
        self._scores, self._ties = arrays["scores"][order], arrays["ties"][order]
        served = np.clip(arrays["served"], 0.0, 1.0)
        self._targets = np.concatenate([[0.0], arrays["targets"], [1.0]])
        self._levels = np.concatenate([[0.0], served, [1.0]])

    def level(self, coverage: float) -> float:
        """The coverage that is aimed at among the newest scores, so that ``coverage`` comes out."""
        return 1.0 - float(np.interp(1.0 - coverage, self._targets, self._levels))

    def threshold(self, coverage: float) -> Threshold:
        """What is not left out at that coverage; the smallest score never is."""
        k = rank(len(self._scores), self.level(coverage))
        if k > len(self._scores):
            return Threshold(np.array([np.inf]), np.array([1.0]))
        return Threshold(self._scores[k - 1 : k], self._ties[k - 1 : k])
