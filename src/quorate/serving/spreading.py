"""Whether the members of a slow fused graph had better run side by side, each in a thread of its own.

A graph runs its members one after the other; more threads help it only where its operators are large enough to be cut.
Members that run apart need no such operators: a request takes as long as the busiest of the cores.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import TypeVar

from quorate.clock import Clock
from quorate.core.types import Tensors
from quorate.serving.units import InProcessUnit, Unit

_REPEATS = 5

U = TypeVar("U", bound=Unit)
Job = tuple[InProcessUnit, Tensors]


def longest_first(units: Sequence[U]) -> list[U]:
    """In the order that shares them out best where each core takes the next: within 4/3 of the optimum.

    Source: R. L. Graham, Bounds on Multiprocessing Timing Anomalies, SIAM J. Appl. Math. 17, 1969.
    """
    return sorted(units, key=lambda unit: -unit.cost.of(1))


def side_by_side(jobs: Sequence[Job], threads: int, clock: Clock) -> float:
    """Median milliseconds until all have run, in the order given, each thread taking the next; raises what they do."""
    return median([_once(jobs, threads, clock) for _ in range(_REPEATS + 1)][1:])


def _once(jobs: Sequence[Job], threads: int, clock: Clock) -> float:
    waiting = deque(jobs)
    failures: list[Exception] = []

    def work() -> None:
        while True:
            try:
                unit, tensors = waiting.popleft()
            except IndexError:
                return
            try:
                unit.run(tensors)
            except Exception as error:
                failures.append(error)

    others = [threading.Thread(target=work, daemon=True) for _ in range(threads - 1)]
    started = clock.monotonic()
    for other in others:
        other.start()
    work()
    for other in others:
        other.join()
    if failures:
        raise failures[0]
    return (clock.monotonic() - started) * 1000
