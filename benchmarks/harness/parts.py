"""The parts of a benchmark one after the other: one that fails is a row that says so, and the others go on."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Mapping

from benchmarks.harness import machine, wrk
from benchmarks.harness.found import Found
from benchmarks.harness.table import FOLDER, QUORATE, Row, render, save

Parts = Mapping[str, Callable[[], Found]]


def run(parts: Parts, name: str) -> int:
    """Measure every part, print the table, write ``build/bench/NAME.json``; 1 if anything was wrong or failed.

    What was measured is written after each part. The folder with the servers' logs stays where a part failed.
    """
    wrk.ensure()
    about = machine.describe()
    rows: list[Row] = []
    bad, failed = 0, []
    for key, measure in parts.items():
        try:
            found = measure()
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            failed.append(key)
            found = Found([Row(key, QUORATE, "measured", "", (), f"it failed: {_said(error)}")], 1)
        rows += found.rows
        bad += found.bad
        save(rows, name)
    print(about)
    print(render(rows))
    print(f"\nWritten to {save(rows, name)}.")
    if failed:
        print(f"FAILED: {', '.join(failed)}; the servers' logs are in {FOLDER / 'run'}.")
    else:
        shutil.rmtree(FOLDER / "run", ignore_errors=True)
    if bad and not failed:
        print(f"WRONG: {bad} answers or counts are not what they must be; see the table.")
    return 1 if bad else 0


def _said(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:160]
