"""Learned states as files: complete or not there, told apart by version, and of one policy only."""

from __future__ import annotations

import zlib
from pathlib import Path

import msgspec
import numpy as np
import pytest

from quorate.codecs import learned
from quorate.codecs.learned import Known, Learned
from quorate.codecs.snapshot import EndpointRoute, MemberRoute, PolicyRoute, PoolRoute, RewardRoute, StrategyRoute
from quorate.core.types import OutputSpec, Signature, State
from quorate.errors import FormatRefused


def state(value: float) -> State:
    return State("thompson", 1, {"rows": 3}, {"p": np.array([value, 1 - value])})


def write(folder: Path, name: str, version: int, value: float = 0.5) -> Learned:
    made = Learned(name, "key", version, state(value))
    learned.write(folder, {name: learned.pack(made)}, learned.versions(folder) | {name: version})
    return made


def test_what_was_written_is_read(tmp_path: Path) -> None:
    before = learned.stamp(tmp_path)
    assert (before, learned.versions(tmp_path)) == (None, {})
    write(tmp_path, "digits", 1, 0.25)
    found = learned.read(tmp_path, "digits", 1)
    assert (found.endpoint, found.key, found.version, found.state.meta) == ("digits", "key", 1, {"rows": 3})
    assert found.state.arrays["p"].tolist() == [0.25, 0.75]
    first = learned.stamp(tmp_path)
    write(tmp_path, "digits", 2)
    assert first is not None
    assert learned.stamp(tmp_path) != first


def test_an_older_version_stays_for_who_has_just_read_the_index_and_goes_later(tmp_path: Path) -> None:
    for name in ("a", "a-1"):
        for version in (1, 2, 3):
            write(tmp_path, name, version)
    assert learned.versions(tmp_path) == {"a": 3, "a-1": 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["INDEX", "a-1-2.qs", "a-1-3.qs", "a-2.qs", "a-3.qs"]


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:9] + b"x" + data[10:]])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: object) -> None:
    write(tmp_path, "a", 1)
    path = tmp_path / "a-1.qs"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(FormatRefused, match="damaged"):
        learned.read(tmp_path, "a", 1)
    (tmp_path / "INDEX").write_bytes(b"{")
    with pytest.raises(FormatRefused, match="index"):
        learned.versions(tmp_path)


def test_a_later_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "FORMAT", 9)
    write(tmp_path, "a", 1)
    with pytest.raises(FormatRefused, match=r"format 9; this release reads \(1, 2\)"):
        learned.read(tmp_path, "a", 1)


def test_what_combiners_know_is_read_and_the_format_before_had_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Learned("a", "key", 1, learned.NOTHING, {"online": Known("its key", state(0.25))})
    learned.write(tmp_path, {"a": learned.pack(made)}, {"a": 1})
    found = learned.read(tmp_path, "a", 1).combiners["online"]
    assert (found.key, found.state.arrays["p"].tolist()) == ("its key", [0.25, 0.75])
    fields = msgspec.msgpack.decode(learned.pack(write(tmp_path, "a", 2))[4:])
    body = msgspec.msgpack.encode([1, *fields[1:5]])
    assert learned.unpack(zlib.crc32(body).to_bytes(4, "little") + body).combiners == {}


def test_the_key_is_of_the_policy_and_of_what_its_strategies_are_made_of() -> None:
    signature = Signature("array", (), OutputSpec("scores", ("no", "yes")))
    members = tuple(MemberRoute(name, 1, "onnx", f"digest of {name}", {}, signature, (), "y", []) for name in "abc")
    pool = PoolRoute("pool", "classification", signature, members)
    strategies = (StrategyRoute("one", "single", ("a",), 1), StrategyRoute("both", "mean", ("a", "b"), 1))
    policy = PolicyRoute("thompson", {"discount": 1.0}, reward=RewardRoute())
    endpoint = EndpointRoute("e", 1, "pool", strategies, policy)
    first = learned.key(endpoint, pool)
    replace = msgspec.structs.replace

    same = [
        (replace(endpoint, revision=2, deadline_ms=5.0), pool),
        (replace(endpoint, policy=replace(policy, blind=True, sticky="user")), pool),
        (endpoint, replace(pool, members=(*members[:2], replace(members[2], digest="new")))),
    ]
    other = [
        (replace(endpoint, policy=replace(policy, params={"discount": 0.9})), pool),
        (replace(endpoint, policy=replace(policy, reward=RewardRoute("revenue"))), pool),
        (replace(endpoint, strategies=strategies[::-1]), pool),
        (endpoint, replace(pool, members=(replace(members[0], digest="new"), *members[1:]))),
    ]
    assert {learned.key(*each) for each in same} == {first}
    assert len({first, *(learned.key(*each) for each in other)}) == 1 + len(other)
