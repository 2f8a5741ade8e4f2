"""From a project to a launch plan: the file applied, addresses and keys checked, one command for each process."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import socket
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from quorate.clock import SystemClock
from quorate.engines.local import ChildPlan, LaunchPlan
from quorate.errors import ConfigError
from quorate.home import Home
from quorate.welcome import shown, welcome

if TYPE_CHECKING:
    from quorate.codecs.snapshot import Routing
    from quorate.spec import Config

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
    from quorate.control.revisions.apply import read_config

    config, _ = read_config(home)  # first: where there is no project, nothing is left behind
    lock = _only_one(home)
    try:
        return _prepare(home, config, overrides, lock)
    except BaseException:
        os.close(lock)
        raise


def _prepare(home: Home, config: Config, overrides: Overrides, lock: int) -> Launch:
    from quorate.codecs import snapshot
    from quorate.control.audit import local_user
    from quorate.control.revisions.apply import apply_if_changed
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
    notices = [*applied.notices, *_no_traces(), *_crowded(workers)]
    console_port = None
    if server.console if overrides.console is None else overrides.console:
        wanted = server.console_port if overrides.console_port is None else overrides.console_port
        console_port = _console_port(host, wanted, (port, control_port, grpc_port), notices)
    if console_port is not None:
        page = (*command, "console", *common, *_console(host, port, control_port, console_port, routing))
        children.append(ChildPlan("console", page, essential=False))
    plan = LaunchPlan(
        tuple(children),
        message=welcome(home, routing, host, port, control_port, console_port, grpc_port),
        drain_s=server.drain_s,
        pid_file=str(home.run / "supervisor.pid"),
        log_format=log_format,
        spare=replace(spare, essential=False),
        upgrade_file=str(home.upgrade),
    )
    plan_file = home.run / "launch.json"
    plan.save(plan_file)
    return Launch(plan, plan_file, lock, tuple(notices), host, port, control_port, console_port, grpc_port)


def _crowded(workers: int) -> list[str]:
    """A notice where workers must share cores: each then joins fewer requests in a run, and all answer fewer."""
    from quorate.serving import cores

    usable = cores.available()
    if workers <= usable:
        return []
    plural = "s" * (usable > 1)
    notice = (
        f"{workers} workers share {usable} processor core{plural}, which makes runs smaller and answers fewer requests "
        f"than {usable} worker{plural} would; set server.workers to {usable} unless you want spare processes."
    )
    return [notice]


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
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, shown(host))  # noqa: S104 - recognised, not bound


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
