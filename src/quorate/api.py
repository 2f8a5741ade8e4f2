"""The Python API: from fitted estimators to a served endpoint in three lines."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from quorate.clock import SystemClock
from quorate.control.export import Exported, export_strategy
from quorate.control.replay.asked import Answer, Question
from quorate.control.replay.local import replay_here
from quorate.control.revisions.resolve import resolve
from quorate.core.types import OutputSpec, Signature, TensorSpec
from quorate.errors import ConfigError, InvalidInput, NotReady, RegistryError
from quorate.home import Home
from quorate.launch import Launch, Overrides, prepare
from quorate.registry.blobs import digest_of
from quorate.registry.registry import Registry
from quorate.spec import build, load
from quorate.store.database import Database
from quorate.training.export import answers, output_spec, to_artifact
from quorate.training.register import register_model

if TYPE_CHECKING:
    from quorate.client.experiments import Experiments
    from quorate.client.learners import Learners
    from quorate.client.pool_audits import PoolAudits

START_TIMEOUT = 60.0
_MARK = "# Written by quorate.Endpoint from Python; it is written again at the next serve()."


def replay(
    project: str | Path,
    endpoint: str,
    strategy: str | Mapping[str, Any] | None = None,
    *,
    policy: Mapping[str, Any] | None = None,
    since: float | None = None,
    until: float | None = None,
    revision: int | None = None,
    metric: str | None = None,
    method: Literal["auto", "exact", "off-policy"] = "auto",
) -> Answer:
    """What another strategy (a name, or as in ``quorate.yaml``) or policy would have come to on logged decisions.

    ``project`` is the folder of ``quorate.yaml``, served at this moment or not; times are Unix seconds.
    :class:`~quorate.errors.InvalidInput` with the reason where the log does not tell, and
    :class:`~quorate.errors.NotFound`. See docs/replay.md for what each figure means.
    """
    home = Home(Path(project).resolve())
    if not home.config.exists():
        raise ConfigError(f"There is no project in {home.root}: no quorate.yaml. Name the folder that holds it.")
    question = Question(endpoint, strategy, policy, since, until, revision, metric, method)
    database = Database(home.store_url)
    try:
        database.migrate()
        return replay_here(home, database, question)
    finally:
        database.close()


class Pool:
    """Fitted scikit-learn estimators that answer the same question.

    ``members`` maps names (lower case, as in ``quorate.yaml``) to fitted classifiers or regressors with equal classes
    or targets. ``sample`` is a few held-out rows ``[n, k]``, an array or a data frame of numbers: every exported model
    must answer them as its estimator does. With ``truth`` (``[n]``, their labels or values) each member's accuracy is
    recorded and a vote weighted by its log-odds becomes possible. Raises :class:`~quorate.errors.InvalidInput`.
    """

    def __init__(self, members: Mapping[str, Any], sample: Any, truth: Any = None, *, name: str | None = None) -> None:
        if not members:
            raise InvalidInput("A pool needs at least one member; got none.", path="members")
        self.members = dict(members)
        self.name = name
        self.columns = tuple(map(str, sample.columns)) if hasattr(sample, "columns") else None
        self.sample = _matrix(sample)
        self.truth = None if truth is None else np.asarray(truth)
        if self.truth is not None and self.truth.shape != (len(self.sample),):
            raise InvalidInput(
                f"truth must have one entry per row of sample, [{len(self.sample)}]; got {list(self.truth.shape)}.",
                path="truth",
            )
        self.output = self._common_output()
        self.signature = self._signature()

    def _common_output(self) -> OutputSpec:
        specs = {name: output_spec(estimator) for name, estimator in self.members.items()}
        first, expected = next(iter(specs.items()))
        for name, found in specs.items():
            if found != expected:
                raise InvalidInput(
                    f"Members of a pool answer alike; '{name}' answers {_said(found)}, '{first}' {_said(expected)}.",
                    path=f"members.{name}",
                )
        return expected

    def _signature(self) -> Signature:
        if self.columns is None:
            width = self.sample.shape[1]
            return Signature("array", (TensorSpec("input", "float32", (None, width)),), self.output)
        return Signature("columns", tuple(TensorSpec(c, "float32", (None,)) for c in self.columns), self.output)

    def register(self, registry: Registry) -> None:
        """Export and register every member whose newest version is another; warns where ONNX is not possible.

        :class:`~quorate.errors.ParityError` if an exported model does not answer as its estimator.
        """
        raw: dict[str, Any] = (
            {"input": self.sample}
            if self.columns is None
            else {name: self.sample[:, i] for i, name in enumerate(self.columns)}
        )
        steps = [] if self.columns is None else [{"kind": "matrix", "columns": list(self.columns)}]
        for name, estimator in self.members.items():
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "X does not have valid feature names")
                exported = to_artifact(estimator, self.sample)
                reference = answers(estimator, self.sample)
            if exported.reason is not None:
                warnings.warn(
                    f"Member '{name}' is served by scikit-learn in a process of its own (skops), which is slower than "
                    f"ONNX: {exported.reason}.",
                    stacklevel=3,
                )
            if self._registered(registry, name, exported.files):
                continue
            register_model(
                registry,
                name=name,
                format=exported.format,
                files=exported.files,
                signature=self.signature,
                tensors=exported.tensors,
                output_name=exported.output_name,
                preprocess=steps,
                options=exported.options,
                sample_raw=raw,
                reference_output=reference,
                metrics=self._metrics(reference),
            )

    def _registered(self, registry: Registry, name: str, files: Mapping[str, bytes]) -> bool:
        try:
            newest = registry.manifest(name)
        except RegistryError:
            return False
        same = newest.digest == digest_of({file: registry.blobs.put(data) for file, data in files.items()})
        return same and newest.signature == self.signature

    def _metrics(self, reference: NDArray[Any]) -> dict[str, float]:
        if self.truth is None or self.output.kind != "scores":
            return {}
        labels = np.array(self.output.classes)[reference.argmax(axis=1)]
        return {"validation_accuracy": float((labels == self.truth.astype(str)).mean())}


class Endpoint:
    """A pool served under one name.

    ``strategies`` and the other settings are those of an endpoint in ``quorate.yaml``; by default there is a soft vote
    (a mean for regression), a hard vote, one ``single`` per member and, with ``truth``, a weighted vote; the soft
    vote answers and callers may choose. ``project`` is the folder where models, decisions and a readable
    ``quorate.yaml`` go: ``./quorate-NAME`` by default.
    """

    def __init__(
        self,
        name: str,
        pool: Pool,
        *,
        strategies: Mapping[str, Mapping[str, Any]] | None = None,
        policy: Any = None,
        project: str | Path | None = None,
        **settings: Any,
    ) -> None:
        self.name = name
        self.pool = pool
        self.home = Home(Path(project if project is not None else f"quorate-{name}").resolve())
        chosen = {k: dict(v) for k, v in strategies.items()} if strategies is not None else self._default_strategies()
        section: dict[str, Any] = {"pool": pool.name or name, "strategies": chosen}
        if strategies is None:
            section |= {"policy": next(iter(chosen)), "caller_may_choose": True}
        if policy is not None:
            section["policy"] = policy
        task = "classification" if pool.output.kind == "scores" else "regression"
        # An endpoint and a model cannot have one name; a pool may have the endpoint's.
        self.config = {
            "pools": {pool.name or name: {"task": task, "members": list(pool.members)}},
            "endpoints": {name: section | settings},
        }
        build(self.config)

    def _default_strategies(self) -> dict[str, dict[str, Any]]:
        scores = self.pool.output.kind == "scores"
        found: dict[str, dict[str, Any]] = {"soft-vote": {"kind": "vote"}} if scores else {"mean": {"kind": "mean"}}
        if scores:
            found["hard-vote"] = {"kind": "vote", "voting": "hard"}
        if scores and self.pool.truth is not None:
            found["weighted"] = {"kind": "weighted", "weights": "log-odds"}
        return found | {name: {"kind": "single", "member": name} for name in self.pool.members}

    def save(self) -> Home:
        """Register the members and write ``quorate.yaml``; :class:`ConfigError` if somebody wrote one by hand."""
        config = self.home.config
        if config.exists() and not config.read_text().startswith(_MARK):
            raise ConfigError(
                f"{config} was not written by quorate.Endpoint and is left alone; give another project folder."
            )
        self.home.state.mkdir(parents=True, exist_ok=True)
        self.pool.register(Registry(self.home.registry, SystemClock()))
        config.write_text(f"{_MARK}\n{yaml.safe_dump(self.config, sort_keys=False)}")
        return self.home

    def export(self, path: str | Path, strategy: str | None = None) -> Exported:
        """Save, and write one strategy, members and combiner, as one ONNX file; the one that answers if none is named.

        What it takes and answers is in :func:`quorate.control.export.export_strategy`, as are the errors.
        """
        home = self.save()
        registry = Registry(home.registry, SystemClock())
        routing = resolve(load(home.config.read_bytes(), home.config.name), registry).routing
        if strategy is None:
            policy = self.config["endpoints"][self.name].get("policy")
            strategy = policy if isinstance(policy, str) else None
        exported = export_strategy(routing, registry, self.name, strategy)
        Path(path).write_bytes(exported.model)
        return exported

    def serve(
        self,
        *,
        host: str | None = None,
        port: int | None = None,
        control_port: int | None = None,
        console_port: int | None = None,
        console: bool | None = None,
        workers: int | None = None,
        grpc_port: int | None = None,
        block: bool = True,
    ) -> Server:
        """Save and serve; returns when the server has stopped, or with ``block=False`` as soon as it is ready."""
        overrides = Overrides(host, port, control_port, console_port, console, workers, grpc_port=grpc_port)
        server = Server(prepare(self.save(), overrides))
        if block:
            server.wait()
        return server


class Server:
    """A running project: its supervisor is a child process that stops when this process ends, however it ends."""

    def __init__(self, launch: Launch) -> None:
        shown = f"[{launch.host}]" if ":" in launch.host else launch.host
        self.url = f"http://{shown}:{launch.port}"
        self.control_url = f"http://{shown}:{launch.control_port}"
        self.console_url = None if launch.console_port is None else f"http://{shown}:{launch.console_port}"
        self.grpc_address = None if launch.grpc_port is None else f"{shown}:{launch.grpc_port}"
        life_read, self._life = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*launch.argv, str(life_read)],
                stdin=subprocess.DEVNULL,
                pass_fds=(launch.lock, life_read),
                process_group=0,  # a terminal's Ctrl-C comes to us; wait() passes it on once
            )
        finally:
            os.close(life_read)
            os.close(launch.lock)
        self._await_ready()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise NotReady(
                    f"The server ended with status {self._process.returncode} before it was ready; see above."
                )
            try:
                with urllib.request.urlopen(f"{self.url}/v2/health/ready", timeout=1):  # noqa: S310 - our own address
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        self.stop()
        raise NotReady(f"The server was not ready within {START_TIMEOUT:g} s; see its log above.")

    def wait(self) -> None:
        """Block until the server stops; Ctrl-C stops it."""
        try:
            self._process.wait()
        except KeyboardInterrupt:
            self.stop()

    def stop(self) -> None:
        """Drain and stop; a second call does nothing."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait()
        if self._life >= 0:
            os.close(self._life)
            self._life = -1

    def experiments(self, api_key: str | None = None) -> Experiments:
        """Experiments on its endpoints: register, start, conclude. Needs the extra ``client``; close what you get."""
        from quorate.client.experiments import Experiments

        return Experiments(self.control_url, api_key)

    def learners(self, api_key: str | None = None) -> Learners:
        """What its policies have learned: look, reset, warm-start. Needs the extra ``client``; close what you get."""
        from quorate.client.learners import Learners

        return Learners(self.control_url, api_key)

    def pool_audits(self, api_key: str | None = None) -> PoolAudits:
        """Audits of its pools: ask, follow, stop. Needs the extra ``client``; close what you get."""
        from quorate.client.pool_audits import PoolAudits

        return PoolAudits(self.control_url, api_key)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "running" if self._process.poll() is None else "stopped"
        return f"<Server {self.url} {state}>"


def _matrix(sample: Any) -> NDArray[np.float32]:
    try:
        matrix = np.asarray(sample, np.float32)
    except (ValueError, TypeError):
        raise InvalidInput(
            "sample must be numbers; encode text columns inside the estimator's pipeline.", path="sample"
        ) from None
    if matrix.ndim != 2 or not len(matrix):
        raise InvalidInput(f"sample must be rows [n, k], at least one; got {list(matrix.shape)}.", path="sample")
    return matrix


def _said(output: OutputSpec) -> str:
    return f"{output.kind} {', '.join(output.classes or output.names)[:100]}"
