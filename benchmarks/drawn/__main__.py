"""``make bench-drawn``: how well the pool reads digits that it never saw the like of, clean and corrupted.

Pictures of digits are drawn by pen and in type by a seed. The same members read them behind the preprocessing they
declare, and behind what one writes by hand: grey, resized, and that with dark and light exchanged.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.drawn import GROUPS, STYLES, draw
from benchmarks.drawn.judge import DECLARED, INVERTED, NAIVE, WAYS, Judged, judge
from benchmarks.harness.digits import QUORATE
from benchmarks.harness.table import FOLDER, Row, save
from quorate.core.stats.intervals import Interval
from quorate.home import Home

EXAMPLE = Path("examples/digits-cnn")
PICTURES = 120 * len(GROUPS)  # every digit, in every style, six times a group
SEED = 2  # seed 1 is what the preprocessing was developed on
PARTS = ("all", *STYLES, *(f"clean, {style}" for style in STYLES), *GROUPS)


def options(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drawn", description=__doc__)
    parser.add_argument("--pictures", type=int, default=PICTURES, help="how many to draw (%(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the pictures (%(default)s)")
    parser.add_argument("--project", type=Path, help=f"a trained project (a copy of {EXAMPLE}, trained)")
    parser.add_argument("--samples", type=Path, help="a folder to write the pictures to, to look at them")
    asked = parser.parse_args(argv)
    if asked.pictures < 2 * len(GROUPS) * 10:
        parser.error(f"every digit and group in both styles takes {2 * len(GROUPS) * 10} pictures")
    return asked


def main(argv: Sequence[str]) -> int:
    """Draw, read, print, save."""
    asked = options(argv)
    project = asked.project or trained()
    print(f"Drawing {asked.pictures} pictures by seed {asked.seed} …", flush=True)
    drawn = draw(asked.pictures, asked.seed)
    if asked.samples:
        asked.samples.mkdir(parents=True, exist_ok=True)
        for number, (picture, label) in enumerate(zip(drawn.pictures, drawn.labels.tolist(), strict=True)):
            suffix = "png" if picture[:4] == b"\x89PNG" else "jpg"
            (asked.samples / f"{number:05}-{drawn.groups[number]}-{label}.{suffix}").write_bytes(picture)
    judged = judge(Home(project), drawn)
    print(render(judged))
    print(f"\nThe rows, all with intervals, are in {save(listed(judged), 'drawn')}.")
    return 0


def trained() -> Path:
    """A copy of the example, trained; what was trained before from the same data and code is kept."""
    folder = FOLDER / "drawn" / EXAMPLE.name
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".quorate", "__pycache__"), dirs_exist_ok=True)
    subprocess.run([QUORATE, "train", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


def listed(judged: Judged) -> list[Row]:
    """Three rows a part, name and way: accuracy and the ends of its 95 % interval."""
    found = []
    for part in PARTS:
        for name in judged.names:
            for way in judged.right:
                accuracy = judged.accuracy(way, name, part)
                for metric, value in zip(
                    ("accuracy", "accuracy, low", "accuracy, high"),
                    (accuracy.estimate, accuracy.low, accuracy.high),
                    strict=True,
                ):
                    found.append(Row(f"drawn digits: {part}", f"{name}, {way}", metric, "", (value,)))
    return found


def render(judged: Judged) -> str:
    """Two tables: members and strategies on all pictures and the clean ones; strategies on every corruption."""
    parts = ("all", "clean", *(f"clean, {style}" for style in STYLES))
    header = [f"{len(judged.drawn)} pictures", *(f"{part}: {way}" for part in parts[:1] for way in WAYS)]
    lines = [[*header, *(f"{part}: {DECLARED}" for part in parts[1:])]]
    for name in judged.names:
        everything = [_shown(judged.accuracy(way, name, "all")) for way in WAYS]
        lines.append([name, *everything, *(_shown(judged.accuracy(DECLARED, name, part)) for part in parts[1:])])
    best = best_naive(judged)
    groups = [["", *judged.strategies, f"best {NAIVE}: {best[0]}", f"best {INVERTED}: {best[1]}"]]
    for group in GROUPS:
        cells = [_shown(judged.accuracy(DECLARED, name, group)) for name in judged.strategies]
        cells += [_shown(judged.accuracy(way, name, group)) for way, name in zip((NAIVE, INVERTED), best, strict=True)]
        groups.append([group, *cells])
    note = "accuracy in per cent, with Wilson's 95 % interval"
    return "\n".join(["", note, "", *_aligned(lines), "", *_aligned(groups)])


def best_naive(judged: Judged) -> tuple[str, str]:
    """The member or strategy that reads most of all pictures behind either naive preprocessing: their best case."""
    plain, inverted = (
        max(judged.names, key=lambda name: judged.accuracy(way, name, "all").estimate) for way in (NAIVE, INVERTED)
    )
    return plain, inverted


def _shown(accuracy: Interval) -> str:
    return f"{100 * accuracy.estimate:.1f} ({100 * accuracy.low:.1f}..{100 * accuracy.high:.1f})"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[index]) for line in table) for index in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
