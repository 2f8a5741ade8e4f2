"""Host and Origin checks: a web page in somebody's browser must not reach a server on their machine.

DNS rebinding makes a foreign page's name resolve to 127.0.0.1; the browser then sends that name as Host. So only
names this server is meant to have are accepted. A foreign Origin may not change anything, and no CORS header is
ever sent, so it cannot read anything either.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from quorate.errors import Forbidden, MalformedRequest

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_WILDCARDS = ("0.0.0.0", "::", "[::]", "")  # noqa: S104 - recognised, not bound
_REMEMBERED = 64


class HostPolicy:
    """Which Host and Origin headers a server bound to ``bound`` accepts; not shared between threads.

    Accepted are the loopback names, ``bound`` itself and ``allowed`` (names or ``name:port``; ``*`` accepts
    any Host). Pages of the ``allowed`` names may also be the Origin of a change, and the server's own pages always.
    A server bound to every address also accepts the machine's own name and any IP address, which no
    rebinding page can send.
    """

    __slots__ = ("_any", "_any_address", "_listed", "_names", "_seen")

    def __init__(self, bound: str, allowed: Iterable[str] = ()) -> None:
        listed = {_bracketed(name.lower()) for name in allowed}
        self._any = "*" in listed
        self._listed = listed - {"*"}
        self._any_address = bound in _WILDCARDS
        self._names = {*_LOOPBACK, _bracketed(bound.lower()), *self._listed}
        if self._any_address:
            self._names.add(socket.gethostname().lower())
        self._seen: set[bytes] = set()

    def check(self, method: str, host: bytes | None, origin: bytes | None) -> None:
        """Raise :class:`Forbidden` for a foreign Host, or a foreign Origin on a request that changes something."""
        if host not in self._seen:
            self._check_host(host)
        if origin is not None and method not in SAFE_METHODS:
            self._check_origin(origin, host)

    def _check_host(self, host: bytes | None) -> None:
        if not host:
            raise MalformedRequest("The request has no Host header; HTTP/1.1 demands one.", path="Host")
        text = host.decode("latin-1").lower()
        if not self._is_ours(text):
            raise Forbidden(
                f"This server is not called '{text[:100]}'; expected localhost or the address it listens on. "
                "Add the name to server.allowed_hosts if it should be.",
                path="Host",
            )
        if len(self._seen) < _REMEMBERED:
            self._seen.add(host)

    def _check_origin(self, origin: bytes, host: bytes | None) -> None:
        text = origin.decode("latin-1").lower()
        authority = text.partition("://")[2]
        same = host is not None and authority == host.decode("latin-1").lower()
        listed = authority in self._listed or _name(authority) in self._listed
        if not authority or not (same or listed):
            raise Forbidden(
                f"Requests from the origin '{text[:100]}' are refused; only this server's own pages may send them. "
                "Add the name to server.allowed_hosts if it should be able to.",
                path="Origin",
            )

    def _is_ours(self, authority: str) -> bool:
        name = _name(authority)
        if self._any or name in self._names or authority in self._names:
            return True
        return self._any_address and _is_address(name)


def _name(authority: str) -> str:
    """The host of ``host``, ``host:port`` or ``[v6]:port``; what is neither stays as it is and matches nothing."""
    name, colon, port = authority.rpartition(":")
    return name if colon and port.isdigit() and (":" not in name or name.endswith("]")) else authority


def _bracketed(name: str) -> str:
    return f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
