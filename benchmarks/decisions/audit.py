"""Pool audits: do they name what was planted, and nothing else?

- *planted*: 20 pools of four to six members that each know some classes well, one or two near copies of these (noisy
  and twice as dear) and one or two members that are confidently wrong. Every planted one is to be named, none of the
  others: of a near copy and its original the copy.
- *nothing planted*: pools of which no member can go without losing more than the margin, by 200,000 rows. How often any
  is named, where what is lost is more than the margin, and in the worst case, where it is exactly the margin.
- *Shapley values*: an additive game, whose values are its weights; exact and drawn values of a pool of ten.
- *real pools*: hard labels of eight models on Food-11, and of eight text classifiers, combined by voting.

    python -m benchmarks.decisions.audit [--quick]
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.table import LIMIT, QUORATE, Row, render
from quorate.core.audit import metrics
from quorate.core.audit.elimination import check, halves, search
from quorate.core.audit.game import Game, Rows, bits
from quorate.core.audit.report import Audit, audit
from quorate.core.audit.shapley import exact, sampled
from quorate.core.combine.base import Combiner
from quorate.core.combine.mean import Mean
from quorate.core.combine.vote import Vote, VoteParams
from quorate.core.types import FloatArray

POOLS, PLANTED_ROWS = 20, 6_000
CLEAN, CLEAN_ROWS = 200, 3_000
TRUE_ROWS = 200_000
MARGIN = metrics.MARGINS[metrics.ACCURACY]


class Planted(NamedTuple):
    """A way to draw rows: ``skill`` [u, k] of the useful members, originals of the ``copies``, and ``harmful`` ones."""

    skill: NDArray[np.float64]
    copies: tuple[int, ...]
    harmful: int

    @property
    def useful(self) -> int:
        """How many are useful; they come first."""
        return len(self.skill)

    @property
    def members(self) -> int:
        """How many there are."""
        return self.useful + len(self.copies) + self.harmful

    @property
    def costs(self) -> list[float]:
        """Copies are twice as dear as the others."""
        return [1.0] * self.useful + [2.0] * len(self.copies) + [1.0] * self.harmful

    def draw(self, n: int, rng: np.random.Generator) -> Rows:
        """Rows with scores of all members."""
        k = self.skill.shape[1]
        truth = rng.integers(k, size=n)
        evidence = rng.standard_normal((n, self.members, k))
        at = np.arange(n)
        for j, skill in enumerate(self.skill):
            evidence[at, j, truth] += skill[truth]
        for i, original in enumerate(self.copies, self.useful):
            evidence[:, i] = evidence[:, original] + 0.35 * evidence[:, i]
        for i in range(self.members - self.harmful, self.members):
            evidence[at, i, (truth + 1) % k] += np.where(rng.random(n) < 0.5, 4.0, 0.0)
        scores = np.exp(1.5 * evidence)
        scores /= scores.sum(axis=2, keepdims=True)
        return Rows(scores.astype(np.float32), np.zeros((n, self.members), np.int8), truth, np.arange(n))


def planted(seed: int, *, clean: bool = False) -> Planted:
    """Four to six useful members over four to six classes, each good at other classes; ``clean``: nothing planted."""
    rng = np.random.default_rng(20_000 + seed)
    useful, k = int(rng.integers(4, 7)), int(rng.integers(4, 7))
    skill = rng.uniform(0.6, 1.1, (useful, k))
    skill[np.arange(useful), np.arange(useful) % k] += rng.uniform(0.8, 1.4, useful)
    if clean:
        return Planted(skill, (), 0)
    copies = tuple(rng.choice(useful, int(rng.integers(1, 3)), replace=False).tolist())
    return Planted(skill, copies, int(rng.integers(1, 3)))


def losses(pool: Planted, combiner: Combiner, seed: int, n: int = TRUE_ROWS) -> NDArray[np.float64]:
    """What leaving out each useful member loses of a pool of the useful ones, in truth, but for many rows' noise."""
    rows = Planted(pool.skill, (), 0).draw(n, np.random.default_rng([seed, 1]))
    game = Game(rows, combiner, None, metrics.ACCURACY)
    whole = game.value(game.whole)
    return np.array([whole - game.value(game.whole & ~(1 << j)) for j in range(game.members)])


def _planted(pools: int, n: int) -> Iterator[Row]:
    missed, wrong, least, gains, seconds, harmful, kinds = 0, 0, [], [], [], 0, 0
    for seed in range(pools):
        pool = planted(seed)
        least.append(float(losses(pool, Mean(), seed).min()))
        rows = pool.draw(n, np.random.default_rng([seed, 2]))
        started = time.process_time()
        found = audit(rows, Mean(), None, metrics.ACCURACY, margin=MARGIN, costs=pool.costs, seed=seed)
        seconds.append(time.process_time() - started)
        named = {j for j, member in enumerate(found.members) if member.verdict in ("harmful", "redundant")}
        missed += len(set(range(pool.useful, pool.members)) - named)
        wrong += len(named & set(range(pool.useful)))
        kinds += pool.harmful
        harmful += sum(found.members[j].verdict == "harmful" for j in range(pool.members - pool.harmful, pool.members))
        if found.outcome.dropped:
            gains.append(found.outcome.steps[found.outcome.dropped - 1].gain.value)
    workload = f"{pools} pools with planted near copies and harmful members, {n:,} rows"
    yield Row(workload, QUORATE, "planted members not named", "members", (float(missed),))
    yield Row(workload, LIMIT, "planted members not named", "members", (0.0,))
    yield Row(workload, QUORATE, "useful members named", "members", (float(wrong),))
    yield Row(workload, LIMIT, "useful members named", "members", (0.0,))
    yield Row(workload, QUORATE, "harmful ones named harmful", "share", (harmful / max(kinds, 1),))
    yield Row(workload, QUORATE, "gain of the recommended pool, replayed", "share", tuple(gains))
    yield Row(workload, QUORATE, "least true loss of a useful member", "share", (min(least),), f"margin {MARGIN:g}")
    yield Row(workload, QUORATE, "processor time of an audit", "s", tuple(seconds))


def named(rows: Rows, combiner: Combiner, margin: float, seed: int) -> int:
    """How many members an audit names: its search and its check alone."""
    rng = np.random.default_rng(seed)
    first = halves(rows.group, rng)
    games = [Game(rows.take(np.flatnonzero(part)), combiner, None, metrics.ACCURACY) for part in (first, ~first)]
    return check(games[1], search(games[0], margin), margin, rng).dropped


def _clean(pools: int, n: int, designs: int) -> Iterator[Row]:
    """Pools of ``designs`` kinds, each drawn several times."""
    false = {"more than the margin": 0, "exactly the margin": 0}
    tried = dict.fromkeys(false, 0)
    for design in range(designs):
        pool = planted(1_000 + design, clean=True)
        smallest = float(losses(pool, Mean(), design).min())
        for run in range(pools // designs):
            rows = pool.draw(n, np.random.default_rng([design, run, 3]))
            for case, margin in (("more than the margin", MARGIN), ("exactly the margin", smallest)):
                if case == "more than the margin" and smallest <= MARGIN:
                    continue
                tried[case] += 1
                false[case] += named(rows, Mean(), margin, run) > 0
    for case, count in false.items():
        workload = f"pools with nothing planted, {n:,} rows; leaving loses {case}"
        note = f"{count} of {tried[case]} pools"
        yield Row(
            workload, QUORATE, "pools in which any member is named", "share", (count / max(tried[case], 1),), note
        )
        yield Row(workload, LIMIT, "pools in which any member is named", "share", (0.025,), "half of 1 - level")


def _shapley(quick: bool) -> Iterator[Row]:
    weights = np.array([0.3, -0.1, 0.25, 0.0, 0.05, 0.4, 0.02, 0.08, -0.02, 0.02])

    def additive(pool: int) -> NDArray[np.float64]:
        return np.array([weights[bits(pool)].sum()])

    off = float(np.abs(exact(additive, 10).contributions[0] - weights).max())
    drawn = sampled(additive, 10, np.random.default_rng(0))
    yield Row("Shapley values", QUORATE, "additive game: largest error, all pools", "value", (off,))
    yield Row(
        "Shapley values", QUORATE, "additive game: largest error, drawn orders", "value",
        (float(np.abs(drawn.contributions[0] - weights).max()),),
    )  # fmt: skip
    pool = Planted(planted(7).skill, (0, 1, 2), 2)
    rows = pool.draw(300 if quick else 2_000, np.random.default_rng(5))
    game = Game(rows, Mean(), None, metrics.ACCURACY)
    whole = exact(game.worth, game.members).contributions.mean(axis=0)
    some = sampled(game.worth, game.members, np.random.default_rng(1))
    off_by = np.abs(some.contributions.mean(axis=0) - whole)
    name = f"{game.members} members: largest error of drawn orders"
    yield Row("Shapley values", QUORATE, name, "share", (float(off_by.max()),), f"{some.pairs} pairs")
    name = f"{game.members} members: largest error, in stated standard errors"
    yield Row("Shapley values", QUORATE, name, "errors", (float((off_by / some.error).max()),))


def _real(data: Path) -> Iterator[Row]:
    for name, rows, names in (("food11", *_food(data)), ("emotion", *_emotion(data))):
        found = audit(rows, Vote(VoteParams("hard")), None, metrics.ACCURACY)
        workload = f"{name}: {len(names)} models, {len(rows):,} rows, hard vote"
        yield from _said(workload, found, names)
        wider = audit(rows, Vote(VoteParams("hard")), None, metrics.ACCURACY, margin=0.01)
        yield from _dropped(workload, wider, names, ", margin 0.01")


def _said(workload: str, found: Audit, names: tuple[str, ...]) -> Iterator[Row]:
    outcome, h = found.outcome, found.headroom
    yield Row(workload, QUORATE, "accuracy of the whole pool, rows of the check", "share", (outcome.whole.value,))
    yield from _dropped(workload, found, names, "")
    best = names[h.best_member]
    yield Row(workload, QUORATE, "accuracy of the best single member", "share", (h.best.value,), best)
    yield Row(workload, QUORATE, "accuracy of an oracle", "share", (h.oracle.value,))
    for j, member in enumerate(found.members):
        s = member.shapley
        note = f"[{s.low:+.4f}, {s.high:+.4f}]; {member.verdict}"
        yield Row(workload, QUORATE, f"Shapley value of {names[j]}", "share", (s.value,), note)
    alike = max(found.pairs, key=lambda pair: pair.q.value if pair.q is not None else -1.0)
    if alike.q is not None:
        pair = f"{names[alike.first]} and {names[alike.second]}"
        yield Row(workload, QUORATE, "largest Q", "Q", (alike.q.value,), pair)


def _dropped(workload: str, found: Audit, names: tuple[str, ...], at: str) -> Iterator[Row]:
    steps = found.outcome.steps[: found.outcome.dropped]
    told = ", ".join(f"{names[each.step.member]} ({found.members[each.step.member].verdict})" for each in steps)
    yield Row(workload, QUORATE, f"members to drop{at}", "members", (float(len(steps)),), told or "none")
    if steps:
        last = steps[-1]
        note = f"gain {last.gain.value:+.4f} [{last.gain.low:+.4f}, {last.gain.high:+.4f}]"
        yield Row(workload, QUORATE, f"accuracy of what is left, replayed{at}", "share", (last.value.value,), note)


def _hard(labels: NDArray[np.intp], truth: NDArray[np.intp], k: int) -> Rows:
    outputs: FloatArray = np.eye(k, dtype=np.float32)[labels]
    return Rows(outputs, np.zeros(labels.shape, np.int8), truth.astype(np.int64), np.arange(len(truth)))


def _food(data: Path) -> tuple[Rows, tuple[str, ...]]:
    arrays = np.load(data / "outputs" / "food11" / "food11_test3097_8models_hard.npz")
    names = tuple(map(str, arrays["models"])) if "models" in arrays else tuple(f"m{i}" for i in range(8))
    return _hard(arrays["pred"].T.astype(np.intp), arrays["label_derived"].astype(np.intp), 11), names


def _emotion(data: Path) -> tuple[Rows, tuple[str, ...]]:
    with (data / "outputs" / "emotion_detection" / "outputs.csv").open() as file:
        head, *lines = csv.reader(file)
    table = np.array(lines).astype(np.intp)
    return _hard(table[:, 1:], table[:, 0], int(table.max()) + 1), tuple(head[1:])


def rows(*, quick: bool = False) -> list[Row]:
    """All of it; the real pools only where their data are."""
    found = [
        *_planted(3 if quick else POOLS, PLANTED_ROWS),
        *_clean(8 if quick else CLEAN, CLEAN_ROWS, 4 if quick else 20),
        *_shapley(quick),
    ]
    data = Path(os.environ.get("QUORATE_DATA", "../shared/data"))
    if not (data / "outputs").is_dir():
        return [*found, Row("real pools", QUORATE, "members to drop", "members", (), "set QUORATE_DATA")]
    return [*found, *_real(data)]


def main() -> None:
    """Print the table of this part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller, to see that all runs")
    print(render(rows(quick=parser.parse_args().quick)))


if __name__ == "__main__":
    main()
