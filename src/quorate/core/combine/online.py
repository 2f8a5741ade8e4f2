"""Online: a combination that learns from outcomes whom to trust, and is never much worse than the best it could choose.

Two layers. Below, the members' outputs are combined by what has been learned of each member: confusion counts and an
exponent for classes (:mod:`quorate.core.online.confusion`, :mod:`~quorate.core.online.exponents`), bias and covariance
for numbers (:mod:`~quorate.core.online.gaussian`), at several rates of forgetting; and by how their votes fall, and who
stands apart lately, which every decision shows (:mod:`~quorate.core.online.dissent`). Above, an expert layer
(:mod:`quorate.core.experts.layer`, where the bounds are) weighs every member, the prior strategy and every one of these
combinations by how they have done. Before the first outcome the prior strategy answers.

Outcomes may come late, in any order, or not at all: each teaches when it comes. What the members said is logged, so
every outcome teaches something of all of them, whichever strategy had answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quorate.core.combine.average import OK
from quorate.core.combine.base import Combiner, Times, Told, Truths
from quorate.core.combine.checks import check_no_state, check_output, check_weights
from quorate.core.combine.mean import Mean
from quorate.core.combine.vote import Vote, VoteParams
from quorate.core.combine.weighted import Weighted, WeightedParams
from quorate.core.experts import layer
from quorate.core.experts.layer import Layer
from quorate.core.online import dissent, scores, teaching, values
from quorate.core.online.confusion import Bools
from quorate.core.types import FloatArray, OutputSpec, State, StatusArray
from quorate.errors import ConfigError

VERSION = 2
"""Format of the learned state; 1 did not watch decisions, and is read as well. Meta: ``output`` (``scores`` or
``values``). Arrays: those of the modules above, ``rows`` (outcomes learned from), and what is published for answering:
``weights`` of the experts ``[e]``, ``runs`` ``[h, e]`` and ``top`` ``[h]``; for numbers ``bias`` and ``shares`` too."""


@dataclass(frozen=True, slots=True)
class OnlineParams:
    """Settings of the online combiner."""

    prior: Literal["mean", "vote", "weighted"] = field(
        default="mean",
        metadata={
            "description": "What answers before anything is learned, and is an expert afterwards: the mean, a hard "
            "vote, or the mean by these weights."
        },
    )
    weights: tuple[float, ...] | None = field(
        default=None, metadata={"description": "Of the prior strategy 'weighted', one per member, in order."}
    )


class Online(Combiner):
    """Learns each member's confusion from outcomes, and competes with every member and combination.

    >>> outputs = np.array([[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]] * 40, np.float32)
    >>> status, spec = np.zeros((40, 3), np.int8), OutputSpec("scores", ("no", "yes"))
    >>> combiner, truths = Online(), np.zeros(40)
    >>> int(combiner.combine(outputs[:1], status[:1]).argmax())
    1
    >>> state = combiner.learn(None, outputs, status, truths, spec)
    >>> int(combiner.combine(outputs[:1], status[:1], state).argmax())
    0
    """

    kind = "online"
    Params = OnlineParams
    output_kinds = frozenset({"scores", "values"})
    learns = True
    watches = True
    missing = "one that did not answer adds no evidence, and as an expert its weight goes to the others"

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        weighted = WeightedParams(self.params.weights)
        made: dict[str, Combiner] = {"mean": Mean(), "vote": Vote(VoteParams("hard")), "weighted": Weighted(weighted)}
        self._known: tuple[State, dict[str, NDArray[Any]], scores.Tables] | None = None
        """What answers to one state have in common: nothing but time depends on it."""
        self._prior = made.get(self.params.prior, made["mean"])

    def check(self, members: Sequence[str], output: OutputSpec, state: State | None) -> None:
        """Any members, no fitted state; one target of numbers; weights where the prior strategy takes them."""
        check_output(self, output)
        check_no_state(self, state)
        if self.params.prior not in ("mean", "vote", "weighted"):
            raise ConfigError(f"prior must be 'mean', 'vote' or 'weighted'; got '{self.params.prior}'.", path="prior")
        if output.kind == "values" and len(output.names) != 1:
            raise ConfigError(
                f"'online' learns one number; the pool's models answer {len(output.names)}. Choose another kind.",
                path="kind",
            )
        if output.kind == "values" and self.params.prior == "vote":
            raise ConfigError("numbers are not voted on; choose 'mean' or 'weighted'.", path="prior")
        if (self.params.weights is None) == (self.params.prior == "weighted"):
            got = "none" if self.params.weights is None else f"weights and the prior '{self.params.prior}'"
            raise ConfigError(f"the prior strategy 'weighted' takes weights, no other does; got {got}.", path="weights")
        if self.params.weights is not None:
            check_weights(np.asarray(self.params.weights, np.float64), members, "weights")

    def combine(
        self,
        outputs: FloatArray,
        status: StatusArray,
        state: State | None = None,
        features: NDArray[Any] | None = None,
    ) -> FloatArray:
        """The learned answer, or the prior strategy's before anything was learned; see :meth:`Combiner.combine`."""
        prior = self._prior.combine(outputs, status)
        if state is None or not len(outputs):
            return prior
        if not np.count_nonzero(status):
            return self._answer(state, outputs, None, prior)
        ok = status == OK
        some = ok.any(axis=1)
        found = prior.copy()
        if some.any():
            found[some] = self._answer(state, outputs[some], ok[some], prior[some])
        return found

    def learn(
        self,
        state: State | None,
        outputs: FloatArray,
        status: StatusArray,
        truths: Truths,
        output: OutputSpec,
        at: Times | None = None,
    ) -> State | None:
        """See :meth:`Combiner.learn`; rows without a member that answered teach nothing."""
        ok = status == OK
        rows = ok.any(axis=1) & np.isfinite(truths)
        if not rows.any():
            return state
        outputs, ok, truths = outputs[rows], ok[rows], truths[rows]
        prior = self._prior.combine(outputs, status[rows]).astype(np.float64)
        if output.kind == "scores":
            arrays = scores.start(*outputs.shape[1:]) if state is None else _current(state)
            teaching.learn(arrays, outputs, ok, prior, truths.astype(np.intp), None if at is None else at[rows])
        else:
            arrays = values.start(outputs.shape[1]) if state is None else _current(state)
            values.learn(arrays, outputs[:, :, 0].astype(np.float64), ok, prior[:, 0], truths)
            values.publish(arrays)
        return State(self.kind, VERSION, {"output": output.kind}, arrays | _published(arrays))

    def watch(
        self, state: State | None, outputs: FloatArray, status: StatusArray, output: OutputSpec, at: Times
    ) -> State | None:
        """See :meth:`Combiner.watch`; not before the first outcome, and numbers are learned from outcomes only."""
        ok = status == OK
        rows = ok.any(axis=1)
        if state is None or output.kind != "scores" or not rows.any():
            return state
        arrays = _current(state)
        labels, _ = teaching.said(outputs[rows], ok[rows])
        dissent.watch(arrays, labels, ok[rows], at[rows])
        return State(self.kind, VERSION, {"output": output.kind}, arrays)

    def told(self, members: Sequence[str], state: State | None) -> Told:
        """See :meth:`Combiner.told`; experts are named by :func:`scores.names` and :func:`values.names`."""
        if state is None:
            return Told(0, {}, 0.0)
        names = (scores if state.meta["output"] == "scores" else values).names(tuple(members))
        arrays = _current(state)
        trust = dict(zip(names, arrays["weights"].tolist(), strict=True))
        return Told(int(arrays["rows"][0]), trust, layer.certificate(Layer.of(arrays)))

    def _answer(self, state: State, outputs: FloatArray, ok: Bools | None, prior: FloatArray) -> FloatArray:
        if state.meta["output"] == "values":
            numbers = outputs[:, :, 0].astype(np.float64)
            ok = np.ones(numbers.shape, bool) if ok is None else ok
            return values.answer(state.arrays, numbers, ok, prior[:, 0].astype(np.float64)).astype(np.float32)[:, None]
        known = self._known
        if known is None or known[0] is not state:
            arrays = _current(state)
            self._known = known = (state, arrays, scores.Tables.of(arrays))
        return scores.answer(known[1], known[2], outputs, ok, prior.astype(np.float64)).astype(np.float32)


def _current(state: State) -> dict[str, NDArray[Any]]:
    """A state's arrays in this version's format."""
    if state.version == VERSION or state.meta["output"] != "scores":
        return dict(state.arrays)
    return teaching.upgraded(state.arrays)


def _published(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    now = Layer.of(arrays)
    runs, top = layer.runs(now), layer.top(now)
    return {"runs": runs, "top": top, "weights": top @ runs}
