"""From a policy's probabilities to one strategy: a uniform number, then its place in the cumulative sum.

With ``u = unit_uniform(unit, salt)`` the same unit (a user, say) always gets the same strategy, in every process, and
units fall on strategies independently for different salts (an endpoint and its revision, say). The digest is keyed
with the salt, so neither can spill into the other.

Reference: J.-P. Aumasson et al., "BLAKE2: simpler, smaller, fast as MD5", 2013 (RFC 7693).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b


def unit_uniform(unit: str, salt: str) -> float:
    """A number in [0, 1), uniform over units (53 bits), the same in every process.

    >>> round(unit_uniform("user-1", "digits"), 4)
    0.0812
    """
    # A key has at most 64 bytes; hashing it first takes salts of any length.
    key = blake2b(salt.encode("utf-8", "surrogatepass"), digest_size=32).digest()
    digest = blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53


def draw(p: Sequence[float], u: float) -> int:
    """The index that ``u`` in [0, 1] falls on when ``p`` (k probabilities) is laid end to end.

    Never an index of probability 0, also where rounding leaves the sum of ``p`` just below ``u``.
    :class:`ValueError` if no probability is above 0.

    >>> [draw([0.5, 0.0, 0.5], u) for u in (0.0, 0.49, 0.5, 1.0)]
    [0, 0, 2, 2]
    """
    cumulative = 0.0
    last = -1
    for index, probability in enumerate(p):
        if probability > 0.0:
            cumulative += probability
            last = index
            if u < cumulative:
                return index
    if last < 0:
        raise ValueError(f"cannot draw from probabilities that are all 0; got {list(p)}.")
    return last
