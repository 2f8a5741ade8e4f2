"""The composition root: the only place that wires the parts into processes.

``python -m quorate.app worker …``, ``… control …`` and ``… console …`` are the children of a supervisor. Each imports
only what its process needs, so a worker never sees the store. What starts them is in :mod:`quorate.launch`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from quorate.clock import SystemClock
from quorate.errors import QuorateError
from quorate.home import Home
from quorate.launch import CONSOLE_NEEDS, GRPC_NEEDS, Launch, Overrides, free_port, missing, prepare
from quorate.telemetry import logs
from quorate.welcome import example_request

__all__ = [
    "CONSOLE_NEEDS",
    "GRPC_NEEDS",
    "Launch",
    "Overrides",
    "example_request",
    "free_port",
    "main",
    "missing",
    "prepare",
]

log = logging.getLogger("quorate")


def _worker(args: argparse.Namespace) -> None:
    from quorate.serving.worker import WorkerSettings, main

    settings = WorkerSettings(
        home=args.home,
        slot=args.slot,
        host=args.host,
        port=args.port,
        drain_s=args.drain_s,
        insecure=args.insecure,
        life_fd=args.life_fd,
        ready_fd=args.ready_fd,
        access_log=args.access_log,
        grpc_port=args.grpc_port,
        workers=args.workers,
    )
    main(settings, SystemClock())


def _control(args: argparse.Namespace) -> None:
    from quorate.control.server import serve
    from quorate.explaining import explainer
    from quorate.registry.registry import Registry

    home, clock = Home(args.home), SystemClock()
    serve(
        home,
        explain=explainer(home, Registry(home.registry, clock), clock),
        host=args.host,
        port=args.port,
        insecure=args.insecure,
        clock=clock,
        workers=args.workers,
        inference=args.inference,
        life_fd=args.life_fd,
        ready_fd=args.ready_fd,
    )


def _page(args: argparse.Namespace) -> None:
    from quorate.console.server import serve
    from quorate.console.settings import ConsoleSettings

    settings = ConsoleSettings(
        host=args.host,
        port=args.port,
        inference=args.inference,
        control=args.control,
        allowed_hosts=tuple(args.allowed_host),
        state=Home(args.home).run / "console",
    )
    serve(settings, life_fd=args.life_fd, ready_fd=args.ready_fd)


def main(argv: Sequence[str]) -> None:
    """Run one child process of a supervisor."""
    parser = argparse.ArgumentParser(prog="python -m quorate.app")
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in ("worker", "control", "console"):
        child = kinds.add_parser(kind)
        child.add_argument("--home", type=Path, required=True)
        child.add_argument("--host", required=True)
        child.add_argument("--port", type=int, required=True)
        child.add_argument("--drain-s", type=float, default=10.0)
        child.add_argument("--insecure", action="store_true")
        child.add_argument("--life-fd", type=int, required=True)
        child.add_argument("--ready-fd", type=int, required=True)
        child.add_argument("--log-format", choices=("text", "json"), default="text")
        if kind == "worker":
            child.add_argument("--slot", type=int, required=True)
            child.add_argument("--access-log", action="store_true")
            child.add_argument("--grpc-port", type=int)
            child.add_argument("--workers", type=int, default=1)
        if kind == "control":
            child.add_argument("--workers", type=int, default=0)
            child.add_argument("--inference", default=None)
        if kind == "console":
            child.add_argument("--inference", required=True)
            child.add_argument("--control", required=True)
            child.add_argument("--allowed-host", action="append", default=[])
    args = parser.parse_args(argv)
    name = f"worker {args.slot}" if args.kind == "worker" else args.kind
    logs.setup(name, args.log_format)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # the supervisor says when all are ready
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for descriptor in (args.life_fd, args.ready_fd):
        os.set_inheritable(descriptor, False)
    try:
        {"worker": _worker, "control": _control, "console": _page}[args.kind](args)
    except QuorateError as error:
        if args.log_format == "text":
            sys.exit(f"{name}: {error}")
        log.critical("%s", error)
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
