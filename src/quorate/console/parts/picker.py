"""Where a picture comes from; the work is done in the browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nicegui.element import Element
from nicegui.events import GenericEventArguments

_COMPONENT = Path(__file__).parents[1] / "static" / "picker.js"


class Picker(Element, component=_COMPONENT):
    """Drop, paste, choose, photograph or draw; what is taken is sent to ``url``.

    ``on_thumb(number, data_url)`` gets a small version of it, for the history.
    """

    def __init__(self, url: str, on_thumb: Callable[[int, str], None]) -> None:
        super().__init__()
        self._props["url"] = url

        def thumb(event: GenericEventArguments) -> None:
            told: Any = event.args
            number, small = told.get("number"), told.get("url")
            if isinstance(number, int) and isinstance(small, str) and small.startswith("data:image/jpeg;base64,"):
                on_thumb(number, small[:MAX_THUMB])

        self.on("thumb", thumb)


MAX_THUMB = 20_000
