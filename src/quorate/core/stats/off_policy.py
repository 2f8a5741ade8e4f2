"""What a policy would have earned, from decisions that another policy made: IPS, SNIPS, DR and SWITCH-DR.

For decision i, strategy ``a_i`` was drawn with the logged probabilities ``b_i(k)``; the target has ``p_i(k)``, and
``w_i = p_i(a_i) / b_i(a_i)``. It has ``m_i`` rows whose reward is known (1 as a rule), and ``s_i`` is their sum::

    IPS    V = sum_i w_i s_i / sum_i m_i
    SNIPS  V = sum_i w_i s_i / sum_i w_i m_i
    DR     V = sum_i [ m_i sum_k p_i(k) q_i(k) + w_i (s_i - m_i q_i(a_i)) ] / sum_i m_i
    SWITCH-DR   as DR, with w_i set to 0 where it is above ``switch``: less variance, and the model's bias there

``q_i(k)``, the reward expected of strategy k, is given with the decisions, or else the mean reward of k among the
*other folds'* decisions (cross-fitting), so that IPS and DR stay unbiased whatever q is. Everything is a function of
sums per group of decisions, so decisions are added as they are read and never kept. A group is one decision, or all
decisions of a sticky unit, or several of these that share a place: sums over independent groups say as much about the
variance. Intervals are those of :mod:`quorate.core.stats.influence`.

References: D. Horvitz, D. Thompson, "A generalization of sampling without replacement from a finite universe", JASA 47,
1952; A. Swaminathan, T. Joachims, "The self-normalized estimator for counterfactual learning", NeurIPS 2015; M. Dudík,
D. Erhan, J. Langford, L. Li, "Doubly robust policy evaluation and optimization", Statistical Science 29(4), 2014;
Y.-X. Wang, A. Agarwal, M. Dudík, "Optimal and adaptive off-policy evaluation in contextual bandits", ICML 2017;
L. Kish, "Survey sampling", 1965 (effective sample size).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quorate.core.stats.influence import NOTHING, Estimate, interval
from quorate.errors import InvalidInput

METHODS = ("ips", "snips", "dr", "switch-dr")
GROUPS = 1 << 16
FOLDS = 5
FEW = 200
"""Below this effective sample size the intervals are not to be relied on."""

Array = NDArray[np.float64]


class NoOverlap(InvalidInput):
    """The target puts probability where the log has none, so the log says nothing about it."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """How well the logged decisions cover the target.

    ``effective`` is Kish's sample size ``(sum w)² / sum w²``, of sticky units where assignment is sticky;
    ``mean_weight`` is 1 but for chance (its standard error beside it): otherwise the propensities are not true.
    ``largest_share`` is the part of all weight that the heaviest decision has, ``smallest_propensity`` the smallest
    logged probability of a strategy that the target may choose; ``unsupported`` decisions have one of 0.
    """

    decisions: int
    effective: float
    mean_weight: float
    mean_weight_error: float
    largest_weight: float
    largest_share: float
    smallest_propensity: float
    unsupported: int

    @property
    def few(self) -> bool:
        """Whether the effective sample is too small for the intervals."""
        return not self.effective >= FEW


class OffPolicy:
    """Sums of decisions over ``strategies`` k; memory depends on ``groups`` and k alone.

    ``folds`` are for cross-fitting; decisions of one group are in one fold.
    """

    def __init__(
        self,
        strategies: int,
        *,
        groups: int = GROUPS,
        folds: int = FOLDS,
        switch: float = math.inf,
        level: float = 0.95,
    ) -> None:
        if strategies < 1 or groups < 1 or not folds >= 2:
            raise ValueError(
                f"expected at least 1 strategy and group and 2 folds; got {strategies}, {groups}, {folds}."
            )
        self._k, self._groups, self._folds = strategies, groups, folds
        self._switch = switch
        self._level = level
        self._next = 0
        self._units = False
        self._count = np.zeros(groups, np.int64)
        self._m, self._s, self._ws, self._wm = (np.zeros(groups) for _ in range(4))
        self._w, self._given, self._given_switched, self._ws_switched = (np.zeros(groups) for _ in range(4))
        self._expected, self._weighed, self._weighed_switched = (np.zeros((groups, strategies)) for _ in range(3))
        self._fold_s, self._fold_m = np.zeros((folds, strategies)), np.zeros((folds, strategies))
        self._squares = self._largest = 0.0
        self._smallest = math.inf
        self.unsupported = 0

    def add(
        self,
        target: Array,
        logged: Array,
        assigned: NDArray[np.integer],
        rewards: Array,
        *,
        rows: Array | None = None,
        unit: NDArray[np.integer] | None = None,
        q_hat: Array | None = None,
    ) -> NDArray[np.bool_]:
        """Add n decisions; returns which of them counted, bool ``[n]``: those that the log supports.

        ``target`` float64 ``[n, k]`` (or ``[k]``, the same for all) and ``logged`` ``[n, k]`` are probabilities,
        ``assigned`` int ``[n]`` indices, ``rewards`` float64 ``[n]`` the sums over each decision's ``rows`` (1 each by
        default). ``unit`` are non-negative integers of sticky units; without it every decision is on its own.
        ``q_hat`` float64 ``[n, k]`` are expected rewards of a row from a model that has not seen the decision; give
        them always or never.
        """
        n = len(assigned)
        target = np.broadcast_to(np.asarray(target, np.float64), (n, self._k))
        logged = np.broadcast_to(np.asarray(logged, np.float64), (n, self._k))
        mine = np.arange(n)
        wanted = target > 0.0
        with np.errstate(invalid="ignore"):
            fine = ~(wanted & ~(logged > 0.0)).any(axis=1) & (logged[mine, assigned] > 0.0)
        self.unsupported += int(n - np.count_nonzero(fine))
        if n and fine.any():
            self._smallest = min(self._smallest, float(np.where(wanted & fine[:, None], logged, np.inf).min()))
        group = self._place(n, unit)
        if not fine.all():
            target, logged, assigned, rewards, group = (x[fine] for x in (target, logged, assigned, rewards, group))
            rows = None if rows is None else rows[fine]
            q_hat = None if q_hat is None else q_hat[fine]
        self._sum(target, logged, assigned, rewards, np.ones(len(assigned)) if rows is None else rows, group, q_hat)
        counted: NDArray[np.bool_] = fine
        return counted

    def _place(self, n: int, unit: NDArray[np.integer] | None) -> NDArray[np.int64]:
        if unit is None:
            places = (self._next + np.arange(n, dtype=np.int64)) % self._groups
            self._next = (self._next + n) % self._groups
            return places
        self._units = True
        return np.asarray(unit, np.int64) % self._groups

    def _sum(
        self,
        target: Array,
        logged: Array,
        assigned: NDArray[np.integer],
        s: Array,
        m: Array,
        group: NDArray[np.int64],
        q_hat: Array | None,
    ) -> None:
        mine, k = np.arange(len(assigned)), self._k
        w = target[mine, assigned] / logged[mine, assigned]
        low = np.where(w <= self._switch, w, 0.0)

        def total(values: Array) -> Array:
            found: Array = np.bincount(group, values, self._groups).astype(np.float64, copy=False)
            return found

        self._count += np.bincount(group, minlength=self._groups)
        self._m += total(m)
        self._s += total(s)
        self._w += total(w)
        self._ws += total(w * s)
        self._wm += total(w * m)
        self._ws_switched += total(low * s)
        self._squares += float(w @ w)
        self._largest = max(self._largest, float(w.max(initial=0.0)))
        if q_hat is not None:
            expected, own = m * (target * q_hat).sum(axis=1), m * q_hat[mine, assigned]
            self._given += total(expected - w * own)
            self._given_switched += total(expected - low * own)
            return
        shape, cell = (self._groups, k), group * k + assigned
        self._weighed += np.bincount(cell, w * m, self._groups * k).reshape(shape)
        self._weighed_switched += np.bincount(cell, low * m, self._groups * k).reshape(shape)
        for strategy in range(k):
            if target[:, strategy].any():
                self._expected[:, strategy] += total(target[:, strategy] * m)
        fold = (group % self._folds) * k + assigned
        self._fold_s += np.bincount(fold, s, self._folds * k).reshape(self._folds, k)
        self._fold_m += np.bincount(fold, m, self._folds * k).reshape(self._folds, k)

    # --- what comes of it -------------------------------------------------------------------------

    def check(self) -> None:
        """Raise :class:`NoOverlap` where decisions were not supported, or none was."""
        if self.unsupported:
            total = self.unsupported + int(self._count.sum())
            raise NoOverlap(
                f"{self.unsupported} of {total} decisions could not have been assigned to a strategy that is asked "
                "about: its logged probability is 0, so they say nothing about it.",
            )

    def live(self) -> Estimate:
        """The mean reward that was earned."""
        return self._estimate(*self._live())

    def estimate(self, method: str) -> Estimate:
        """What the target would have earned, by one of :data:`METHODS`."""
        return self._estimate(*self._parts(method))

    def difference(self, method: str) -> Estimate:
        """What the target would have earned more than was earned, on the same decisions."""
        value, parts = self._parts(method)
        other, live = self._live()
        return self._estimate(value - other, parts - live)

    def overlap(self) -> Overlap:
        """How well the decisions cover the target."""
        n, total = int(self._count.sum()), float(self._w.sum())
        squares = float(np.square(self._w).sum()) if self._units else self._squares
        mean = total / n if n else math.nan
        there = self._count > 0
        weights = interval(mean, (self._w - mean * self._count)[there] / max(n, 1), self._level)
        return Overlap(
            decisions=n,
            effective=total * total / squares if squares > 0 else 0.0,
            mean_weight=mean,
            mean_weight_error=weights.standard_error,
            largest_weight=self._largest,
            largest_share=self._largest / total if total > 0 else math.nan,
            smallest_propensity=self._smallest,
            unsupported=self.unsupported,
        )

    def _live(self) -> tuple[float, Array]:
        return _ratio(self._s, self._m)

    def _parts(self, method: str) -> tuple[float, Array]:
        """The estimate and what each group contributes to its error."""
        if method == "ips":
            return _ratio(self._ws, self._m)
        if method == "snips":
            return _ratio(self._ws, self._wm)
        if method == "dr":
            return _ratio(self._ws + self._given + self._fitted(self._weighed), self._m)
        if method == "switch-dr":
            return _ratio(self._ws_switched + self._given_switched + self._fitted(self._weighed_switched), self._m)
        raise ValueError(f"expected one of {', '.join(METHODS)}; got '{method}'.")

    def _fitted(self, weighed: Array) -> Array:
        """Per group, ``sum_i [m_i sum_k p_i(k) q(k) - w_i m_i q(a_i)]`` with q from the other folds."""
        s, m = self._fold_s.sum(axis=0) - self._fold_s, self._fold_m.sum(axis=0) - self._fold_m
        # A strategy that the other folds never saw is taken for their average.
        average = _divided(s.sum(axis=1, keepdims=True), m.sum(axis=1, keepdims=True), np.zeros((self._folds, 1)))
        q = _divided(s, m, np.broadcast_to(average, s.shape))
        fold = np.arange(self._groups) % self._folds
        fitted: Array = ((self._expected - weighed) * q[fold]).sum(axis=1)
        return fitted

    def _estimate(self, value: float, contributions: Array) -> Estimate:
        there = self._count > 0
        return interval(value, contributions[there], self._level) if there.any() else NOTHING


def _ratio(numerators: Array, denominators: Array) -> tuple[float, Array]:
    """``sum(numerators) / sum(denominators)`` and the groups' contributions to its error."""
    total = float(denominators.sum())
    if total <= 0.0:
        return math.nan, np.zeros(len(numerators))
    value = float(numerators.sum()) / total
    return value, (numerators - value * denominators) / total


def _divided(numerator: Array, denominator: Array, otherwise: Array) -> Array:
    found: Array = np.divide(numerator, denominator, out=otherwise.copy(), where=denominator > 0)
    return found
