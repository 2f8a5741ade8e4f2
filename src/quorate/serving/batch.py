"""One run of a unit on the rows of several requests, and each request's part of what came out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from quorate.core.types import FloatArray, OutputSpec, Status, StatusArray
from quorate.preprocess.features import features_of
from quorate.runtimes.signature import usable
from quorate.serving.feed import Feed, joined

OK, FAILED = int(Status.OK), int(Status.FAILED)  # numpy is slow with enum members

T = TypeVar("T")


class Batch:
    """What a run gave: ``values`` float32 ``[n, m, k]`` over the unit's members and ``status`` int8 ``[n, m]``.

    ``flawless``: every member kept its promise on every row. ``started`` is monotonic seconds, ``elapsed`` the run's
    milliseconds, ``feeds`` what it ran on. :meth:`once` keeps what is worked out for all rows together and used by
    many requests.
    """

    __slots__ = ("_kept", "elapsed", "feeds", "flawless", "started", "status", "values")

    def __init__(
        self, values: FloatArray, output: OutputSpec, started: float, elapsed: float, feeds: Sequence[Feed] = ()
    ) -> None:
        rows, members, width = values.shape
        good = usable(values.reshape(-1, width), output)
        self.flawless = bool(good.all())
        if self.flawless:
            self.status: StatusArray = np.zeros((rows, members), np.int8)
        else:
            good = good.reshape(rows, members)
            self.status = np.where(good, OK, FAILED).astype(np.int8)
            values = np.where(good[:, :, None], values, np.float32(np.nan))
        self.values = values
        self.started = started
        self.elapsed = elapsed
        self.feeds = feeds
        self._kept: dict[Hashable, object] = {}

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """``make()``, called for the first who asks for ``key``."""
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = make()
        return found  # type: ignore[return-value]

    def features(self, pipeline: int) -> FloatArray:
        """The rows as a pipeline of the pool prepared them, flattened: float32 ``[n, d]``."""
        return self.once(("features", pipeline), lambda: features_of(joined(self.feeds, pipeline)))


class Part(NamedTuple):
    """The rows ``start`` to ``stop`` of a batch: one request's."""

    batch: Batch
    start: int
    stop: int

    @property
    def values(self) -> FloatArray:
        """``[n, m, k]`` over the unit's members; shared, not to be written to."""
        return self.batch.values[self.start : self.stop]

    @property
    def status(self) -> StatusArray:
        """``[n, m]``; shared, not to be written to."""
        return self.batch.status[self.start : self.stop]

    def features(self, pipeline: int) -> FloatArray:
        """``[n, d]``, of one of the pool's pipelines; shared, not to be written to."""
        return self.batch.features(pipeline)[self.start : self.stop]

    @property
    def flawless(self) -> bool:
        """Whether every member kept its promise on these rows."""
        return self.batch.flawless or not self.status.any()
