"""A pipeline: an ordered list of declared, versioned steps from a raw input to a model's own tensors."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate import plugins
from quorate.core.types import InputKind, Tensors
from quorate.errors import ConfigError
from quorate.preprocess.base import Context, Stage, Step
from quorate.preprocess.pixels import stacked

_FIRST: dict[Stage, InputKind] = {"encoded": "image", "pixels": "image", "array": "array", "columns": "columns"}


class Pipeline:
    """Thread-safe; make it once with :meth:`from_spec` and apply it to every request.

    >>> pipeline = Pipeline.from_spec([{"kind": "normalise", "scale": 0.5}])
    >>> pipeline.apply({"input": np.array([[2, 4]])}, max_pixels=0)["input"].tolist()
    [[1.0, 2.0]]
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)
        for index, (before, step) in enumerate(zip(self.steps, self.steps[1:], strict=False), start=1):
            if before.gives not in step.takes:
                raise ConfigError(
                    f"preprocessing step {index} '{step.kind}' cannot follow '{before.kind}': it takes "
                    f"{' or '.join(sorted(step.takes))}, '{before.kind}' gives {before.gives}; change their order.",
                    path=f"preprocess[{index}]",
                )
        self.input_kind: InputKind | None = self._input_kind()

    def _input_kind(self) -> InputKind | None:
        if not self.steps:
            return None
        first = self.steps[0]
        if "encoded" in first.takes:
            return "image"
        if "columns" in first.takes:
            return "columns"
        if "array" in first.takes:
            return "array"
        raise ConfigError(
            f"preprocessing step 0 '{first.kind}' takes {' or '.join(sorted(first.takes))}, which no raw input is; "
            "image pipelines start with 'decode'.",
            path="preprocess[0]",
        )

    @classmethod
    def from_spec(cls, steps: Sequence[Mapping[str, Any]]) -> Pipeline:
        """Build from step dicts ``{kind, version?, **params}``.

        Raises :class:`ConfigError` naming the step's index for an unknown step, version or parameter, a bad value,
        or an impossible order.
        """
        return cls([_step(index, spec) for index, spec in enumerate(steps)])

    def to_spec(self) -> list[dict[str, Any]]:
        """The normalised step dicts: versions and defaults filled in, JSON types only."""
        return [
            {"kind": step.kind, "version": step.version, **msgspec.to_builtins(dataclasses.asdict(step.params))}
            for step in self.steps
        ]

    @property
    def digest(self) -> str:
        """SHA-256, hex, of the canonical spec; equal digests mean equal outputs."""
        canonical = json.dumps(self.to_spec(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def apply(
        self,
        raw: Mapping[str, NDArray[Any] | Sequence[bytes | NDArray[Any]]],
        *,
        max_pixels: int,
        path: str = "instances",
    ) -> Tensors:
        """Turn raw inputs (first axis rows) into the model's own tensors; an empty pipeline is the identity.

        ``raw`` is ``{"image": …}``: a list of encoded bytes or uint8 arrays ``[h, w]`` / ``[h, w, c]``, or one uint8
        array ``[n, h, w]`` / ``[n, h, w, c]``; ``{"input": array}``; or one array ``[n]`` per column. Any other
        pipeline than the empty one gives the single tensor ``input``; after an image it is float32.
        ``max_pixels`` limits one image. Raises :class:`~quorate.errors.InvalidInput` or
        :class:`~quorate.errors.TooLarge` with the path ``{path}[row]``.
        """
        if self.input_kind is None:
            return dict(raw)  # type: ignore[arg-type]
        context = Context(max_pixels, path)
        return self.finish(self.begin(raw, context, 0), context, 0)

    def begin(self, raw: Mapping[str, Any], context: Context, count: int) -> Any:
        """What the first ``count`` steps make of raw inputs; not of an empty pipeline."""
        batch: Any = raw if self.input_kind == "columns" else raw["image" if self.input_kind == "image" else "input"]
        for step in self.steps[:count]:
            batch = step.apply(batch, context)
        return batch

    def finish(self, batch: Any, context: Context, done: int) -> Tensors:
        """The model's own tensors from what the first ``done`` steps have made."""
        for step in self.steps[done:]:
            batch = step.apply(batch, context)
        if self.input_kind == "image":
            if self.steps[-1].gives == "pixels":
                batch = stacked(batch, context)
            batch = np.asarray(batch, np.float32)
        return {"input": batch}


def _step(index: int, spec: Mapping[str, Any]) -> Step:
    path = f"preprocess[{index}]"
    given = dict(spec)
    kind, version = given.pop("kind", None), given.pop("version", None)
    if not isinstance(kind, str):
        raise ConfigError(
            f"preprocessing step {index} needs a 'kind'; expected one of {', '.join(plugins.names('steps'))}.",
            path=path,
        )
    if kind not in plugins.names("steps"):
        raise ConfigError(
            f"preprocessing step {index}: there is no step '{kind}'; expected one of "
            f"{', '.join(plugins.names('steps'))}.",
            path=f"{path}.kind",
        )
    step: type[Step] = plugins.load("steps", kind)
    if version is not None and version not in step.versions:
        raise ConfigError(
            f"preprocessing step {index} '{kind}': version {version!r} is not one this release runs; expected one of "
            f"{', '.join(map(str, step.versions))}. Upgrade Quorate, or retrain the model.",
            path=f"{path}.version",
        )
    known = tuple(field.name for field in dataclasses.fields(step.Params))
    for name in given:
        if name not in known:
            raise ConfigError(
                f"preprocessing step {index} '{kind}' has no parameter '{name}'; expected "
                f"{', '.join(known) if known else 'none'}.",
                path=f"{path}.{name}",
            )
    try:
        params = msgspec.convert(given, step.Params)
    except msgspec.ValidationError as error:
        raise ConfigError(f"preprocessing step {index} '{kind}': {error}.", path=path) from None
    return step(params, version)
