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
        got, wanted = width_of(first.tensors), widths[strategy.name]
        if got is None:
            yield (
                strategy.name,
                (
                    f"{where}: the combiner looks at {wanted} features of a row, but the input of '{first.name}' is not "
                    f"numbers of a fixed length ({', '.join(map(str, first.tensors))}). Fit the state in the space of "
                    "outputs, or list a member with numeric input first."
                ),
            )
        elif got != wanted:
            yield (
                strategy.name,
                (
                    f"{where}: the state was fitted on {wanted} features of a row; the preprocessed input of "
                    f"'{first.name}' has {got}. Fit it again on this pool."
                ),
            )
        elif fed_by(first) != fed_by(looking[0][1]):
            yield (
                strategy.name,
                (
                    f"{where}: its first member '{first.name}' is preprocessed otherwise than '{looking[0][1].name}', the "
                    f"first member of '{looking[0][0].name}'. Features are recorded once for all strategies of an "
                    "endpoint; list a member with the same preprocessing first."
                ),
            )
