"""Decisions found by what other systems know of them; never by a guess."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.codecs.lookup import JournalReader
from quorate.control.outcomes.matching import Match, check_key, find_in, the_one
from quorate.errors import ConfigError

Books = Any  # of conftest


def test_decisions_are_found_by_each_key(books: Books) -> None:
    one, first = books.decision(request_id="r1", context={"order": 7, "vip": True}, unit="u", arrived=100.0)
    two, second = books.decision(1, request_id="r2", context={"order": 7}, idempotency_key="k", arrived=200.0)
    three, third = books.decision(request_id="r1", endpoint="other", arrived=300.0)
    books.write(first, third)
    books.write(second, slot=1)
    reader = JournalReader(books.home.journal)

    def ids(by: str, *wanted: str, endpoint: str | None = None) -> dict[str, list[str]]:
        return {key: [m.id for m in found] for key, found in find_in(reader, by, wanted, endpoint).items()}

    assert ids("request_id", "r1", "r2", "r3") == {"r1": [one, three], "r2": [two]}
    assert ids("request_id", "r1", endpoint="e") == {"r1": [one]}
    assert ids("context.order", "7", "8") == {"7": [one, two]}
    assert ids("context.vip", "True") == {"True": [one]}
    assert ids("idempotency_key", "k") == {"k": [two]}
    assert ids("unit", "u", "v") == {"u": [one]}
    assert ids("traceparent", "x") == {}


def test_only_what_fits_one_decision_is_matched() -> None:
    found = {"a": [Match("d1", 100.0)], "b": [Match("d2", 100.0), Match("d3", 200.0)]}
    assert the_one("a", found) == "d1"
    assert the_one("c", found) is None
    with pytest.raises(LookupError, match="2 decisions"):
        the_one("b", found)
    assert the_one("b", found, at=250.0, within_s=60.0) == "d3"
    assert the_one("b", found, at=150.0, within_s=60.0) == "d2"
    assert the_one("b", found, at=99.0, within_s=60.0) is None  # no decision is after its outcome
    with pytest.raises(LookupError):
        the_one("b", found, at=250.0, within_s=600.0)


@pytest.mark.parametrize("by", ["answer", "context.", "outputs", ""])
def test_other_keys_are_refused(by: str) -> None:
    with pytest.raises(ConfigError, match="cannot be found by"):
        check_key(by)
