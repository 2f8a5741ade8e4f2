"""The routes of learners on the control port: what a policy has learned, and having it forget."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Request
from numpy.typing import NDArray
from pydantic import Field

from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.control import openapi
from quorate.control.learning.combining import Combining
from quorate.control.learning.learner import Learning, served
from quorate.control.view import View
from quorate.core.types import State
from quorate.errors import NotFound
from quorate.home import Home
from quorate.spec.model import NAME
from quorate.store import learners
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.learners import StoredLearner

_MOST = 1000
Name = Annotated[str, Path(pattern=NAME)]


class RewardView(View):
    """What is learned from: ``low`` counts as 0 and ``high`` as 1."""

    metric: str
    low: float
    high: float


class CombinerView(View):
    """What the combiner of a strategy has learned."""

    kind: str
    rows: int = Field(description="Outcomes that it has learned from.")
    trust: dict[str, float] = Field(description="Weights of its experts: the members and ways to combine them.")
    certificate: float = Field(
        description="How much more it has lost than any one expert, at most: mistakes of a draw by the weights, or "
        "squared error."
    )


class LearnerView(View):
    """What an endpoint's policy has learned, and combiners of its strategies. Times are Unix seconds."""

    endpoint: str
    policy: str
    reward: RewardView | None = Field(description="What the policy learns from; null where only combiners learn.")
    version: int = Field(description="Of the state; 0 before anything was learned. Decisions record it.")
    since: float | None = Field(description="When learning began, for these strategies and settings.")
    updated: float | None
    rows: dict[str, int] = Field(description="Rows of which something became known, by what became of them.")
    shares: dict[str, float] = Field(description="Probability of each strategy for a request without context.")
    state: dict[str, Any] = Field(description="What the policy keeps; arrays of up to 1,000 numbers, else their shape.")
    combiners: dict[str, CombinerView] = Field(description="What combiners have learned, by strategy.")


def learner_router(home: Home, database: Database, clock: Clock) -> APIRouter:
    """Routes below ``/v1/endpoints/{name}/learner``."""
    router = APIRouter()

    def learning(name: str) -> Learning:
        found = served(snapshot.read_or_empty(home.snapshot), name)
        if found is None:
            raise NotFound(f"Endpoint '{name}' is not served, or does not learn.", path="name")
        return found

    @router.get("/v1/endpoints/{name}/learner", tags=["endpoints"], responses=openapi.reading("not_found", "store"))
    def learner(name: Name) -> LearnerView:
        """What the endpoint's policy has learned."""
        with database.read() as connection:
            return view(learning(name), learners.learner(connection, name))

    @router.post(
        "/v1/endpoints/{name}/learner/reset", tags=["endpoints"], responses=openapi.reading("not_found", "store")
    )
    def reset(name: Name, request: Request) -> LearnerView:
        """Have the policy forget what it learned; the workers follow within seconds."""
        author = f"key {request.state.key_id}" if request.state.key_id else "control port"
        return forget(database, learning(name), author, clock.now())

    return router


def forget(database: Database, learning: Learning, author: str, now: float) -> LearnerView:
    """Begin anew, with an entry in the audit trail that has what was forgotten."""
    with database.begin() as connection:
        before = learners.learner(connection, learning.name)
        fresh = learning.anew(before, now)
        learners.put(connection, fresh)
        lost = {} if before is None else {"version": before.version, "rows": dict(before.counts)}
        add_entry(connection, at=now, actor=author, action="learner.reset", subject=learning.name, detail=lost)
    return view(learning, fresh)


def view(learning: Learning, stored: StoredLearner | None) -> LearnerView:
    """A learner as it is shown; one of another policy than is served counts as none."""
    mine = stored if stored is not None and stored.key == learning.key else None
    state = learning.state(mine)
    shares = learning.policy.distribution(state if learning.reward else None, {}, {}).tolist()
    arrays = {name: _shown(array) for name, array in state.arrays.items()}
    known, reward = learning.known(mine), learning.reward
    return LearnerView(
        endpoint=learning.name,
        policy=learning.policy.kind,
        reward=None if reward is None else RewardView(metric=reward.metric, low=reward.low, high=reward.high),
        version=0 if mine is None else mine.version,
        since=None if mine is None else mine.since,
        updated=None if mine is None else mine.updated,
        rows={} if mine is None else dict(mine.counts),
        shares=dict(zip(learning.policy.strategies, shares, strict=True)),
        state={**state.meta, **arrays},
        combiners={each.name: _combiner(each, each.state(known)) for each in learning.combining},
    )


def _combiner(each: Combining, state: State | None) -> CombinerView:
    rows, trust, certificate = each.combiner.told(each.members, state)
    return CombinerView(kind=each.combiner.kind, rows=rows, trust=dict(trust), certificate=certificate)


def _shown(array: NDArray[Any]) -> Any:
    """Its numbers, those that JSON has none for as None; of a large one the shape."""
    if array.size > _MOST:
        return f"{array.dtype} {list(array.shape)}"
    plain = array.astype(object)
    if array.dtype.kind == "f":
        plain[~np.isfinite(array)] = None
    return plain.tolist()
