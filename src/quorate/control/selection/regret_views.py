"""What the control port answers about regret."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quorate.control.view import View


class RegretPoint(View):
    """What was lost in the first ``rows`` rows, the last of which arrived at ``at`` (Unix seconds); ``others`` has it
    by name, and ``regret`` is against the least of them."""

    at: float
    rows: int
    served: float
    others: dict[str, float]
    regret: float | None


class RegretOther(View):
    """One that could have answered alone, and what it would have lost of the rows that are compared.

    ``basis``: ``known`` losses, an ``estimate`` with its 95 % interval, or nothing (``unknown``).
    """

    name: str
    kind: Literal["strategy", "member"]
    basis: Literal["known", "estimate", "unknown"]
    loss: float | None
    low: float | None
    high: float | None
    regret: float | None = Field(description="What was served lost so much more; negative: less.")


class ExpertLoss(View):
    """An expert of a combiner that learns: the trust in it, and what it has lost so far."""

    name: str
    trust: float
    loss: float


class ExpertPoint(View):
    """A combiner at Unix time ``at``, from so many ``rows``: what it lost, the least that an expert lost, their
    difference, and how much that may be."""

    at: float
    rows: int
    own: float | None
    best: str
    least: float
    regret: float | None
    certificate: float


class CombinerRegret(View):
    """A combiner that learns against its experts, since it began: a draw by its trust is what the bound is about.

    ``own`` and ``regret`` are None where a part was learned by a release that did not keep it.
    """

    strategy: str
    kind: str
    unit: Literal["mistakes", "squared error"]
    rows: int
    own: float | None
    regret: float | None
    certificate: float
    experts: list[ExpertLoss]
    points: list[ExpertPoint]


class PolicyBound(View):
    """The regret that the policy's kind promises in expectation, at most, after ``rows`` rows; see
    :meth:`quorate.core.select.base.Policy.regret_bound`."""

    value: float
    rows: int


class RegretView(View):
    """What was served against each strategy and member, of the newest rows whose outcome is known.

    ``known`` says whose losses are: ``all``, of every strategy and member compared, since outputs are on record;
    ``drawn``, that of the drawn strategy only; ``none``, there are no rows. ``rows`` are compared, of ``outcomes`` with
    a known loss; ``left_out`` counts others by why. ``whole``: there are no older rows. ``combiners`` are counted since
    they began to learn.
    """

    endpoint: str
    policy: str
    learns: bool
    metric: str
    unit: Literal["mistakes", "absolute error", "rewards"]
    known: Literal["all", "drawn", "none"]
    rows: int
    outcomes: int
    since: float | None
    until: float | None
    whole: bool
    served: float | None
    best: str | None
    regret: float | None
    others: list[RegretOther]
    points: list[RegretPoint]
    left_out: dict[str, int]
    bound: PolicyBound | None
    combiners: list[CombinerRegret]
