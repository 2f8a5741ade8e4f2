"""What endpoints have learned, policies and combiners, as files that workers follow: one per endpoint
and version, and an index that names them.

A state file is complete before the index names it, and the one before it stays a while, so a reader never meets half a
state. The store holds the truth: a file that is lost or damaged is written again from there.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import EndpointRoute, PoolRoute, StrategyRoute
from quorate.core.types import State
from quorate.errors import FormatRefused

FORMAT = 2
READS = (1, 2)
"""2 has combiners' states; in 1 there are none."""
INDEX = "INDEX"
KEPT = 2
"""Versions of an endpoint's state that stay: who has just read the index still finds what it names."""


NOTHING = State("", 0)
"""The state of a policy that does not learn."""


_APART = frozenset({"calibrate"})
"""Settings of a strategy that say nothing of which label it answers."""


class Known(NamedTuple):
    """What the combiner of one strategy has learned; ``key`` says of which members and settings."""

    key: str
    state: State


class Learned(NamedTuple):
    """An endpoint's learned state; ``version`` grows with every change, ``key`` says for which policy ``state`` is.

    ``combiners`` has what the combiners of strategies have learned, by the strategy's name.
    """

    endpoint: str
    key: str
    version: int
    state: State
    combiners: Mapping[str, Known] = MappingProxyType({})


class _Document(msgspec.Struct, array_like=True, frozen=True):
    format: int
    endpoint: str
    key: str
    version: int
    files: dict[str, bytes]
    combiners: dict[str, tuple[str, dict[str, bytes]]] = {}


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Document).decode
_decode_index = msgspec.json.Decoder(dict[str, int]).decode


def key(endpoint: EndpointRoute, pool: PoolRoute) -> str:
    """What a state depends on, hashed: the policy with its settings, and what each strategy is made of.

    With another key evidence would speak of something else: a strategy with a new version of a member is a new one.
    """
    policy = msgspec.structs.replace(endpoint.policy, blind=False, sticky=None)
    parts: list[Any] = [policy, arms(endpoint, pool)]
    if policy.reward is not None and policy.reward.metric == "value":
        parts.append(endpoint.value)
    return hashed(parts)


def arms(endpoint: EndpointRoute, pool: PoolRoute) -> str:
    """What the strategies are made of, hashed: their settings, order, members and these members' versions.

    Not how they are calibrated: that moves no label, so what was learned of them stays true.
    """
    digests = {member.name: member.digest for member in pool.members}
    strategies = [
        {name: getattr(s, name) for name in s.__struct_fields__ if name not in _APART} for s in endpoint.strategies
    ]
    return hashed([strategies, {name: digests[name] for s in endpoint.strategies for name in s.members}])


def combiner_key(strategy: StrategyRoute, pool: PoolRoute) -> str:
    """What a combiner's state depends on, hashed: its settings, and its members with their versions, in order."""
    digests = {member.name: member.digest for member in pool.members}
    return hashed([strategy.kind, strategy.params, [(name, digests[name]) for name in strategy.members]])


def hashed(parts: list[Any]) -> str:
    """A key of whatever JSON can say."""
    return hashlib.blake2b(msgspec.json.encode(parts, order="sorted"), digest_size=16).hexdigest()


def pack(learned: Learned) -> bytes:
    """A state as it is stored and published: a checksum and a MessagePack document."""
    combiners = {name: (known.key, state_codec.encode(known.state)) for name, known in learned.combiners.items()}
    files = state_codec.encode(learned.state)
    document = _Document(FORMAT, learned.endpoint, learned.key, learned.version, files, combiners)
    body = _encode(document)
    return zlib.crc32(body).to_bytes(4, "little") + body


def unpack(data: bytes, what: str = "The learned state") -> Learned:
    """The state in ``data``; :class:`FormatRefused`, calling it ``what``, if it is damaged or of a later format."""
    if len(data) < 5 or zlib.crc32(data[4:]) != int.from_bytes(data[:4], "little"):
        raise FormatRefused(f"{what} is damaged.", path=what)
    try:
        document = _decode(data[4:])
    except msgspec.MsgspecError as error:
        raise FormatRefused(f"{what} cannot be read: {error}.", path=what) from None
    if document.format not in READS:
        raise FormatRefused(f"{what} has format {document.format}; this release reads {READS}.", path=what)
    combiners = {name: Known(key, state_codec.decode(files)) for name, (key, files) in document.combiners.items()}
    return Learned(document.endpoint, document.key, document.version, state_codec.decode(document.files), combiners)


def write(folder: Path, states: Mapping[str, bytes], versions: Mapping[str, int]) -> None:
    """Publish the packed states that changed; ``versions`` are those of all endpoints, these included."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, packed in states.items():
        _replace(_path(folder, name, versions[name]), packed)
    _replace(folder / INDEX, msgspec.json.encode(dict(versions)))
    for name in states:
        for old in folder.glob(f"{name}-*.qs"):
            number = old.stem.removeprefix(f"{name}-")
            if number.isdecimal() and int(number) <= versions[name] - KEPT:
                old.unlink(missing_ok=True)


def stamp(folder: Path) -> tuple[int, int] | None:
    """Differs after each publication; cheap enough to poll. None where nothing was learned yet."""
    try:
        found = (folder / INDEX).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def versions(folder: Path) -> dict[str, int]:
    """The newest version of each endpoint's state; :class:`FormatRefused` if the index is damaged."""
    try:
        return _decode_index((folder / INDEX).read_bytes())
    except FileNotFoundError:
        return {}
    except msgspec.MsgspecError as error:
        raise FormatRefused(f"The index of learned states cannot be read: {error}.", path=INDEX) from None


def read(folder: Path, endpoint: str, version: int) -> Learned:
    """One state; :class:`FormatRefused` if it is damaged or not of this release, :class:`FileNotFoundError`."""
    path = _path(folder, endpoint, version)
    return unpack(path.read_bytes(), f"The learned state {path.name}")


def _path(folder: Path, endpoint: str, version: int) -> Path:
    return folder / f"{endpoint}-{version}.qs"


def _replace(path: Path, data: bytes) -> None:
    # No fsync: what a power cut takes is in the store.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)
