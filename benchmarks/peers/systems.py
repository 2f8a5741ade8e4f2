"""The systems that are compared: how each is started, and where it answers."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import digits
from benchmarks.harness.process import Server, free_port
from benchmarks.harness.table import FOLDER, QUORATE
from benchmarks.peers import serve
from benchmarks.peers.asgi import PATH

ECHO = "ASGI echo"
WITHOUT_JOURNAL = "Quorate, durability none"
PLAIN, OIP = "plain", "oip"
ENVIRONMENTS = Path(".venvs")
FRAMEWORK_READY_WITHIN = 180.0
REFUSALS = 200
"""Times that a server may answer 400 or 500, a tenth of a second apart: some do while their models load."""
OIP_PATH = "/v2/models/digits/infer"

Start = Callable[[int, Sequence[int] | None], Server]


@dataclass(frozen=True)
class System:
    """A server: ``start`` makes one for so many workers on these cores, not started yet.

    ``protocol`` names the requests it gets. ``absent`` says why it cannot be started here. ``open_loop``: it is also
    loaded at rates that do not depend on its answers. ``framework``: others made it, and a table without it is one too.
    """

    name: str
    path: str
    start: Start
    protocol: str = PLAIN
    absent: str | None = None
    open_loop: bool = False
    note: str = ""
    framework: bool = False


def quorate(name: str, project: Path, path: str = digits.PREDICT, **more: object) -> System:
    """A project as users serve it."""

    def start(workers: int, cores: Sequence[int] | None) -> Server:
        port = free_port()
        command = digits.serve(project, port, free_port(), workers)
        return Server(command, port, mark=digits.READY, log=_log(name, workers), cores=cores)

    return System(name, path, start, **more)  # type: ignore[arg-type]


def program(name: str, application: str, environment: Mapping[str, str], **more: object) -> System:
    """An ASGI application of ``benchmarks.peers`` under uvicorn."""

    def start(workers: int, cores: Sequence[int] | None) -> Server:
        port = free_port()
        command = serve.command(application, port, workers)
        log = _log(name, workers)
        return Server(command, port, mark=serve.READY, marks=workers, log=log, cores=cores, environment=environment)

    return System(name, PATH, start, **more)  # type: ignore[arg-type]


def framework(
    name: str,
    environment: str,
    command: Callable[[Path, int, int], list[str]],
    variables: Mapping[str, str],
    **more: object,
) -> System:
    """A serving framework in an environment of its own; ``command`` gets its ``bin``, the port and the workers."""
    folder = (ENVIRONMENTS / environment).absolute()
    why = folder / "failed.txt"
    absent = None
    if not (folder / ".made").exists():
        reason = why.read_text().strip().splitlines()[-1:] if why.exists() else []
        absent = f"not installed: {reason[0]}" if reason else f"not installed: make .venvs/{environment}/.made"

    def start(workers: int, cores: Sequence[int] | None) -> Server:
        port = free_port()
        settings = {**variables, "PYTHONPATH": str(Path.cwd()), "QUORATE_BENCH_WORKERS": str(workers)}
        return Server(
            command(folder / "bin", port, workers),
            port,
            mark="",
            log=_log(name, workers),
            cores=cores,
            environment=settings,
            ready_within=FRAMEWORK_READY_WITHIN,
        )

    return System(name, str(more.pop("path", PATH)), start, absent=absent, framework=True, **more)  # type: ignore[arg-type]


def hand_written(environment: Mapping[str, str]) -> list[System]:
    """What one writes without a serving framework, and the echo."""
    return [
        program("ASGI, fused graph", "asgi:fused", environment, open_loop=True),
        program("ASGI, five sessions", "asgi:five", environment, open_loop=True),
        program("FastAPI, five sessions", "fastapi_app:five", environment),
        program(ECHO, "limit:echo", environment),
    ]


def frameworks(environment: Mapping[str, str]) -> list[System]:
    """Serving frameworks, each as its documentation starts it, with as many workers and on the same cores."""
    run = FOLDER.absolute() / "run"
    module = "benchmarks.peers.frameworks"

    def litserve(bin_: Path, port: int, workers: int) -> list[str]:
        return [str(bin_ / "python"), "-m", f"{module}.litserve_app", str(port), str(workers)]

    def mlserver(bin_: Path, port: int, workers: int) -> list[str]:
        numbers = map(str, (port, workers, free_port(), free_port()))
        return [str(bin_ / "python"), "-m", f"{module}.mlserver_runtime", *numbers, str(run / f"mlserver-{port}")]

    def bento(bin_: Path, port: int, workers: int) -> list[str]:
        where = ["--host", "127.0.0.1", "--port", str(port), "--working-dir", str(Path.cwd())]
        return [str(bin_ / "bentoml"), "serve", f"{module}.bento_app:Digits", *where]

    def ray(bin_: Path, port: int, workers: int) -> list[str]:
        # Its sockets' paths have at most 107 characters, so its folder cannot be in build/.
        folder = tempfile.mkdtemp(prefix="qb-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return [str(bin_ / "python"), "-m", f"{module}.ray_app", str(port), str(workers), folder]

    def gunicorn(bin_: Path, port: int, workers: int) -> list[str]:
        return [
            *(str(bin_ / "python"), "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", str(workers)),
            *("--worker-class", "gthread", "--threads", "4", "--keep-alive", "60", "--worker-tmp-dir", str(run)),
            *("--log-level", "warning", f"{module}.flask_app:application()"),
        ]

    haproxy = {
        **environment,
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
    }
    quiet = {**environment, "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(run / "bentoml")}
    extra = "a worker is a replica; Ray's own processes beside it"
    return [
        framework("LitServe", "bench-litserve", litserve, environment, note="a worker is two processes"),
        framework("MLServer", "bench-mlserver", mlserver, environment, protocol=OIP, path=OIP_PATH),
        framework("BentoML", "bench-bentoml", bento, quiet),
        framework("Ray Serve", "bench-ray", ray, environment, note=extra),
        framework("Ray Serve, HAProxy and gRPC", "bench-ray", ray, haproxy, note=extra),
        framework("Flask, gunicorn, pickles", "bench-flask", gunicorn, environment, note="a worker has 4 threads"),
    ]


def until_answers(ask: Callable[[], int], within: float) -> None:
    """Ask until the status is 200: a framework's port may be open before its models are loaded."""
    until = time.monotonic() + within
    status: object = None
    errors = 0
    while status != 200:
        if time.monotonic() > until:
            raise RuntimeError(f"no answer within {within:g} s: {status}")
        try:
            status = ask()
        except OSError as error:
            status = error
        errors += status in (400, 500)
        if status in (415, 422) or errors == REFUSALS:
            raise RuntimeError(f"it refuses the request with {status}")
        if status != 200:
            time.sleep(0.1)


def systems(project: Path, without_journal: Path, environment: Mapping[str, str]) -> list[System]:
    """All of them, in the order of the table."""
    return [
        quorate(QUORATE, project, open_loop=True),
        quorate(WITHOUT_JOURNAL, without_journal),
        *hand_written(environment)[:-1],
        *frameworks(environment),
        *hand_written(environment)[-1:],
    ]


def _log(name: str, workers: int) -> Path:
    return FOLDER / "run" / f"{name.replace(' ', '-').replace(',', '')}-{workers}.log"
