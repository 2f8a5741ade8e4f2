"""Numbers in words."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.console import words


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.9834, "98.3 %"), (1.0, "100.0 %"), (0.99999, "> 99.9 %"), (0.00001, "< 0.1 %"), (0.0, "0.0 %"), (None, "–")],
)
def test_what_is_not_quite_all_or_nothing_says_so(share: float | None, shown: str) -> None:
    assert words.percent(share) == shown


@pytest.mark.parametrize(("value", "shown"), [(1.934, "1.9 ms"), (193.4, "193 ms"), (1934.0, "1.9 s"), (None, "–")])
def test_milliseconds(value: float | None, shown: str) -> None:
    assert words.milliseconds(value) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(0.2, "1 s"), (42, "42 s"), (150, "2 min"), (7200, "2 h")])
def test_how_long(seconds: float, shown: str) -> None:
    assert words.ago(seconds) == shown


@pytest.mark.parametrize(("names", "shown"), [([], "nobody"), (["a"], "a"), (["a", "b", "c"], "a, b and c")])
def test_names(names: list[str], shown: str) -> None:
    assert words.listed(names) == shown


def test_every_fault_has_words_and_what_is_new_has_some() -> None:
    assert words.reason("member_timeout") == "too slow"
    assert words.reason("something_new") == words.reason(None) == "no answer"
    assert words.counted(1, "row") == "1 row"
    assert words.counted(2000, "row") == "2,000 rows"


@pytest.mark.parametrize(
    ("labels", "ends", "coverage", "said"),
    [
        (("4", "9"), None, 0.9, "The truth is 4 or 9 in 90.0 % of such answers."),
        (("4",), None, None, "The truth is 4."),
        ((), None, 0.9, "The set is empty."),
        (tuple("abcdefgh"), None, None, "The truth is a or b or c or d or e or one of 3 more."),
        (None, (1.0, 2.5), 0.95, "The truth is between 1 and 2.5 in 95.0 % of such answers."),
        (None, (None, 2.5), 0.9, "The truth is below 2.5 in 90.0 % of such answers."),
        (None, (1.0, None), 0.9, "The truth is above 1 in 90.0 % of such answers."),
        (None, (None, None), 0.9, "The truth may be any number in 90.0 % of such answers."),
        (None, None, 0.9, ""),
    ],
)
def test_a_set_in_a_sentence(labels: Any, ends: Any, coverage: float | None, said: str) -> None:
    assert words.promise(labels, ends, coverage) == said
