"""What every page has around its content: name, places to go, endpoint, light or dark, log out."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from nicegui.context import context

from quorate.console.elements import Node, put

PLACES = (
    ("/", "Try it"),
    ("/overview", "Overview"),
    ("/outcomes", "Outcomes"),
    ("/experiments", "Experiments"),
    ("/rules", "Rules"),
    ("/learner", "Learner"),
    ("/selection/trust", "Selection"),
    ("/replay", "Replay"),
    ("/switches", "Switches"),
    ("/captures", "Captured data"),
)

CHOOSE = "(event) => { location.search = '?endpoint=' + encodeURIComponent(event.target.value); }"


def frame(place: str, names: Sequence[str], chosen: str, *, logged_in: bool, chooses: bool = True) -> Node:
    """Build the frame of a page and return the element that its content goes into.

    A page that ``chooses`` is about one endpoint, which can be changed here.
    """
    client = context.client
    put(client.content, "id", "main")
    put(client.content, "tabindex", "-1")
    with client.layout:
        bar = Node("header", "bar-top")
    bar.move(client.layout, 0)
    with bar:
        Node("a", "skip", "Skip to the content", href="#main")
        Node("a", "brand", "Quorate", href=_address("/", chosen))
        with Node("nav", "", aria_label="Pages"):
            for path, title in PLACES:
                current = {"aria_current": "page"} if path == place else {}
                Node("a", "", title, href=_address(path, chosen), **current)
        with Node("div", "right"):
            if chooses and len(names) > 1:
                with Node("select", "endpoint", aria_label="Endpoint").on("change", js_handler=CHOOSE):
                    for name in names:
                        Node("option", "", name, value=name, **({"selected": True} if name == chosen else {}))
            elif chooses and chosen:
                Node("span", "endpoint quiet", chosen, title="The endpoint")
            theme = Node("button", "icon theme", "", type="button", aria_label="Light or dark", title="Light or dark")
            theme.on("click", js_handler="() => quorateTheme()")
            if logged_in:
                with Node("form", "", action="/logout", method="post"):
                    Node("button", "", "Log out", type="submit")
    return Node("div", "page")


def _address(path: str, endpoint: str) -> str:
    return f"{path}?{urlencode({'endpoint': endpoint})}" if endpoint else path
