"""How many threads a run should have: measured, since only some graphs gain from them."""

from __future__ import annotations

from collections.abc import Callable
from math import log2
from typing import TypeVar

from quorate.serving.cost import Cost
from quorate.serving.units import InProcessUnit

SLOW_MS = 5.0
"""Below that, handing parts of a run to threads costs about what it gives."""
PAYS = 1.3
"""A doubling of the threads is worth it from this speed-up on; two lanes of half the threads would give 2."""

U = TypeVar("U", bound=InProcessUnit)


def candidates(cores: int) -> list[int]:
    """Numbers of threads to try: 1, 2, 4 … and all cores."""
    powers = [1 << i for i in range(cores.bit_length()) if 1 << i < cores]
    return [*powers, cores]


def tune(unit: U, reopen: Callable[[int], U], measure: Callable[[U], Cost], cores: int) -> tuple[U, Cost, int]:
    """The unit with the threads that pay, what a run of it costs, and how many those are.

    ``reopen(threads)`` loads it anew; two are in memory while they are compared, and the one that is not returned is
    closed.
    """
    cost, threads = measure(unit), 1
    if cost.of(1) < SLOW_MS:
        return unit, cost, threads
    for more in candidates(cores)[1:]:
        other = reopen(more)
        try:
            found = measure(other)
        except BaseException:
            other.close()
            raise
        if cost.of(1) < found.of(1) * PAYS ** log2(more / threads):
            other.close()
            break
        unit.close()
        unit, cost, threads = other, found, more
    return unit, cost, threads
