from __future__ import annotations

from pathlib import Path

import pytest

from quorate.codecs import state as state_codec
from quorate.core.types import State
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(tmp_path: Path, clock: Clock) -> Registry:
    return Registry(tmp_path / "registry", clock)


@pytest.fixture
def draft() -> Manifest:
    return Manifest(name="digits", kind="state", format="state")


@pytest.fixture
def files() -> dict[str, bytes]:
    return state_codec.encode(State("stack", 1, {"classes": ["a", "b"]}))
