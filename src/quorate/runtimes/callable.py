"""Python functions and classes as models, always in a process of their own."""

from __future__ import annotations

import importlib.util
import itertools
import sys
import threading
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

from quorate.core.types import Artifact, Tensors
from quorate.errors import FormatRefused, MemberCrashed
from quorate.runtimes import adapt
from quorate.runtimes.base import Runtime, Session
from quorate.runtimes.signature import InputCheck, as_answer, check_options, one_line, only_file

_numbers = itertools.count()  # each load has a module of its own, also of the same source


class CallableSession(Session):
    """One Python callable; calls are made one at a time, because user code rarely expects threads."""

    def __init__(self, function: Callable[..., Any], module: str, artifact: Artifact) -> None:
        self._function: Callable[..., Any] | None = function
        self._module = module
        self._artifact = artifact
        self._check = InputCheck(artifact.name, artifact.tensors)
        self._lock = threading.Lock()

    def run(self, inputs: Tensors) -> Tensors:
        """See :class:`Session`; the answer is float32 ``[n, width]`` under the artifact's output name."""
        rows = self._check(inputs)
        function = self._function
        if function is None:
            raise MemberCrashed(f"Model '{self._artifact.name}' is closed.", path=self._artifact.name)
        try:
            with self._lock:
                value = function(**inputs)
        except (Exception, SystemExit) as error:
            raise MemberCrashed(
                f"Model '{self._artifact.name}' raised {one_line(error)}.", path=self._artifact.name
            ) from error
        return {self._artifact.output_name: as_answer(self._artifact, value, rows)}

    def close(self) -> None:
        """See :class:`Session`; the callable and its module are forgotten."""
        self._function = None
        sys.modules.pop(self._module, None)


class CallableRuntime(Runtime):
    """Loads the artifact's one ``.py`` file and calls what the option ``entry`` names in it.

    The rule: ``entry`` is a function, or a class that is constructed once, without arguments, at load, whose
    instance is called. It is called with one keyword argument per tensor of the artifact, named like the tensor
    (``def predict(input): …``), first axis rows, and returns an array ``[n, width]``, or ``[n]`` where the width is
    one. It must not change the arrays it gets. Files beside the source are found through ``Path(__file__).parent``.
    """

    name = "callable"
    formats = frozenset({"callable"})
    isolated = True

    def load(self, artifact: Artifact) -> Session:
        """See :class:`Runtime`; :class:`MemberCrashed` if the source raises while it is imported or constructed."""
        check_options(artifact, ("entry", "memory_mb", adapt.ROWS, adapt.PURE))
        adapt.runs_alone(artifact)  # refuses what is neither alone nor together
        adapt.is_pure(artifact)  # refuses what is neither true nor false
        path = only_file(artifact, ".py")
        entry = artifact.options.get("entry")
        if not isinstance(entry, str) or not entry.isidentifier():
            raise FormatRefused(
                f"Model '{artifact.name}' must name its function or class in the option 'entry'; got {entry!r}.",
                path=f"{artifact.name}.options.entry",
            )
        name = f"_quorate_callable_{next(_numbers)}"
        try:
            function = _function(path, name, entry, artifact)
        except BaseException:
            sys.modules.pop(name, None)
            raise
        return CallableSession(function, name, artifact)


def _function(path: Path, name: str, entry: str, artifact: Artifact) -> Callable[..., Any]:
    try:
        target: Any = getattr(_import(path, name), entry, None)
        function: Callable[..., Any] | None = target() if isinstance(target, type) else target
    except (Exception, SystemExit) as error:
        raise MemberCrashed(
            f"Model '{artifact.name}' could not be loaded: {path.name} raised {one_line(error)}.", path=artifact.name
        ) from error
    if not callable(function):
        raise FormatRefused(
            f"Model '{artifact.name}' names the entry '{entry}', but {path.name} has no function or class with "
            "__call__ of that name.",
            path=f"{artifact.name}.options.entry",
        )
    return function


class _SourceOnly(SourceFileLoader):
    """Compiles the verified source each time: a planted or stale ``__pycache__`` is neither read nor written."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _import(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_loader(name, _SourceOnly(name, str(path)))
    assert spec is not None  # noqa: S101 - a loader was given
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and typing look a class's module up here
    assert spec.loader is not None  # noqa: S101 - as above
    spec.loader.exec_module(module)
    return module
