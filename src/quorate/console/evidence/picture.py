"""A chart on a page."""

from __future__ import annotations

from nicegui import ui


class Picture:
    """A chart that is sent again only where it changed."""

    def __init__(self) -> None:
        self._html = ui.html("", sanitize=False).classes("chart-html")  # what is put in escapes what others wrote

    def show(self, html: str) -> None:
        """Show this."""
        if html != self._html.content:
            self._html.set_content(html)
