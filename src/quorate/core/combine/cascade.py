"""Cascade: cheap members first, others only where that pays; what has answered is combined by a model fitted for it.

Two fitted parts: a router, which is the plan (:mod:`quorate.core.plan.cascade`), and for every set of members that may
have answered a model of what is true, given what they said (:mod:`quorate.core.cascade.posterior`).

References: P. Viola, M. Jones, "Rapid object detection using a boosted cascade of simple features", CVPR 2001
(cascades); L. Chen, M. Zaharia, J. Zou, "FrugalML: how to use ML prediction APIs more accurately and cheaply", NeurIPS
2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.cascade import evidence, router
from quorate.core.cascade.evidence import seen
from quorate.core.cascade.posterior import posterior, which
from quorate.core.combine.average import OK, average
from quorate.core.combine.base import Combiner
from quorate.core.combine.checks import check_output, check_state
from quorate.core.plan.base import Plan
from quorate.core.plan.cascade import CascadePlan
from quorate.core.types import FloatArray, OutputSpec, State, StatusArray
from quorate.errors import ConfigError

VERSION = 1
"""Format of the fitted state, for m members, k classes and s sets of members, the largest first.

Meta: ``members`` and ``classes``, in order; ``stages``, lists of members in the order in which rows reach them;
``costs`` by member, in ``unit`` (``ms`` or ``cost``), and ``stage``, what asking a stage costs besides (0 where it is
not there); ``promise``, ``rows`` (fitted on), ``expected`` and ``frontier``
(what other prices would have come to), for people. Arrays: ``subsets`` bool ``[s, m]``, ``knots`` ``[m, B]``,
``coarse`` ``[m, C]``, ``weights`` ``[s, m]``, ``biases`` ``[s, k]``, ``corrections`` ``[s, F, k]`` (F may be 0) of the
combiners; of the router ``fine`` ``[m, B']``, ``routed`` bool ``[s]`` (r of the sets), ``asks`` bool ``[r, r]``,
``gains`` ``[r, G + 1, r]`` (the constant last, costs taken off), ``start`` ``[r]``.
"""


class Cascade(Combiner):
    """A fitted model for each set of members that may have answered, and a router that asks no more than pays."""

    kind = "cascade"
    needs_state = True
    missing = "those that answered are combined by the model fitted for them, or for the most of them that has one"

    def check(self, members: Sequence[str], output: OutputSpec, state: State | None) -> None:
        """A state fitted on these members and classes, complete and finite."""
        check_output(self, output)
        if state is None:
            raise _no_state()
        check_state(self, state, VERSION, members)
        fitted = tuple(state.meta.get("classes", ()))
        if fitted != output.classes:
            raise ConfigError(
                f"the state was fitted for the classes [{', '.join(fitted)}]; the pool's models answer "
                f"[{', '.join(output.classes)}]. Fit it again on this pool.",
                path="state",
            )
        wrong = _wrong(state, members, output.width)
        if wrong is not None:
            raise ConfigError(f"the state's {wrong} is not what it should be; fit it again.", path="state")

    def plan(self, members: Sequence[str], state: State | None) -> Plan:
        """The fitted router; see :meth:`Combiner.plan`."""
        if state is None:
            raise _no_state()
        return CascadePlan(state)

    def combine(
        self,
        outputs: FloatArray,
        status: StatusArray,
        state: State | None = None,
        features: NDArray[Any] | None = None,
    ) -> FloatArray:
        """What is true, given what has been said, per row; see :meth:`Combiner.combine`."""
        if state is None:
            raise _no_state()
        ok = status == OK
        sets = which(ok, state.arrays["subsets"])
        answer = np.full((len(outputs), outputs.shape[2]), np.nan, np.float32)
        some = sets >= 0
        if not some.all():
            answer[~some] = average(outputs[~some], status[~some])
        for number in np.unique(sets[some]).tolist():
            rows = sets == number
            answer[rows] = posterior(seen(outputs[rows], ok[rows]), number, state.arrays)
        return answer


def _no_state() -> ConfigError:
    return ConfigError("'cascade' needs a fitted state; name one from the registry under 'state'.", path="state")


def _wrong(state: State, members: Sequence[str], k: int) -> str | None:
    """The name of what does not fit in a state; None if all does."""
    meta, arrays, m = state.meta, state.arrays, len(members)
    named = [name for stage in meta.get("stages", ()) for name in stage]
    if sorted(named) != sorted(members):
        return "'stages'"
    costs = meta.get("costs")
    if not isinstance(costs, dict) or sorted(costs) != sorted(members) or meta.get("unit") not in ("ms", "cost"):
        return "'costs'"
    stage = meta.get("stage", 0.0)
    if not isinstance(stage, int | float) or not 0.0 <= stage < math.inf:
        return "'stage'"
    subsets, routed = (arrays.get(name) for name in ("subsets", "routed"))
    if subsets is None or subsets.ndim != 2 or subsets.shape[1] != m or not subsets.any(axis=1).all():
        return "array 'subsets'"
    s, sizes = len(subsets), subsets.sum(axis=1)
    if not s or (np.diff(sizes) > 0).any():
        return "array 'subsets'"
    if routed is None or routed.shape != (s,) or routed.dtype != np.bool_ or not routed.any():
        return "array 'routed'"
    for name in ("knots", "coarse", "fine"):
        some = arrays.get(name)
        if some is None or some.ndim != 2 or len(some) != m or some.shape[1] < 2 or not (np.diff(some) > 0).all():
            return f"array '{name}'"
    knots, coarse, fine = (arrays[name] for name in ("knots", "coarse", "fine"))
    r, corrections = int(routed.sum()), arrays.get("corrections")
    allowed = (0, *(evidence.width(m, k, knots.shape[1], crossed) for crossed in (0, coarse.shape[1])))
    if corrections is None or corrections.ndim != 3 or corrections.shape[1] not in allowed:
        return "array 'corrections'"
    shapes = {
        "knots": knots.shape, "weights": (s, m), "biases": (s, k), "corrections": (s, corrections.shape[1], k),
        "asks": (r, r), "gains": (r, router.width(m, k, fine.shape[1]) + 1, r), "start": (r,),
    }  # fmt: skip
    for name, shape in shapes.items():
        found = arrays.get(name)
        if found is None or found.shape != shape or not np.isfinite(found).all():
            return f"array '{name}'"
    if arrays["asks"].dtype != np.bool_ or (arrays["asks"] & ~router.larger(subsets[routed])).any():
        return "array 'asks'"
    return None
