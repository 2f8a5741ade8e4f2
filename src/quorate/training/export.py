"""From a fitted estimator to an artifact: ONNX where it answers the same, else skops with the reason.

Estimators of LightGBM and XGBoost count among scikit-learn's, also inside its pipelines.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import FloatArray, OutputSpec, TensorSpec
from quorate.errors import InvalidInput
from quorate.runtimes.onnx import open_session
from quorate.runtimes.signature import one_line
from quorate.training import boosters
from quorate.training.parity import TOLERANCE, compare

INPUT = "input"
# One opset for every model, so that a pool's graphs can be fused; the newest that all supported ONNX Runtimes know.
OPSET = {"": 21, "ai.onnx.ml": 3}


@dataclass(frozen=True)
class Exported:
    """An artifact's parts; ``reason`` says why it is not ONNX, None where it is."""

    format: str
    files: Mapping[str, bytes]
    tensors: tuple[TensorSpec, ...]
    output_name: str
    options: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None


def is_classifier(estimator: Any) -> bool:
    """Whether it answers with classes; :class:`InvalidInput` if it is no classifier or regressor, or not fitted."""
    from sklearn.base import is_classifier, is_regressor
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    name = type(estimator).__name__
    try:
        kinds = is_classifier(estimator), is_regressor(estimator)
    except (AttributeError, TypeError):  # scikit-learn asks any object for its tags
        kinds = (False, False)
    if not any(kinds):
        raise InvalidInput(f"{name} is not a scikit-learn classifier or regressor.", path="estimator")
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        raise InvalidInput(f"{name} is not fitted; call fit first.", path="estimator") from None
    if not kinds[0]:
        return False
    if not hasattr(estimator, "predict_proba"):
        raise InvalidInput(
            f"{name} has no predict_proba; wrap it in CalibratedClassifierCV and fit that.", path="estimator"
        )
    return True


def output_spec(estimator: Any) -> OutputSpec:
    """What the estimator answers: its class labels as text, or the targets ``value`` or ``value_0``, ``value_1`` ….

    :class:`InvalidInput` as :func:`is_classifier`, and if it predicts several labels at once.
    """
    if not is_classifier(estimator):
        targets = _targets(estimator)
        return OutputSpec("values", names=("value",) if targets == 1 else tuple(f"value_{i}" for i in range(targets)))
    classes = estimator.classes_
    if isinstance(classes, list) or np.ndim(classes) != 1:
        raise InvalidInput(f"{type(estimator).__name__} predicts several labels at once; fit one per label.", path="y")
    return OutputSpec("scores", classes=tuple(str(label) for label in np.asarray(classes).tolist()))


def _targets(estimator: Any) -> int:
    """Values per row; regressors have no common attribute that says it."""
    return int(np.atleast_2d(estimator.predict(np.zeros((1, estimator.n_features_in_), np.float32))).shape[1])


def answers(estimator: Any, matrix: FloatArray) -> FloatArray:
    """What the estimator itself says: probabilities ``[n, k]`` or values ``[n, k]``, float32."""
    if is_classifier(estimator):
        return np.asarray(estimator.predict_proba(matrix), np.float32)
    return np.asarray(estimator.predict(matrix), np.float32).reshape(len(matrix), -1)


def to_artifact(estimator: Any, sample: FloatArray) -> Exported:
    """Export a fitted classifier or regressor that takes float32 ``[n, k]``; ``sample`` ``[n, k]`` checks the answers.

    :class:`InvalidInput` if the estimator is not fitted, has no probabilities or cannot take the sample.
    """
    output = output_spec(estimator)
    expected = answers(estimator, sample)
    try:
        data, output_name = _to_onnx(estimator, sample.shape[1])
        session = open_session(data, name=type(estimator).__name__)
        got = np.asarray(session.run([output_name], {INPUT: sample})[0]).reshape(expected.shape)
    except Exception as error:  # converters fail in many ways; whatever it was, there is another road
        return _to_skops(estimator, sample, f"it cannot be converted to ONNX ({one_line(error)})")
    found = compare(output, got, expected)
    if not found.within(TOLERANCE):
        return _to_skops(
            estimator,
            sample,
            f"its conversion to ONNX does not answer the same: off by up to {found.largest:.2g} on {len(sample)} rows "
            f"({TOLERANCE:g} is allowed), and {found.labels} labels differ",
        )
    return Exported("onnx", {"model.onnx": data}, _tensors(sample), output_name)


def _to_onnx(estimator: Any, features: int) -> tuple[bytes, str]:
    """The model as ONNX bytes with one input and one output, and that output's name."""
    from onnx.utils import Extractor
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    boosters.register_converters(estimator)
    classifier = is_classifier(estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what matters is whether it answers the same, which is checked
        model = to_onnx(
            estimator,
            initial_types=[(INPUT, FloatTensorType([None, features]))],
            options={id(estimator): {"zipmap": False}} if classifier else None,
            target_opset=OPSET,
        )
    output = model.graph.output[-1].name
    opsets = {(entry.domain, entry.version) for entry in model.opset_import}
    # The label follows from the probabilities; without its output the nodes that compute it go too.
    model = Extractor(model).extract_model([INPUT], [output])
    del model.opset_import[:]
    for domain, version in sorted(opsets):  # skl2onnx writes some twice
        model.opset_import.add(domain=domain, version=version)
    return model.SerializeToString(deterministic=True), output


def _to_skops(estimator: Any, sample: FloatArray, reason: str) -> Exported:
    import skops.io

    try:
        data = skops.io.dumps(estimator)
        trusted = sorted(skops.io.get_untrusted_types(data=data))
    except Exception as error:
        raise InvalidInput(
            f"{type(estimator).__name__} cannot be exported: {reason}, nor saved with skops ({one_line(error)}).",
            path="estimator",
        ) from error
    options: dict[str, Any] = {"trusted": trusted} if trusted else {}
    return Exported("skops", {"model.skops": data}, _tensors(sample), "output", options, reason)


def _tensors(sample: NDArray[Any]) -> tuple[TensorSpec, ...]:
    return (TensorSpec(INPUT, "float32", (None, sample.shape[1])),)
