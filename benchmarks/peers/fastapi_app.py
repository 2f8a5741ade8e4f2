"""What most people write: FastAPI with pydantic models and five sessions.

The handler is ``async`` and runs the members on the event loop. For models this small it is the faster of the two
usual ways: as a plain ``def``, which FastAPI runs in a thread, it answered about a third fewer requests.
"""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.peers.pool import FiveSessions, Model, from_environment


class Body(BaseModel):
    instances: list[list[list[int]]]


class Prediction(BaseModel):
    label: str
    confidence: float
    probabilities: dict[str, float]


class Answer(BaseModel):
    predictions: list[Prediction]


def application(model: Model) -> FastAPI:
    """The program around a model."""
    app = FastAPI()

    @app.post("/predict")
    async def predict(body: Body) -> Answer:
        predictions = []
        for row in model.probabilities(body.instances).tolist():
            probabilities = dict(zip(model.classes, row, strict=True))
            label = max(probabilities, key=probabilities.__getitem__)
            predictions.append(Prediction(label=label, confidence=probabilities[label], probabilities=probabilities))
        return Answer(predictions=predictions)

    return app


def five() -> FastAPI:
    """Five sessions; uvicorn calls this in each worker."""
    return application(FiveSessions(from_environment()))
