import json as reference
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import InvalidInput, MalformedRequest, QuorateError, TooLarge
from quorate.web.json import decode

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=30,
)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


@given(VALUES, st.integers(0, 8), st.sampled_from([None, 1]), st.booleans())
def test_exactly_what_is_too_deep_is_refused(value, depth, indent, ascii_only):
    body = reference.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8")
    if _depth(value) > depth:
        with pytest.raises(TooLarge, match=f"more than {depth} deep"):
            decode(body, depth=depth)
    else:
        assert decode(body, depth=depth) == value


@given(st.text(alphabet='[]{}"\\,:a1', max_size=60))
def test_whatever_comes_is_decoded_or_refused(text):
    try:
        value = decode(text.encode(), depth=5)
    except QuorateError:
        return
    assert value == reference.loads(text)
    assert _depth(value) <= 5


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b'["[",' * 10 + b"[" * 100_000,
        b"[{" * 50_000,
    ],
    ids=["open", "balanced", "objects", "strings", "mixed"],
)
def test_deep_nesting_is_refused_without_recursion(body):
    with pytest.raises(TooLarge, match=r"limits\.json_depth"):
        decode(body, depth=32)


def test_brackets_in_strings_do_not_count():
    for text in ("[" * 100, '\\"[[[["' * 20, "\\" * 7 + '"' + "[" * 50):
        assert decode(reference.dumps([text, {text: [text]}]).encode(), depth=3) == [text, {text: [text]}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[1,]",
        b"[1] x",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"'a'",
        b'{"a":1',
        b"\xff",
        b'"\xff"',
        b'{"\xed\xa0\x80":1}',
        b'"\\ud800"',
        b"\xef\xbb\xbf{}",
        b"\x00",
        "{}".encode("utf-16"),
        b"[01]",
        b"]" * 10,
    ],
)
def test_what_is_not_json_is_malformed(body):
    with pytest.raises(MalformedRequest) as caught:
        decode(body, depth=32)
    assert caught.value.path == "body"


@pytest.mark.parametrize("body", [b"[1%s]", b"[-1%s]", b'{"a": 1%s}', b"1%s", b'["x", 9%s]'])
def test_integers_beyond_float64_are_too_large(body):
    with pytest.raises(TooLarge, match="308 digits"):
        decode(body % (b"0" * 400), depth=32)


def test_long_fractions_exponents_and_texts_are_not_integers():
    zeros = "0" * 400
    assert decode(f"[0.{zeros}1, 1.{zeros}]".encode(), depth=32) == [0.0, 1.0]
    assert decode(f'["{zeros}", {{"{zeros}": 1e-5}}]'.encode(), depth=32) == [zeros, {zeros: 1e-5}]
    assert decode(b"1" + b"0" * 300, depth=32) == 10**300


@pytest.mark.parametrize("body", [b"[1e400]", b"[-1e999]", b"1" + b"0" * 400 + b".0"])
def test_floats_out_of_range_are_invalid(body):
    with pytest.raises(InvalidInput, match="out of range"):
        decode(body, depth=32)


def test_of_two_equal_keys_the_last_counts():
    assert decode(b'{"a":1,"a":2}', depth=32) == {"a": 2}


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    rows: list[float]
    options: dict[str, float] = {}


@pytest.mark.parametrize(
    ("body", "path", "says"),
    [
        (b'{"rows": 1}', "rows", "expected `array`"),
        (b'{"rows": [1, "x"]}', "rows[1]", "expected `float`"),
        (b'{"rows": [], "options": {"a": []}}', "options[...]", "expected `float`"),
        (b"{}", "body", "missing required field `rows`"),
        (b'{"rows": [], "more": 1}', "body", "unknown field `more`"),
        (b"[]", "body", "expected `object`"),
    ],
)
def test_a_typed_decoder_names_the_field(body, path, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        decode(body, depth=32, decoder=msgspec.json.Decoder(_Body))
    assert caught.value.path == path


def test_every_float_survives():
    values = [0.1, 1e-308, 5e-324, 1.7976931348623157e308, -0.0, math.pi]
    assert decode(reference.dumps(values).encode(), depth=1) == values
