"""The best that can be done on the switching pools of :mod:`.online`: Bayes' rule by who knows how they are made.

It knows the members' accuracies, how errors are common, how good the best one is and after how many requests it
changes, and answers with the most probable class. It does not know who is the best; that it infers from the outcomes
that are known by then, and, if it may look at them, from what members said in all requests so far. No learner does
better on average, and one that has to learn all that first does worse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.intp]


def accuracy(
    said: Labels,
    truth: Labels,
    known: Labels,
    own: Floats,
    *,
    top: float,
    common: float,
    k: int,
    stretch: int,
    looks: bool,
) -> float:
    """The share of rows ``[n]`` it gets right; ``own`` ``[m]`` are the members' accuracies while another is the best,
    whose is ``top``; a share ``common`` of rows has common errors. Row i's outcome is known when row ``known[i]``
    comes, or never; ``looks`` says whether it uses members' agreement."""
    n, m = said.shape
    log_joint = np.log(np.maximum(likelihood(said, own, top=top, common=common, k=k), 1e-300))
    period = np.arange(n) // stretch
    told = np.take_along_axis(log_joint, truth[:, None, None], axis=2)[:, :, 0]
    agreed = np.logaddexp.reduce(log_joint, axis=2) - np.log(k) if looks else np.zeros((n, m))
    evidence, right = np.zeros((int(period[-1]) + 1, m)), np.zeros(n, bool)
    comes: list[list[int]] = [[] for _ in range(n)]
    for i, at in enumerate(known.tolist()):
        if 0 <= at < n:
            comes[at].append(i)
    for i in range(n):
        now = period[i]
        belief = _belief(evidence[: now + 1])
        right[i] = _best(belief, log_joint[i]) == truth[i]
        evidence[now] += agreed[i]
        for j in comes[i]:
            evidence[period[j]] += told[j] - agreed[j]
    return float(right.mean())


def likelihood(said: Labels, own: Floats, *, top: float, common: float, k: int) -> Floats:
    """How likely members are to say what they said ``[n, m]``, by who is the best and what is true: ``[n, m, k]``."""
    n, m = said.shape
    found = np.empty((n, m, k))
    for best in range(m):
        rate = own.copy()
        rate[best] = top
        for truth in range(k):
            right = said == truth
            alone = np.where(right, rate, (1.0 - rate) / (k - 1)).prod(axis=1)
            # One draw u for all: members with a rate above it are right, the others all say the same other class.
            least = np.where(right, rate, 1.0).min(axis=1)
            most = np.where(right, 0.0, rate).max(axis=1)
            wrong = np.where(right, -1, said)
            first = wrong.max(axis=1)
            same = (right | (said == first[:, None])).all(axis=1)
            which = np.where(right.all(axis=1), 1.0, 1.0 / (k - 1))
            together = np.where(same, np.maximum(least - most, 0.0) * which, 0.0)
            found[:, best, truth] = common * together + (1.0 - common) * alone
    return found


def _belief(evidence: Floats) -> Floats:
    """Who is the best now ``[m]``, by the logs of what speaks for each in every period ``[p, m]``; the best one of a
    period is any but that of the one before."""
    m = evidence.shape[1]
    belief = np.full(m, 1.0 / m)
    for i, each in enumerate(evidence[-4:]):  # what lies further back has been told by what came after
        if i:
            belief = (1.0 - belief) / (m - 1)
        belief = belief * np.exp(each - each.max())
        belief /= belief.sum()
    return belief


def _best(belief: Floats, log_joint: Floats) -> int:
    return int((belief @ np.exp(log_joint - log_joint.max())).argmax())
