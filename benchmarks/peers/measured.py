"""What is measured of one system, and the rows it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.harness.table import Row


@dataclass(frozen=True, slots=True)
class Sample:
    """One system in one round; ``cpu_us`` is processor time per answer, of all its processes.

    ``spread``: connections of each process that had any.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    bad: int = 0
    spread: str = ""


Samples = dict[str, list[Sample]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often: ``pairs`` rounds of ``seconds``, their order by ``seed``.

    ``levels`` are shares of the capacity at which the open loop sends; none, then there is no open loop. Unless
    ``everywhere``, serving frameworks are measured at 32 connections only. ``shared``: nobody is kept on cores of his
    own.
    """

    pairs: int
    seconds: int
    seed: int
    levels: tuple[float, ...] = ()
    everywhere: bool = False
    shared: bool = False


def rows(
    workload: str,
    metric: str,
    unit: str,
    samples: Samples,
    of: Callable[[Sample], float],
    notes: Mapping[str, str] | None = None,
) -> list[Row]:
    """One row a system."""
    notes = notes or {}
    return [
        Row(workload, name, metric, unit, tuple(map(of, found)), notes.get(name, "")) for name, found in samples.items()
    ]


def note(samples: Sequence[Sample]) -> str:
    """Failures and how the connections were spread."""
    return f"{sum(sample.bad for sample in samples)} not 200; connections {samples[-1].spread}"


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "worker"), plural(3, "process")
    ('1 worker', '3 processes')
    """
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{ending}"
