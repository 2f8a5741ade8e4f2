"""The processor cores that a worker may count on: what the machine allows this process, shared by the workers."""

from __future__ import annotations

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def available(quota: Path = _QUOTA) -> int:
    """Cores that this process may run on, no more than a container's quota (cgroup v2); at least one."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        cores = os.cpu_count() or 1
    try:
        allowed, period = quota.read_text("ascii").split()
        cores = min(cores, round(int(allowed) / int(period)))
    except (OSError, ValueError):  # no such file, or "max"
        pass
    return max(1, cores)


def per_worker(workers: int) -> int:
    """Cores for each of so many workers; at least one."""
    return max(1, available() // workers)
