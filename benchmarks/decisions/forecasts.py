"""Numbers: nine forecasts of one number, of whom the best changes every 400 outcomes; a part of :mod:`.online`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.table import FOLDER, LIMIT, QUORATE, Row
from quorate.core.combine.online import Online
from quorate.core.experts import layer
from quorate.core.experts.layer import Layer
from quorate.core.types import OutputSpec

Floats = NDArray[np.float64]
WORKLOAD = "numbers, the best of nine changes every 400 outcomes"


def rows(python: Path, *, quick: bool) -> list[Row]:
    """Root mean squared errors."""
    n, pools = (400, 2) if quick else (4000, 5)
    made = [_forecasts(seed, n) for seed in range(pools)]
    ours, certified = zip(*[_served(said, truth) for said, truth, _ in made], strict=True)
    found = [
        _row(QUORATE, list(ours)),
        _row(LIMIT, [_rmse(said[np.arange(n), best], truth) for said, truth, best in made], "the clairvoyant switcher"),
        _row("mean", [_rmse(said.mean(axis=1), truth) for said, truth, _ in made]),
        _row("best single member", [min(_rmse(x, truth) for x in said.T) for said, truth, _ in made]),
        Row(WORKLOAD, QUORATE, "squared error beyond the best member's, certified", "per outcome", certified),
    ]
    if not python.exists():
        return [*found, _row("river", [], f"there is no {python}; run `make bench-decisions`")]
    folder = FOLDER / "run"
    folder.mkdir(parents=True, exist_ok=True)
    source, target = folder / "numbers.npz", folder / "numbers.json"
    np.savez(
        source, **{f"{i}.{part}": each[j] for i, each in enumerate(made) for j, part in enumerate(("said", "truth"))}
    )
    command = [str(python), "-m", "benchmarks.decisions.river_peer", "numbers", str(source), str(target)]
    subprocess.run(command, check=True)
    return [*found, _row("river", json.loads(target.read_text()), "EWARegressor, the best of 4 rates")]


def _forecasts(seed: int, n: int) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """What nine members said ``[n, 9]``, the truth ``[n]``, and which one is the best ``[n]``; half of every error is
    common to all, and each has a bias."""
    rng = np.random.default_rng(20_000 + seed)
    truth = 10 * np.sin(np.arange(n) / 50) + rng.normal(0, 3, n)
    best = (np.cumsum(rng.integers(1, 9, n // 400 + 1)) % 9)[np.arange(n) // 400]
    spread = np.tile(rng.uniform(1.5, 3.0, 9), (n, 1))
    spread[np.arange(n), best] = 0.5
    error = np.sqrt(0.5) * (rng.normal(size=(n, 1)) + rng.normal(size=(n, 9)))
    return truth[:, None] + spread * error + rng.normal(0, 0.5, 9), truth, best


def _served(said: Floats, truth: Floats) -> tuple[float, float]:
    outputs, status = said[:, :, None].astype(np.float32), np.zeros((1, 9), np.int8)
    combiner, output, state = Online(), OutputSpec("values", names=("y",)), None
    answers = np.empty(len(truth))
    for i in range(len(truth)):
        answers[i] = combiner.combine(outputs[i : i + 1], status, state)[0, 0]
        state = combiner.learn(state, outputs[i : i + 1], status, truth[i : i + 1], output)
    assert state is not None
    return _rmse(answers, truth), layer.certificate(Layer.of(state.arrays)) / len(truth)


def _rmse(answers: Floats, truth: Floats) -> float:
    return float(np.sqrt(np.mean((answers - truth) ** 2)))


def _row(system: str, values: list[float], note: str = "") -> Row:
    return Row(WORKLOAD, system, "root mean squared error", "", tuple(values), note)
