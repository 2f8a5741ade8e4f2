"""What policies and combiners have learned, in a worker: it follows the files that control publishes."""

from __future__ import annotations

import logging
from pathlib import Path

from quorate.codecs import learned
from quorate.codecs.learned import Learned
from quorate.errors import QuorateError
from quorate.serving.generation import Generation

log = logging.getLogger("quorate.serving")

AT_ONCE = 8
"""States that are read at a time: a few milliseconds."""


class LearnedStates:
    """The newest state of every endpoint, held by one worker.

    A state that cannot be read is logged once, and the one before it stays; one that was learned for another policy
    than is served is not used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp: tuple[int, int] | None = None
        self._held: dict[str, Learned] = {}
        self._refused: dict[str, int] = {}

    def follow(self, generation: Generation) -> bool:
        """Take what was published since, if anything, into the endpoints served; cheap enough to call often.

        True when more is left than is taken at once, so that requests come in between: call it again.
        """
        stamp = learned.stamp(self._folder)
        if stamp == self._stamp:
            return False
        try:
            versions = learned.versions(self._folder)
        except QuorateError as error:
            self._stamp = stamp  # told once; control writes it anew with what it publishes next
            log.error("%s", error)
            return False
        missed, taken = False, 0
        for name, version in versions.items():
            held = self._held.get(name)
            if (held is not None and held.version == version) or self._refused.get(name) == version:
                continue
            if taken == AT_ONCE:
                return True
            try:
                self._held[name] = learned.read(self._folder, name, version)
            except FileNotFoundError:
                missed = True  # an even newer one is there by now, or comes; it does not count, or this had no end
                continue
            except QuorateError as error:
                self._refused[name] = version
                log.error("Endpoint '%s' goes on with what its policy knew before: %s", name, error)
            else:
                self._tell(generation, name)
            taken += 1
        if not missed:
            self._stamp = stamp
        return False

    def apply(self, generation: Generation) -> None:
        """Give all endpoints of a new generation the states that are theirs."""
        for name in generation.endpoints:
            self._tell(generation, name)

    def _tell(self, generation: Generation, name: str) -> None:
        endpoint, held = generation.endpoints.get(name), self._held.get(name)
        if endpoint is None or held is None:
            return
        try:
            endpoint.take(held)
        except Exception as error:  # a plugin's code
            log.error("Endpoint '%s' goes on with what its policy knew before: %r", name, error)
