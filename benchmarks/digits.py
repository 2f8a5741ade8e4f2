"""How good the networks of ``examples/digits-cnn`` and their ensembles are, over several splits of the data.

Each seed draws another split, other bootstrap samples and other first weights, and trains the whole pool anew (minutes;
what was trained before is kept in ``build/bench/digits-cnn``). The strategy and the best member are chosen on the
validation part, and judged on the test part.

Test parts of different seeds share rows and training parts overlap, so figures of seeds are not independent. The
interval of a mean difference is therefore that of the corrected resampled t-test: ``mean +- t(k - 1) s sqrt(1/k + test
rows / training rows)``. Reference: C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning
52(3), 2003.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from types import ModuleType

from benchmarks.harness.table import FOLDER, Row, render, save
from quorate.cli._output import progress
from quorate.clock import SystemClock
from quorate.control.revisions.resolve import resolve
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.spec import load
from quorate.training import report
from quorate.training.evaluate import Evaluation, Score, evaluate, majority_label
from quorate.training.train import train_pool

EXAMPLE = Path("examples/digits-cnn")
SEEDS = 5
LEAST_BAGGED = 0.965
LEAST_CHOSEN = 0.985


@dataclass(frozen=True)
class Found:
    """One seed: what was chosen on the validation part, and how all did on the test part."""

    seed: int
    seconds: float
    train_rows: int
    test: Evaluation
    strategy: str
    member: str

    def accuracy(self, name: str) -> float:
        """Test accuracy of a member or strategy."""
        return _named(self.test, name).accuracy.estimate


def main(argv: Sequence[str] | None = None) -> None:
    """Train, print the table, write ``build/bench/digits.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many splits (default %(default)s)")
    args = parser.parse_args(argv)
    if args.seeds < 2:
        parser.error("an interval needs at least two seeds")
    train = _train_module()
    first = train.digits.SEED
    found = [_seed(train, seed) for seed in range(first, first + args.seeds)]
    rows = _rows(found)
    print(render(rows))
    print("\n".join(["", *_verdict(found)]))
    print(f"\nThe rows are in {save(rows, 'digits')}.")


def _train_module() -> ModuleType:
    sys.path.insert(0, str(EXAMPLE.resolve()))
    spec = importlib.util.spec_from_file_location("digits_cnn_train", EXAMPLE / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _seed(train: ModuleType, seed: int) -> Found:
    home = Home((FOLDER / "digits-cnn" / f"seed-{seed}").resolve())
    home.root.mkdir(parents=True, exist_ok=True)
    shutil.copy(EXAMPLE / "quorate.yaml", home.config)
    registry = Registry(home.registry, SystemClock())
    recipe = train.recipe(seed)
    started = time.perf_counter()
    train_pool(recipe, registry, progress)
    seconds = time.perf_counter() - started
    routing = resolve(load(home.config.read_bytes(), home.config), registry).routing
    data, parts = recipe.data, recipe.split
    majority = majority_label(data.labels[parts.train])
    found = evaluate(
        routing.pools[0],
        routing.endpoints[0],
        registry,
        data.take(parts.test),
        majority,
        validation=data.take(parts.validation),
    )
    report.write(found, home.state)
    assert found.choice is not None
    return Found(seed, seconds, len(parts.train), found, found.choice.strategy, found.choice.member)


def _named(evaluation: Evaluation, name: str) -> Score:
    return next(score for score in (*evaluation.members, *evaluation.strategies) if score.name == name)


def _rows(found: Sequence[Found]) -> list[Row]:
    test = found[0].test
    rows = []
    for what, scores in (("members", test.members), ("strategies", test.strategies)):
        for score in scores:
            runs = tuple(each.accuracy(score.name) for each in found)
            rows.append(Row(what, score.name, "test accuracy", "", runs, f"mean {fmean(runs):.4f}"))
    chosen = tuple(each.accuracy(each.strategy) for each in found)
    best = tuple(each.accuracy(each.member) for each in found)
    names = ", ".join(each.strategy for each in found)
    rows.append(
        Row("strategies", "chosen on validation", "test accuracy", "", chosen, f"mean {fmean(chosen):.4f}: {names}")
    )
    members = ", ".join(each.member for each in found)
    rows.append(Row("members", "best on validation", "test accuracy", "", best, f"mean {fmean(best):.4f}: {members}"))
    rows.append(Row("training", "whole pool", "time", "s", tuple(each.seconds for each in found), "0: kept"))
    for each in test.strategies:
        runs = tuple(100 * (f.accuracy(each.name) - f.accuracy(f.member)) for f in found)
        note = f"mean {_difference(found, each.name)[1]}"
        rows.append(Row("less the member that is best on validation", each.name, "difference", "points", runs, note))
    return rows


def interval(differences: Sequence[float], ratio: float, level: float = 0.95) -> tuple[float, float]:
    """Corrected resampled t-interval of the mean difference; ``ratio`` is test rows over training rows.

    >>> low, high = interval([1.0, 2.0, 3.0], 0.5)  # 2 +- 4.3027 * 1 * sqrt(1/3 + 1/2)
    >>> round(low, 3), round(high, 3)
    (-1.928, 5.928)
    """
    from scipy.stats import t

    k = len(differences)
    half = float(t.ppf((1 + level) / 2, k - 1)) * stdev(differences) * math.sqrt(1 / k + ratio)
    mean = fmean(differences)
    return mean - half, mean + half


def _verdict(found: Sequence[Found]) -> list[str]:
    means = {m.name: fmean(f.accuracy(m.name) for f in found) for m in found[0].test.members}
    bagged = {name: mean for name, mean in means.items() if name.startswith("bag-")}
    worst = min(bagged, key=lambda name: bagged[name])
    chosen = fmean(f.accuracy(f.strategy) for f in found)
    lines = [
        f"Bagged networks: the least mean accuracy is {bagged[worst]:.4f} ({worst}); wanted: {LEAST_BAGGED}.",
        f"Strategy chosen on validation: mean accuracy {chosen:.4f}; wanted: {LEAST_CHOSEN}.",
    ]
    for strategy in found[0].test.strategies:
        word, shown = _difference(found, strategy.name)
        lines.append(
            f"{strategy.name} {word} the best member (chosen on validation): {shown} points, over {len(found)} seeds."
        )
    return lines


def _difference(found: Sequence[Found], strategy: str) -> tuple[str, str]:
    """How a strategy compares with the best member, in a word and in points with the interval."""
    runs = [100 * (each.accuracy(strategy) - each.accuracy(each.member)) for each in found]
    if len(set(runs)) == 1:  # differences without any spread have no interval of this kind
        word = "is exactly as accurate as" if runs[0] == 0 else "differs by the same in every seed from"
        return word, f"{runs[0]:+.2f} (no spread, so no interval)"
    low, high = interval(runs, len(found[0].test.members[0].right) / found[0].train_rows)
    word = "beats" if low > 0 else "is worse than" if high < 0 else "does not clearly differ from"
    return word, f"{fmean(runs):+.2f} [{low:+.2f}, {high:+.2f}]"


if __name__ == "__main__":
    main()
