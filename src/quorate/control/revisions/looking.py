"""Whether a pool can give its strategies the features that their combiners look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from quorate.codecs.snapshot import PoolRoute, StrategyRoute
from quorate.control.revisions.fuse import fed_by
from quorate.preprocess.features import width_of


def looking_problems(
    endpoint: str, strategies: Sequence[StrategyRoute], widths: Mapping[str, int], pool: PoolRoute
) -> Iterator[tuple[str, str]]:
    """What is wrong, by strategy; ``widths`` are the features of a row that each strategy's combiner looks at.

    The features are the preprocessed input of a strategy's first member. A decision records them once, so all
    strategies of an endpoint look at the same.
    """
    members = {member.name: member for member in pool.members}
    looking = [(s, members[s.members[0]]) for s in strategies if widths.get(s.name) and s.members[0] in members]
    for strategy, first in looking:
        where = f"endpoints.{endpoint}.strategies.{strategy.name}"
        got, wanted, other = width_of(first.tensors), widths[strategy.name], looking[0]
        if got is None:
            tensors = ", ".join(map(str, first.tensors))
            message = (
                f"the combiner looks at {wanted} features of a row, but the input of '{first.name}' is not numbers of "
                f"a fixed length ({tensors}). Fit the state in the space of outputs, or list another member first."
            )
        elif got != wanted:
            message = (
                f"the state was fitted on {wanted} features of a row; the preprocessed input of '{first.name}' has "
                f"{got}. Fit it again on this pool."
            )
        elif fed_by(first) != fed_by(other[1]):
            message = (
                f"its first member '{first.name}' is preprocessed otherwise than '{other[1].name}', the first of "
                f"'{other[0].name}'. Features are recorded once for all strategies of an endpoint; list a member with "
                "the same preprocessing first."
            )
        else:
            continue
        yield strategy.name, f"{where}: {message}"
