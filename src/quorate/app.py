"""The composition root: the only place that wires the parts into processes.

``python -m quorate.app worker …``, ``… control …`` and ``… console …`` are the children of a supervisor. Each imports
only what its process needs, so a worker never sees the store.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib.util
import logging
import os
import shlex
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorate.clock import SystemClock
from quorate.engines.local import ChildPlan, LaunchPlan
from quorate.errors import ConfigError, QuorateError
from quorate.home import Home
from quorate.telemetry import logs

if TYPE_CHECKING:
    from quorate.codecs.snapshot import EndpointRoute, PoolRoute, Routing
    from quorate.spec import Config


log = logging.getLogger("quorate")

CONSOLE_NEEDS = ("nicegui", "httpx")
"""What the extra ``console`` brings."""
GRPC_NEEDS = ("grpc", "google.protobuf")
"""What the extra ``grpc`` brings."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line says differently from ``server`` in ``quorate.yaml``; port 0 takes any free one."""

    host: str | None = None
    port: int | None = None
    control_port: int | None = None
    console_port: int | None = None
    console: bool | None = None
    workers: int | None = None
    insecure: bool = False
    log_format: str | None = None
    access_log: bool | None = None
    grpc_port: int | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """A project that is ready to be served; ``lock`` is an open descriptor that the supervisor must inherit.

    ``console_port`` is None where the page is not served, ``grpc_port`` where gRPC is not.
    """

    plan: LaunchPlan
    plan_file: Path
    lock: int
    notices: tuple[str, ...]
    host: str
    port: int
    control_port: int
    console_port: int | None
    grpc_port: int | None = None

    @property
    def argv(self) -> list[str]:
        """The supervisor's command."""
        return [sys.executable, "-P", "-m", "quorate.engines.local", str(self.plan_file)]


def prepare(home: Home, overrides: Overrides) -> Launch:
    """Apply the file if it changed, check addresses and keys, and write the launch plan."""
    from quorate.control.apply import read_config

    config, _ = read_config(home)  # first: where there is no project, nothing is left behind
    lock = _only_one(home)
    try:
        return _prepare(home, config, overrides, lock)
    except BaseException:
        os.close(lock)
        raise


def _prepare(home: Home, config: Config, overrides: Overrides, lock: int) -> Launch:
    from quorate.codecs import snapshot
    from quorate.control.apply import apply_if_changed
    from quorate.control.audit import local_user
    from quorate.registry.registry import Registry
    from quorate.store.database import Database
    from quorate.web.auth import require_keys

    clock = SystemClock()
    database = Database(home.store_url)
    database.migrate()
    try:
        applied = apply_if_changed(home, Registry(home.registry, clock), database, author=local_user(), clock=clock)
    finally:
        database.close()
    routing = snapshot.read(home.snapshot)
    server = config.spec.server
    host = overrides.host or server.host
    require_keys(host, routing.keys, insecure=overrides.insecure)
    port = free_port(host, server.port if overrides.port is None else overrides.port, "server.port")
    control_port = free_port(
        host, server.control_port if overrides.control_port is None else overrides.control_port, "server.control_port"
    )
    grpc_port = _grpc_port(host, server.grpc_port if overrides.grpc_port is None else overrides.grpc_port)
    workers = overrides.workers or server.workers
    log_format = overrides.log_format or server.log_format
    common = ["--home", str(home.root), "--host", host, "--drain-s", str(server.drain_s), "--log-format", log_format]
    if overrides.insecure:
        common.append("--insecure")
    access = ["--access-log"] if (server.access_log if overrides.access_log is None else overrides.access_log) else []
    command = (sys.executable, "-P", "-m", "quorate.app")
    work = (*command, "worker", *common, *access, "--port", str(port), "--workers", str(workers))
    if grpc_port is not None:
        work = (*work, "--grpc-port", str(grpc_port))
    *children, spare = [
        ChildPlan(f"worker {slot}", (*work, "--slot", str(slot)), gentle=True) for slot in range(workers + 1)
    ]
    control = (*command, "control", *common, "--port", str(control_port), "--workers", str(workers))
    control += ("--inference", f"http://{_near(host)}:{port}")
    children.append(ChildPlan("control", control))
    notices = [*applied.notices, *_no_traces()]
    console_port = None
    if server.console if overrides.console is None else overrides.console:
        wanted = server.console_port if overrides.console_port is None else overrides.console_port
        console_port = _console_port(host, wanted, (port, control_port, grpc_port), notices)
    if console_port is not None:
        page = (*command, "console", *common, *_console(host, port, control_port, console_port, routing))
        children.append(ChildPlan("console", page, essential=False))
    plan = LaunchPlan(
        tuple(children),
        message=_welcome(home, routing, host, port, control_port, console_port, grpc_port),
        drain_s=server.drain_s,
        pid_file=str(home.run / "supervisor.pid"),
        log_format=log_format,
        spare=replace(spare, essential=False),
        upgrade_file=str(home.upgrade),
    )
    plan_file = home.run / "launch.json"
    plan.save(plan_file)
    return Launch(plan, plan_file, lock, tuple(notices), host, port, control_port, console_port, grpc_port)


def _no_traces() -> list[str]:
    """A notice where traces are wanted and cannot be made; :class:`ConfigError` for what they cannot obey."""
    from quorate.telemetry import traces

    return [traces.MISSING] if traces.sampling(os.environ) is not None and not traces.installed() else []


def _grpc_port(host: str, port: int | None) -> int | None:
    """Where gRPC can be served; None where nobody asked for it, :class:`ConfigError` where it cannot."""
    if port is None:
        return None
    if any(missing(name) for name in GRPC_NEEDS):
        raise ConfigError(
            "gRPC was asked for, but the extra 'grpc' is not installed; pip install 'quorate[grpc]' adds it, or leave "
            "server.grpc_port and --grpc-port out.",
            path="server.grpc_port",
        )
    return free_port(host, port, "server.grpc_port")


def missing(module: str) -> bool:
    """Whether a module, or the package that it would be in, is not installed."""
    try:
        return importlib.util.find_spec(module) is None
    except ModuleNotFoundError:
        return True


def _console_port(host: str, port: int, taken: tuple[int | None, ...], notices: list[str]) -> int | None:
    """Where the page can be served; None, and a notice, where it cannot: that is no reason not to serve models."""
    if any(missing(name) for name in CONSOLE_NEEDS):
        notices.append(
            "There is no page: the extra 'console' is not installed; pip install 'quorate[console]' adds it."
        )
        return None
    if port in taken:  # nobody listens there yet, but whoever came first would keep the other out
        notices.append(f"There is no page. Port {port} is another port of this server; set server.console_port.")
        return None
    try:
        return free_port(host, port, "server.console_port")
    except ConfigError as error:
        notices.append(f"There is no page. {error.message}")
        return None


def _console(host: str, port: int, control_port: int, console_port: int, routing: Routing) -> list[str]:
    """The page's own arguments: it is a client, and reaches the other two as any client on this machine does."""
    near = _near(host)
    hosts = [part for name in routing.hosts for part in ("--allowed-host", name)]
    return [
        *("--port", str(console_port)),
        *("--inference", f"http://{near}:{port}"),
        *("--control", f"http://{near}:{control_port}"),
        *hosts,
    ]


def _near(host: str) -> str:
    """How a process on this machine reaches a server that is bound to ``host``."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, _shown(host))  # noqa: S104 - recognised, not bound


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _only_one(home: Home) -> int:
    """A lock that lives as long as the supervisor; :class:`ConfigError` if the project is being served already."""
    home.run.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home.run / "serve.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError(
            f"The project {home.root} is being served already (process {_pid(home)}); stop that one first."
        ) from None
    os.set_inheritable(descriptor, True)
    return descriptor


def _pid(home: Home) -> str:
    try:
        return (home.run / "supervisor.pid").read_text()
    except FileNotFoundError:
        return "unknown"


def free_port(host: str, port: int, setting: str) -> int:
    """``port`` if nobody listens there, any free one for 0; :class:`ConfigError` naming the setting otherwise."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)  # with SO_REUSEADDR alone a bind succeeds beside a listener on some systems
        except OSError as error:
            raise ConfigError(
                f"Cannot listen on {host}:{port}: {error.strerror}. Stop what uses it, or set {setting}.", path=setting
            ) from None
        return int(probe.getsockname()[1])


def _welcome(
    home: Home,
    routing: Routing,
    host: str,
    port: int,
    control_port: int,
    console_port: int | None,
    grpc_port: int | None,
) -> str:
    shown = _shown(host)
    lines = [
        "",
        "Quorate is ready.",
        f"  inference  http://{shown}:{port}    (documentation: /docs)",
        f"  control    http://{shown}:{control_port}    (documentation: /docs)",
        f"  endpoints  {', '.join(e.name for e in routing.endpoints) or 'none'}",
    ]
    if console_port is not None:
        lines.insert(4, f"  console    http://{shown}:{console_port}    (the page: try it, watch it)")
    if grpc_port is not None:
        lines.insert(4, f"  grpc       {shown}:{grpc_port}           (Open Inference Protocol)")
    if not routing.keys:
        lines.append("  No API keys: everyone who reaches these ports may use them. `quorate keys create` adds one.")
    if routing.endpoints:
        endpoint = routing.endpoints[0]
        pool = next(p for p in routing.pools if p.name == endpoint.pool)
        lines += ["Try it:", "  " + example_request(home, endpoint, pool, f"http://{shown}:{port}")]
    lines.append("Ctrl-C stops it.")
    return "\n".join(lines)


def example_request(home: Home, endpoint: EndpointRoute, pool: PoolRoute, url: str) -> str:
    """A ``curl`` line that works: a held-out row of the pool where there is one, else zeros."""
    address = f"{url}/v1/endpoints/{endpoint.name}/predict"
    raw = _example_row(home, pool)
    if pool.signature.input_kind == "image":
        from PIL import Image

        from quorate.preprocess.pillow import sniff

        image = raw["image"][0]
        kind = (sniff(image) or "png") if isinstance(image, bytes) else "png"
        path = home.run / f"example-{endpoint.name}.{kind}"
        if isinstance(image, bytes):
            path.write_bytes(image)
        else:
            Image.fromarray(image).save(path)
        return f"curl -s -H 'content-type: image/{kind}' --data-binary @{shlex.quote(_nearest(path))} {address}"
    import msgspec

    if pool.signature.input_kind == "array":
        row: Any = raw["input"][0].tolist()
    else:
        row = {name: values[0].item() if hasattr(values[0], "item") else values[0] for name, values in raw.items()}
    body = msgspec.json.encode({"instances": [row]}).decode()
    return f"curl -s -H 'content-type: application/json' -d {shlex.quote(body)} {address}"


def _nearest(path: Path) -> str:
    """The path as typed from the current folder, where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _example_row(home: Home, pool: PoolRoute) -> dict[str, Any]:
    from quorate.codecs import sample
    from quorate.registry.blobs import BlobStore
    from quorate.serving.opening import blank

    for member in pool.members:
        if member.sample is not None:
            raw, _ = sample.decode(BlobStore(home.registry).read(member.sample))
            return dict(raw)
    return blank(pool.signature)


# --- the children ---------------------------------------------------------------------------------


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

    serve(
        Home(args.home),
        host=args.host,
        port=args.port,
        insecure=args.insecure,
        clock=SystemClock(),
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
