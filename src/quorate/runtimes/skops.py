"""Fitted scikit-learn estimators saved with skops, for what cannot be exported to ONNX exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.types import Artifact, Tensors
from quorate.errors import FormatRefused, MemberCrashed
from quorate.runtimes.base import Runtime, Session
from quorate.runtimes.signature import InputCheck, as_answer, check_options, one_line, only_file

Predict = Callable[[NDArray[Any]], Any]


class SkopsSession(Session):
    """One fitted estimator; predicting does not change it, so threads may share it."""

    def __init__(self, predict: Predict, artifact: Artifact) -> None:
        self._predict: Predict | None = predict
        self._artifact = artifact
        self._tensor = artifact.tensors[0].name
        self._check = InputCheck(artifact.name, artifact.tensors)

    def run(self, inputs: Tensors) -> Tensors:
        """See :class:`Session`; the answer is float32 ``[n, width]`` under the artifact's output name."""
        rows = self._check(inputs)
        predict = self._predict
        if predict is None:
            raise MemberCrashed(f"Model '{self._artifact.name}' is closed.", path=self._artifact.name)
        try:
            value = predict(inputs[self._tensor])
        except Exception as error:
            raise MemberCrashed(
                f"Model '{self._artifact.name}' failed in scikit-learn ({one_line(error)}).", path=self._artifact.name
            ) from error
        return {self._artifact.output_name: as_answer(self._artifact, value, rows)}

    def close(self) -> None:
        """See :class:`Session`."""
        self._predict = None


class SkopsRuntime(Runtime):
    """Loads ``.skops`` files: ``predict_proba`` where the signature is scores, ``predict`` where it is values.

    The estimator gets the artifact's one tensor ``[n, features]``; its classes are put in the signature's order.
    Option: ``trusted``, the types to accept beyond those skops knows. A process of its own, because scikit-learn
    and scipy are too large for a worker and hold the GIL.
    """

    name = "skops"
    formats = frozenset({"skops"})
    isolated = True

    def load(self, artifact: Artifact) -> Session:
        """See :class:`Runtime`; :class:`FormatRefused` also for a type that is not trusted, or other classes."""
        check_options(artifact, ("trusted", "memory_mb"))
        if len(artifact.tensors) != 1:
            raise FormatRefused(
                f"Model '{artifact.name}' takes {len(artifact.tensors)} tensors; a scikit-learn estimator takes one "
                "matrix; end its preprocessing with the step 'matrix'.",
                path=artifact.name,
            )
        estimator = _open(only_file(artifact, ".skops"), artifact)
        predict = _scores(estimator, artifact) if artifact.signature.output.kind == "scores" else estimator.predict
        return SkopsSession(predict, artifact)


def _open(path: Path, artifact: Artifact) -> Any:
    import skops.io

    trusted = artifact.options.get("trusted", [])
    if isinstance(trusted, str) or not all(isinstance(name, str) for name in trusted):
        raise FormatRefused(
            f"Model '{artifact.name}' sets trusted to {trusted!r}; expected a list of type names.",
            path=f"{artifact.name}.options.trusted",
        )
    try:
        unknown = sorted(set(skops.io.get_untrusted_types(file=path)) - set(trusted))
        if unknown:
            raise FormatRefused(
                f"Model '{artifact.name}' contains types that are not trusted: {', '.join(unknown)}; "
                "look at their source, then register it again with them in the option 'trusted'.",
                path=artifact.name,
            )
        return skops.io.load(path, trusted=list(trusted))
    except FormatRefused:
        raise
    except Exception as error:
        raise FormatRefused(
            f"Model '{artifact.name}' is not a skops file that can be loaded here ({one_line(error)}).",
            path=artifact.name,
        ) from error


def _scores(estimator: Any, artifact: Artifact) -> Predict:
    if not hasattr(estimator, "predict_proba"):
        raise FormatRefused(
            f"Model '{artifact.name}' is a {type(estimator).__name__} without predict_proba; wrap it in "
            "CalibratedClassifierCV before it is fitted.",
            path=artifact.name,
        )
    own = [str(label) for label in np.asarray(estimator.classes_).tolist()]
    wanted = artifact.signature.output.classes
    if sorted(own) != sorted(wanted):
        raise FormatRefused(
            f"Model '{artifact.name}' declares the classes {', '.join(wanted)}; its estimator has {', '.join(own)}.",
            path=artifact.name,
        )
    if own == list(wanted):
        return estimator.predict_proba  # type: ignore[no-any-return]
    order = [own.index(label) for label in wanted]
    return lambda matrix: estimator.predict_proba(matrix)[:, order]
