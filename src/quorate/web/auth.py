"""API keys: who may do what.

Roles: ``predict`` asks endpoints, ``outcome`` reports truths and rewards, ``operate`` reads everything on the
control port and may do both, ``admin`` may also change things. The store and the snapshot hold SHA-256 digests
only. A fast digest is right here: a key is 256 random bits, so there is nothing to guess, unlike a password.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING

from quorate.errors import ConfigError, Forbidden, Unauthenticated

if TYPE_CHECKING:
    from quorate.codecs.snapshot import KeyRoute

ROLES: dict[str, frozenset[str]] = {
    "predict": frozenset({"predict"}),
    "outcome": frozenset({"outcome"}),
    "operate": frozenset({"predict", "outcome", "operate"}),
    "admin": frozenset({"predict", "outcome", "operate", "admin"}),
}
"""Role -> what it grants."""


def new_secret() -> str:
    """A fresh key, 256 random bits; shown once, stored never."""
    return "qk_" + secrets.token_urlsafe(32)


def service_key(secret: str) -> str:
    """The key with which the project's own control process asks the inference port, made from the project's secret."""
    return "qs_" + hmac.new(secret.encode(), b"quorate jobs", sha256).hexdigest()


def fingerprint(secret: str | bytes) -> str:
    """SHA-256 of a key, hex: the only form in which a key is kept."""
    return sha256(secret.encode() if isinstance(secret, str) else secret).hexdigest()


class Keyring:
    """The keys of one snapshot; without any, everything is open (see :func:`require_keys`).

    With the project's ``secret`` its own jobs may predict too (:func:`service_key`).
    """

    __slots__ = ("_grants",)

    def __init__(self, keys: Iterable[KeyRoute], *, secret: str = "") -> None:
        self._grants: dict[str, tuple[str, frozenset[str]]] = {
            key.sha256.lower(): (key.id, frozenset().union(*(ROLES.get(role, frozenset()) for role in key.roles)))
            for key in keys
        }
        if self._grants and secret:
            self._grants[fingerprint(service_key(secret))] = ("jobs", ROLES["predict"])

    @property
    def open(self) -> bool:
        """Whether nobody needs a key."""
        return not self._grants

    def authorise(self, authorization: bytes | None, api_key: bytes | None, role: str) -> str | None:
        """The id of the key that grants ``role``, None when open.

        ``authorization`` is the Authorization header (``Bearer KEY``), which wins over ``api_key``, the X-API-Key
        header. Raises :class:`Unauthenticated` without a known key, :class:`Forbidden` when its role is another.
        """
        if not self._grants:
            return None
        secret = _bearer(authorization) if authorization is not None else (api_key or b"").strip()
        if not secret:
            raise Unauthenticated(
                f"This needs an API key with the role '{role}'; "
                "send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.",
                path="Authorization",
            )
        # The digest is looked up, not the key: what the look-up's time tells about digests leads to no key.
        found = self._grants.get(fingerprint(secret))
        if found is None:
            raise Unauthenticated(
                "The API key is not known here; it may be revoked. `quorate keys list` shows the valid ones.",
                path="Authorization",
            )
        name, granted = found
        if role not in granted:
            raise Forbidden(f"The key '{name}' does not have the role '{role}'.", path="Authorization")
        return name


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to ``host``."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_keys(host: str, keys: Iterable[KeyRoute], *, insecure: bool) -> None:
    """Refuse (:class:`ConfigError`) to serve other machines without keys, unless ``insecure`` asks for it."""
    if not insecure and not is_loopback(host) and not any(True for _ in keys):
        raise ConfigError(
            f"Binding {host} lets other machines in, and there are no API keys; create one with `quorate keys create`, "
            "bind 127.0.0.1, or pass --insecure to serve everyone.",
            path="host",
        )


def _bearer(header: bytes) -> bytes:
    scheme, _, secret = header.strip().partition(b" ")
    return secret.strip() if scheme.lower() == b"bearer" else b""
