"""Erasing one subject: which records are of it, and what is left of a decision afterwards.

A subject is known by a keyed hash of its value, so that nothing has to remember the value itself: values that are
recorded in clear are hashed and compared, values that were recorded hashed are compared as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from quorate.core.capture import ERASED
from quorate.core.types import NOTHING, Decision, Scalar


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose records are meant: by the context's ``key``, by the ``unit`` of sticky assignment, or by ``decisions``.

    ``hashed`` is the keyed hash of the value that key or unit must have. A ``key`` with ``unit`` means either.
    """

    hashed: str = ""
    key: str | None = None
    unit: bool = False
    decisions: frozenset[str] = frozenset()

    def matches(
        self, id_: str, context: Mapping[str, Scalar], unit: str | None, keyed: Callable[[Scalar], str]
    ) -> bool:
        """Whether a decision of that id, context and unit is the subject's; ``keyed`` is the project's keyed hash."""
        if id_ in self.decisions:
            return True
        if self.key is not None and self._is(context.get(self.key), keyed):
            return True
        return self.unit and self._is(unit, keyed)

    def _is(self, value: Scalar, keyed: Callable[[Scalar], str]) -> bool:
        return value is not None and self.hashed in (value, keyed(value))


def mark(token: str) -> str:
    """What the ``capture`` of a decision says that an erasure has taken out; ``token`` is that erasure's own.

    >>> mark("3f")
    'erased:3f'
    """
    return f"{ERASED}:{token}"


def is_erased(capture: str | None) -> bool:
    """Whether a decision was taken out by an erasure."""
    return capture is not None and capture.startswith(ERASED)


def anonymous(token: str) -> str:
    """The unit of a subject that was erased: its decisions still belong together, and to nobody."""
    return f"{ERASED}-{token}"


def blanked(decision: Decision, token: str) -> Decision:
    """What is left of a decision: times, strategies, propensities, members' outputs and the answer.

    Context, facts, features, input digest, request id, idempotency key and trace are gone, the unit is anonymous.
    """
    return decision._replace(
        context={},
        facts=NOTHING,
        features=None,
        unit=None if decision.unit is None else anonymous(token),
        input_digest=b"",
        request_id=None,
        idempotency_key=None,
        traceparent=None,
        capture=mark(token),
    )
