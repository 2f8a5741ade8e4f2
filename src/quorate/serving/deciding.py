"""The record of an answer, from what is known of its request, its choice and its run."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.core.types import Decision, FloatArray, MemberRun, Source, StatusArray
from quorate.errors import NoQuorum
from quorate.serving import conformal
from quorate.serving.call import Call
from quorate.serving.endpoint import Choice, LoadedEndpoint
from quorate.serving.strategy import LoadedStrategy


def decision(
    id_: str,
    endpoint: LoadedEndpoint,
    choice: Choice,
    call: Call,
    served: LoadedStrategy | None,
    answer: FloatArray | None,
    *,
    degraded: bool,
    started: float,
    now: float,
    runs: Sequence[MemberRun],
    outputs: FloatArray,
    status: StatusArray,
    source: Source | None = None,
    features: FloatArray | None = None,
    withheld: Sequence[int] = (),
    cut: bool = False,
) -> Decision:
    """The decision of an answer ``[n, k]``, or of none, by strategy ``served``.

    ``withheld`` are the rows that are told none, and ``cut`` says that members were left out for want of time.
    ``started`` is when the first member began and ``now`` when the answer was there (monotonic seconds).
    """
    output, noted = endpoint.pool.route.signature.output, call.noted
    made = Decision(  # by position: it is done for every request
        id_,
        endpoint.name,
        endpoint.route.revision,
        choice.state_version,
        source or choice.source,
        call.arrived,
        (started - call.started) * 1000,
        (now - call.started) * 1000,
        call.context,
        endpoint.names,
        choice.propensities,
        choice.strategy.name,
        None if served is None else served.name,
        tuple(runs),
        outputs,
        status,
        answer,
        degraded,
        call.rows,
        call.digest,
        output.kind,
        output.classes or output.names,
        choice.unit,
        None if answer is not None else NoQuorum.code,
        bool(withheld),
        request_id=call.request_id,
        idempotency_key=call.idempotency_key,
        traceparent=call.traceparent,
        facts={**noted, **choice.facts} if noted else choice.facts,
        features=features,
        withheld=() if not withheld or len(withheld) == call.rows else tuple(withheld),
    )
    if call.coverage is None and not endpoint.promises:
        return made
    return conformal.settled(made, endpoint, choice, call, served, cut=cut)
