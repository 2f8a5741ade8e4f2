"""Imports the two networks, then says how they do on photographs that others labelled. Nothing is trained here.

Run it with ``quorate train examples/food11`` (or as a script, which is the same).
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import food11
import numpy as np

from quorate.clock import SystemClock
from quorate.codecs.snapshot import Routing
from quorate.control.revisions.resolve import resolve
from quorate.core.stats.intervals import Interval, paired_difference, wilson
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.spec import load
from quorate.training import report
from quorate.training.data import Dataset
from quorate.training.evaluate import Evaluation, Score, evaluate, majority_label
from quorate.training.foreign import import_onnx
from quorate.training.held import Held, read_held
from quorate.training.train import Progress


def train(home: Home, progress: Progress, *, force: bool = False) -> None:
    """Register what is missing, then write the report; without photographs there is none."""
    registry = Registry(home.registry, SystemClock())
    with progress("import", len(food11.FILES)) as done:
        for name in food11.FILES:
            if force or not _registered(registry, name):
                _import(registry, name)
            done(name)
    routing = resolve(load(home.config.read_bytes(), home.config), registry).routing
    groceries = food11.groceries()
    if groceries is None:
        print("There are no photographs of groceries, so there is no report; the README says where to get them.")
        return
    majority = majority_label(groceries.labels)
    found = evaluate(routing.pools[0], routing.endpoints[0], registry, groceries, majority)
    report.show(found)
    page, _ = report.write(found, home.state)
    members = [*found.members, *found.strategies[:1]]
    more = ["## By class", "", *table(members, groceries.labels), "", *differences(found)]
    more += slices(routing, registry, majority)
    print("\n".join(more))
    with page.open("a", encoding="utf-8") as file:
        file.write("\n" + "\n".join(more) + "\n")
    print(f"The report is in {page}.")


def _registered(registry: Registry, name: str) -> bool:
    versions = registry.versions(name)
    if not versions:
        return False
    newest = registry.manifest(f"{name}:{versions[-1]}")
    return set(newest.files.values()) == {hashlib.sha256(food11.weights(name).read_bytes()).hexdigest()}


def _import(registry: Registry, name: str) -> None:
    path = food11.weights(name)
    pictures = food11.held_pictures()
    held: Held | None = None
    if pictures:
        held, _ = read_held(pictures)
    manifest, notices = import_onnx(
        registry,
        name=name,
        files={path.name: path},
        labels=food11.CLASSES,
        wishes=food11.WISHES,
        softmax=True,
        rows=food11.ROWS[name],
        held=held,
    )
    print(f"{manifest.ref} is {path.name}.", *notices, sep="\n  ")


def differences(found: Evaluation) -> list[str]:
    """Accuracies of the members and the soft vote against each other, on the same rows."""
    scores = [*found.members, *(s for s in found.strategies if len(s.members) > 1)]
    lines = ["## Differences in accuracy, paired, 95 % each", "", "| | less | points |", "|---|---|---|"]
    for index, first in enumerate(scores):
        for second in scores[:index]:
            d = paired_difference(first.right, second.right)
            points = f"{100 * d.estimate:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"
            lines.append(f"| {first.name} | {second.name} | {points} |")
    return [*lines, ""]


def slices(routing: Routing, registry: Registry, majority: str) -> list[str]:
    """How many of each slice members and soft vote answer rightly; nothing where there are no slices."""
    rows = list(food11.labelled_slices())
    if not rows:
        return []
    data = Dataset(
        "slices",
        {"image": [path.read_bytes() for _, path, _ in rows]},
        np.array([food11.CLASSES[index] for _, _, index in rows]),
    )
    found = evaluate(routing.pools[0], routing.endpoints[0], registry, data, majority)
    return ["## Slices", "", *table([*found.members, *found.strategies[:1]], np.array([name for name, _, _ in rows]))]


def table(scores: list[Score], groups: np.ndarray) -> list[str]:
    """A Markdown table: one line a group, one column a score, with Wilson's 95 % intervals."""
    lines = [f"| what | rows | {' | '.join(s.name for s in scores)} |", "|---" * (len(scores) + 2) + "|"]
    for group in dict.fromkeys(groups.tolist()):
        mask = groups == group
        cells = [_shown(int(s.right[mask].sum()), wilson(int(s.right[mask].sum()), int(mask.sum()))) for s in scores]
        lines.append(f"| {group} | {mask.sum()} | {' | '.join(cells)} |")
    return lines


def _shown(count: int, interval: Interval) -> str:
    return f"{count}, {100 * interval.estimate:.0f} % [{100 * interval.low:.0f}, {100 * interval.high:.0f}]"


if __name__ == "__main__":
    from quorate.cli import main

    main(["train", str(Path(__file__).parent), *sys.argv[1:]])
