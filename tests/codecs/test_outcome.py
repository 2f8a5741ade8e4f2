"""Outcomes survive encoding exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.codecs import outcome as codec
from quorate.core.types import Outcome
from quorate.errors import InvalidInput, JournalError

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
number = st.floats(allow_nan=False)


@given(
    st.builds(
        Outcome,
        text,
        st.integers(0, 2**31),
        st.none() | text | number,
        st.dictionaries(text, number),
        text,
        number,
        number,
    )
)
def test_decoding_is_exact(outcome: Outcome) -> None:
    read = codec.decode(codec.encode(outcome))
    assert read == outcome
    assert type(read.truth) is type(outcome.truth)


def test_what_cannot_be_recorded_is_refused() -> None:
    with pytest.raises(InvalidInput, match="cannot be recorded"):
        codec.encode(Outcome("id", 0, truth="\udfff"))


@pytest.mark.parametrize("data", [b"", b"\x02\x90"])
def test_unknown_versions_are_refused(data: bytes) -> None:
    with pytest.raises(JournalError, match=r"this release reads \[1\]"):
        codec.decode(data)


def test_broken_records_are_refused() -> None:
    with pytest.raises(JournalError, match="cannot be read"):
        codec.decode(codec.encode(Outcome("id", 0, truth="7"))[:-3])
