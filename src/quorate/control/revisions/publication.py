"""Publication of the routing manifest: recorded in the store first, then written where the workers see it.

A crash between the two leaves the store ahead; :func:`repair` writes what is missing. Versions never go back: the
next one is above both the store's and the snapshot's.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import msgspec
import sqlalchemy as sa

from quorate.codecs import snapshot
from quorate.codecs.snapshot import EndpointRoute, FrontRoute, PoolRoute, Routing
from quorate.home import Home
from quorate.registry.files import locked
from quorate.store.database import Database
from quorate.store.revisions import Publication, Revision, add_publication, newest_publication


def changing(home: Home) -> AbstractContextManager[None]:
    """Hold the project's lock: one process at a time changes what is served; the system frees it when that dies."""
    return locked(home.run / "apply.lock")


def content(endpoint: EndpointRoute, pool: PoolRoute) -> str:
    """What a revision of the endpoint consists of, as JSON: its own settings and the versions of its pool's members.

    Not its number, and not the fused graphs, which are only a faster way to run the same members.
    """
    whole = {
        "endpoint": msgspec.to_builtins(msgspec.structs.replace(endpoint, revision=0)),
        "pool": msgspec.to_builtins(msgspec.structs.replace(pool, graph=None)),
    }
    del whole["pool"]["stages"]
    for strategy in whole["endpoint"]["strategies"]:
        if not strategy["stages"]:  # of one that has none it is what it was before there were any
            del strategy["stages"]
    return msgspec.json.encode(whole, order="sorted").decode()


def front_content(front: FrontRoute) -> str:
    """What a revision of a front consists of, as JSON; not its number."""
    return msgspec.json.encode({"front": msgspec.structs.replace(front, revision=0)}, order="sorted").decode()


def contents(routing: Routing) -> dict[str, str]:
    """What each endpoint and front of a manifest consists of, by name."""
    pools = {pool.name: pool for pool in routing.pools}
    found = {endpoint.name: content(endpoint, pools[endpoint.pool]) for endpoint in routing.endpoints}
    return found | {front.name: front_content(front) for front in routing.fronts}


def numbers(routing: Routing) -> dict[str, int]:
    """The revisions of the endpoints and fronts of a manifest, by name."""
    found = {endpoint.name: endpoint.revision for endpoint in routing.endpoints}
    return found | {front.name: front.revision for front in routing.fronts}


def published(connection: sa.Connection) -> tuple[Publication, Routing] | None:
    """The newest publication and the manifest in it; None where nothing was applied yet."""
    found = newest_publication(connection)
    return None if found is None else (found, msgspec.json.decode(found.routing, type=Routing))


def record(
    home: Home, connection: sa.Connection, routing: Routing, *, config_digest: str, author: str, now: float
) -> Routing:
    """Record the next publication and return the manifest with its version, for :func:`snapshot.write` after commit."""
    newest = newest_publication(connection)
    version = max(newest.version if newest else 0, snapshot.current_version(home.snapshot) or 0) + 1
    routing = msgspec.structs.replace(routing, version=version)
    text = msgspec.json.encode(routing).decode()
    add_publication(connection, Publication(version, text, config_digest, author, now))
    return routing


def repair(home: Home, database: Database) -> bool:
    """Write the newest publication if the snapshot is missing or older, as after a crash; True if it was.

    Call it with the project's lock held.
    """
    with database.read() as connection:
        newest = published(connection)
    if newest is None or newest[0].version <= (snapshot.current_version(home.snapshot) or 0):
        return False
    snapshot.write(home.snapshot, newest[1])
    return True


def routes_of(revision: Revision) -> tuple[EndpointRoute, PoolRoute]:
    """What a revision consists of, as :func:`content` wrote it, under its number."""
    found = msgspec.json.decode(revision.content, type=_Content)
    return msgspec.structs.replace(found.endpoint, revision=revision.number), found.pool


class _Content(msgspec.Struct, frozen=True):
    endpoint: EndpointRoute
    pool: PoolRoute
