"""Settings of plugins that have none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NoParams:
    """For plugins that take no parameters."""
