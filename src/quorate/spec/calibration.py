"""``endpoints.NAME.strategies.NAME``: what makes a strategy's confidences true, and keeps them so."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_REF = r"^[a-z0-9][a-z0-9._-]{0,127}(:[1-9][0-9]{0,8}|@[a-z0-9][a-z0-9._-]{0,127})?$"


class CalibratedSpec(BaseModel):
    """Settings of calibration, which all strategies have."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)

    calibrate: Annotated[
        str | None,
        Field(pattern=_REF, description="A fitted calibration of the registry, applied to what was combined."),
    ] = None
    refit: Annotated[
        Literal["auto", "off"],
        Field(description="auto: fit the calibration again, as a new revision, when outcomes show that it is off."),
    ] = "off"
    refit_above: Annotated[
        float,
        Field(gt=0, lt=1, description="Off: the lower limit of the calibration error of recent outcomes is above it."),
    ] = 0.02
