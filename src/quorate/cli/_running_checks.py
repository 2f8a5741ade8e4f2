"""What ``quorate doctor`` sees of a project that is being served: counters, pools in memory, ports."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from quorate.cli._patient import Finding, Patient
from quorate.codecs import snapshot
from quorate.control import pools as running_pools
from quorate.control.pools import RunningPool
from quorate.errors import QuorateError
from quorate.home import Home
from quorate.spec.model import ServerSpec
from quorate.telemetry import counters
from quorate.telemetry.counters import SUFFIX


def telemetry(patient: Patient) -> Iterator[Finding]:
    """Every process's counters can be read."""
    files = sorted(patient.home.telemetry.glob(f"*{SUFFIX}"))
    bad = 0
    for path in files:
        try:
            counters.read(path)
        except (QuorateError, OSError) as error:
            bad += 1
            yield Finding("telemetry", "warn", str(error), "Delete the file while its process does not run.")
    if not bad:
        yield Finding("telemetry", "ok", f"{len(files)} process{'es' * (len(files) != 1)} counted here.")


def pools(patient: Patient) -> Iterator[Finding]:
    """With how many threads, and how many at once, the workers run each pool, and why."""
    if snapshot.current_version(patient.home.snapshot) is None:
        return
    for pool in running_pools.running(snapshot.read(patient.home.snapshot), patient.home.telemetry):
        yield Finding("pools", "ok", _running_as(pool))


def _running_as(pool: RunningPool) -> str:
    resident = [worker for worker in pool.workers if worker.resident]
    if not pool.workers:
        return f"{pool.name}: no worker runs, so nothing is measured now."
    if not resident:
        return f"{pool.name}: not in memory; its first request loads and measures it."
    ways = sorted({(worker.threads, worker.lanes) for worker in resident})
    shown = " or ".join(f"{threads} thread{'s' * (threads != 1)} a run, {lanes} at once" for threads, lanes in ways)
    why = {
        "declared": "threads declared",
        "measured": "threads measured",
        "none": "its members run in processes of their own",
    }[pool.threads_from]
    tried = resident[0].tried_ms
    if tried:
        why += ": " + ", ".join(f"{ms:.3g} ms with {threads}" for threads, ms in tried.items())
    return f"{pool.name}: {shown} ({why}; lanes {'declared' if pool.lanes_from == 'declared' else 'by cores'})."


def ports(patient: Patient) -> Iterator[Finding]:
    """The ports are free, or it is this project that uses them."""
    server = patient.config.spec.server if patient.config else ServerSpec()
    running = _running(patient.home)
    listed = [("server.port", server.port), ("server.control_port", server.control_port)]
    if server.grpc_port is not None:
        listed.append(("server.grpc_port", server.grpc_port))
    if server.console:
        listed.append(("server.console_port", server.console_port))
    for setting, port in listed:
        used = _is_used(server.host, port)
        if running and used:
            yield Finding("ports", "ok", f"{port} is used; this project is being served (process {running}).")
        elif running:
            yield Finding("ports", "ok", f"{port} is free; this project is being served on other ports.")
        elif used:
            remedy = f"Stop what uses it, or set {setting}."
            yield Finding("ports", "warn", f"Another program listens on {server.host}:{port}.", remedy)
        else:
            yield Finding("ports", "ok", f"{server.host}:{port} is free.")


def _running(home: Home) -> int | None:
    try:
        pid = int((home.run / "supervisor.pid").read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid


def _is_used(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return True
    return False
