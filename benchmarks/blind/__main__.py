"""``make bench-blind``: can a caller of a blind endpoint tell which strategy answered? It tries with all it can see."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.blind import attack, site
from benchmarks.blind.attack import Named
from benchmarks.blind.caller import Seen, call
from benchmarks.blind.features import Sight, sight
from benchmarks.blind.traffic import FORMS, Ask, plan
from benchmarks.blind.verdict import told, unblinded
from benchmarks.harness import digits, machine
from benchmarks.harness.process import Server, free_port
from benchmarks.harness.table import FOLDER, LIMIT, QUORATE, Row, render, save
from quorate.codecs.lookup import JournalReader
from quorate.core.stats.intervals import Interval
from quorate.core.types import Decision, Status
from quorate.home import Home

PICTURES = 120
CONNECTIONS = (1, 8)
SHARES = {"graph": 1.0, "process": 1.0, "faults": 0.4, "sticky": 0.4, site.OPEN: 0.2}
MORE = "answers that say more"
USES = 4
"""Answers a user gets at the sticky endpoint."""


def options(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.blind", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="of the largest workloads (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of traffic and classifiers (%(default)s)")
    parser.add_argument("--only", nargs="+", default=list(SHARES), choices=list(SHARES), help="endpoints (all)")
    return parser.parse_args(argv)


@dataclass
class Attack:
    """One endpoint: what was seen of it, and the decisions behind it, which only the operator has."""

    name: str
    seen: list[Seen]
    sight: Sight
    decisions: list[Decision]
    seed: int
    tests: list[float] = field(default_factory=list)
    """The p-value of every test that :meth:`rows` made."""

    @property
    def arms(self) -> NDArray[Any]:
        """The strategy assigned to each answer."""
        return np.array([decision.assigned for decision in self.decisions])

    def rows(self) -> list[Row]:
        """Its block of the table."""
        named = self._without_label()
        rows = [self._named(f"arm named, {name}", found) for name, found in named.items()]
        chance = next(iter(named.values())).chance
        rows.append(self._row("arm named, gradient boosting", chance, "always the same arm", LIMIT))
        if self.name != site.OPEN:
            rows += self._stronger() if self.name != "sticky" else []
            rows += self._visible()
        return rows

    def _without_label(self) -> dict[str, Named]:
        s = self.sight
        if self.name == "sticky":
            halves = attack.by_group(s.user, self.seed)
            return attack.attack(s.matrix, self.arms, *halves, self.seed, groups=s.user)
        only = attack.BOOSTING if self.name == site.OPEN else None
        return attack.attack(s.matrix, self.arms, *attack.by_time(s), self.seed, only=only)

    def _stronger(self) -> list[Row]:
        """Pictures never seen before, and the label."""
        s, arms = self.sight, self.arms
        halves = attack.by_group(s.picture, self.seed)
        strange = attack.attack(s.matrix, arms, *halves, self.seed, only=attack.BOOSTING)[attack.BOOSTING]
        failed = np.array([any(run.status is Status.FAILED for run in d.members) for d in self.decisions])
        alone, both = attack.with_labels(s, arms, failed, self.seed)
        self.tests.append(both.p)
        note = (
            f"and everything else: {100 * both.excess.estimate:+.2f} points {_percent(both.excess)}, p = {both.p:.2g}"
        )
        rows = [
            self._named("arm named, other pictures", strange),
            self._row("arm named by label and picture", alone.accuracy.estimate, _percent(alone.accuracy), LIMIT),
            self._row("arm named by label and picture", both.accuracy.estimate, note),
        ]
        if self.name != "faults":
            label_of = {(p, a): lab for p, a, lab in zip(s.picture.tolist(), arms.tolist(), s.label, strict=True)}
            best = attack.ceiling(label_of, s.picture[attack.by_time(s)[1]], arms)
            rows.insert(2, self._row("arm named by label and picture", best, "Bayes, exact", "ceiling"))
        return rows

    def _visible(self) -> list[Row]:
        """Single features, latency, and everything else that was said."""
        s, arms = self.sight, self.arms
        # A user's answers are no independent witnesses: one of each.
        once = np.unique(s.user, return_index=True)[1] if self.name == "sticky" else np.arange(len(arms))
        feature, p = next(iter(attack.leaks({n: column[once] for n, column in s.columns.items()}, arms[once]).items()))
        self.tests.append(p)
        milliseconds = np.exp(s.columns["log latency"]) * 1000
        forms = np.array([FORMS.index(x.ask.form) * 100 + x.connections for x in self.answered])
        names = site.ARMS if self.name in ("graph", "sticky") else site.OTHER_ARMS
        gap = attack.latency_gap(milliseconds, forms, arms, (names[2], names[0]), self.seed)
        delay = attack.least_delay(milliseconds, forms, arms)
        shown = f"95 % [{gap.low:+.1f}, {gap.high:+.1f}]; median {1000 * np.median(milliseconds):,.0f}"
        shapes = {arm: set(s.shape[arms == arm].tolist()) for arm in np.unique(arms)}
        differing = set.union(*shapes.values()) - set.intersection(*shapes.values())
        kinds = Counter(f"{x.ask.kind} {x.status}" for x in self.seen)
        degraded = sum(decision.degraded for decision in self.decisions)
        return [
            self._row("least p of a single feature", p, f"{feature}; Holm over {len(s.columns)}", unit="p"),
            self._row(f"{names[2]} slower than {names[0]}", gap.estimate, shown, unit="us"),
            self._row("delay of an arm that would show", delay, "p < 0.001", unit="us"),
            self._row("forms of an answer not seen of all arms", len(differing), f"of {s.shape.max() + 1}", unit=""),
            self._row(MORE, unblinded(self.seen), f"{told(kinds)}; {degraded} degraded", unit=""),
        ]

    @property
    def answered(self) -> list[Seen]:
        """What :attr:`sight` is made of."""
        return [s for s in self.seen if s.ask.kind == "answer" and s.status == 200]

    def _named(self, metric: str, found: Named) -> Row:
        self.tests.append(found.p)
        note = f"95 % {_percent(found.accuracy)}, chance {100 * found.chance:.1f}, p = {found.p:.2g}, "
        return self._row(metric, found.accuracy.estimate, note + f"n = {len(found.right):,}")

    def _row(self, metric: str, value: float, note: str, system: str = QUORATE, unit: str = "share") -> Row:
        return Row(self.workload, system, metric, unit, (float(value),), note)

    @property
    def workload(self) -> str:
        """The heading of the block."""
        return f"{self.name}, {len(self.decisions):,} answers, {', '.join(sorted(set(self.arms)))}"


def _percent(interval: Interval) -> str:
    return f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def drive(port: int, endpoint: str, count: int, seed: int) -> list[Seen]:
    """Half of the requests over one connection, half over eight."""
    pictures = site.pictures(PICTURES, seed)
    users = max(1, count // USES) if endpoint == "sticky" else None
    forms = ("png", "pixels") if endpoint == site.OPEN else FORMS
    asks: list[Ask] = plan(endpoint, pictures, count, seed=seed, users=users, forms=forms)
    half = len(asks) // 2
    seen: list[Seen] = []
    for connections, part in zip(CONNECTIONS, (asks[:half], asks[half:]), strict=True):
        seen += call(port, part, connections, start=len(seen))
    return seen


def openly(seen: Seen) -> dict[str, float]:
    """What an answer that is not blind tells, its strategy's name left out."""
    numbers = [float(x) for x in re.findall(rb"\d+\.\d+", seen.body)]
    found = dict(enumerate(numbers))
    return {f"number {i}": found.get(i, -1.0) for i in range(12)}


def main(argv: Sequence[str]) -> int:
    """Serve, ask, attack, print, save; 1 if an answer said more than it may."""
    asked = options(argv)
    about = machine.describe()
    folder = site.project("blind")
    port = free_port()
    command = digits.serve(folder, port, free_port(), asked.workers)
    attacks = []
    with Server(command, port, mark=digits.READY, log=FOLDER / "run" / "blind.log"):
        for number, name in enumerate(asked.only):
            print(f"{name} …", flush=True)
            drive(port, name, 200, asked.seed + 100)  # what happens only once, happens now
            seen = drive(port, name, int(asked.requests * SHARES[name]), asked.seed + 1000 * (1 + number))
            found = sight(name, seen, extra=openly if name == site.OPEN else None)
            attacks.append((name, seen, found))
    reader = JournalReader(Home(folder).journal, cached=1000)
    rows: list[Row] = []
    tests: list[float] = []
    for name, seen, found in attacks:
        print(f"attacking {name} …", flush=True)
        one = Attack(name, seen, found, _decisions(reader, found), asked.seed)
        rows += one.rows()
        tests += one.tests if name != site.OPEN else []
    if tests:
        least = (min(1.0, min(tests) * len(tests)),)
        rows.append(Row("all blind endpoints", QUORATE, "least p of all tests", "p", least, f"Holm over {len(tests)}"))
    print(about)
    print(render(rows))
    print(f"\nWritten to {save(rows, 'blind')}.")
    shutil.rmtree(FOLDER / "run")
    return 1 if any(row.value for row in rows if row.metric == MORE) else 0


def _decisions(reader: JournalReader, found: Sight) -> list[Decision]:
    decisions = [reader.find(text) for text in found.decision]
    known = [decision for decision in decisions if decision is not None]
    assert len(known) == len(decisions), "an answered decision is not in the journal"
    return known


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
