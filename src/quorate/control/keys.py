"""API keys: make, list and revoke them; every change reaches the workers by a new publication."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.codecs.snapshot import KeyRoute, Routing
from quorate.control.revisions.publication import changing, published, record, repair
from quorate.errors import Conflict, InvalidInput, NotFound
from quorate.home import Home
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.keys import Key, add_key, keys, revoke_key
from quorate.web.auth import ROLES, fingerprint, new_secret


def create(
    home: Home, database: Database, *, name: str, roles: Sequence[str], author: str, clock: Clock
) -> tuple[Key, str]:
    """Make a key; returns it and its secret, which is shown this once and kept nowhere.

    :class:`InvalidInput` for an unknown role or a name that is empty or longer than 100 characters.
    """
    unknown = sorted(set(roles) - set(ROLES))
    if unknown or not roles:
        raise InvalidInput(
            f"A key's roles are some of {', '.join(ROLES)}; got {', '.join(unknown) or 'none'}.", path="roles"
        )
    if not 1 <= len(name.strip()) <= 100:
        raise InvalidInput(f"A key's name has 1 to 100 characters; got {len(name.strip())}.", path="name")
    secret = new_secret()
    ordered = tuple(role for role in ROLES if role in roles)
    key = Key(f"key-{secrets.token_hex(4)}", name.strip(), fingerprint(secret), ordered, clock.now())
    with changing(home):
        repair(home, database)
        with database.begin() as connection:
            add_key(connection, key)
            detail = {"name": key.name, "roles": list(ordered)}
            add_entry(connection, at=key.created, actor=author, action="key.create", subject=key.id, detail=detail)
            routing = _republish(home, connection, author=author, now=key.created)
        if routing is not None:
            snapshot.write(home.snapshot, routing)
    return key, secret


def revoke(home: Home, database: Database, key_id: str, *, author: str, clock: Clock, leave_none: bool = False) -> Key:
    """Revoke a key and return it; one that was revoked before stays as it is.

    :class:`NotFound` for an unknown id. :class:`Conflict` for the last valid key unless ``leave_none``: without
    any key everybody is let in.
    """
    now = clock.now()
    with changing(home):
        repair(home, database)
        with database.begin() as connection:
            known = {key.id: key for key in keys(connection)}
            if key_id not in known:
                raise NotFound(f"There is no key '{key_id}'; `quorate keys list` shows them.", path="id")
            valid = [key.id for key in known.values() if key.revoked is None]
            if valid == [key_id] and not leave_none:
                raise Conflict(
                    f"'{key_id}' is the last valid key, and without keys everybody is let in; create another one "
                    "first, or say --leave-none.",
                    path="id",
                )
            routing = None
            if revoke_key(connection, key_id, now=now):
                detail = {"name": known[key_id].name}
                add_entry(connection, at=now, actor=author, action="key.revoke", subject=key_id, detail=detail)
                routing = _republish(home, connection, author=author, now=now)
            revoked = next(key for key in keys(connection) if key.id == key_id)
        if routing is not None:
            snapshot.write(home.snapshot, routing)
    return revoked


def listed(database: Database) -> list[Key]:
    """All keys, also revoked ones, in order of creation."""
    with database.read() as connection:
        return keys(connection)


def routes(connection: sa.Connection) -> tuple[KeyRoute, ...]:
    """The valid keys as the manifest carries them."""
    return tuple(KeyRoute(key.id, key.sha256, key.roles) for key in keys(connection) if key.revoked is None)


def _republish(home: Home, connection: sa.Connection, *, author: str, now: float) -> Routing | None:
    """The newest manifest with the present keys; None before the first apply, which will bring them."""
    newest = published(connection)
    if newest is None:
        return None
    publication, routing = newest
    routing = msgspec.structs.replace(routing, keys=routes(connection))
    return record(home, connection, routing, config_digest=publication.config_digest, author=author, now=now)
