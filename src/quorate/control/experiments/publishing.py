"""Serving another policy at an endpoint: a new revision and a new routing manifest, in the caller's transaction."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from quorate.codecs.snapshot import EndpointRoute, PoolRoute, Routing
from quorate.control.revisions.publication import content, published, record, routes_of
from quorate.errors import Conflict, NotFound
from quorate.home import Home
from quorate.store.revisions import Publication, add_revision, revision


def served(connection: sa.Connection, endpoint: str) -> tuple[Publication, Routing, EndpointRoute, PoolRoute]:
    """What is served now of an endpoint; :class:`NotFound` where there is none of that name."""
    newest = published(connection)
    route = next((route for route in newest[1].endpoints if route.name == endpoint), None) if newest else None
    if newest is None or route is None:
        raise NotFound(f"There is no endpoint '{endpoint}'; /v1/endpoints lists them.", path="endpoint")
    return *newest, route, next(pool for pool in newest[1].pools if pool.name == route.pool)


def publish(home: Home, connection: sa.Connection, route: EndpointRoute, *, author: str, now: float) -> Routing:
    """Make ``route`` the endpoint's next revision; write the manifest with :func:`snapshot.write` after the commit.

    The digest of the file applied last stays: a restart with an unchanged file keeps this revision.
    """
    newest, routing, _, pool = served(connection, route.name)
    made = add_revision(connection, route.name, content(route, pool), author=author, now=now)
    route = msgspec.structs.replace(route, revision=made.number)
    endpoints = tuple(route if each.name == route.name else each for each in routing.endpoints)
    routing = msgspec.structs.replace(routing, endpoints=endpoints)
    return record(home, connection, routing, config_digest=newest.config_digest, author=author, now=now)


def route_of(connection: sa.Connection, endpoint: str, number: int) -> EndpointRoute:
    """The endpoint as a revision has it."""
    return routes_of(revision(connection, endpoint, number))[0]


def own(connection: sa.Connection, endpoint: str, number: int | None) -> bool:
    """Whether revision ``number`` is what the endpoint serves."""
    newest = published(connection)
    return any(r.name == endpoint and r.revision == number for r in (newest[1].endpoints if newest else ()))


def require_own(connection: sa.Connection, endpoint: str, number: int | None) -> None:
    """:class:`Conflict` where the endpoint serves another revision than ``number`` by now."""
    if not own(connection, endpoint, number):
        raise Conflict(
            f"Endpoint '{endpoint}' is not at the experiment's revision ({number}) any more; keep or stop ends it.",
            path="endpoint",
        )
