"""``endpoints.NAME.capture``: which inputs are kept, what of them, and how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from quorate.spec.sizes import Size

Filter = Literal["errors", "degraded", "disagreement", "low_confidence"]


class _Part(BaseModel):
    """As the other sections are."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


class InputRedaction(_Part):
    """What of an input is not kept as it came."""

    columns: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=200)], Literal["remove", "hash"]],
        Field(description="Input columns that are removed, or replaced by a keyed hash, before anything is written."),
    ] = {}


class CaptureSpec(_Part):
    """Which inputs are kept, what of them, and how long."""

    sample: Annotated[
        float, Field(ge=0, le=1, description="Share of decisions whose input is kept; chosen by their id.")
    ] = 1.0
    only: Annotated[
        tuple[Filter, ...],
        Field(description="Of the sampled decisions only those that are one of these; all of them by default."),
    ] = ()
    confidence_below: Annotated[
        float, Field(gt=0, le=1, description="What 'low_confidence' means: a row's best probability is below this.")
    ] = 0.6
    redact: Annotated[InputRedaction | None, Field(description="What of an input is not kept as it came.")] = None
    images: Annotated[
        Literal["original", "resized"],
        Field(description="Images as they came, or decoded, made smaller and encoded again without their metadata."),
    ] = "original"
    image_side: Annotated[int, Field(ge=8, le=16_384, description="Longest side of a resized image, in pixels.")] = 512
    keep_days: Annotated[
        float | None, Field(gt=0, le=36_500, description="Days that captured inputs are kept; null: for ever.")
    ] = 30.0
    keep_bytes: Annotated[
        Size | None, Field(description="Bytes that the captured inputs of all slots may take; null: any number.")
    ] = 5 * 1024**3
