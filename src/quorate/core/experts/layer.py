"""The expert layer: AdaHedge and fixed shares of several horizons side by side, and AdaHedge over these.

AdaHedge is never much worse than the best expert; a share with horizon h finds a new best one after about h rounds. The
AdaHedge above them is never much worse than the best of these runs, so the bounds add up:

- against one expert, losses in [0, 1]: ``adahedge.bound(c, L, T) + adahedge.bound(ln H, L', T)`` for H runs, L' what
  the first of them lost; and at most :func:`certificate`, which the state itself knows;
- against a sequence of experts: the least ``fixed_share.bound`` of the shares, plus ``adahedge.bound(ln H, ...)``;
- squared errors: ``adahedge.square_bound`` in both places. The shares' learning rate is 1 / (2 D^2) with D the furthest
  that an expert was off; when that grows, D doubles at least and they begin anew, so that against a sequence all
  stretches between such beginnings cost no more than 2 D^2 a each, a geometric series.

The own loss is that of drawing an expert by the weights. Who takes the majority's label instead errs, in the worst
case, twice as often: no rule that does not draw does better against an adversary (Cesa-Bianchi and Lugosi 2006, 4.1).

Experts that have nothing to say in a round sleep: the others share their weight, and in that round they are charged
what their run lost itself (Y. Freund, R. Schapire, Y. Singer, M. Warmuth, "Using and combining predictors that
specialize", STOC 1997); the bound against an expert then counts the rounds in which it was awake.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.core.experts import adahedge, fixed_share, rounds
from quorate.core.experts.rounds import Sums

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

HORIZONS = np.array([32.0, 128.0, 512.0, 2048.0])
"""Rounds that an expert stays the best one, of the shares."""


class Layer(NamedTuple):
    """What n experts have shown. ``losses`` ``[n]`` and ``gap`` are AdaHedge's, ``shares`` ``[j, n]`` the weights of
    the fixed shares, ``top_losses`` ``[1 + j]`` and ``top_gap`` those of the AdaHedge above; ``scale`` is D for squared
    errors (0 before the first), ``rounds`` how many there were; ``own`` is what the layer itself lost, NaN in a state
    from before that was kept."""

    prior: Floats
    losses: Floats
    gap: float
    shares: Floats
    top_losses: Floats
    top_gap: float
    scale: float
    rounds: float
    own: float = 0.0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For a state; :meth:`of` is the way back."""
        numbers = np.array([self.gap, self.top_gap, self.scale, self.rounds, self.own])
        return {
            "expert_prior": self.prior,
            "expert_losses": self.losses,
            "expert_shares": self.shares,
            "expert_runs": self.top_losses,
            "expert_numbers": numbers,
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Layer:
        """From a state's arrays."""
        gap, top_gap, scale, rounds, *kept = arrays["expert_numbers"].tolist()
        own = kept[0] if kept else math.nan
        shares, runs = arrays["expert_shares"], arrays["expert_runs"]
        return cls(arrays["expert_prior"], arrays["expert_losses"], gap, shares, runs, top_gap, scale, rounds, own)


def start(prior: Floats) -> Layer:
    """A layer that has seen nothing; ``prior`` float64 ``[n]`` sums to 1."""
    j = len(HORIZONS)
    shares = np.tile(prior, (j, 1))
    return Layer(prior, np.zeros(len(prior)), 0.0, shares, np.zeros(1 + j), 0.0, 0.0, 0.0)


def runs(layer: Layer) -> Floats:
    """The weights of every run, float64 ``[1 + j, n]``."""
    found = np.empty((1 + len(layer.shares), len(layer.prior)))
    found[0] = adahedge.weights(layer.prior, layer.losses, layer.gap)
    found[1:] = layer.shares
    return found


def top(layer: Layer) -> Floats:
    """The weights of the runs, float64 ``[1 + j]``."""
    return adahedge.weights(_even(len(layer.top_losses)), layer.top_losses, layer.top_gap)


def weights(run_weights: Floats, top_weights: Floats, awake: Bools) -> Floats:
    """Weights float64 ``[r, n]`` of the experts in rows where those ``[r, n]`` are ``awake``, at least one in each.

    Each run's weights are renormalised over those awake, then the runs are weighed; where a run has none left, those
    awake count equally.
    """
    some = run_weights[None] * awake[:, None, :]
    total = np.add.reduce(some, axis=2, keepdims=True)
    count = np.add.reduce(awake, axis=1)[:, None, None]
    some = np.where(total > 0.0, some / np.where(total > 0.0, total, 1.0), awake[:, None, :] / count)
    found: Floats = np.einsum("h,rhn->rn", top_weights, some)
    return found


def learn(layer: Layer, losses: Floats, awake: Bools) -> Layer:
    """The layer after a round with ``losses`` ``[n]`` in [0, 1] of the experts that were ``awake`` ``[n]``."""
    losses = np.where(awake, losses, 0.0)
    own = _awake_only(runs(layer), awake) @ losses
    eta, alpha = fixed_share.tuned(HORIZONS, adahedge.cost(layer.prior))
    return _after(layer, losses, awake, own, float(top(layer) @ own), eta, alpha)


def learn_all(layer: Layer, losses: Floats, awake: Bools) -> Layer:
    """The same after rounds ``[t, n]``, one after the other, with losses that are 0 or 1."""
    if not awake.all():
        for lost, who in zip(losses, awake, strict=True):
            layer = learn_all(layer, lost[None], who[None]) if who.all() else learn(layer, lost, who)
        return layer
    eta, alpha = fixed_share.tuned(HORIZONS, adahedge.cost(layer.prior))
    before = Sums(layer.losses, layer.gap, layer.shares, layer.top_losses, layer.top_gap, layer.own)
    after = rounds.learn(layer.prior, before, losses, eta, alpha)
    return layer._replace(**after._asdict(), rounds=layer.rounds + len(losses))


def learn_square(layer: Layer, predictions: Floats, truth: float, awake: Bools) -> Layer:
    """The layer after experts said ``predictions`` ``[n]`` and ``truth`` came; losses are squared errors."""
    predictions = np.where(awake, predictions, 0.0)
    losses = np.where(awake, (predictions - truth) ** 2, 0.0)
    said = _awake_only(runs(layer), awake) @ predictions
    own = (said - truth) ** 2
    above = (float(top(layer) @ said) - truth) ** 2
    furthest = math.sqrt(float(losses.max()))
    if furthest > layer.scale:
        layer = layer._replace(scale=max(furthest, 2.0 * layer.scale), shares=np.tile(layer.prior, (len(HORIZONS), 1)))
    eta = np.full(len(HORIZONS), 1.0 / (2.0 * layer.scale**2) if layer.scale > 0.0 else 0.0)
    return _after(layer, losses, awake, own, above, eta, 1.0 / HORIZONS)


def certificate(layer: Layer) -> float:
    """How much more than any single expert the layer has lost at most, by what it has seen; see :mod:`.adahedge`."""
    return 2.0 * (layer.gap + layer.top_gap)


def bound(layer: Layer, least: float) -> float:
    """The same as a function of the ``least`` losses of an expert in [0, 1], known beforehand."""
    inner = adahedge.bound(adahedge.cost(layer.prior), least, layer.rounds)
    above = min(least + inner, layer.rounds / 2.0)  # the outer bound is largest at half the rounds
    return inner + adahedge.bound(math.log(len(layer.top_losses)), above, layer.rounds)


def _after(layer: Layer, losses: Floats, awake: Bools, own: Floats, above: float, eta: Floats, alpha: Floats) -> Layer:
    charged = np.where(awake, losses, own[0])
    return layer._replace(
        losses=layer.losses + charged,
        gap=adahedge.after(layer.prior, layer.losses, charged, float(own[0]), layer.gap),
        shares=fixed_share.after(layer.shares, losses, awake, eta, alpha, layer.prior),
        top_losses=layer.top_losses + own,
        top_gap=adahedge.after(_even(len(own)), layer.top_losses, own, above, layer.top_gap),
        rounds=layer.rounds + 1.0,
        own=layer.own + above,
    )


def _awake_only(run_weights: Floats, awake: Bools) -> Floats:
    some = np.where(awake, run_weights, 0.0)
    total = some.sum(axis=1, keepdims=True)
    found: Floats = np.where(total > 0.0, some / np.where(total > 0.0, total, 1.0), awake / awake.sum())
    return found


def _even(n: int) -> Floats:
    return np.full(n, 1.0 / n)
