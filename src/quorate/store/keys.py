"""API keys at rest: the SHA-256 of each secret, never the secret."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from quorate.store.database import metadata

_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False, unique=True),
    sa.Column("roles", sa.String(200), nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("revoked", sa.Double, nullable=True),
)


@dataclass(frozen=True, slots=True)
class Key:
    """An API key; ``created`` and ``revoked`` are Unix seconds, ``revoked`` is None while it is valid."""

    id: str
    name: str
    sha256: str
    roles: tuple[str, ...]
    created: float
    revoked: float | None = None


def add_key(connection: sa.Connection, key: Key) -> None:
    """Store a key."""
    connection.execute(
        _keys.insert().values(
            id=key.id,
            name=key.name,
            sha256=key.sha256,
            roles=",".join(key.roles),
            created=key.created,
            revoked=key.revoked,
        )
    )


def keys(connection: sa.Connection) -> list[Key]:
    """All keys, also revoked ones, in order of creation."""
    rows = connection.execute(sa.select(_keys).order_by(_keys.c.created, _keys.c.id))
    return [Key(i, name, sha256, tuple(roles.split(",")), made, gone) for i, name, sha256, roles, made, gone in rows]


def revoke_key(connection: sa.Connection, key_id: str, *, now: float) -> bool:
    """Revoke a key; False if there is none of that id, or it was revoked before."""
    done = connection.execute(_keys.update().where(_keys.c.id == key_id, _keys.c.revoked.is_(None)).values(revoked=now))
    return done.rowcount == 1
