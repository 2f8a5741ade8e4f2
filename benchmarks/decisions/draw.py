"""What drawing a strategy takes: the policy's probabilities and the draw, with 10 arms and 50 features.

Processor time of the thread, which other work on the machine disturbs less than the time on the clock.
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.harness.table import LIMIT, QUORATE, Row
from quorate.backends.vw import Vw, VwParams
from quorate.core.select.assign import draw
from quorate.core.select.base import Feedback, Policy
from quorate.core.select.best import Best
from quorate.core.select.exp3 import Exp3
from quorate.core.select.lin_thompson import LinThompson, LinThompsonParams
from quorate.core.select.lin_ucb import LinUcb, LinUcbParams
from quorate.core.select.thompson import Thompson
from quorate.core.select.ucb import Ucb
from quorate.core.types import Scalar

ARMS, FEATURES, ROWS, DRAWS, ROUNDS = 10, 50, 500, 2000, 9
LIMITS = {False: 20.0, True: 50.0}


def rows(*, quick: bool = False) -> list[Row]:
    """Microseconds of processor time a draw, one value a round."""
    draws, rounds = (100, 2) if quick else (DRAWS, ROUNDS)
    rng = np.random.default_rng(1)
    names = [f"arm-{i}" for i in range(ARMS)]
    features = tuple(f"context.f{i}" for i in range(FEATURES))
    contexts: list[dict[str, Scalar]] = [
        {f"f{i}": float(x) for i, x in enumerate(row)} for row in rng.normal(size=(ROWS, FEATURES))
    ]
    policies: dict[str, tuple[bool, Policy]] = {
        "thompson": (False, Thompson(names)),
        "ucb": (False, Ucb(names)),
        "exp3": (False, Exp3(names)),
        "best": (False, Best(names)),
        "lin_ucb": (True, LinUcb(names, LinUcbParams(features=features))),
        "lin_thompson": (True, LinThompson(names, LinThompsonParams(features=features))),
        "vw": (True, Vw(names, VwParams(features=features))),
    }
    rewards = rng.integers(0, 2, (ROWS, ARMS)).astype(np.float64)
    feedback = [
        Feedback(c, {}, (1 / ARMS,) * ARMS, i % ARMS, rewards[i], float(i), 1.0) for i, c in enumerate(contexts)
    ]
    workload = f"draw, {ARMS} arms, {FEATURES} features for contextual ones"
    found = []
    for name, (contextual, policy) in policies.items():
        # Vowpal Wabbit is not needed to draw, and the time does not depend on what was learned.
        state = policy.initial() if name == "vw" else policy.learn(policy.initial(), feedback)
        uniform = rng.random(draws).tolist()
        taken = []
        for _ in range(rounds):
            begun = time.thread_time()
            for i, u in enumerate(uniform):
                draw(policy.distribution(state, contexts[i % ROWS], {}).tolist(), u)
            taken.append((time.thread_time() - begun) / draws * 1e6)
        found.append(Row(workload, QUORATE, name, "us", tuple(taken)))
        found.append(Row(workload, LIMIT, name, "us", (LIMITS[contextual],), "promised"))
    return found
