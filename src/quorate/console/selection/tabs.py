"""The bar of tabs above the pages of selection."""

from __future__ import annotations

from urllib.parse import urlencode

from quorate.console.elements import Node

TABS = (
    ("trust", "Trust"),
    ("regret", "Regret"),
    ("frontier", "Frontier"),
    ("reliability", "Reliability"),
    ("audit", "Audit"),
)


def tabs(current: str, endpoint: str | None) -> None:
    """Five links; ``current`` is the name of the page that is open."""
    query = f"?{urlencode({'endpoint': endpoint})}" if endpoint else ""
    with Node("nav", "tabs", aria_label="Selection"):
        for name, title in TABS:
            here = {"aria_current": "page"} if name == current else {}
            Node("a", "", title, href=f"/selection/{name}{query}", **here)
