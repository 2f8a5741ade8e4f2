"""Members from classifiers and regressors of scikit-learn, LightGBM and XGBoost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quorate.core.types import FloatArray, OutputSpec, Tensors
from quorate.errors import InvalidInput
from quorate.training import boosters
from quorate.training.export import INPUT, Exported, answers, output_spec, to_artifact
from quorate.training.trainer import Rows


@dataclass(frozen=True)
class Estimator:
    """One member from an unfitted classifier, which gets float32 ``[n, k]`` and labels as text, or from a regressor,
    which gets the true numbers.

    ``libraries`` are completed by what the estimator itself comes from. LightGBM and XGBoost give the same model from
    the same rows if the estimator says so (``n_jobs=1``; LightGBM: ``deterministic=True``).
    """

    name: str
    estimator: Any
    libraries: tuple[str, ...] = ("scikit-learn", "skl2onnx")
    cost: float = 1.0

    def __post_init__(self) -> None:
        found = dict.fromkeys((*self.libraries, *boosters.distributions(self.estimator)))
        object.__setattr__(self, "libraries", tuple(found))

    @property
    def names(self) -> tuple[str, ...]:
        """The one member."""
        return (self.name,)

    def fit(self, rows: Rows) -> tuple[FittedEstimator]:
        """Fit a clone; :class:`InvalidInput` if the rows are no matrix, miss a class, or cannot be weighted."""
        from sklearn.base import clone
        from sklearn.utils.validation import has_fit_parameter

        weighted: dict[str, Any] = {}
        if rows.weights is not None:
            if not has_fit_parameter(self.estimator, "sample_weight"):
                raise InvalidInput(
                    f"'{self.name}' cannot be boosted: {type(self.estimator).__name__}.fit takes no sample_weight.",
                    path="estimator",
                )
            weighted["sample_weight"] = rows.weights * len(rows)
        if not rows.classes:
            return (FittedEstimator(self._regressor(rows, weighted)),)
        codes = boosters.takes_codes(self.estimator)
        fitted = clone(self.estimator).fit(matrix(rows.inputs), rows.truth if codes else rows.labels, **weighted)
        spec = output_spec(fitted)
        if codes and spec.classes == tuple(map(str, range(len(rows.classes)))):
            spec = OutputSpec("scores", classes=rows.classes)
        if spec != OutputSpec("scores", classes=rows.classes):
            raise InvalidInput(
                f"'{self.name}' learned the classes {', '.join(spec.classes)}; the signature has "
                f"{', '.join(rows.classes)}. Every class must occur in the training part and in every fold.",
                path="labels",
            )
        return (FittedEstimator(fitted),)

    def _regressor(self, rows: Rows, weighted: Mapping[str, Any]) -> Any:
        from sklearn.base import clone, is_regressor

        if not is_regressor(self.estimator):
            raise InvalidInput(
                f"'{self.name}' is no regressor, and the truths are numbers; give one, or labels as text.",
                path="estimator",
            )
        return clone(self.estimator).fit(matrix(rows.inputs), rows.truth, **weighted)


def estimators(members: Mapping[str, Any]) -> tuple[Estimator, ...]:
    """A trainer for each unfitted classifier or regressor by name."""
    return tuple(Estimator(name, estimator) for name, estimator in members.items())


@dataclass(frozen=True)
class FittedEstimator:
    """A fitted classifier or regressor as a member."""

    estimator: Any
    metrics: Mapping[str, float] = field(default_factory=dict)

    def answers(self, inputs: Tensors) -> FloatArray:
        """Its probabilities, or values."""
        return answers(self.estimator, matrix(inputs))

    def export(self, inputs: Tensors) -> Exported:
        """ONNX where that answers the same, else skops."""
        return to_artifact(self.estimator, matrix(inputs))


def matrix(inputs: Tensors) -> FloatArray:
    """The one matrix float32 ``[n, k]`` that the preprocessing gives; :class:`InvalidInput` where it gives others."""
    if set(inputs) != {INPUT} or inputs[INPUT].ndim != 2:
        raise InvalidInput(
            "scikit-learn estimators take one matrix [n, k]; end the preprocessing with 'flatten' or 'matrix'.",
            path="preprocess",
        )
    return inputs[INPUT].astype("float32", copy=False)
