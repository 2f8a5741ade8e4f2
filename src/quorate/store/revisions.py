"""Revisions of endpoints (numbered, immutable) and publications of the routing manifest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import sqlalchemy as sa

from quorate.errors import NotFound
from quorate.store.database import metadata

_revisions = sa.Table(
    "revisions",
    metadata,
    sa.Column("endpoint", sa.String(200), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("author", sa.String(200), nullable=False),
    sa.Column("created", sa.Double, nullable=False),
)

_publications = sa.Table(
    "publications",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("routing", sa.Text, nullable=False),
    sa.Column("config_digest", sa.String(64), nullable=False),
    sa.Column("author", sa.String(200), nullable=False),
    sa.Column("created", sa.Double, nullable=False),
)

_KEPT = 20


@dataclass(frozen=True, slots=True)
class Revision:
    """One immutable state of an endpoint: ``content`` is its resolved spec as JSON, ``digest`` that text's SHA-256.

    ``created`` is Unix seconds.
    """

    endpoint: str
    number: int
    content: str
    digest: str
    author: str
    created: float


@dataclass(frozen=True, slots=True)
class Publication:
    """One version of the routing manifest (JSON), and the SHA-256 of the ``quorate.yaml`` applied last before it."""

    version: int
    routing: str
    config_digest: str
    author: str
    created: float


def add_revision(connection: sa.Connection, endpoint: str, content: str, *, author: str, now: float) -> Revision:
    """Add the next revision of an endpoint, numbered from 1; the newest one itself where its content is the same.

    Needs a writing transaction, :meth:`Database.begin`: it lets nobody else number meanwhile.
    """
    newest = newest_revision(connection, endpoint)
    digest = hashlib.sha256(content.encode()).hexdigest()
    if newest is not None and newest.digest == digest:
        return newest
    number = 1 if newest is None else newest.number + 1
    revision = Revision(endpoint, number, content, digest, author, now)
    connection.execute(
        _revisions.insert().values(
            endpoint=endpoint, number=number, content=content, digest=digest, author=author, created=now
        )
    )
    return revision


def newest_revision(connection: sa.Connection, endpoint: str) -> Revision | None:
    """The endpoint's revision with the highest number; None where it has none."""
    found = revisions(connection, endpoint, limit=1)
    return found[0] if found else None


def revisions(connection: sa.Connection, endpoint: str | None = None, *, limit: int = 1000) -> list[Revision]:
    """The newest ``limit`` revisions, of one endpoint or of all, newest first."""
    query = sa.select(_revisions).order_by(_revisions.c.created.desc(), _revisions.c.number.desc()).limit(limit)
    if endpoint is not None:
        query = query.where(_revisions.c.endpoint == endpoint).order_by(None).order_by(_revisions.c.number.desc())
    return [Revision(*row) for row in connection.execute(query)]


def revision(connection: sa.Connection, endpoint: str, number: int) -> Revision:
    """One revision; :class:`NotFound` if there is none of that number."""
    row = connection.execute(
        sa.select(_revisions).where(_revisions.c.endpoint == endpoint, _revisions.c.number == number)
    ).one_or_none()
    if row is None:
        raise NotFound(f"Endpoint '{endpoint}' has no revision {number}; `quorate endpoints` lists them.")
    return Revision(*row)


def add_publication(connection: sa.Connection, publication: Publication) -> None:
    """Record a publication; all but the newest 20 are forgotten, the revisions in them are not."""
    connection.execute(
        _publications.insert().values(
            version=publication.version,
            routing=publication.routing,
            config_digest=publication.config_digest,
            author=publication.author,
            created=publication.created,
        )
    )
    kept = sa.select(_publications.c.version).order_by(_publications.c.version.desc()).limit(_KEPT)
    connection.execute(_publications.delete().where(_publications.c.version.not_in(kept)))


def newest_publication(connection: sa.Connection) -> Publication | None:
    """The newest publication; None where nothing was applied yet."""
    query = sa.select(_publications).order_by(_publications.c.version.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else Publication(*row)
