"""Changes survive encoding exactly."""

from __future__ import annotations

import pytest

from quorate.codecs import change as codec
from quorate.codecs.change import Change
from quorate.errors import JournalError

UNLOADED = Change(12.5, "key k1", "model.unload", "digits ä", {"pool": "p"})


def test_decoding_is_exact() -> None:
    assert codec.decode(codec.encode(UNLOADED)) == UNLOADED
    assert codec.decode(codec.encode(Change(0.0, "a", "b", "c"))).detail == {}


@pytest.mark.parametrize("data", [b"", b"\x02\x90"])
def test_unknown_versions_are_refused(data: bytes) -> None:
    with pytest.raises(JournalError, match=r"this release reads \[1\]"):
        codec.decode(data)


def test_broken_records_are_refused() -> None:
    with pytest.raises(JournalError, match="cannot be read"):
        codec.decode(codec.encode(UNLOADED)[:-3])
