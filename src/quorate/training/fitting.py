"""Fits that do not depend on each other, in this process or in several, handed over as they are finished."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import FloatArray
from quorate.training.trainer import Fitted, Rows, Trainer


@dataclass(frozen=True)
class Job:
    """Fit ``trainer`` on the rows ``fit`` of a part, None for all; then answer the rows ``held``, if there are any.

    ``label`` is for people; ``fold`` is 0 for a member that will serve.
    """

    label: str
    trainer: Trainer
    fold: int = 0
    fit: NDArray[np.int64] | None = None
    held: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Done:
    """What became of a job: the fitted members, or, of a fold, only their answers float32 ``[h, m, k]``."""

    job: Job
    fitted: Sequence[Fitted] = ()
    outputs: FloatArray | None = None


def run(jobs: Iterable[Job], rows: Rows, processes: int) -> Iterator[Done]:
    """Run all jobs, the costliest first, ``processes`` at once; the order of what comes is theirs only with one.

    With more than one, trainers must be importable where a fresh interpreter looks (not defined in a script).
    Errors of trainers are raised here; what was handed over before them stays good.
    """
    from joblib import Parallel, delayed

    ordered = sorted(jobs, key=lambda job: (-job.trainer.cost, job.fold)) if processes != 1 else list(jobs)
    if not ordered:
        return
    # Nothing is mapped from files (max_nbytes): a run that is killed would leave them.
    parallel = Parallel(n_jobs=processes, return_as="generator_unordered", max_nbytes=None)
    results = parallel(delayed(_run)(job, rows) for job in ordered)
    try:
        # Not `yield from`: who stops listening would close the results before the filter is set.
        for done in results:  # noqa: UP028
            yield done
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a run was cut off is no news to who cut it off
            results.close()


def _run(job: Job, rows: Rows) -> Done:
    fitted = job.trainer.fit(rows if job.fit is None else rows.take(job.fit))
    if job.held is None:
        return Done(job, fitted)
    held = rows.take(job.held).inputs
    return Done(job, outputs=np.stack([member.answers(held) for member in fitted], axis=1))
