"""The settings of ``quorate.yaml``: what there is, of which type, with which default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    Tag,
)
from pydantic_core import CoreSchema

from quorate.spec.batch_rows import MaxBatchRows
from quorate.spec.calibration import CalibratedSpec
from quorate.spec.capture import CaptureSpec
from quorate.spec.conformal import AnyConformal
from quorate.spec.fronts import FrontSpec
from quorate.spec.outcomes import OutcomesSpec, ValueSpec
from quorate.spec.parameters import plugin_models
from quorate.spec.prices import PricesSpec
from quorate.spec.rule_forms import RULES
from quorate.spec.sizes import Size

NAME = r"^[a-z0-9][a-z0-9._-]{0,127}$"
REF = r"^[a-z0-9][a-z0-9._-]{0,127}(:[1-9][0-9]{0,8}|@[a-z0-9][a-z0-9._-]{0,127})?$"
CONTEXT_KEY = r"^[A-Za-z0-9_.-]{1,100}$"
STICKY = r"^context\.[A-Za-z0-9_.-]{1,100}$"
FOLDER = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){0,9}$"


def _always(name: str) -> Any:
    return PolicySpec.variants()["fixed"](kind="fixed", strategy=name)


def _policy_form(value: Any) -> str | None:
    return {str: "name", type(None): "none"}.get(type(value), "section")


Name = Annotated[str, Field(pattern=NAME)]
Ref = Annotated[str, Field(pattern=REF)]
Port = Annotated[int, Field(ge=1, le=65535)]


def _form(value: Any) -> str | None:
    return {dict: "by member", list: "in order", tuple: "in order", str: "computed", type(None): "none"}.get(
        type(value)
    )


Weights = Annotated[
    Annotated[dict[Name, float], Tag("by member")]
    | Annotated[tuple[float, ...], Tag("in order")]
    | Annotated[Literal["log-odds"], Tag("computed")]
    | Annotated[None, Tag("none")],
    Discriminator(
        _form,
        custom_error_type="weights_form",
        custom_error_message="Input should be weights by member, a list of weights or 'log-odds'",
    ),
]


class Section(BaseModel):
    """What all sections share: unknown keys and values of the wrong type are errors, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


class Plugged(Section):
    """A section whose ``kind`` names a plugin, which declares the rest of the keys."""

    family: ClassVar[str] = ""
    forms: ClassVar[dict[str, dict[str, Any]]] = {}
    """By kind, settings that are written more widely than the plugin's parameters, or besides them."""
    parameters: ClassVar[frozenset[str]] = frozenset()

    kind: str

    def params(self) -> dict[str, Any]:
        """The plugin's own parameters, defaults filled in, as JSON values."""
        return self.model_dump(mode="json", include=set(self.parameters))

    @classmethod
    def variants(cls) -> dict[str, type[Any]]:
        """The section's model for every installed plugin, by kind."""
        return plugin_models(cls)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if "family" not in cls.__dict__:
            return handler(source)  # the model of one plugin
        union: Any = Union[tuple(cls.variants().values())]  # noqa: UP007 - made at run time
        return handler.generate_schema(Annotated[union, Discriminator("kind")])


class PoolSpec(Section):
    """Models that answer the same question."""

    task: Annotated[Literal["classification", "regression"], Field(description="What the models answer.")]
    members: Annotated[
        tuple[Ref, ...],
        Field(min_length=1, description="Models of the registry: name, name:VERSION or name@ALIAS."),
    ]
    pinned: Annotated[
        bool, Field(description="Always in memory; or, under a memory budget, from its first request on.")
    ] = True
    threads: Annotated[
        int | None, Field(ge=1, le=256, description="Threads of one run in a worker; measured by default.")
    ] = None
    lanes: Annotated[
        int | None, Field(ge=1, le=64, description="Runs at once in a worker; by default what the cores allow.")
    ] = None
    replicas: Annotated[
        dict[Name, Annotated[int, Field(ge=1, le=64)]],
        Field(description="Processes of a member that runs in processes of its own, per worker; 1 by default."),
    ] = {}
    max_batch_rows: Annotated[
        MaxBatchRows, Field(description="Rows of one run at most, of every member or by member; more are run in parts.")
    ] = None


class StrategySpec(CalibratedSpec, Plugged):
    """Which members answer, and how their outputs become one answer."""

    family: ClassVar[str] = "combiners"
    forms: ClassVar[dict[str, dict[str, Any]]] = {
        "single": {"member": (Name | None, Field(default=None, description="The member that answers."))},
        "weighted": {
            "weights": (
                Weights,
                Field(
                    default=None,
                    description="One weight per member, by name or in order; or log-odds of the validation accuracies.",
                ),
            )
        },
    }

    members: Annotated[
        tuple[Name, ...] | None, Field(min_length=1, description="Members that run; all of the pool by default.")
    ] = None
    quorum: Annotated[
        int | None, Field(ge=1, description="Members that must answer; the endpoint's quorum by default.")
    ] = None
    state: Annotated[Ref | None, Field(description="A fitted combiner of the registry.")] = None
    conformal: Annotated[AnyConformal, Field(description="A fitted conformal state, or a section about it.")] = None
    interpretable: Annotated[bool, Field(description="People can follow how its answers come about.")] = False


class RewardSpec(Section):
    """What a policy learns from."""

    metric: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=64,
            description="accuracy, error (the absolute error, of numbers), or the name of a reward; by default the "
            "first or second, as the task is.",
        ),
    ] = None
    low: Annotated[float | None, Field(description="What counts as 0: the worst of the metric.")] = None
    high: Annotated[float | None, Field(description="What counts as 1: the best of the metric.")] = None


class PolicySpec(Plugged):
    """Which strategy answers a request."""

    family: ClassVar[str] = "policies"
    forms: ClassVar[dict[str, dict[str, Any]]] = {"rules": RULES}

    reward: Annotated[RewardSpec | None, Field(description="What it learns from, if it learns.")] = None

    blind: Annotated[bool, Field(description="Answers do not show which strategy gave them.")] = False
    sticky: Annotated[
        str | None,
        Field(
            pattern=STICKY,
            description="context.KEY: requests with the same value get the same strategy.",
        ),
    ] = None


if TYPE_CHECKING:
    AnyPolicy = PolicySpec | None
else:
    # No validator before these: what it returned would be no JSON any more, and lists would not fill tuples.
    AnyPolicy = Annotated[
        Annotated[Name, AfterValidator(_always), Tag("name")]
        | Annotated[PolicySpec, Tag("section")]
        | Annotated[None, Tag("none")],
        Discriminator(_policy_form),
    ]


class CacheSpec(Section):
    """Answers that are kept for exactly the same input, in each worker."""

    entries: Annotated[int, Field(ge=1, le=10_000_000, description="Answers kept at most.")] = 10_000
    bytes: Annotated[Size, Field(description="Bytes of the kept answers.")] = 16 * 1024 * 1024
    seconds: Annotated[float, Field(gt=0, le=86_400 * 365, description="An older answer is not used.")] = 300.0


class RecordSpec(Section):
    """What of a decision is written to the journal."""

    sample: Annotated[
        float, Field(ge=0, le=1, description="Share of decisions that are recorded whole; chosen by their id.")
    ] = 1.0
    omit: Annotated[
        tuple[Literal["outputs", "context"], ...],
        Field(min_length=1, description="What the others are recorded without: members' outputs, the context."),
    ] = ("outputs",)
    redact: Annotated[
        dict[Annotated[str, Field(pattern=CONTEXT_KEY)], Literal["remove", "hash"]],
        Field(description="Context keys that are removed, or replaced by a keyed hash, before anything is written."),
    ] = {}


class EndpointSpec(Section):
    """A pool, strategies and a policy under one name, with guards."""

    pool: Annotated[Name, Field(description="The pool that answers.")]
    strategies: Annotated[dict[Name, StrategySpec], Field(min_length=1, description="Ways to answer, by name.")]
    policy: Annotated[
        AnyPolicy,
        Field(description="Chooses the strategy; a strategy's name means always that one. Optional with one strategy."),
    ] = None
    fallback: Annotated[
        tuple[Name, ...], Field(description="Strategies tried in order when the chosen one cannot answer.")
    ] = ()
    deadline_ms: Annotated[float, Field(gt=0, le=3_600_000, description="Time to answer, in milliseconds.")] = 1000.0
    queue_ms: Annotated[
        float | None,
        Field(
            gt=0,
            le=3_600_000,
            description="A request that would wait longer in line is refused with 429; half the deadline by default.",
        ),
    ] = None
    max_in_flight: Annotated[
        int | None,
        Field(ge=1, le=1_000_000, description="Requests answered at once in a worker; more are refused with 429."),
    ] = None
    cache: Annotated[CacheSpec | None, Field(description="Keep answers for exactly the same input.")] = None
    quorum: Annotated[
        int, Field(ge=1, description="Members of a strategy that must answer; a 'single' strategy needs 1.")
    ] = 1
    caller_may_choose: Annotated[
        bool, Field(description="Callers may name the strategy; ignored while the policy is blind.")
    ] = False
    on_member_failure: Annotated[
        Literal["degrade", "fallback"],
        Field(description="Answer with the members that are left, or go to the fallback."),
    ] = "degrade"
    on_full: Annotated[
        Literal["shed", "drop"] | None,
        Field(
            description="When decisions cannot be written: refuse requests (shed), or answer and drop the record; by "
            "default drop, but shed where the policy learns."
        ),
    ] = None
    record: Annotated[RecordSpec, Field(description="What of a decision is recorded: sampling and redaction.")] = (
        RecordSpec()
    )
    outcomes: Annotated[
        OutcomesSpec, Field(description="Which of several outcomes count, and when one is expected.")
    ] = OutcomesSpec()
    value: Annotated[ValueSpec | None, Field(description="What answers are worth.")] = None
    capture: Annotated[CaptureSpec | None, Field(description="Keep the inputs of some requests.")] = None


class ServerSpec(Section):
    """Addresses and processes; read when the server starts."""

    host: Annotated[str, Field(min_length=1, max_length=255, description="Address all ports listen on.")] = "127.0.0.1"
    port: Annotated[Port, Field(description="Inference port.")] = 8000
    control_port: Annotated[Port, Field(description="Control port.")] = 8001
    grpc_port: Annotated[Port | None, Field(description="Port of gRPC; none: no gRPC.")] = None
    console: Annotated[bool, Field(description="Serve the page.")] = True
    console_port: Annotated[Port, Field(description="Port of the page.")] = 8002
    workers: Annotated[int, Field(ge=1, le=1024, description="Worker processes.")] = 1
    allowed_hosts: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=255)], ...],
        Field(description="Host headers accepted besides the server's own address."),
    ] = ()
    drain_s: Annotated[float, Field(ge=0, le=3600, description="Seconds for open requests at shutdown.")] = 10.0
    log_format: Annotated[Literal["text", "json"], Field(description="Log lines for people, or JSON objects.")] = "text"
    access_log: Annotated[bool, Field(description="A log line for every decision.")] = False


class LimitsSpec(Section):
    """What a request may be at most."""

    body_bytes: Annotated[Size, Field(description="Bytes of a request's body.")] = 32 * 1024 * 1024
    image_pixels: Annotated[int, Field(ge=1, description="Pixels of an image, before it is decoded.")] = 50_000_000
    rows: Annotated[int, Field(ge=1, description="Rows in a request.")] = 10_000
    json_depth: Annotated[int, Field(ge=1, le=256, description="Nesting of JSON.")] = 32
    connections: Annotated[int, Field(ge=1, le=1_000_000, description="Connections open at once, per worker.")] = 16_384
    head_s: Annotated[
        float, Field(gt=0, le=3600, description="Seconds in which the head of a request must arrive.")
    ] = 10.0
    idle_s: Annotated[
        float, Field(gt=0, le=86_400, description="Seconds for which a connection is kept between requests.")
    ] = 75.0
    batch_bytes: Annotated[Size, Field(description="Bytes of a whole batch, or of the input of a job.")] = 64 * 1024**3
    spool_bytes: Annotated[Size, Field(description="Bytes of a Parquet body, kept on disk while it is read.")] = 1024**3


class MemorySpec(Section):
    """What the pools of a worker may take."""

    budget: Annotated[
        Size | None, Field(description="Bytes of the pools in a worker's memory; any number by default.")
    ] = None


class ShipSpec(Section):
    """Where finished journal files are copied."""

    to: Annotated[
        str | None, Field(min_length=1, max_length=2000, description="A folder, or a URL that fsspec knows.")
    ] = None
    command: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...] | None,
        Field(min_length=1, description="A command instead, with {path} and {name} in its arguments."),
    ] = None
    attempts: Annotated[
        int, Field(ge=1, le=1000, description="Failures in a row after which a file is set aside for an hour.")
    ] = 8
    timeout_s: Annotated[float, Field(gt=0, le=86_400, description="Seconds that the command may take.")] = 300.0


class JournalSpec(Section):
    """How decisions are kept."""

    durability: Annotated[
        Literal["process", "power", "none"],
        Field(description="What an acknowledged decision survives: a killed process, a power cut, or neither."),
    ] = "process"
    ring: Annotated[
        str | None,
        Field(
            min_length=1,
            description="A folder in memory that outlives workers, for what the disk does not have yet; none: answers "
            "wait for the disk's cache.",
        ),
    ] = "/dev/shm"  # noqa: S108 - files in it are made as those of tempfile are
    segment_bytes: Annotated[Size, Field(description="A segment is sealed at this size.")] = 16 * 1024 * 1024
    pending_bytes: Annotated[Size, Field(description="Decisions waiting for the disk, per worker.")] = 32 * 1024 * 1024
    stall_ms: Annotated[
        float, Field(gt=0, le=600_000, description="A write that takes longer counts as a full disk.")
    ] = 1000.0
    compact: Annotated[bool, Field(description="Turn finished segments into Parquet files; needs the extra arrow.")] = (
        True
    )
    keep_days: Annotated[
        float | None, Field(gt=0, le=36_500, description="Days that decisions are kept; for ever by default.")
    ] = None
    keep_bytes: Annotated[
        Size | None, Field(description="Bytes that the journals of all slots may take; any number by default.")
    ] = None
    keep_until_shipped: Annotated[bool, Field(description="Delete only what was shipped.")] = False
    ship: Annotated[ShipSpec | None, Field(description="Copy finished files elsewhere.")] = None


class JobsSpec(Section):
    """Work that the control process does in the background."""

    inputs: Annotated[
        str | None,
        Field(pattern=FOLDER, description="A folder of the project; files in it may be a job's input by their path."),
    ] = None
    at_once: Annotated[int, Field(ge=1, le=64, description="Jobs that run at a time; others wait.")] = 2
    keep: Annotated[int, Field(ge=0, le=100_000, description="Finished jobs that are kept, with their results.")] = 100
    keep_days: Annotated[float, Field(ge=0, le=36_500, description="Days that a finished job is kept.")] = 7.0


class Spec(Section):
    """The whole configuration of a project."""

    pools: Annotated[dict[Name, PoolSpec], Field(description="Pools of models, by name.")]
    endpoints: Annotated[dict[Name, EndpointSpec], Field(description="Endpoints, by name.")]
    fronts: Annotated[dict[Name, FrontSpec], Field(description="Names that send requests on to endpoints.")] = {}
    server: ServerSpec = ServerSpec()
    limits: LimitsSpec = LimitsSpec()
    memory: MemorySpec = MemorySpec()
    journal: JournalSpec = JournalSpec()
    jobs: JobsSpec = JobsSpec()
    prices: PricesSpec = PricesSpec()
