"""A project as ``quorate doctor`` examines it, and what it says about one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from quorate.clock import SystemClock
from quorate.control.revisions.apply import read_config
from quorate.errors import QuorateError
from quorate.home import Home
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.spec import Config
from quorate.store.database import Database

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; ``remedy`` says what to do where the level is not ok."""

    area: str
    level: Level
    finding: str
    remedy: str = ""


class Patient:
    """What several checks look at, read once."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.registry = Registry(home.registry, SystemClock())
        self.database = Database(home.store_url)

    @cached_property
    def config(self) -> Config | None:
        """The configuration; None where it is missing or wrong, which its own check reports."""
        try:
            return read_config(self.home)[0]
        except QuorateError:
            return None

    @cached_property
    def manifests(self) -> list[Manifest | QuorateError]:
        """Every manifest of the registry, or why it cannot be read."""
        found: list[Manifest | QuorateError] = []
        for name in self.registry.names():
            for version in self.registry.versions(name):
                try:
                    found.append(self.registry.manifest(f"{name}:{version}"))
                except QuorateError as error:
                    found.append(error)
        return found
