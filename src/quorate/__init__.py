"""Quorate: a pool of models behind one endpoint, and the proof of which ensemble wins on your traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "Endpoint", "Pool", "Server", "__version__", "audit_pool", "replay"]

if TYPE_CHECKING:
    from quorate.api import Endpoint, Pool, Server, replay
    from quorate.auditing import audit_pool
    from quorate.client import AsyncClient, Client


def __getattr__(name: str) -> Any:
    # Importing the API costs a second; `import quorate` alone must cost nothing.
    if name in ("Endpoint", "Pool", "Server", "replay"):
        from quorate import api

        return getattr(api, name)
    if name == "audit_pool":
        from quorate.auditing import audit_pool

        return audit_pool
    if name in ("AsyncClient", "Client"):
        from quorate import client

        return getattr(client, name)
    raise AttributeError(f"module 'quorate' has no attribute {name!r}")
