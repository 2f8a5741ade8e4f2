"""Run by test_crash.py in a process of its own: forks children that change a registry, kills them, looks again."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from quorate.clock import SystemClock
from quorate.codecs import state as state_codec
from quorate.core.types import State
from quorate.errors import RegistryError
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Registry

DRAFT = Manifest(name="digits", kind="state", format="state")
CALLS = {"open", "write", "flush", "fsync", "close", "link", "replace", "rename", "unlink", "mkdir", "rmdir", "chmod"}
CALLS |= {"utime", "flock", "sendfile", "truncate"}


def change(registry: Registry, number: int) -> None:
    files = state_codec.encode(State("stack", 1, {"number": number, "padding": "x" * 50_000}))
    manifest = registry.register(DRAFT, files)
    registry.set_alias("digits", "champion", manifest.version)
    registry.blobs.checkout(manifest.files)


def look(root: Path) -> int:
    """Every visible manifest's blobs verify, versions are consecutive, the alias names one; returns how many."""
    registry = Registry(root, SystemClock())
    versions = registry.versions("digits")
    assert versions == tuple(range(1, len(versions) + 1)), versions
    for version in versions:
        manifest = registry.manifest(f"digits:{version}")
        assert manifest.version == version
        state_codec.decode({name: registry.read_blob(digest) for name, digest in manifest.files.items()})
        registry.blobs.checkout(manifest.files)
    alias = registry.aliases("digits").get("champion", 0)
    assert alias <= len(versions), (alias, versions)
    assert alias >= len(versions) - 1, "an acknowledged alias is gone"
    return len(versions)


def forked(work: Any) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return child


def every_point(root: Path) -> dict[str, int]:
    """Kill the child before its 1st, 2nd, 3rd … call that touches a file, until one gets through."""
    for point in range(1000):

        def work(point: int = point) -> None:
            left = point

            def profile(_: Any, event: str, function: Any) -> None:
                nonlocal left
                if event == "c_call" and function.__name__ in CALLS:
                    left -= 1
                    if left < 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.setprofile(profile)
            change(Registry(root, SystemClock()), point)
            sys.setprofile(None)

        _, status = os.waitpid(forked(work), 0)
        found = look_and_retry(root, point)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return {"kills": point, "versions": found}
    raise AssertionError("never got through")


def look_and_retry(root: Path, number: int) -> int:
    """As look; then do as the killed caller would, the same change again, and look at that."""
    look(root)
    change(Registry(root, SystemClock()), number)
    return look(root)


def random_moments(root: Path, seed: int) -> dict[str, int]:
    """Kill a child that changes the registry in a loop, at seeded random moments."""
    rng = random.Random(seed)
    versions = 0
    for round_ in range(40):

        def work(round_: int = round_) -> None:
            number = 0
            while True:
                change(Registry(root, SystemClock()), round_ * 1000 + number)
                number += 1

        child = forked(work)
        time.sleep(rng.uniform(0.0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        versions = look_and_retry(root, round_ * 1000)
    return {"kills": 40, "versions": versions}


def concurrent(root: Path) -> dict[str, int]:
    """Four children register at once while a fifth collects garbage; each version is some child's own."""

    def work(slot: int) -> None:
        registry = Registry(root, SystemClock())
        made = []
        for number in range(10):
            files = state_codec.encode(State("stack", 1, {"slot": slot, "number": number}))
            made.append(registry.register(DRAFT, files).version)
        (root.parent / f"made-{slot}.json").write_text(json.dumps(made))

    def collect() -> None:
        while True:
            Registry(root, SystemClock()).collect_garbage()

    collector = forked(collect)
    children = [forked(lambda slot=slot: work(slot)) for slot in range(4)]
    for child in children:
        _, status = os.waitpid(child, 0)
        assert status == 0
    os.kill(collector, signal.SIGKILL)
    os.waitpid(collector, 0)
    made = [json.loads((root.parent / f"made-{slot}.json").read_text()) for slot in range(4)]
    assert all(own == sorted(own) for own in made)
    assert sorted(version for own in made for version in own) == list(range(1, 41))
    registry = Registry(root, SystemClock())
    registry.set_alias("digits", "champion", 40)
    return {"versions": look(root)}


def limited(root: Path) -> dict[str, int]:
    """The system itself refuses to write more than 20,000 bytes to a file."""
    registry = Registry(root, SystemClock())
    small = state_codec.encode(State("stack", 1, {}))
    registry.register(DRAFT, small)

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        with pytest.raises(RegistryError, match="could not be written"):
            change(registry, 1)

    _, status = os.waitpid(forked(work), 0)
    assert status == 0
    assert not list((root / "temporary").iterdir())
    return {"versions": look(root)}


if __name__ == "__main__":
    mode, folder, *rest = sys.argv[1:]
    found = {"points": every_point, "concurrent": concurrent, "limited": limited}
    result = random_moments(Path(folder), int(rest[0])) if mode == "random" else found[mode](Path(folder))
    print(json.dumps(result))
