"""The frontier of a fitted cascade: what accuracy costs, what was promised, and what live decisions came to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path as Folder
from typing import Annotated, Any

from fastapi import APIRouter, Path

from quorate.codecs import snapshot
from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import EndpointRoute, Routing, StrategyRoute
from quorate.control import openapi
from quorate.control.experiments.hiding import require_shown
from quorate.control.served import served_endpoint
from quorate.control.view import View
from quorate.core.types import State
from quorate.errors import NotFound
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.spec.model import NAME
from quorate.store.database import Database
from quorate.telemetry.counters import Series, workers

Name = Annotated[str, Path(pattern=NAME)]
ROWS, STAGES = "quorate_staged_rows_total", "quorate_stages_total"


class FrontierPoint(View):
    """A way to answer: what a row costs it, and its accuracy with an interval where that is known."""

    name: str
    kind: str
    cost: float
    accuracy: float
    low: float | None
    high: float | None
    chosen: bool


class Served(View):
    """What decisions of the revision that is served came to, as far as the workers' counters go back.

    ``cost`` is of a row, by the measured or declared cost of its members and of its stages; ``reached`` the share of
    rows that asked a stage.
    """

    revision: int
    rows: int
    cost: float | None
    reached: list[float]


class Frontier(View):
    """What a cascade was fitted for and to, in ``unit`` per row, and what it is live.

    ``costs`` are of members, and ``stage`` is what asking a stage costs besides.
    """

    endpoint: str
    strategy: str
    unit: str
    promise: dict[str, float]
    expected: dict[str, Any]
    costs: dict[str, float]
    stage: float
    stages: list[list[str]]
    rows: int
    frontier: list[FrontierPoint]
    served: Served


def frontier_router(home: Home, registry: Registry, database: Database) -> APIRouter:
    """The route of a strategy's frontier."""
    router = APIRouter()

    @router.get(
        "/v1/endpoints/{name}/strategies/{strategy}/frontier",
        tags=["endpoints"],
        responses=openapi.reading("not_found", "registry", "format_refused", "store", "conflict"),
    )
    def frontier(name: Name, strategy: Name) -> Frontier:
        """What a cascade costs and how right it is, beside other ways to answer; and what live decisions came to."""
        endpoint, route = _strategy(snapshot.read_or_empty(home.snapshot), name, strategy)
        with database.read() as connection:
            require_shown(connection, name)
        return described(endpoint, route, _state(route, registry), home.telemetry)

    return router


def _strategy(routing: Routing, name: str, strategy: str) -> tuple[EndpointRoute, StrategyRoute]:
    endpoint, _ = served_endpoint(routing, name)
    found = next((each for each in endpoint.strategies if each.name == strategy), None)
    if found is None:
        known = ", ".join(each.name for each in endpoint.strategies)
        raise NotFound(f"Endpoint '{name}' has no strategy '{strategy}'; expected one of: {known}.", path="strategy")
    return endpoint, found


def _state(route: StrategyRoute, registry: Registry) -> State:
    state = None
    if route.state is not None:
        state = state_codec.decode({name: registry.read_blob(digest) for name, digest in route.state.items()})
    if state is None or not {"stages", "costs", "frontier"} <= state.meta.keys():
        raise NotFound(
            f"Strategy '{route.name}' is no cascade ('{route.kind}'), so it has no frontier; ask for one of kind "
            "'cascade'.",
            path="strategy",
        )
    return state


def described(endpoint: EndpointRoute, route: StrategyRoute, state: State, telemetry: Folder) -> Frontier:
    """The frontier of a strategy whose fitted state that is; ``telemetry`` is where workers count."""
    meta = state.meta
    besides = float(meta.get("stage", 0.0))
    counted = (one for _, found, _ in workers(telemetry) for one in found)
    return Frontier(
        endpoint=endpoint.name,
        strategy=route.name,
        unit=str(meta.get("unit", "cost")),
        promise=dict(meta.get("promise", {})),
        expected=dict(meta.get("expected", {})),
        costs=dict(meta["costs"]),
        stage=besides,
        stages=[list(stage) for stage in meta["stages"]],
        rows=int(meta.get("rows", 0)),
        frontier=[_point(point) for point in meta["frontier"]],
        served=served(counted, endpoint, route, meta["costs"], besides),
    )


def _point(point: Mapping[str, Any]) -> FrontierPoint:
    return FrontierPoint(
        name=str(point["name"]),
        kind=str(point["kind"]),
        cost=float(point["cost"]),
        accuracy=float(point["accuracy"]),
        low=point.get("low"),
        high=point.get("high"),
        chosen=bool(point.get("chosen", False)),
    )


def served(
    series: Iterable[Series],
    endpoint: EndpointRoute,
    route: StrategyRoute,
    costs: Mapping[str, float],
    besides: float = 0.0,
) -> Served:
    """What workers counted of a strategy at the present revision; ``besides`` is what asking a stage costs besides its
    members' ``costs``."""
    mine = {"endpoint": endpoint.name, "strategy": route.name, "revision": str(endpoint.revision)}
    rows, asked = 0.0, [0.0] * len(route.stages)
    for metric, labels, cells in series:
        if metric not in (ROWS, STAGES) or any(labels.get(name) != value for name, value in mine.items()):
            continue
        if metric == ROWS:
            rows += cells[0]
        elif 1 <= int(labels["stage"]) <= len(asked):
            asked[int(labels["stage"]) - 1] += cells[0]
    if not rows:
        return Served(revision=endpoint.revision, rows=0, cost=None, reached=[0.0] * len(asked))
    spent = sum(
        count * (besides + sum(costs.get(member, 0.0) for member in stage))
        for count, stage in zip(asked, route.stages, strict=True)
    )
    reached = [count / rows for count in asked]
    return Served(revision=endpoint.revision, rows=int(rows), cost=spent / rows, reached=reached)
