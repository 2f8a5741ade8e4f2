"""The contract of a combiner as generated checks; a third party's combiner goes through the same as the built-ins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from quorate.core.combine.base import Combiner
from quorate.core.types import FloatArray, OutputSpec, State, Status, StatusArray
from quorate.errors import ConfigError

StateFactory = Callable[[Sequence[str], OutputSpec], State]

SCORES = OutputSpec("scores", classes=("a", "b", "c", "d"))
VALUES = OutputSpec("values", names=("x", "y"))
_ROWS_PER_MASK = 6
_ALL = slice(None)


def check_combiner(
    combiner_cls: type[Combiner],
    *,
    params: Any = None,
    members: Sequence[str] = ("m1", "m2", "m3"),
    output: OutputSpec = SCORES,
    state_factory: StateFactory | None = None,
    symmetric: bool = False,
    seed: int = 0,
) -> None:
    """Check that a combiner keeps the contract of :class:`Combiner`; :class:`AssertionError` says what it broke.

    ``state_factory(members, output)`` makes a valid fitted state for combiners that take one. ``symmetric`` states
    that the order of the members does not matter; then that is checked too. Data are generated from ``seed``: every
    pattern of ok, failed and skipped members (at most six members), and extreme as well as ordinary outputs.
    """
    _declares(combiner_cls, output)
    combiner = combiner_cls(params)
    state = None if state_factory is None else _frozen(state_factory(members, output))
    _checks(combiner, members, output, state)
    outputs, status = _generate(len(members), output, seed)
    width = combiner.feature_width(state)
    features = np.random.default_rng(seed).normal(size=(len(outputs), width)) if width else None
    case = _Case(combiner, state, outputs, status, None if features is None else features.astype(np.float32))
    case.answers_every_row(output)
    case.reads_only_ok_entries()
    case.treats_rows_alone()
    if symmetric:
        case.ignores_member_order()


class _Case:
    """One combiner with generated inputs, features where it looks at any, and its answer to them."""

    def __init__(
        self,
        combiner: Combiner,
        state: State | None,
        outputs: FloatArray,
        status: StatusArray,
        features: FloatArray | None = None,
    ) -> None:
        self.combiner, self.state, self.outputs, self.status = combiner, state, outputs, status
        self.features = features
        self.answer = self.combine(outputs, status)

    def combine(self, outputs: FloatArray, status: StatusArray, rows: slice = _ALL) -> FloatArray:
        """The answer to outputs and status of those rows of the features."""
        given, given_status = outputs.copy(), status.copy()
        looked_at = None if self.features is None else self.features[rows].copy()
        before = None if self.state is None else _copies(self.state)
        answer = self.combiner.combine(given, given_status, self.state, looked_at)
        same = looked_at is None or self.features is None or np.array_equal(looked_at, self.features[rows])
        _that(same, "combine() changed the features it was given")
        _that(np.array_equal(given, outputs, equal_nan=True), "combine() changed the outputs it was given")
        _that(np.array_equal(given_status, status), "combine() changed the status it was given")
        after = None if self.state is None else _copies(self.state)
        _that(before == after, "combine() changed the state it was given")
        _that(isinstance(answer, np.ndarray), f"combine() must return an array; got {type(answer).__name__}")
        return answer

    def answers_every_row(self, output: OutputSpec) -> None:
        n, _, k = self.outputs.shape
        answer = self.answer
        _that(answer.shape == (n, k), f"answers must have shape [n, k] = {[n, k]}; got {list(answer.shape)}")
        _that(answer.dtype == np.float32, f"answers must be float32; got {answer.dtype}")
        some = (self.status == int(Status.OK)).any(axis=1)
        for row in np.flatnonzero(some):
            _that(
                bool(np.isfinite(answer[row]).all()),
                f"a row with status {self.status[row].tolist()} has ok members but the answer {answer[row].tolist()}",
            )
        _that(bool(np.isnan(answer[~some]).all()), "a row without any ok member must be all NaN")
        if output.kind == "scores":
            sums = answer[some].sum(axis=1, dtype=np.float64)
            _that(bool((answer[some] >= 0).all()), "scores must not be negative")
            _that(
                bool(np.allclose(sums, 1.0, rtol=0, atol=1e-5)),
                f"scores of a row must sum to 1; got {sums[np.abs(sums - 1).argmax()]}",
            )
        empty = self.combine(self.outputs[:0], self.status[:0], slice(0, 0))
        _that(empty.shape == (0, k), f"no rows must give an answer of shape [0, {k}]; got {list(empty.shape)}")

    def reads_only_ok_entries(self) -> None:
        missing = self.status != int(Status.OK)
        for poison in (np.inf, -np.inf, 1e30, 0.0):
            poisoned = self.outputs.copy()
            poisoned[missing] = poison
            self._same(
                self.combine(poisoned, self.status), f"the value {poison} at an entry that is not ok changed the answer"
            )
        swapped = np.array([0, int(Status.SKIPPED), int(Status.FAILED)], np.int8)[self.status]
        self._same(
            self.combine(self.outputs, swapped), "the answer depends on whether a missing member failed or was skipped"
        )

    def treats_rows_alone(self) -> None:
        self._same(self.combine(self.outputs, self.status), "the same inputs gave another answer the second time")
        back = self.combine(self.outputs[::-1], self.status[::-1], slice(None, None, -1))[::-1]
        self._same(back, "answers do not follow the order of the rows")
        ones = [slice(i, i + 1) for i in range(len(self.status))]
        alone = [self.combine(self.outputs[one], self.status[one], one) for one in ones]
        self._same(np.concatenate(alone), "a row's answer depends on the other rows of the batch")

    def ignores_member_order(self) -> None:
        turned = np.roll(np.arange(self.status.shape[1]), 1)
        for order in (turned, turned[::-1]):
            self._same(
                self.combine(self.outputs[:, order], self.status[:, order]), "the answer depends on member order"
            )

    def _same(self, answer: FloatArray, sentence: str) -> None:
        close = np.isclose(answer, self.answer, rtol=1e-5, atol=1e-6, equal_nan=True)
        if not close.all():
            row = int(np.flatnonzero(~close.all(axis=1))[0])
            raise AssertionError(
                f"{sentence}: status {self.status[row].tolist()}, expected {self.answer[row].tolist()}, "
                f"got {answer[row].tolist()}."
            )


def _declares(cls: type[Combiner], output: OutputSpec) -> None:
    _that(issubclass(cls, Combiner), f"{cls.__name__} must be a subclass of Combiner")
    for name in ("kind", "missing"):
        text = getattr(cls, name, None)
        _that(isinstance(text, str) and bool(text), f"{cls.__name__}.{name} must say what it is, as a string")
    params = cls.Params
    frozen = dataclasses.is_dataclass(params) and params.__dataclass_params__.frozen  # type: ignore[attr-defined]
    _that(frozen, f"{cls.__name__}.Params must be a frozen dataclass")
    _that(output.kind in cls.output_kinds, f"{cls.__name__} does not declare that it combines {output.kind}")
    _that(cls.learns or not cls.watches, f"{cls.__name__} watches decisions, so it must learn")


def _checks(combiner: Combiner, members: Sequence[str], output: OutputSpec, state: State | None) -> None:
    combiner.check(members, output, None if combiner.learns else state)  # what is learned comes afterwards
    if not combiner.needs_state:
        return
    _that(state is not None, f"{combiner.kind} needs a state: give check_combiner a state_factory")
    try:
        combiner.check(members, output, None)
    except ConfigError:
        return
    raise AssertionError(f"{combiner.kind} needs a state but check() accepts none.")


def _generate(m: int, output: OutputSpec, seed: int) -> tuple[FloatArray, StatusArray]:
    if m > 6:
        raise ValueError(f"every pattern of members is tried: give at most 6; got {m}.")
    rng = np.random.default_rng(seed)
    patterns = np.array(list(product([int(s) for s in Status], repeat=m)), np.int8)
    status = np.repeat(patterns, _ROWS_PER_MASK, axis=0)
    status = np.concatenate([status, np.zeros((4 * _ROWS_PER_MASK, m), np.int8)])
    n, k = len(status), output.width
    if output.kind == "values":
        outputs = rng.normal(size=(n, m, k)) * rng.choice([1e-3, 1.0, 1e3], size=(n, 1, 1))
    else:
        outputs = rng.dirichlet(np.ones(k), size=(n, m))
        certain = np.eye(k)[rng.integers(k, size=(n, m))]
        kind = np.arange(n) % _ROWS_PER_MASK
        outputs[kind == 0] = certain[kind == 0]
        outputs[kind == 1] = 1.0 / k
    outputs = outputs.astype(np.float32)
    outputs[status != int(Status.OK)] = np.nan
    order = rng.permutation(n)
    return outputs[order], status[order]


def _frozen(state: State) -> State:
    arrays = {name: np.array(array) for name, array in state.arrays.items()}
    for array in arrays.values():
        array.flags.writeable = False
    return dataclasses.replace(state, arrays=arrays)


def _copies(state: State) -> tuple[str, dict[str, bytes]]:
    return repr(state.meta), {name: array.tobytes() for name, array in state.arrays.items()}


def _that(holds: bool, sentence: str) -> None:
    if not holds:
        raise AssertionError(f"{sentence}.")
