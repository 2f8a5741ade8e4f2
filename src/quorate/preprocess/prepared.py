"""One input for many models: what their preprocessing has in common is done once, the rest when a model asks for it.

The members of a ladder take the same picture in different sizes. It is decoded once, and brought to the size of those
that run: a cascade that stops early has not paid for the sizes of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

from quorate.core.types import Tensors
from quorate.preprocess.base import Context, Step
from quorate.preprocess.pipeline import Pipeline

_COLOUR, _SIZE = frozenset({"rgb", "grayscale"}), "resize"
_HARMLESS = _COLOUR | {"orient", _SIZE, "bgr", "normalise", "layout", "flatten"}
"""Steps that refuse no picture that was decoded, where its colour and its size are made among them."""


class Prepared(Sequence[Tensors]):
    """Tensors by the number of their pipeline, made when they are first asked for.

    Threads may share it: two that ask for the same ones at once both make them, and one of the two is kept.
    """

    __slots__ = ("_found", "_make")

    def __init__(self, count: int, make: Callable[[int], Tensors]) -> None:
        self._make = make
        self._found: list[Tensors | None] = [None] * count

    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, index: int) -> Tensors: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensors]: ...

    def __getitem__(self, index: int | slice) -> Tensors | Sequence[Tensors]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        found = self._found[index]
        if found is None:
            found = self._found[index] = self._make(index % len(self._found))
        return found


def rows_of(prepared: Sequence[Tensors], which: Any) -> Sequence[Tensors]:
    """Some rows (a slice, or an array of numbers) of what was prepared, those that are not made yet left for later."""
    if isinstance(prepared, Prepared):
        return Prepared(len(prepared), lambda index: _taken(prepared[index], which))
    return tuple(_taken(tensors, which) for tensors in prepared)


def _taken(tensors: Tensors, which: Any) -> Tensors:
    return {name: array[which] for name, array in tensors.items()}


def prepare(
    pipelines: Sequence[Pipeline], raw: Mapping[str, Any], *, max_pixels: int, path: str = "instances"
) -> Sequence[Tensors]:
    """The tensors of every pipeline, as :meth:`Pipeline.apply` makes them; of pictures, later those that can wait.

    What can be wrong with an input is found out here: only steps that refuse no picture are left for later.
    """
    if len(pipelines) == 1 or any(pipeline.input_kind != "image" for pipeline in pipelines):
        return tuple(pipeline.apply(raw, max_pixels=max_pixels, path=path) for pipeline in pipelines)
    context = Context(max_pixels, path)
    common = _common([pipeline.steps for pipeline in pipelines])
    batch = pipelines[0].begin(raw, context, common)
    prepared = Prepared(len(pipelines), lambda index: pipelines[index].finish(batch, context, common))
    for index, pipeline in enumerate(pipelines):
        if not _refuses_nothing(pipeline.steps[common:], pipeline.steps):
            prepared[index]
    return prepared


def _common(every: Sequence[Sequence[Step]]) -> int:
    """How many steps all begin with."""
    count = 0
    for steps in zip(*every, strict=False):
        first = steps[0]
        if any((s.kind, s.version, s.params) != (first.kind, first.version, first.params) for s in steps[1:]):
            break
        count += 1
    return count


def _refuses_nothing(left: Sequence[Step], steps: Sequence[Step]) -> bool:
    """Whether a picture that came so far goes through what is left, whatever it is."""
    kinds = {step.kind for step in steps}
    return _HARMLESS.issuperset(step.kind for step in left) and bool(kinds & _COLOUR) and _SIZE in kinds
