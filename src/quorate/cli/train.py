"""``quorate train``: run the project's own ``train.py``.

The convention: ``train.py`` beside ``quorate.yaml`` has a function ``train(home: Home, progress: Progress, *,
force: bool) -> None`` that registers what it makes in ``home.registry`` and reports. It runs in this process, with
the project's folder first on the import path, as ``python train.py`` would have it.
"""

from __future__ import annotations

import sys
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from quorate.cli._output import note, progress
from quorate.errors import ConfigError
from quorate.home import Home


def command(
    project: Annotated[Path, typer.Argument(help="Folder with quorate.yaml and train.py.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Train again what is registered already.")] = False,
) -> None:
    """Run the project's train.py: fit and register its models, fit its combiners, write .quorate/report.md.

    What is registered from the same data and code is kept, so a run that was cut off goes on where it was.
    """
    home = Home(project.resolve())
    path = home.root / "train.py"
    if not path.is_file():
        raise ConfigError(
            f"There is no train.py in {home.root}; expected one with a function train(home, progress, *, force). "
            "Name the project's folder, or write it: examples/digits has one.",
            path=str(path),
        )
    sys.path.insert(0, str(home.root))
    try:
        train = getattr(_module(path), "train", None)
        if not callable(train):
            raise ConfigError(f"{path} has no function train(home, progress, *, force); write one.", path=str(path))
        note(f"Running {path}{' from scratch' if force else ''}.")
        started = time.perf_counter()
        train(home, progress, force=force)
    finally:
        sys.path.remove(str(home.root))
    note(f"Trained in {time.perf_counter() - started:.1f} s; models are in {home.registry}.")


def _module(path: Path) -> ModuleType:
    loader = SourceFileLoader("quorate_project_train", str(path))
    module = ModuleType(loader.name)
    module.__file__ = str(path)
    sys.modules[loader.name] = module  # dataclasses and pickling look their module up
    loader.exec_module(module)
    return module
