"""Fixtures that several packages' tests share."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from quorate.codecs import state as state_codec
from quorate.control.revisions.apply import Applied, apply, apply_if_changed
from quorate.core.types import OutputSpec, Signature, State, TensorSpec
from quorate.home import Home
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry
from quorate.store.database import Database
from quorate.testing.clock import FakeClock

settings.register_profile("house", deadline=None)  # no test says how long something may take
settings.load_profile("house")

SOURCE = b"def predict(input):\n    return {'output': input}\n"


DIGITS = Path(__file__).parents[1] / "examples" / "digits"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits example after ``quorate train`` and ``quorate apply``, once a test run; copy it, never change it.

    Its deadline is 20 s: 200 ms are missed on a busy machine, and what a deadline does is tested elsewhere.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "trained-digits"
    with (shared / "trained-digits.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fresh = shared / "training-digits"
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(DIGITS, fresh, ignore=shutil.ignore_patterns(".quorate", "__pycache__"))
            _quorate("train", str(fresh))
            config = fresh / "quorate.yaml"
            text = config.read_text()
            assert text.count("deadline_ms: 200\n") == 1
            config.write_text(text.replace("deadline_ms: 200\n", "deadline_ms: 20000\n"))
            _quorate("apply", "--project", str(fresh))
            fresh.rename(folder)
    return folder


def _quorate(*words: str) -> None:
    line = [sys.executable, "-P", "-c", "from quorate.cli import main; main()", *words]
    run = subprocess.run(line, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


NewStore = Callable[[str], Database]


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> NewStore:
    """``new_store(url)`` is what migrating a new SQLite store gives: a copy of one that was, in a tenth of the time."""
    made = tmp_path_factory.mktemp("store") / "store.db"
    database = Database(f"sqlite:///{made}")
    database.migrate()
    database.close()  # the last connection to close puts the write-ahead log into the file

    def new_store(url: str) -> Database:
        database = Database(url)
        assert database.file is not None
        assert not database.file.exists()
        database.file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, database.file)
        return database

    return new_store


class Project:
    """A project folder with a registry and a store of its own, on a fake clock."""

    def __init__(self, root: Path, new_store: NewStore) -> None:
        self.home = Home(root)
        self.clock = FakeClock()
        self.registry = Registry(self.home.registry, self.clock)
        self.database = new_store(self.home.store_url)

    def model(
        self,
        name: str,
        *,
        classes: Sequence[str] = ("no", "yes"),
        targets: Sequence[str] = (),
        width: int = 4,
        accuracy: float | None = 0.9,
    ) -> Manifest:
        """Register the next version of a small callable model; with ``targets`` a regression."""
        output = OutputSpec("values", names=tuple(targets)) if targets else OutputSpec("scores", tuple(classes))
        draft = Manifest(
            name=name,
            format="callable",
            signature=Signature("array", (TensorSpec("input", "float32", (None, width)),), output),
            tensors=(TensorSpec("input", "float32", (None, width)),),
            output_name="output",
            options={"entry": "predict"},
            metrics={} if accuracy is None else {"validation_accuracy": accuracy},
        )
        return self.registry.register(draft, {"model.py": SOURCE + f"# {name} {self.clock.now()}\n".encode()})

    def weights(self, name: str, members: Sequence[str], values: Sequence[float]) -> Manifest:
        """Register the next version of a fitted state of the ``weighted`` combiner."""
        state = State("weighted", 1, {"members": list(members)}, {"weights": np.array(values)})
        return self.registry.register(Manifest(name=name, format="state", kind="state"), {**state_codec.encode(state)})

    def write(self, text: str) -> None:
        """Write ``quorate.yaml``."""
        self.home.config.write_text(text)

    def apply(self, *, expected: int | None = None) -> Applied:
        """Apply ``quorate.yaml``."""
        return apply(self.home, self.registry, self.database, author="tester", clock=self.clock, expected=expected)

    def start(self) -> Applied:
        """What the start of a server does."""
        return apply_if_changed(self.home, self.registry, self.database, author="start", clock=self.clock)


@pytest.fixture
def project(tmp_path: Path, new_store: NewStore) -> Iterator[Project]:
    """A project whose registry holds the models ``a``, ``b`` and ``c``, with a configuration that is right."""
    project = Project(tmp_path, new_store)
    for name, accuracy in (("a", 0.9), ("b", 0.8), ("c", 0.6)):
        project.model(name, accuracy=accuracy)
    project.write(CONFIG)
    yield project
    project.database.close()


CONFIG = """\
pools:
  letters: {task: classification, members: [a, b, c]}
endpoints:
  main:
    pool: letters
    strategies:
      average: {kind: mean}
      best: {kind: single, member: a}
    policy: {kind: split, weights: {average: 1, best: 1}}
    fallback: [best]
    quorum: 2
"""
