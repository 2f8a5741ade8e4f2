"""The contract of a runtime: what loads an artifact and runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from quorate.core.types import Artifact, Tensors


class Session(ABC):
    """A loaded model. Thread-safe; keeps row order; raises only :class:`~quorate.errors.MemberError` on bad runs."""

    @abstractmethod
    def run(self, inputs: Tensors) -> Tensors:
        """Run on the artifact's own tensors (after preprocessing), first axis rows; returns output name to array.

        Pipelines call their one tensor ``input``; an ONNX model of one tensor takes it whatever its own name for it.
        """

    @abstractmethod
    def close(self) -> None:
        """Give the memory back; a second call does nothing."""


class Runtime(ABC):
    """Loads the formats it declares. ``isolated`` runtimes run in a process of their own, never in a worker."""

    name: ClassVar[str]
    formats: ClassVar[frozenset[str]]
    isolated: ClassVar[bool] = False

    @abstractmethod
    def load(self, artifact: Artifact) -> Session:
        """Load a verified artifact; :class:`~quorate.errors.FormatRefused` if its content is not allowed."""
