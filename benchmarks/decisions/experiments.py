"""Experiments end to end through the real server: is the verdict right?

Waves of experiments run at once on one server, half of them with the planned effect and half without any. Users see
answers, and 60 % of them tell later whether they were right (:mod:`benchmarks.decisions._crowd`); control looks every
second. Sizes are those that the planner says for the stated power; alpha is below the bound that is checked, so that
a hundred experiments tell whether it is kept.

python -m benchmarks.decisions.experiments [--experiments N] [--at-once N] [--seed N]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.decisions._crowd import NEW, OLD, Users, call, project
from benchmarks.harness.running import Running, serve
from benchmarks.harness.table import LIMIT, QUORATE, Row, render, save
from quorate.core.stats.intervals import wilson
from quorate.core.stats.metric import Metric
from quorate.core.stats.power import plan

BASELINE, EFFECT = 0.6, 0.15
PRESENCE, DELAY_S = 0.6, 2.0
ALPHA, POWER = 0.02, 0.99
STEP = 10
"""Requests per endpoint in one turn."""
PATIENCE_S = 600.0


@dataclass
class Wave:
    """Some experiments at once; ``verdicts`` by whether there was an effect."""

    verdicts: dict[bool, list[str]] = field(default_factory=lambda: {True: [], False: []})
    units: dict[bool, list[int]] = field(default_factory=lambda: {True: [], False: []})
    looks: list[int] = field(default_factory=list)
    asked: int = 0
    told: int = 0


def registration(endpoint: str, most: int) -> dict[str, Any]:
    """What is registered: the accuracy of two strategies, looked at every second."""
    return {
        "name": f"new-{endpoint}",
        "endpoint": endpoint,
        "control": OLD,
        "treatments": [NEW],
        "metric": {"kind": "accuracy"},
        "minimum_effect": EFFECT,
        "stop": {"alpha": ALPHA, "power": POWER, "max_units": most, "max_days": 1},
        "look_every_s": 1.0,
        "guard_rails": [{"metric": "error_rate", "margin": 0.02}],
    }


def wave(running: Running, endpoints: int, most: int, rng: np.random.Generator) -> Wave:
    """Run one experiment on each endpoint until all have a verdict; then keep what was there before."""
    names = [f"e{i:02d}" for i in range(endpoints)]
    effect = {name: i % 2 == 0 for i, name in enumerate(names)}
    # A label is an arm: "1" is what the old strategy answers, "0" the new one.
    rates = {name: {"1": BASELINE, "0": BASELINE + (EFFECT if effect[name] else 0.0)} for name in names}
    ids = {}
    for name in names:
        made = call(running.control, "POST", "/v1/experiments", registration(name, most))
        ids[name] = made["id"]
        call(running.control, "POST", f"/v1/experiments/{made['id']}/start")
    users = Users(running.port, rng, presence=PRESENCE, delay_s=DELAY_S)
    done = Wave()
    active, looked, deadline = set(names), 0.0, time.monotonic() + PATIENCE_S
    try:
        while active:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(active)} experiments have no verdict after {PATIENCE_S:g} s")
            started = time.monotonic()
            users.ask([name for name in sorted(active) for _ in range(STEP)], rates)
            users.tell()
            if time.monotonic() - looked > 1.0:
                looked = time.monotonic()
                found = call(running.control, "GET", f"/v1/experiments?limit={len(names)}")
                active -= {each["endpoint"] for each in found if each["verdict"] is not None}
            # Not faster than looks are taken, or there would be one look at the end of it all.
            time.sleep(max(0.0, STEP / 50 - (time.monotonic() - started)))
    finally:
        users.close()
    done.asked, done.told = users.asked, users.told
    for name, number in ids.items():
        found = call(running.control, "GET", f"/v1/experiments/{number}")
        done.verdicts[effect[name]].append(found["verdict"]["verdict"])
        done.units[effect[name]].append(sum(found["latest"]["body"]["known"].values()))
        done.looks.append(found["latest"]["number"])
        if found["state"] == "decided":
            call(running.control, "POST", f"/v1/experiments/{number}/keep")
    return done


def rows(*, quick: bool = False, experiments: int | None = None, at_once: int = 20, seed: int = 1) -> list[Row]:
    """The share of right verdicts with the planned effect, and of wrong ones without."""
    each = experiments if experiments is not None else 10 if quick else 100
    metric = Metric("binary", "accuracy")
    sizes = plan(metric, baseline=BASELINE, effect=EFFECT, alpha=ALPHA, power=POWER)
    rng = np.random.default_rng(seed)
    waves: list[Wave] = []
    started = time.monotonic()
    with serve(project(at_once)) as running:
        while sum(len(w.verdicts[True]) for w in waves) < each:
            waves.append(wave(running, at_once, sizes.maximum, rng))
    took = time.monotonic() - started
    verdicts = {truth: [v for w in waves for v in w.verdicts[truth]][:each] for truth in (True, False)}
    units = {truth: [n for w in waves for n in w.units[truth]][:each] for truth in (True, False)}
    right = sum(v == "better" for v in verdicts[True])
    wrong = sum(v not in ("no_difference", "inconclusive") for v in verdicts[False])
    print({truth: dict(Counter(found)) for truth, found in verdicts.items()}, f"{took:.0f} s")
    workload = f"experiments end to end, {each} with the planned effect and {len(verdicts[False])} without"
    told = sum(w.told for w in waves) / max(1, sum(w.asked for w in waves))
    note = f"{sum(w.asked for w in waves):,} requests, {told:.0%} with an outcome, {took:.0f} s"
    return [
        _share(workload, "right with the effect", right, len(verdicts[True]), note),
        Row(workload, LIMIT, "right with the effect", "share", (0.95,), "at least"),
        _share(workload, "wrong without", wrong, len(verdicts[False])),
        Row(workload, LIMIT, "wrong without", "share", (0.05,), "at most"),
        Row(workload, QUORATE, "units until the verdict, effect", "units", (float(np.mean(units[True])),)),
        Row(workload, LIMIT, "units until the verdict, effect", "units", (float(sizes.fixed),), "one look"),
        Row(workload, QUORATE, "units until the verdict, none", "units", (float(np.mean(units[False])),)),
        Row(workload, QUORATE, "looks", "looks", (float(np.mean([n for w in waves for n in w.looks])),)),
    ]


def _share(workload: str, metric: str, count: int, n: int, note: str = "") -> Row:
    found = wilson(count, n)
    said = f"{count} of {n}, 95 % interval {found.low:.3f}..{found.high:.3f}" + (f"; {note}" if note else "")
    return Row(workload, QUORATE, metric, "share", (found.estimate,), said)


def main() -> None:
    """This part alone, with more options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--experiments", type=int, default=100, help="with an effect, and as many without (%(default)s)"
    )
    parser.add_argument("--at-once", type=int, default=20, help="endpoints (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the users (%(default)s)")
    options = parser.parse_args()
    found = rows(experiments=options.experiments, at_once=options.at_once, seed=options.seed)
    print(render(found))
    print(f"\n{save(found, 'experiments')}")


if __name__ == "__main__":
    main()
