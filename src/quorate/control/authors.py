"""Who asks for a change, as revisions and the audit trail name them."""

from __future__ import annotations

from fastapi import Request


def author_of(request: Request) -> str:
    """The key that came with the request, by its id; ``control port`` where none is needed."""
    return f"key {request.state.key_id}" if request.state.key_id else "control port"
