"""What the control port shows of pool audits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from quorate.control.questions.views import Moment, QuestionErrorView, QuestionView, shown
from quorate.control.replay.routes import CountsView, EstimateView, FilesView
from quorate.control.view import View
from quorate.spec.model import NAME
from quorate.store.questions import StoredQuestion

Verdict = Literal["harmful", "redundant", "useful", "unclear"]


class PoolAuditRequest(BaseModel):
    """What is asked. Times are Unix seconds."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    name: Annotated[str, Field(pattern=NAME, description="An endpoint, or a pool: then all its endpoints' decisions.")]
    strategy: Annotated[
        str | dict[str, Any] | None,
        Field(description="How members are combined: a strategy's name, or a strategy as in quorate.yaml."),
    ] = None
    metric: Annotated[
        Literal["accuracy", "log_loss", "brier", "macro_f1", "mse", "mae"] | None,
        Field(description="By default accuracy, or mse of numbers."),
    ] = None
    margin: Annotated[
        float | None, Field(ge=0, le=1e12, description="What may be lost of the metric, in its own unit.")
    ] = None
    since: Moment | None = None
    until: Moment | None = None
    costs: Annotated[
        dict[Annotated[str, Field(pattern=NAME)], Annotated[float, Field(ge=0, le=1e12)]] | None,
        Field(description="The members' costs, in any one unit; by default measured milliseconds."),
    ] = None


class PoolMemberView(View):
    """A member: the metric of it alone, what the pool gains by it, and what is recommended."""

    name: str
    verdict: Verdict
    reason: str
    alone: EstimateView
    shapley: EstimateView
    leave_one_out: EstimateView
    kept: EstimateView | None
    cost: float | None


class PairView(View):
    """How alike two members are; `q` and `double_fault` are of classes, `correlation` is of numbers."""

    first: str
    second: str
    rows: int
    q: EstimateView | None
    disagreement: EstimateView
    double_fault: EstimateView | None
    correlation: EstimateView | None


class HeadroomView(View):
    """The metric of an oracle over the members, of the best single one and of the pool, and the gains between."""

    best_member: str
    oracle: EstimateView
    best: EstimateView
    ensemble: EstimateView
    over_best: EstimateView
    over_ensemble: EstimateView


class StepView(View):
    """A step of the search on the rows of the check: who leaves, who is left, and what that gains."""

    drops: str
    keeps: list[str]
    searched: float
    value: EstimateView
    gain: EstimateView
    by_step: EstimateView
    over_best: EstimateView | None
    holds: bool


class RecommendedView(View):
    """The recommended pool; `strategy` is what to write in quorate.yaml."""

    keep: list[str]
    drop: list[str]
    strategy: dict[str, Any] | None
    cost: float | None
    saves: float | None
    share: float | None


class CheckView(View):
    """The recommended pool replayed on rows that the search did not see."""

    rows: int
    whole: EstimateView
    recommended: EstimateView
    gain: EstimateView


class PoolAuditAnswerView(View):
    """What an audit came to; gains are positive where something is better, whatever the metric."""

    name: str
    endpoints: list[str]
    pool: str
    strategy: str | dict[str, Any]
    source: str
    since: float | None
    until: float | None
    metric: str
    higher_is_better: bool
    margin: float
    rows: int
    decisions: int
    searched: int
    thinned: float
    nothing: float
    whole: EstimateView
    members: list[PoolMemberView]
    pairs: list[PairView]
    headroom: HeadroomView
    steps: list[StepView]
    recommended: RecommendedView
    check: CheckView
    orders: int | None
    sampling: float
    unit: Literal["ms", "cost"] | None
    cost: float | None
    currency: str | None
    money_per_million: float | None
    summary: list[str]
    assumptions: list[str]
    warnings: list[str]
    counts: CountsView | None
    files: FilesView | None
    seconds: float


class PoolAuditErrorView(QuestionErrorView):
    """Why an audit could not answer."""


class PoolAuditView(QuestionView):
    """An audit. Times are Unix seconds."""

    name: str
    question: PoolAuditRequest
    answer: PoolAuditAnswerView | None
    error: PoolAuditErrorView | None


def view(found: StoredQuestion) -> PoolAuditView:
    """A stored audit as it is shown."""
    return shown(PoolAuditView, found, name=found.endpoint)
