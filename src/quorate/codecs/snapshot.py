"""The routing manifest: everything the serving side obeys, resolved, versioned and written atomically.

A snapshot folder holds ``routing-<version>.json`` files and ``CURRENT``, which names one of them. A reader sees
the old manifest or the new one, never a mixture. All artifacts are named by digest; the bytes are in the registry.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from quorate.core.outcomes import OutcomeRules
from quorate.core.types import Signature, TensorSpec
from quorate.core.value import ValueSpec
from quorate.errors import NotReady

FORMAT = 1
READS = (1,)
THREADS = "intra_op_threads"
THREADED = frozenset({"onnx", "tflite"})
"""Formats whose runs may have several threads each."""
"""The option of an ONNX member that says how many threads a run has."""


class MemberRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model version, resolved: what to load and how to feed it.

    ``files`` maps relative file names to blob digests. ``preprocess`` is the declared steps from the signature's
    raw input to ``tensors``. ``sample`` is the digest of an ``.npz`` blob with held-out raw rows (``input.NAME``)
    and the member's outputs on them (``output``): warm-up and parity use it.
    """

    name: str
    version: int
    format: str
    digest: str
    files: dict[str, str]
    signature: Signature
    tensors: tuple[TensorSpec, ...]
    output_name: str
    preprocess: list[dict[str, Any]]
    options: dict[str, Any] = {}
    sample: str | None = None

    @property
    def threads(self) -> int | None:
        """How many threads a run of a member has, where it says so itself."""
        return self.options.get(THREADS) if self.format in THREADED else None


class GraphRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """ONNX members of a pool fused into one graph, whose one output has ``members`` on its second axis, in order.

    ``outputs`` maps member name to the graph's output tensor. Where ``members`` is empty, the previous release compiled
    the graph: it has a tensor for each member, and with ``alone`` is run one row at a time.
    """

    digest: str
    outputs: dict[str, str]
    input_name: str
    alone: bool = False
    members: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[str, ...]:
        """The members that the graph answers for, in the order of its answers."""
        return self.members or tuple(self.outputs)


class PoolRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pool; the order of ``members`` is the order of the member axis everywhere.

    ``graph`` fuses as many members as can be; ``stages`` fuse those that a plan asks together and the others not.
    """

    name: str
    task: str
    signature: Signature
    members: tuple[MemberRoute, ...]
    graph: GraphRoute | None = None
    stages: tuple[GraphRoute, ...] = ()

    @property
    def graphs(self) -> tuple[GraphRoute, ...]:
        """All fused graphs."""
        return self.stages if self.graph is None else (self.graph, *self.stages)


class PoolRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How workers run a pool, which is no part of what it answers; without ``threads`` or ``lanes`` they measure.

    ``replicas`` are the processes of members that run in processes of their own, where they have more than one;
    ``max_batch_rows`` the rows of one run, of members that are not to be given more.
    """

    pinned: bool = True
    threads: int | None = None
    lanes: int | None = None
    replicas: dict[str, int] = {}
    max_batch_rows: dict[str, int] = {}


class CalibrationRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done to a strategy's answers: version ``version`` of the fitted calibration ``state``, by its file map.

    With ``refit`` it is fitted again when the lower limit of the calibration error is above ``above``.
    """

    state: str
    version: int
    files: dict[str, str]
    refit: bool = False
    above: float = 0.02


class ConformalRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A strategy's sets and intervals: ``state`` is the digest of the fitted state's file map, ``coverage`` that of
    requests that do not ask for one (None: no set)."""

    state: dict[str, str]
    coverage: float | None = None
    adaptive: bool = False
    abstain: Literal["never", "ambiguous"] = "never"


class StrategyRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A strategy: ``members`` are names in the pool, ``state`` the digest of its fitted state's file map.

    ``plan`` is ``all`` where its members are asked at once; of another, ``stages`` are those that it asks together.
    """

    name: str
    kind: str
    members: tuple[str, ...]
    quorum: int
    params: dict[str, Any] = {}
    plan: str = "all"
    plan_params: dict[str, Any] = {}
    state: dict[str, str] | None = None
    interpretable: bool = False
    stages: tuple[tuple[str, ...], ...] = ()
    calibrate: CalibrationRoute | None = None
    conformal: ConformalRoute | None = None

    @property
    def fitted(self) -> tuple[dict[str, str], ...]:
        """The file maps of what was fitted for it: its combiner's state, its calibration, its conformal scores."""
        calibration = None if self.calibrate is None else self.calibrate.files
        found = (self.state, calibration, None if self.conformal is None else self.conformal.state)
        return tuple(files for files in found if files is not None)


class RewardRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a policy learns from: a metric, of which ``low`` counts as 0 and ``high`` as 1."""

    metric: str = "accuracy"
    low: float = 0.0
    high: float = 1.0


class PolicyRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A policy; ``sticky`` is a context key (without the ``context.`` prefix) or None for per-request assignment.

    ``reward`` is set where the policy learns. ``salt`` has sticky units assigned anew: those of an experiment do not
    have the arms of an earlier one.
    """

    kind: str
    params: dict[str, Any] = {}
    blind: bool = False
    sticky: str | None = None
    reward: RewardRoute | None = None
    salt: str = ""


class CacheRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many answers are kept for exactly the same input, and how long."""

    entries: int
    bytes: int
    seconds: float


class RecordRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of a decision is recorded; see ``core/record.py``."""

    sample: float = 1.0
    omit: tuple[Literal["outputs", "context"], ...] = ("outputs",)
    redact: dict[str, Literal["remove", "hash"]] = {}


class CaptureRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which inputs are kept and what of them (``core/capture.py``); control keeps them for ``keep_days`` at most."""

    sample: float = 1.0
    only: tuple[str, ...] = ()
    confidence_below: float = 0.6
    columns: dict[str, Literal["remove", "hash"]] = {}
    images: Literal["original", "resized"] = "original"
    image_side: int = 512
    keep_days: float | None = 30.0
    keep_bytes: int | None = 5 * 1024**3


class EndpointRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One endpoint at one revision."""

    name: str
    revision: int
    pool: str
    strategies: tuple[StrategyRoute, ...]
    policy: PolicyRoute
    fallback: tuple[str, ...] = ()
    deadline_ms: float = 1000.0
    caller_may_choose: bool = False
    on_member_failure: str = "degrade"
    on_full: str = "drop"
    queue_ms: float | None = None
    max_in_flight: int | None = None
    cache: CacheRoute | None = None
    record: RecordRoute = RecordRoute()
    outcomes: OutcomeRules = OutcomeRules()
    value: ValueSpec | None = None
    capture: CaptureRoute | None = None


class FrontRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a front sends requests for which the condition ``when`` is true."""

    when: str
    to: str


class FrontRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name that sends each request on to an endpoint, or to another front: by its first rule that is true."""

    name: str
    revision: int
    rules: tuple[FrontRule, ...]
    otherwise: str
    timezone: str = "UTC"


class KeyRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An API key: SHA-256 of the secret, hex; the secret itself is nowhere."""

    id: str
    sha256: str
    roles: tuple[str, ...]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request may be at most, and its connection: ``head_s`` and ``idle_s`` are seconds."""

    body_bytes: int = 32 * 1024 * 1024
    image_pixels: int = 50_000_000
    rows: int = 10_000
    json_depth: int = 32
    connections: int = 16_384
    head_s: float = 10.0
    idle_s: float = 75.0
    batch_bytes: int = 64 * 1024**3
    spool_bytes: int = 1024**3


class ShipSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where finished journal files are copied: a folder or URL, or a command with ``{path}`` and ``{name}`` in it."""

    to: str | None = None
    command: tuple[str, ...] | None = None
    attempts: int = 8
    timeout_s: float = 300.0


class JournalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How decisions are kept; workers write by the first five (``serving/journal.py``), control keeps by the others."""

    durability: str = "process"
    ring: str | None = "/dev/shm"  # noqa: S108 - files in it are made as those of tempfile are
    segment_bytes: int = 16 * 1024 * 1024
    pending_bytes: int = 32 * 1024 * 1024
    stall_ms: float = 1000.0
    compact: bool = True
    keep_days: float | None = None
    keep_bytes: int | None = None
    keep_until_shipped: bool = False
    ship: ShipSettings | None = None


class JobSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the control process runs jobs; ``inputs`` is a folder of the project that their inputs may lie in."""

    inputs: str | None = None
    at_once: int = 2
    keep: int = 100
    keep_days: float = 7.0


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What computing costs, in ``currency``; None where a price is not known."""

    currency: str | None = None
    cpu_hour: float | None = None
    gib_hour: float | None = None
    thousand_requests: float | None = None


class Routing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole manifest; ``version`` grows by one with every publication.

    ``secret`` is the project's own, made at its first apply: without it nobody can compute which arm of a blind
    endpoint a sticky unit has. ``runs`` are the settings of pools by name, where they are not the default;
    ``memory_budget`` is the bytes that a worker's pools may take.
    """

    version: int
    pools: tuple[PoolRoute, ...] = ()
    endpoints: tuple[EndpointRoute, ...] = ()
    keys: tuple[KeyRoute, ...] = ()
    limits: Limits = Limits()
    journal: JournalSettings = JournalSettings()
    jobs: JobSettings = JobSettings()
    hosts: tuple[str, ...] = ()
    secret: str = ""
    runs: dict[str, PoolRun] = {}
    memory_budget: int | None = None
    fronts: tuple[FrontRoute, ...] = ()
    prices: Prices = Prices()
    format: int = FORMAT


def current_version(folder: Path) -> int | None:
    """Version that ``CURRENT`` names, or None where nothing was published; cheap enough to poll."""
    try:
        name = (folder / "CURRENT").read_text("ascii").strip()
    except FileNotFoundError:
        return None
    return int(name.removeprefix("routing-").removesuffix(".json"))


def read(folder: Path) -> Routing:
    """Read the current manifest; :class:`NotReady` if there is none or this release cannot read it."""
    version = current_version(folder)
    if version is None:
        raise NotReady(f"No snapshot in {folder}: nothing was applied yet; run `quorate apply`.")
    raw = (folder / f"routing-{version}.json").read_bytes()
    found = msgspec.json.decode(raw, type=dict[str, Any]).get("format")
    if found not in READS:
        raise NotReady(
            f"The snapshot in {folder} has format {found}; this release reads {READS}. Upgrade, or run `quorate apply`."
        )
    return msgspec.json.decode(raw, type=Routing)


def read_or_empty(folder: Path) -> Routing:
    """As :func:`read`, but a manifest of nothing (version 0) where nothing was published yet."""
    return Routing(version=0) if current_version(folder) is None else read(folder)


def write(folder: Path, routing: Routing, *, keep: int = 5) -> None:
    """Publish a manifest: file first, then ``CURRENT``, each by fsync and rename; old ones beyond ``keep`` go."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"routing-{routing.version}.json"
    _replace(folder / name, msgspec.json.format(msgspec.json.encode(routing), indent=1))
    _replace(folder / "CURRENT", name.encode())
    versions = sorted(int(p.stem.removeprefix("routing-")) for p in folder.glob("routing-*.json"))
    for old in versions[:-keep]:
        (folder / f"routing-{old}.json").unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # Not for other users: who knows the secret can tell the arms of blind endpoints.
    with open(temporary, "wb", opener=_private) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
