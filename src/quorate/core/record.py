"""What of a decision is recorded: redaction of the context and sampling of bodies, before anything is written.

A redacted key is removed, or its value replaced by a keyed hash, so that equal values stay equal and nobody without
the project's secret can try values out. The sticky unit is treated as the key it came from. Of decisions that are not
sampled the record lacks what is omitted; everything that metrics, propensities and outcomes need stays: times,
strategies, members with status and latency, the answer, the digest of the input. Omitted outputs have width 0, and
features are omitted with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np

from quorate.core.types import Decision, Scalar

Treatment = Literal["remove", "hash"]
_KEY = 64  # bytes that BLAKE2b takes as its key


class KeyedHash:
    """Replaces values by 128 bits in hexadecimal: equal values stay equal, and nobody without ``secret`` can try any.

    A value counts as its text, so the hash of a unit is that of the context value it was made from.
    """

    __slots__ = ("_key",)

    def __init__(self, secret: str) -> None:
        self._key = hashlib.blake2b(f"redaction {secret}".encode(), digest_size=_KEY).digest()

    def __call__(self, value: Scalar) -> str:
        """The hash of a value."""
        return hashlib.blake2b(str(value).encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).hexdigest()


class Recorder:
    """The rules of one endpoint: ``sample`` is the share of decisions recorded whole, ``omit`` what the others lack
    (``outputs``, ``context``), ``redact`` the treatment of context keys, ``sticky`` the key of the unit."""

    __slots__ = ("_context", "_hash", "_limit", "_outputs", "_redact", "_unit", "changes")

    def __init__(
        self,
        sample: float = 1.0,
        omit: Collection[str] = ("outputs",),
        redact: Mapping[str, Treatment] | None = None,
        *,
        sticky: str | None = None,
        secret: str = "",
    ) -> None:
        self._limit = sample
        self._outputs = "outputs" in omit
        self._context = "context" in omit
        self._redact = dict(redact or {})
        self._unit = None if sticky is None else self._redact.get(sticky)
        self._hash = KeyedHash(secret)
        self.changes = sample < 1 or bool(self._redact)
        """Whether any record differs from its decision; where not, :meth:`record` need not be called."""

    def record(self, decision: Decision) -> Decision:
        """The decision as it is written to the journal."""
        if not self.changes:
            return decision
        context = self._redacted(decision.context)
        unit = self._treated(decision.unit, self._unit)
        outputs, features = decision.outputs, decision.features
        if not sampled(decision.id, self._limit):
            if self._outputs:
                outputs, features = np.empty((*outputs.shape[:2], 0), outputs.dtype), None
            if self._context:
                context = {}
        return decision._replace(context=context, unit=unit, outputs=outputs, features=features)

    def _redacted(self, context: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
        redact = self._redact
        if not any(key in redact for key in context):
            return context
        return {
            key: self._hash(value) if key in redact and value is not None else value
            for key, value in context.items()
            if redact.get(key) != "remove"
        }

    def _treated(self, unit: str | None, how: Treatment | None) -> str | None:
        if how is None or unit is None:
            return unit
        return None if how == "remove" else self._hash(unit)


def sampled(decision_id: str, share: float) -> bool:
    """Whether a decision of that id is in a sample of ``share``; always the same for an id, and a larger share keeps
    all of a smaller one.

    >>> sampled("0190b3a0-1234-7000-8000-000000000001", 1.0), sampled("0190b3a0-1234-7000-8000-000000000001", 0.0)
    (True, False)
    """
    if share >= 1:
        return True
    digest = hashlib.blake2b(decision_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") < share * 2.0**64
