"""The machine a benchmark ran on, and which of its cores serve and which make the load."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

_PACKAGES = ("quorate", "onnxruntime", "uvicorn", "uvloop", "httptools", "fastapi", "pydantic", "msgspec", "numpy")


class Cores(NamedTuple):
    """Core numbers of the server's processes and of the load generator; the same for every system."""

    server: tuple[int, ...]
    generator: tuple[int, ...]


def split_cores(available: Sequence[int], workers: int) -> Cores | None:
    """One core a worker for the server, the others for the generator, which keeps at least one.

    None on a machine with one core: nothing can be kept apart there.

    >>> split_cores([0, 1, 2, 3], 1)
    Cores(server=(0,), generator=(1, 2, 3))
    """
    cores = sorted(available)
    if len(cores) < 2:
        return None
    served = min(workers, len(cores) - 1)
    return Cores(tuple(cores[:served]), tuple(cores[served:]))


def available() -> list[int]:
    """The cores this process may use; none where the system cannot pin processes to cores."""
    if shutil.which("taskset") is None or not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))


def pinned(cores: Sequence[int] | None) -> list[str]:
    """What to put before a command so that it stays on ``cores``; nothing where they are None."""
    return [] if cores is None else ["taskset", "--cpu-list", ",".join(map(str, cores))]


def describe() -> str:
    """The machine in two lines: processor, load when asked, system; and the versions of what is measured."""
    load = f"load {os.getloadavg()[0]:.1f} before the start"
    first = f"{os.cpu_count()} x {_processor()}, {platform.system()} {platform.release()}, {load}"
    return first + "\n" + ", ".join([f"Python {platform.python_version()}", *_versions()])


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _versions() -> list[str]:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found
