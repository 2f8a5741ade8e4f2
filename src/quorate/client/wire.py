"""What both clients need of httpx: its settings, and its replies and exceptions as the plan of retries wants them."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from quorate.client.errors import ServerUnavailable, of_reply
from quorate.client.requests import key_headers
from quorate.client.retries import Fault, Policy, Reply
from quorate.errors import InvalidInput

try:
    import httpx
except ModuleNotFoundError as error:
    if error.name != "httpx":
        raise
    raise ModuleNotFoundError(
        "The client needs the package httpx, which is not installed; run: pip install 'quorate[client]'.", name="httpx"
    ) from None

__all__ = ["fault", "good", "httpx", "policy", "reply", "settings", "unreachable"]

CONNECTIONS = 256
KEEP_ALIVE_S = 4.0  # the server closes idle connections after 5 s; ours must be given up before


def settings(url: str, api_key: str | None) -> dict[str, Any]:
    """Arguments of ``httpx.Client`` and ``httpx.AsyncClient``. Redirects are not followed: they would carry the key."""
    from quorate import __version__

    return {
        "headers": {"user-agent": f"quorate-client/{__version__}", "accept": "application/json"} | key_headers(api_key),
        "limits": httpx.Limits(
            max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=KEEP_ALIVE_S
        ),
        "trust_env": not _on_this_machine(url),  # no proxy leads to a server on this machine
    }


def policy(retries: int, timeout: float, deadline: float) -> Policy:
    """How often and how long to try; :class:`~quorate.errors.InvalidInput` for numbers that make no sense."""
    if retries < 0:
        raise InvalidInput(f"retries is 0 or more; got {retries}.", path="retries")
    for name, value in (("timeout", timeout), ("deadline", deadline)):
        if not value > 0:
            raise InvalidInput(f"{name} is a number of seconds above 0; got {value}.", path=name)
    return Policy(retries, timeout, deadline)


def reply(response: httpx.Response) -> Reply:
    """A response whose body was read."""
    return Reply(
        response.status_code, {name.lower(): value for name, value in response.headers.items()}, response.content
    )


def good(reply: Reply) -> Reply:
    """A reply that is no error; else the :class:`~quorate.client.errors.QuorateClientError` that it is."""
    if not 200 <= reply.status < 300:
        raise of_reply(reply.status, reply.headers, reply.body)
    return reply


def fault(error: httpx.RequestError, url: str, timeout: float) -> Fault:
    """Why there is no reply, as a sentence."""
    if isinstance(error, httpx.PoolTimeout):
        return Fault(f"{url} was not asked: all {CONNECTIONS} connections were busy for {timeout:.3g} s.")
    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        said = " ".join(str(error).split()) or "no connection in time"
        hopeless = "CERTIFICATE" in said.upper()
        return Fault(f"{url} cannot be reached ({said}); is the server running there?", hopeless)
    if isinstance(error, httpx.TimeoutException):
        return Fault(f"{url} did not reply within {timeout:.3g} s; try again, or allow more with timeout.")
    said = " ".join(str(error).split()) or type(error).__name__
    hopeless = not isinstance(error, httpx.TransportError) or isinstance(
        error, httpx.LocalProtocolError | httpx.UnsupportedProtocol
    )
    return Fault(f"The connection to {url} broke before the reply came ({said}).", hopeless)


def unreachable(error: httpx.RequestError, url: str, timeout: float) -> ServerUnavailable:
    """A request, not sent again, that got no reply or not all of it."""
    return ServerUnavailable(fault(error, url, timeout).message, code="unreachable")


def _on_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
