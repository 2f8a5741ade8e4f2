"""What is typed into the form of a pool audit, and where what is refused is said."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("nicegui", reason="The extra 'console' is not installed")

from quorate.console.selection.audit_form import Wrong, place, read


def test_points_become_shares_and_losses_stay() -> None:
    typed = {"strategy": "mean", "metric": "accuracy", "margin": "0.5", "costs": "a=3, b = 0.5", "since": 5}
    assert read(typed) == {
        "strategy": "mean", "metric": "accuracy", "margin": 0.005, "costs": {"a": 3.0, "b": 0.5}, "since": 5.0,
    }  # fmt: skip
    assert read({"metric": "log_loss", "margin": "0.5"})["margin"] == 0.5
    assert read({"strategy": "", "metric": "", "margin": "", "costs": "", "since": None}) == {}


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"margin": "much"}, "margin", "'much' is not a number"),
        ({"margin": "-1"}, "margin", "from 0 on"),
        ({"margin": "nan"}, "margin", "from 0 on"),
        ({"costs": "a"}, "costs", "a=3"),
        ({"costs": "a=x"}, "costs", "'x' is not a number"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(typed: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(Wrong, match=said) as wrong:
        read(typed)
    assert wrong.value.field == field


@pytest.mark.parametrize(
    ("path", "field"),
    [("strategy.kind", "strategy"), ("costs.a", "costs"), ("since", "since"), ("name", ""), (None, "")],
)
def test_a_refusal_has_its_place(path: str | None, field: str) -> None:
    assert place(path) == field
