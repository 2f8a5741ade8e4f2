"""The tabs that the pages of selection share."""

from __future__ import annotations

from urllib.parse import urlencode

from quorate.console.elements import Node

PLACE = "/selection/trust"
"""Their one place in the navigation: :func:`quorate.console.parts.frame.frame` is called with it on each of them."""

TABS = (
    ("trust", "Who is trusted"),
    ("regret", "Regret"),
    ("frontier", "Frontier"),
    ("reliability", "Reliability"),
    ("audit", "Pool audit"),
)


def tabs(current: str, endpoint: str | None) -> None:
    """Links to the five pages; ``current`` is the name of this one, the end of its address."""
    query = f"?{urlencode({'endpoint': endpoint})}" if endpoint else ""
    with Node("nav", "tabs", aria_label="Selection"):
        for name, title in TABS:
            here = {"aria_current": "page"} if name == current.rpartition("/")[2] else {}
            Node("a", "", title, href=f"/selection/{name}{query}", **here)
