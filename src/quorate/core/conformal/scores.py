"""How unlikely a class is, given the scores of all: the nonconformity scores of conformal sets.

- ``lac``: one less the class's probability. The smallest sets on average, which may be empty, and small where rows are
  hard: least ambiguous classifiers (Sadinle, Lei, Wasserman, "Least ambiguous set-valued classifiers with bounded error
  levels", JASA 2019), also known as THR.
- ``aps``: the probability of the classes that are likelier, and a random share of its own. Sets grow where rows are
  hard, which keeps the coverage of easy and hard rows closer together (Romano, Sesia, Candès, "Classification with
  valid and adaptive coverage", NeurIPS 2020, equations 5 to 8, randomised).
- ``raps``: the same with a penalty for every class beyond the likeliest few, which cuts the long tail of large sets
  (Angelopoulos, Bates, Malik, Jordan, "Uncertainty sets for image classifiers using conformal prediction", ICLR 2021,
  equation 4).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Kind = Literal["lac", "aps", "raps"]
KINDS: tuple[str, ...] = get_args(Kind)
Numbers = NDArray[np.float64]


def of_classes(kind: str, answers: NDArray[np.floating], u: Numbers, penalty: float = 0.0, free: int = 0) -> Numbers:
    """Scores of every class, float64 ``[n, k]``, of answers ``[n, k]`` whose rows sum to 1.

    ``u`` ``[n]`` in (0, 1] is the random share of the class's own probability that ``aps`` and ``raps`` count;
    ``penalty`` and ``free`` are those of ``raps``: each rank (from 1) above ``free`` adds ``penalty``.

    >>> of_classes("lac", np.array([[0.75, 0.25]]), np.ones(1)).tolist()
    [[0.25, 0.75]]
    >>> of_classes("aps", np.array([[0.25, 0.75]]), np.array([0.5])).tolist()
    [[0.875, 0.375]]
    """
    p = answers.astype(np.float64)
    if kind == "lac":
        return 1.0 - p
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    mass = np.cumsum(ranked, axis=1) - ranked + u[:, None] * ranked
    if kind == "raps":
        mass += penalty * np.maximum(0, np.arange(1, p.shape[1] + 1) - free)
    found = np.empty_like(mass)
    np.put_along_axis(found, order, mass, axis=1)
    return found
