"""What both clients of calibration send, and what they make of replies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from quorate.client.requests import Request


@dataclasses.dataclass(frozen=True, slots=True)
class Reliability:
    """Confidences against outcomes. ``strategies`` has, of each, its name, whether it is ``calibrated``, how many
    ``rows`` it rests on, the calibration error ``ece`` (``value``, ``low``, ``high``), ``bins`` and ``refit``."""

    endpoint: str
    strategies: tuple[Mapping[str, Any], ...]

    def of(self, strategy: str) -> Mapping[str, Any]:
        """What is known of one strategy; :class:`KeyError` for another."""
        return {each["strategy"]: each for each in self.strategies}[strategy]


@dataclasses.dataclass(frozen=True, slots=True)
class Refitted:
    """A calibration that was fitted again: its version and the revision that serves it, the rows it was fitted on, and
    the errors ``before`` and ``after`` on held-out rows."""

    endpoint: str
    strategy: str
    state: str
    version: int
    revision: int
    rows: int
    before: Mapping[str, float]
    after: Mapping[str, float]


def reliability(endpoint: str, rows: int | None) -> Request:
    """Look at confidences and outcomes."""
    query = "" if rows is None else f"?{urlencode({'rows': rows})}"
    return Request("GET", f"/v1/endpoints/{quote(endpoint, safe='')}/reliability{query}")


def refit(endpoint: str, strategy: str) -> Request:
    """Have a calibration fitted again."""
    path = f"/v1/endpoints/{quote(endpoint, safe='')}/strategies/{quote(strategy, safe='')}/refit"
    return Request("POST", path)
