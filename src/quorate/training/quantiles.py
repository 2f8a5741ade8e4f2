"""Members that answer several quantiles of a number, each by a regressor of its own: what ``cqr`` takes.

The regressors see the same rows and share nothing else, so quantiles may cross; conformal intervals allow for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quorate.core.types import FloatArray, OutputSpec, Tensors
from quorate.errors import InvalidInput
from quorate.runtimes.onnx import open_session
from quorate.runtimes.signature import one_line
from quorate.training import boosters
from quorate.training.estimator import Estimator, FittedEstimator, matrix
from quorate.training.export import INPUT, Exported, to_artifact
from quorate.training.parity import TOLERANCE, compare
from quorate.training.trainer import Rows

OUTPUT = "quantiles"


@dataclass(frozen=True)
class Quantiles:
    """One member from unfitted regressors by target, each for its own quantile of the same true number.

    Targets are those of the signature, in order: ``Quantiles("trees", {"lower": …, "upper": …})``.
    """

    name: str
    regressors: Mapping[str, Any]
    libraries: tuple[str, ...] = ("onnx", "scikit-learn", "skl2onnx")
    cost: float = 1.0

    def __post_init__(self) -> None:
        if not self.regressors:
            raise InvalidInput(f"'{self.name}' has no regressors; name one for each target.", path="regressors")
        more = (each for regressor in self.regressors.values() for each in boosters.distributions(regressor))
        object.__setattr__(self, "libraries", tuple(dict.fromkeys((*self.libraries, *more))))

    @property
    def names(self) -> tuple[str, ...]:
        """The one member."""
        return (self.name,)

    def fit(self, rows: Rows) -> tuple[FittedQuantiles]:
        """Fit a clone of each; raises as :meth:`Estimator.fit` does, and :class:`InvalidInput` for classes."""
        if rows.classes:
            raise InvalidInput(
                f"'{self.name}' answers quantiles of numbers, and the truths are classes.", path="labels"
            )
        fitted = [Estimator(f"{self.name}: {target}", each).fit(rows)[0] for target, each in self.regressors.items()]
        return (FittedQuantiles(self.name, dict(zip(self.regressors, fitted, strict=True))),)


@dataclass(frozen=True)
class FittedQuantiles:
    """Fitted regressors as one member."""

    name: str
    parts: Mapping[str, FittedEstimator]
    metrics: Mapping[str, float] = field(default_factory=dict)

    def answers(self, inputs: Tensors) -> FloatArray:
        """Their values float32 ``[n, k]``, a column each."""
        return np.concatenate([part.answers(inputs) for part in self.parts.values()], axis=1)

    def export(self, inputs: Tensors) -> Exported:
        """One ONNX graph of all; :class:`InvalidInput` where a part cannot become ONNX, or answers otherwise then."""
        sample = matrix(inputs)
        made = {target: to_artifact(part.estimator, sample) for target, part in self.parts.items()}
        for target, part in made.items():
            if part.format != "onnx":
                raise InvalidInput(
                    f"'{self.name}' must become one ONNX graph, and its '{target}' cannot: {part.reason}. Take another "
                    "regressor for it.",
                    path="regressors",
                )
        data = _joined([part.files["model.onnx"] for part in made.values()], sample.shape[1])
        try:
            got = open_session(data, name=self.name).run([OUTPUT], {INPUT: sample})[0]
        except Exception as error:  # the runtime fails in many ways
            raise InvalidInput(
                f"The regressors of '{self.name}' do not run as one graph ({one_line(error)}).", path="regressors"
            ) from error
        found = compare(OutputSpec("values", names=tuple(self.parts)), np.asarray(got), self.answers(inputs))
        if not found.within(TOLERANCE):
            raise InvalidInput(
                f"'{self.name}' as one graph is off by up to {found.largest:.2g} ({TOLERANCE:g} is allowed).",
                path="regressors",
            )
        tensors = next(iter(made.values())).tensors
        return Exported("onnx", {"model.onnx": data}, tensors, OUTPUT)


def _joined(models: list[bytes], features: int) -> bytes:
    """One graph whose output ``[n, k]`` has a column for each of the models."""
    import onnx
    from onnx import compose, helper

    parts = [compose.add_prefix(onnx.load_model_from_string(each), f"{i}_") for i, each in enumerate(models)]
    for part in parts:  # they share the input
        own = part.graph.input[0].name
        for node in part.graph.node:
            node.input[:] = [INPUT if name == own else name for name in node.input]
    shape = ["n", features], ["n", len(parts)]
    columns = [f"{part.graph.output[0].name}_column" for part in parts]
    minus_one = helper.make_tensor("column", onnx.TensorProto.INT64, [2], [-1, 1])
    nodes = [node for part in parts for node in part.graph.node]
    for part, column in zip(parts, columns, strict=True):
        nodes.append(helper.make_node("Reshape", [part.graph.output[0].name, "column"], [column], name=column))
    nodes.append(helper.make_node("Concat", columns, [OUTPUT], name=OUTPUT, axis=1))
    graph = helper.make_graph(
        nodes,
        OUTPUT,
        [helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, shape[0])],
        [helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, shape[1])],
        [minus_one, *(each for part in parts for each in part.graph.initializer)],
    )
    opsets: dict[str, int] = {}
    for part in parts:
        for entry in part.opset_import:
            opsets[entry.domain] = max(entry.version, opsets.get(entry.domain, 0))
    imports = [helper.make_opsetid(domain, version) for domain, version in sorted(opsets.items())]
    version = max(part.ir_version for part in parts)
    model = helper.make_model(graph, opset_imports=imports, ir_version=version)
    data: bytes = model.SerializeToString(deterministic=True)
    return data
