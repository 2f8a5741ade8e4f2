"""The pages of selection in words."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.console.selection.frontier_words import cost, kept, promise, stages
from quorate.console.selection.regret import _counts, _distinct
from quorate.console.selection.regret_words import amount, known, promised, signed, verdict
from quorate.console.selection.shares import foremost, gathered
from quorate.console.selection.times import times
from quorate.console.selection.trust_words import lead, left_out

from .conftest import FRONTIER


def regret(**changes: Any) -> dict[str, Any]:
    svm = {"name": "svm", "kind": "member", "basis": "known", "loss": 8.0, "low": None, "high": None, "regret": 2.0}
    found = {"rows": 50, "unit": "mistakes", "served": 10.0, "best": "svm", "regret": 2.0, "others": [svm],
             "known": "all", "since": 0.0, "until": 60.0, "whole": True}  # fmt: skip
    return found | changes


@pytest.mark.parametrize(
    ("value", "said", "difference"),
    [(12.0, "12", "+12"), (1234.0, "1,234", "+1,234"), (0.12344, "0.1234", "+0.1234"), (0.0, "0", "0"),
     (-3.5, "−3.5", "−3.5"), (None, "–", "–")],
)  # fmt: skip
def test_amounts(value: float | None, said: str, difference: str) -> None:
    assert (amount(value), signed(value)) == (said, difference)


def test_the_verdict_on_what_was_served() -> None:
    assert verdict(regret()) == (
        "Of 50 rows, what was served made 10 mistakes; the best in hindsight, svm alone, would have made 8: a regret "
        "of 2."
    )
    better = verdict(regret(regret=-1.0))
    assert better.endswith("nobody alone would have done better: the best of them, svm alone, would have made 8.")
    rewards = verdict(regret(unit="rewards"))
    assert (
        "what was served lost 10 (in rewards from 0 to 1); the best in hindsight, svm alone, would have lost 8"
        in rewards
    )
    guessed = regret(known="drawn")
    guessed["others"][0] |= {"basis": "estimate"}
    assert "svm alone, would have made about 8" in verdict(guessed)
    assert "is estimated" in known(guessed)
    assert verdict(regret(best=None)).endswith("nobody else's losses are known.")
    assert "the newest ones with an outcome" in known(regret(whole=False))
    assert known(regret(known="none")) == ""


def test_a_combiner_against_its_experts() -> None:
    combiner = {"strategy": "online", "rows": 1, "certificate": 3.0, "regret": None, "own": None, "unit": "mistakes",
                "experts": []}  # fmt: skip
    assert promised(combiner) == (
        "online: 1 outcome. By what it has seen, a draw by its trust lost at most 3 more than any expert."
    )


def test_what_trust_is_about() -> None:
    found = {"strategy": "s", "kind": "cascade", "means": "answered", "rows": 1, "decisions": 1, "since": 0.0,
             "until": 0.0, "experts": None}  # fmt: skip
    assert "asks members in stages; a share says how often one answered. 1 row of 1 decision" in lead(found)
    assert lead(found | {"rows": 0}) == "s (cascade): there is no recent decision that tells."
    learned = lead(found | {"means": "experts", "kind": "online", "experts": {"rows": 0}})
    assert learned.endswith("nothing was learned yet.")
    assert left_out({}) == ""
    assert left_out({"not_served": 1, "some_new_reason": 2}) == (
        "Not looked at: 1 row that another strategy answered and 2 rows some new reason."
    )


def test_shares_of_the_foremost_and_of_the_others() -> None:
    shares = {"a": 0.1, "b": 0.6, "c": 0.3}
    assert foremost(shares) == ["b", "c", "a"]
    assert gathered(shares, foremost(shares, 1)) == pytest.approx({"b": 0.6, "others": 0.4})
    assert gathered({}, ["a"]) == {"a": 0.0}


def test_the_frontier_in_words() -> None:
    assert (cost(12.345678, "ms"), cost(0.5, "cost"), cost(None, "ms")) == ("12.35 ms", "0.5", "–")
    within = FRONTIER | {"promise": {"cost": 3.0}}
    assert promise(within) == "Promised: the best accuracy at a cost of at most 3 ms a row. Fitted on 1,200 rows."
    assert promise(FRONTIER | {"promise": {}}) == "Nothing was promised of it. Fitted on 1,200 rows."
    assert kept(FRONTIER | {"expected": {}}) == "Served: 4,000 rows at a mean cost of 2.2 ms."
    none = FRONTIER | {"served": {"rows": 0, "cost": None, "reached": []}}
    assert kept(none) == "No live decision of it is known yet."
    assert stages(FRONTIER) == [("small", "100.0 %", "100.0 %"), ("large", "25.0 %", "30.0 %")]
    assert stages(none)[1] == ("large", "25.0 %", "–")


@pytest.mark.parametrize("most", [2, 7, 10, 60, 999, 4321, 100_000])
def test_a_few_round_numbers_of_rows(most: int) -> None:
    found = _counts(most)
    assert 1 <= len(found) <= 6
    assert found[-1] <= most


def test_an_axis_of_time_says_each_time_once() -> None:
    assert [text for _, text in times(0.0, 90.0).marks] == ["00:00", "00:01"]
    assert [text for _, text in times(0.0, 4 * 3600.0).marks] == ["00:00", "01:00", "02:00", "03:00", "04:00"]
    assert [text for _, text in times(0.0, 8 * 86400.0).marks] == ["1 Jan", "3 Jan", "5 Jan", "7 Jan", "9 Jan"]


def test_what_lost_the_same_all_along_is_drawn_once() -> None:
    points = [{"others": {"a": 1.0, "b": 1.0, "c": 1.0}}, {"others": {"a": 2.0, "b": 2.0, "c": 1.5}}]
    assert _distinct(["a", "b", "c"], points) == ["a", "c"]
