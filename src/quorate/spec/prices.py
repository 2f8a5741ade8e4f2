"""What computing costs: prices for the money that reports name."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Price = Annotated[float, Field(ge=0, le=1e9)]


class PricesSpec(BaseModel):
    """What computing costs; what has no price here is not part of the money that reports name."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)

    currency: Annotated[
        str | None, Field(min_length=1, max_length=16, description="What the prices are in, such as EUR.")
    ] = None
    cpu_hour: Annotated[Price | None, Field(description="An hour of one processor core in use.")] = None
    gib_hour: Annotated[Price | None, Field(description="An hour of one GiB of memory.")] = None
    thousand_requests: Annotated[
        Price | None, Field(description="1,000 requests, whatever they need: what an upstream charges, or a gateway.")
    ] = None
