"""An endpoint as it is served, by its name."""

from __future__ import annotations

from quorate.codecs.snapshot import EndpointRoute, PoolRoute, Routing
from quorate.errors import NotFound


def served_endpoint(routing: Routing, name: str, *, path: str = "name") -> tuple[EndpointRoute, PoolRoute]:
    """The endpoint and its pool; :class:`NotFound` at ``path`` where there is none of that name."""
    route = next((each for each in routing.endpoints if each.name == name), None)
    if route is None:
        raise NotFound(f"There is no endpoint '{name}'; /v1/endpoints lists them.", path=path)
    return route, next(each for each in routing.pools if each.name == route.pool)
