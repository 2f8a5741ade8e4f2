"""Decisions survive encoding exactly."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quorate.codecs import decision as codec
from quorate.core.types import Decision, MemberRun, Status
from quorate.errors import InvalidInput, JournalError
from quorate.ids import DecisionId

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
maybe = st.none() | text
number = st.floats(allow_nan=False)
whole = st.integers(-(2**63), 2**64 - 1)
floats32 = st.floats(width=32)


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    n, m, k = draw(st.integers(0, 4)), draw(st.integers(0, 4)), draw(st.integers(0, 4))
    strategies = draw(st.lists(text, max_size=3))
    run = st.builds(MemberRun, text, st.integers(0, 2**31), st.sampled_from(Status), st.none() | number, maybe)
    return Decision(
        id=str(
            DecisionId(
                *draw(
                    st.tuples(
                        st.integers(0, 2**47),
                        st.integers(0, 4095),
                        st.integers(0, 99),
                        whole.map(abs).map(lambda v: v % 2**40),
                    )
                )
            )
        ),
        endpoint=draw(text),
        revision=draw(st.integers(0, 2**31)),
        state_version=draw(st.integers(0, 2**31)),
        source=draw(st.sampled_from(["policy", "caller", "rule", "fallback", "cache"])),
        arrived=draw(number),
        queue_ms=draw(number),
        latency_ms=draw(number),
        context=draw(st.dictionaries(text, text | whole | number | st.booleans() | st.none(), max_size=3)),
        strategies=tuple(strategies),
        propensities=tuple(draw(number) for _ in strategies),
        assigned=draw(text),
        served=draw(maybe),
        members=tuple(draw(st.lists(run, min_size=m, max_size=m))),
        outputs=draw(hnp.arrays(np.float32, (n, m, k), elements=floats32)),
        status=draw(hnp.arrays(np.int8, (n, m), elements=st.integers(0, 2))),
        answer=draw(st.none() | hnp.arrays(np.float32, (n, k), elements=floats32)),
        degraded=draw(st.booleans()),
        rows=n,
        input_digest=draw(st.binary(max_size=32)),
        output_kind=draw(st.sampled_from(["scores", "values"])),
        classes=tuple(draw(st.lists(text, max_size=3))),
        unit=draw(maybe),
        error=draw(maybe),
        abstained=draw(st.booleans()),
        capture=draw(maybe),
        request_id=draw(maybe),
        idempotency_key=draw(maybe),
        traceparent=draw(maybe),
        facts=draw(st.dictionaries(text, text | whole | number | st.booleans() | st.none(), max_size=3)),
        features=draw(st.none() | hnp.arrays(np.float32, (n, draw(st.integers(1, 3))), elements=floats32)),
        withheld=tuple(draw(st.lists(st.integers(0, 2**31 - 1), max_size=3))),
    )


def assert_equal(a: Decision, b: Decision) -> None:
    for field in Decision._fields:
        x, y = getattr(a, field), getattr(b, field)
        if isinstance(x, np.ndarray):
            assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes()), field
        elif field == "facts":
            assert repr(dict(x)) == repr(dict(y))
        else:
            assert (x, repr(x)) == (y, repr(y)), field


def example(**changes: Any) -> Decision:
    base = Decision(
        id="0190b3a0-1234-7000-8000-000000000001",
        endpoint="digits",
        revision=3,
        state_version=0,
        source="policy",
        arrived=1.7e9,
        queue_ms=0.1,
        latency_ms=1.3,
        context={"user": "u1"},
        strategies=("mean", "vote"),
        propensities=(0.5, 0.5),
        assigned="mean",
        served="mean",
        members=tuple(MemberRun(f"m{i}", 1, Status.OK, 0.2) for i in range(5)),
        outputs=np.full((1, 5, 10), 0.1, np.float32),
        status=np.zeros((1, 5), np.int8),
        answer=np.full((1, 10), 0.1, np.float32),
        degraded=False,
        rows=1,
        input_digest=b"\x01" * 32,
        classes=tuple("0123456789"),
    )
    return base._replace(**changes)


@settings(max_examples=200, deadline=None)
@given(decisions())
def test_decoding_is_exact(decision: Decision) -> None:
    assert_equal(codec.decode(codec.encode(decision)), decision)


@settings(max_examples=100, deadline=None)
@given(decisions())
def test_a_summary_says_of_a_decision_what_decoding_it_says(decision: Decision) -> None:
    found = codec.summary(codec.encode(decision))
    for name in ("id", "endpoint", "revision", "source", "arrived", "latency_ms", "assigned", "served", "degraded"):
        assert repr(getattr(found, name)) == repr(getattr(decision, name)), name
    assert (found.rows, found.error) == (decision.rows, decision.error)


@pytest.mark.parametrize("data", [b"", b"\x09", b"\x01\xc0", b"\x01\x91\xa1x"])
def test_what_is_no_decision_has_no_summary(data: bytes) -> None:
    with pytest.raises(JournalError):
        codec.summary(data)


def test_any_memory_layout_is_encoded_alike() -> None:
    outputs = np.arange(50, dtype=np.float32).reshape(1, 5, 10)
    odd = np.asfortranarray(np.repeat(outputs, 2, axis=2))[:, :, ::2]
    assert codec.encode(example(outputs=odd)) == codec.encode(example(outputs=outputs))


def test_numpy_scalars_are_taken_for_numbers() -> None:
    given = example(propensities=(np.float64(0.25), np.float32(0.75)), revision=np.int64(4), degraded=np.bool_(True))
    read = codec.decode(codec.encode(given))
    assert (read.propensities, read.revision, read.degraded) == ((0.25, 0.75), 4, True)


def test_a_digits_decision_is_compact() -> None:
    assert len(codec.encode(example())) < 700


@pytest.mark.parametrize("value", [2**64, "\ud800"])
def test_what_cannot_be_recorded_is_the_callers_mistake(value: object) -> None:
    with pytest.raises(InvalidInput, match="cannot be recorded") as caught:
        codec.encode(example(context={"x": value}))
    assert caught.value.path == "context"


@pytest.mark.parametrize("data", [b"", b"\x04\x90", b"\xff"])
def test_unknown_versions_are_refused(data: bytes) -> None:
    with pytest.raises(JournalError, match=r"this release reads \[1, 2, 3\]"):
        codec.decode(data)


def test_what_the_releases_before_wrote_is_read() -> None:
    fields = msgspec.msgpack.decode(codec.encode(example())[1:])
    assert fields.pop() == []
    assert_equal(codec.decode(b"\x03" + msgspec.msgpack.encode(fields)), example())
    assert fields.pop() is None
    assert_equal(codec.decode(b"\x02" + msgspec.msgpack.encode(fields)), example())
    assert fields.pop() == {}
    assert_equal(codec.decode(b"\x01" + msgspec.msgpack.encode(fields)), example())


@pytest.mark.parametrize(
    ("abstained", "withheld", "rows"),
    [(False, (), []), (True, (), [0, 1, 2]), (True, (1,), [1]), (True, (0, 2), [0, 2])],
)
def test_an_answer_is_withheld_row_by_row(abstained: bool, withheld: tuple[int, ...], rows: list[int]) -> None:
    given = example(abstained=abstained, withheld=withheld)
    packed = codec.pack(given)
    for found in (given, packed, codec.decode(codec.encode(given))):
        assert [row for row in range(3) if found.withholds(row)] == rows


def test_broken_records_are_refused() -> None:
    good = codec.encode(example())
    for data in (good[:50], good[:1] + b"\x90", good + b"\x00", good.replace(b"policy", b"poLicy")):
        with pytest.raises(JournalError, match="cannot be read"):
            codec.decode(data)
