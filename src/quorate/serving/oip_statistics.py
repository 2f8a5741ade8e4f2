"""Open Inference Protocol v2: the statistics extension as JSON.

Its fields are those of Triton's document "Statistics Extension" (docs/protocol/extension_statistics.md of the server);
what is not counted here is 0 or empty, as it is over gRPC.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from quorate.errors import NotFound
from quorate.serving import statistics
from quorate.serving.generation import Generation
from quorate.serving.statistics import Duration, Statistics

_NOTHING = Duration()
_NOT_COUNTED = ("compute_input", "compute_output", "cache_hit", "cache_miss")


async def of(generation: Generation, folder: Path | None, name: str, version: str | None) -> dict[str, Any]:
    """The body of an answer about the endpoint or model of that name, or about all; ``folder`` is where workers count.

    :class:`NotFound` says what there is.
    """
    if folder is None:
        raise NotFound("This server keeps no statistics; start it with `quorate serve`.")
    series = await asyncio.to_thread(statistics.read, folder)
    return document(statistics.statistics(generation, series, name, version or ""))


def document(found: Iterable[Statistics]) -> dict[str, Any]:
    """Statistics as the extension's object."""
    return {"model_stats": [_model(one) for one in found]}


def _model(one: Statistics) -> dict[str, Any]:
    durations = {**dict.fromkeys(_NOT_COUNTED, _NOTHING), **one.durations}
    return {
        "name": one.name,
        "version": one.version,
        "last_inference": 0,
        "inference_count": one.inference_count,
        "execution_count": one.execution_count,
        "inference_stats": {name: {"count": spent.count, "ns": spent.ns} for name, spent in durations.items()},
        "response_stats": {},
        "batch_stats": [],
        "memory_usage": [],
    }
