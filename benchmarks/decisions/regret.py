"""Regret on stationary Bernoulli arms, against published bounds and a textbook Thompson sampling with the same seeds.

Each run has its own arms, with means drawn from the prior, uniform on [0, 1]; all systems meet the same rewards.

- Thompson: Bayesian regret at most ``sqrt(k ln(k) n / 2)`` (D. Russo, B. Van Roy, "An information-theoretic analysis of
  Thompson sampling", JMLR 17, 2016, proposition 1 and section 5);
- UCB1: ``8 sum ln(n) / gap + (1 + pi^2 / 3) sum gap`` for each run (P. Auer et al., 2002, theorem 1);
- Exp3: ``2 sqrt(n k ln k)`` (S. Bubeck, N. Cesa-Bianchi, 2012, theorem 3.1).

The reference is algorithm 1 of S. Agrawal and N. Goyal (COLT 2012), written out in :func:`textbook`: Beta(1, 1), a draw
from each posterior, the largest is played.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from benchmarks.decisions.simulated import play
from benchmarks.harness.table import LIMIT, QUORATE, Row
from quorate.core.select.base import Policy
from quorate.core.select.exp3 import Exp3
from quorate.core.select.thompson import Thompson
from quorate.core.select.ucb import Ucb, UcbParams

ARMS, STEPS, RUNS, REPEATS, SEED = 5, 1000, 300, 30, 1
Floats = NDArray[np.float64]


def textbook(rewards: Floats, seed: int) -> NDArray[np.intp]:
    """The arms that Thompson sampling plays, of ``rewards`` ``[runs, n, k]`` in {0, 1}: ``[runs, n]``."""
    rng = np.random.default_rng(seed)
    runs, steps, k = rewards.shape
    won, lost = np.ones((runs, k)), np.ones((runs, k))
    chosen = np.empty((runs, steps), np.intp)
    each = np.arange(runs)
    for t in range(steps):
        arm = chosen[:, t] = rng.beta(won, lost).argmax(1)
        reward = rewards[each, t, arm]
        won[each, arm] += reward
        lost[each, arm] += 1.0 - reward
    return chosen


def rows(*, quick: bool = False) -> list[Row]:
    """Mean regret after all steps, by system, and the bounds."""
    runs, steps = (10, 200) if quick else (RUNS, STEPS)
    rng = np.random.default_rng(SEED)
    means = rng.random((runs, ARMS))
    rewards = (rng.random((runs, steps, ARMS)) < means[:, None, :]).astype(np.float64)
    gaps = means.max(1, keepdims=True) - means
    names = [f"arm-{i}" for i in range(ARMS)]
    policies: dict[str, Policy] = {
        "thompson": Thompson(names),
        "ucb": Ucb(names, UcbParams(floor=0.0)),
        "exp3": Exp3(names),
    }
    positive = np.where(gaps > 0, gaps, np.inf)
    bounds = {
        "thompson": math.sqrt(ARMS * math.log(ARMS) * steps / 2),
        "ucb": float((8 * np.log(steps) / positive + (1 + math.pi**2 / 3) * gaps).sum(1).mean()),
        "exp3": 2 * math.sqrt(steps * ARMS * math.log(ARMS)),
    }
    workload = f"regret, {ARMS} Bernoulli arms, {steps:,} steps, {runs} runs"

    found = []
    # The textbook's regret is averaged over draws, so that the comparison is about Quorate's chance alone.
    repeated = [textbook(rewards, SEED + 1 + i) for i in range(2 if quick else REPEATS)]
    textbooks = np.mean([np.take_along_axis(gaps, chosen, 1).sum(1) for chosen in repeated], axis=0)
    for name, policy in policies.items():
        own = np.array([(play(policy, rewards[i], SEED + i) * gaps[i]).sum() for i in range(runs)])
        found.append(Row(workload, QUORATE, name, "reward", (float(own.mean()),), _error(own)))
        found.append(Row(workload, LIMIT, name, "reward", (bounds[name],), "published bound"))
        if name == "thompson":
            ratio = own.mean() / textbooks.mean()
            spread = (own - ratio * textbooks).std(ddof=1) / math.sqrt(runs) / textbooks.mean()
            note = f"{_error(textbooks)}; Quorate / this: {ratio:.3f} ± {1.96 * spread:.3f}"
            found.append(Row(workload, "textbook", name, "reward", (float(textbooks.mean()),), note))
    return found


def _error(values: Floats) -> str:
    return f"± {1.96 * values.std(ddof=1) / math.sqrt(len(values)):.2g}"
