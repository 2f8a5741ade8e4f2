"""A blind answer: everything that could be told from outside is done for every arm before one arm is picked.

What differs between arms must not show in the status, and not in the time either. So every strategy's answer is
computed and copied into the same layout, and what is missing is asked of every strategy, also where only one counts.
"""

from __future__ import annotations

import numpy as np

from quorate.core.types import FloatArray
from quorate.serving.endpoint import Choice, LoadedEndpoint
from quorate.serving.execution import Execution
from quorate.serving.strategy import LoadedStrategy


def settle(
    endpoint: LoadedEndpoint, choice: Choice, execution: Execution
) -> tuple[LoadedStrategy | None, FloatArray | None, bool]:
    """The strategy that answers, its answer float32 ``[n, k]``, and whether that is degraded; no strategy, no answer.

    Where the assigned arm has no answer, the fallback has it, and after that any other arm the policy could have
    drawn: an arm that alone answers with 504 would be told by that. So there is an answer for every arm or for none.
    """
    answers: dict[str, FloatArray] = {}
    missing: dict[str, bool] = {}
    # The arm that was drawn answers by what it knew then: that is the state on record.
    strategies = {**endpoint.strategies, choice.strategy.name: choice.strategy}
    for name, strategy in strategies.items():
        answer = strategy.answer(execution)
        if answer is not None:
            # Combiners return views and copies of several layouts; what is recorded of them takes a different time.
            answers[name] = np.array(answer, np.float32, order="C")
        missing[name] = bool(strategy.missing(execution))
    assigned = choice.strategy.name
    spare = [strategy.name for strategy in endpoint.fallback]
    arms = [name for name, p in zip(endpoint.names, choice.propensities, strict=True) if p > 0]
    order = [assigned, *spare, *arms]
    if missing[assigned] and endpoint.falls_back:
        order = [*(name for name in spare if name != assigned), *order]
    for name in order:
        if name in answers:
            return strategies[name], answers[name], missing[assigned] or name != assigned
    return None, None, True
