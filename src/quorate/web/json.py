"""JSON from strangers: quick to refuse, never a crash.

Depth and number sizes are checked by scanning the bytes before anything is built. Where an object names a key
twice the last one counts, as in the parsers of Python and JavaScript (RFC 8259 leaves it open).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from quorate.errors import InvalidInput, MalformedRequest, TooLarge

_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NEITHER_BRACKET_NOR_QUOTE = bytes(set(range(256)) - set(b'[]{}"'))
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_MAX_DIGITS = 308  # what a float64 holds; more could not become any tensor
_LONG_RUN = b"0" * (_MAX_DIGITS + 1)
_LONG_INTEGER = re.compile(rb"(?<![0-9.eE+])(?<![eE]-)[0-9]{%d,}+(?![.eE])" % (_MAX_DIGITS + 1))


def decode(body: bytes, *, depth: int, decoder: msgspec.json.Decoder[Any] = _ANY) -> Any:
    """Decode one JSON document, of any shape or of ``decoder``'s type.

    ``depth`` is how many arrays and objects may lie in one another. Raises :class:`MalformedRequest` for what is
    not JSON in UTF-8 (NaN and Infinity are not), :class:`TooLarge` for depth and digits, and
    :class:`InvalidInput` naming the field where the type is not the decoder's.
    """
    if body.count(b"[") + body.count(b"{") > depth and _is_deeper(body, depth):
        raise _too_deep(depth)
    if _LONG_RUN in body.translate(_DIGITS) and _LONG_INTEGER.search(_outside_strings(_unescaped(body))):
        raise TooLarge(
            f"The body has an integer of more than {_MAX_DIGITS} digits; send a number that fits a float64.",
            path="body",
        )
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None
    except RecursionError:
        raise _too_deep(depth) from None
    except UnicodeDecodeError as error:
        raise MalformedRequest(
            f"The body is not UTF-8: {error.reason} (in a text, after {error.start} good bytes); JSON must be.",
            path="body",
        ) from None
    except msgspec.DecodeError as error:
        raise MalformedRequest(
            f"The body is not JSON: {_lower(str(error).removeprefix('JSON is malformed: '))}. "
            "NaN and Infinity are not JSON either; send null instead.",
            path="body",
        ) from None


def _is_deeper(body: bytes, depth: int) -> bool:
    marks = _unescaped(body).translate(_SQUARE, _NEITHER_BRACKET_NOR_QUOTE)
    # Two quotes side by side leave what is inside and outside of strings as it was.
    brackets = _outside_strings(marks.replace(b'""', b"")).replace(b'"', b"")
    for _ in range(depth):
        # Each pass takes the innermost level away, everywhere at once.
        shorter = brackets.replace(b"[]", b"")
        if len(shorter) == len(brackets):
            break
        brackets = shorter
    # What balances is gone after `depth` passes. What does not balance is malformed, and the decoder says
    # so, unless it opens so many that the decoder should not even try.
    return b"[]" in brackets or brackets.count(b"[") > depth


def _unescaped(text: bytes) -> bytes:
    """The text without escaped backslashes and quotes: every quote that is left begins or ends a string."""
    return text.replace(b"\\\\", b"").replace(b'\\"', b"")


def _outside_strings(text: bytes) -> bytes:
    return b'"'.join(text.split(b'"')[::2])


def _too_deep(depth: int) -> TooLarge:
    return TooLarge(
        f"The JSON is nested more than {depth} deep (limits.json_depth); send flatter rows, or raise the limit.",
        path="body",
    )


def _invalid(error: msgspec.ValidationError) -> InvalidInput:
    message, _, where = str(error).partition(" - at `$")
    path = where.rstrip("`").lstrip(".") or None
    return InvalidInput(f"{path or 'The body'} is wrong: {_lower(message)}.", path=path or "body")


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:].rstrip(".")
