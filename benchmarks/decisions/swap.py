"""Two arms with mean rewards 0.3 and 0.7 that swap every 1,000 of 10,000 steps: the reward of each learner a step."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.decisions.simulated import play
from benchmarks.harness.table import LIMIT, QUORATE, Row
from quorate.core.select.base import Policy
from quorate.core.select.exp3 import Exp3, Exp3Params
from quorate.core.select.thompson import Thompson, ThompsonParams
from quorate.core.select.ucb import Ucb, UcbParams

STEPS, EVERY, RUNS, SEED = 10_000, 1000, 10, 1
DISCOUNT = 0.98


def policies() -> dict[str, Policy]:
    """Each learner as it is, and with the discount; everything else is the default, but for UCB's floor."""
    names = ["a", "b"]
    return {
        "thompson": Thompson(names),
        "thompson, discount": Thompson(names, ThompsonParams(discount=DISCOUNT)),
        "ucb": Ucb(names, UcbParams(floor=0.0)),
        "ucb, discount": Ucb(names, UcbParams(floor=0.0, discount=DISCOUNT)),
        "exp3": Exp3(names),
        "exp3, discount": Exp3(names, Exp3Params(discount=DISCOUNT)),
    }


def rows(*, quick: bool = False) -> list[Row]:
    """Mean reward a step, by learner."""
    runs = 1 if quick else RUNS
    rng = np.random.default_rng(SEED)
    swapped = (np.arange(STEPS) // EVERY % 2).astype(bool)
    means = np.where(swapped[:, None], [0.7, 0.3], [0.3, 0.7])
    rewards = (rng.random((runs, STEPS, 2)) < means).astype(np.float64)
    workload = f"swap every {EVERY:,} of {STEPS:,} steps, 0.3 / 0.7, {runs} runs, discount {DISCOUNT}"
    found = [Row(workload, LIMIT, "always the better one", "reward/step", (0.7,))]
    for name, policy in policies().items():
        got = np.array([(play(policy, rewards[i], SEED + 1 + i) * means).sum(1).mean() for i in range(runs)])
        error = f"± {1.96 * got.std(ddof=1) / math.sqrt(runs):.2g}" if runs > 1 else ""
        found.append(Row(workload, QUORATE, name, "reward/step", (float(got.mean()),), error))
    return found
