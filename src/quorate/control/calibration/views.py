"""What the control port tells of calibration."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from quorate.control.view import View


class ErrorView(View):
    """The expected calibration error without its bias, with 95 % limits."""

    value: float
    low: float
    high: float


class BinView(View):
    """Rows whose confidence lies between two values: their mean confidence, and the share that was right."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, serialize_by_alias=True)

    start: float = Field(alias="from")
    stop: float = Field(alias="to")
    confidence: float
    accuracy: float
    low: float = Field(description="The lower 95 % limit (Wilson) of the accuracy.")
    high: float
    rows: int


class RefitView(View):
    """How the calibration of a strategy stands, and whether it is to be fitted again."""

    state: str
    version: int
    method: str | None = Field(description="None where the state is lost.")
    auto: bool
    above: float = Field(description="It is off when the lower limit of the error is above this.")
    due: bool = Field(description="Whether it is off, at the level of the standing check.")
    until: float | None = Field(description="It has seen outcomes of decisions up to then, Unix seconds; none: null.")
    rows: int = Field(description="Rows with a truth that it could be fitted on.")
    needed: int = Field(description="Rows without which it is not fitted.")


class StrategyReliabilityView(View):
    """How often the confidences of one strategy come true."""

    strategy: str
    calibrated: bool
    rows: int = Field(description="The newest rows with a truth, on which the calibration was not fitted.")
    ece: ErrorView | None
    bins: list[BinView]
    refit: RefitView | None


class ReliabilityView(View):
    """Confidences against outcomes, by strategy, on the newest decisions whose truth is known."""

    endpoint: str
    strategies: list[StrategyReliabilityView]


class RefittedView(View):
    """A calibration that was fitted again, and is served. Errors are of rows that were held out."""

    endpoint: str
    strategy: str
    state: str
    version: int
    revision: int
    rows: int
    before: ErrorView
    after: ErrorView
