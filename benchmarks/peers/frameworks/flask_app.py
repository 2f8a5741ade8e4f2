"""Flask under gunicorn with the scikit-learn models themselves, unpickled: ``gunicorn …flask_app:application()``."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask, request
from numpy.typing import NDArray

from benchmarks.peers.frameworks import PICKLES


class Pickles:
    """Soft vote of estimators that take pixels ``[n, 64]`` times ``scale``."""

    def __init__(self, file: Path) -> None:
        found = pickle.loads(file.read_bytes())  # noqa: S301 - the benchmark made it a moment ago
        self.classes: tuple[str, ...] = found["classes"]
        self._scale = np.float32(found["scale"])
        self._members = found["members"]

    def probabilities(self, instances: Any) -> NDArray[np.float64]:
        """Mean probabilities ``[n, k]``."""
        pixels = np.array(instances, np.float32).reshape(len(instances), -1) * self._scale
        found: NDArray[np.float64] = np.mean([member.predict_proba(pixels) for member in self._members], axis=0)
        return found


def application() -> Flask:
    """The program; gunicorn calls this in each worker."""
    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # classes in their own order
    model = Pickles(Path(os.environ[PICKLES]))

    @app.post("/predict")
    def predict() -> dict[str, Any]:
        predictions = []
        for row in model.probabilities(request.get_json()["instances"]).tolist():
            confidence = max(row)
            label = model.classes[row.index(confidence)]
            probabilities = dict(zip(model.classes, row, strict=True))
            predictions.append({"label": label, "confidence": confidence, "probabilities": probabilities})
        return {"predictions": predictions}

    return app
