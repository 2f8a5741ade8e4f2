"""How many threads a run should have: measured, since only some graphs gain from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log2
from typing import Generic, TypeVar

from quorate.serving.cost import Cost
from quorate.serving.units import InProcessUnit

SLOW_MS = 5.0
"""Below that, handing parts of a run to threads costs about what it gives."""
PAYS = 1.3
"""A doubling of the threads is worth it from this speed-up on; two lanes of half the threads would give 2."""

U = TypeVar("U", bound=InProcessUnit)


@dataclass(frozen=True, slots=True)
class Tuned(Generic[U]):
    """The unit that was chosen, what a run of it costs, its threads, and what was tried.

    ``tried`` is the milliseconds of one row by the number of threads; of these, ``threads`` has the lowest
    :func:`price`.
    """

    unit: U
    cost: Cost
    threads: int
    tried: Mapping[int, float]


def candidates(cores: int) -> list[int]:
    """Numbers of threads to try: 1, 2, 4 … and all cores."""
    powers = [1 << i for i in range(cores.bit_length()) if 1 << i < cores]
    return [*powers, cores]


def price(threads: int, ms: float) -> float:
    """What runs of several numbers of threads are compared by: every doubling must make one ``PAYS`` times as fast."""
    return float(ms * PAYS ** log2(threads))


def tune(unit: U, reopen: Callable[[int], U], measure: Callable[[U], Cost], cores: int) -> Tuned[U]:
    """The unit with the threads that pay; more are tried until some do not.

    ``reopen(threads)`` loads it anew; two are in memory while they are compared, and the one that is not returned is
    closed.
    """
    cost, threads = measure(unit), 1
    tried = {1: cost.of(1)}
    if tried[1] < SLOW_MS:
        return Tuned(unit, cost, threads, tried)
    for more in candidates(cores)[1:]:
        other = reopen(more)
        try:
            found = measure(other)
        except BaseException:
            other.close()
            raise
        tried[more] = found.of(1)
        if price(more, tried[more]) > price(threads, tried[threads]):
            other.close()
            break
        unit.close()
        unit, cost, threads = other, found, more
    return Tuned(unit, cost, threads, tried)
