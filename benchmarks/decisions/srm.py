"""Sample ratio mismatch: false alarms on sound traffic, and how soon a split of 51 to 49 is found.

No test can do better than Neyman and Pearson's, which knows the fault and looks once: its power is the row ``limit``.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.table import LIMIT, QUORATE, Row
from quorate.core.stats.intervals import wilson
from quorate.core.stats.sample_ratio import ALPHA, log_evidence

RUNS = 20_000
STEP = 500
SIZES = (50_000, 100_000)
SHARE = 0.51
SEED = 7


def rows(*, quick: bool = False) -> list[Row]:
    """Checks after every 500 units, until an alarm."""
    runs = 1000 if quick else RUNS
    rng = np.random.default_rng(SEED)
    sound, faulty = (alarms(rng, share, runs) for share in (0.5, SHARE))
    name = f"SRM, {runs:,} runs, a check every {STEP} units"
    found = []
    for size in SIZES:
        known = size // STEP
        false = wilson(int((sound <= known).sum()), runs, 0.98)
        right = wilson(int((faulty <= known).sum()), runs, 0.98)
        best = _best(size)
        found += [
            Row(
                name,
                QUORATE,
                f"false alarms, {size // 2:,} units an arm",
                "",
                (false.estimate,),
                f"99 % bound {false.high:.5f}",
            ),
            Row(
                name,
                QUORATE,
                f"51/49 found in {size // 2:,} units an arm",
                "",
                (right.estimate,),
                f"99 % bound {right.low:.4f}",
            ),
            Row(
                name,
                LIMIT,
                f"51/49 found in {size // 2:,} units an arm",
                "",
                (best,),
                f"one look, fault known, alpha {ALPHA}",
            ),
        ]
    found.append(Row(name, QUORATE, "median units until 51/49 is found", "units", (float(np.median(faulty)) * STEP,)))
    found.append(Row(name, QUORATE, "95 % of runs found within", "units", (float(np.quantile(faulty, 0.95)) * STEP,)))
    return found


def alarms(rng: np.random.Generator, share: float, runs: int) -> NDArray[np.float64]:
    """At which check each run raises the alarm; infinite where none does."""
    checks = SIZES[-1] // STEP
    first = np.cumsum(rng.binomial(STEP, share, (runs, checks)), axis=1)
    total = np.arange(1, checks + 1) * STEP
    counts = np.stack([first, total - first], axis=-1)
    over = log_evidence(counts, np.array([0.5, 0.5])) >= -math.log(ALPHA)
    return np.where(over.any(axis=1), over.argmax(axis=1) + 1.0, np.inf)


def _best(size: int) -> float:
    normal = NormalDist()
    return normal.cdf((SHARE - 0.5) * 2 * math.sqrt(size) - normal.inv_cdf(1 - ALPHA))
