"""``make bench-serving``: every number that is promised of the serving plane, one step after the other.

Some 75 minutes on two cores; ``--quick`` takes about ten and shows that everything runs, not what it gives. With
``--minutes`` steps for which no time is left are not begun; the promised numbers come first. Each step prints its
table, which is kept in ``build/bench/serving-KEY.txt``, its rows in ``serving-KEY.json``. A step that fails stops no
other; the status is 1 then, and 0 where all were measured and nothing was answered wrongly, whatever the numbers are.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.harness import interrupt
from benchmarks.harness.table import FOLDER
from benchmarks.serving.steps import STEPS, Step
from benchmarks.serving.verdict import render, verdict

LEAST_S = 900.0
TIMES = 3.0
"""A step that takes so many times as long as it should (and this long at least) is ended."""


def main(argv: Sequence[str]) -> int:
    """Run the steps, then say what became of each."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    keys = [step.key for step in STEPS]
    parser.add_argument("--steps", nargs="+", choices=keys, default=keys, metavar="KEY", help=f"of {', '.join(keys)}")
    parser.add_argument("--quick", action="store_true", help="one short round of everything")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no step that would end later")
    parser.add_argument("--list", action="store_true", help="show the commands and run nothing")
    parser.add_argument("--verdict", action="store_true", help="show what earlier runs found and run nothing")
    asked = parser.parse_args(argv)
    chosen = [step for step in STEPS if step.key in asked.steps]
    if asked.list:
        for step in chosen:
            print(f"{step.key:12} {step.minutes:4.1f} min  python {' '.join(step.command(quick=asked.quick)[1:])}")
        print(f"{'all':12} {sum(step.minutes for step in chosen):4.1f} min")
        return 0
    states = {} if asked.verdict else _run(chosen, quick=asked.quick, minutes=asked.minutes)
    print("\n" + render(verdict(FOLDER, [step.key for step in chosen])))
    for step in chosen if states else ():
        print(f"{step.key:12} {states[step.key]:28} {step.what}")
    return 1 if any(state.startswith("failed") for state in states.values()) else 0


def _run(steps: Sequence[Step], *, quick: bool, minutes: float) -> dict[str, str]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    states: dict[str, str] = {}
    for step in steps:
        needs = step.minutes / (8 if quick else 1)
        if (time.monotonic() - started) / 60 + needs > minutes:
            states[step.key] = "not run: no time left"
            continue
        (FOLDER / f"serving-{step.key}.json").unlink(missing_ok=True)
        print(f"\n=== {step.key}: {step.what}\n=== {' '.join(step.command(quick=quick)[1:])}", flush=True)
        begun = time.monotonic()
        status = _measured(step, quick=quick)
        took = f"{time.monotonic() - begun:.0f} s"
        states[step.key] = f"measured in {took}" if status == 0 else f"failed ({status}) after {took}"
    return states


def _measured(step: Step, *, quick: bool) -> int:
    """Run one step; its output goes to the terminal and to a file."""
    command = step.command(quick=quick)
    with (
        (FOLDER / f"serving-{step.key}.txt").open("w") as kept,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        watch = interrupt.after(max(LEAST_S, 60 * TIMES * step.minutes), process)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                kept.write(line)
            return process.wait()
        except BaseException:
            process.terminate()
            raise
        finally:
            watch.cancel()


if __name__ == "__main__":
    sys.exit(interrupt.run(lambda: main(sys.argv[1:])))
