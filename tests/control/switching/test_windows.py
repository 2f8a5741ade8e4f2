"""Equal windows: whole minutes, without the warm-up, between neighbouring switches, whole days where there are days."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.control.switching.windows import DAY, LONGEST, Window, windows

AT = 1_000_000  # the minute of the switch


def _windows(
    *, warm_s: float = 0.0, until: int, begin: int | None = 0, **around: Any
) -> tuple[tuple[int, int], tuple[int, int]]:
    around = {"previous": None, "following": None} | around
    at = AT * 60 + 20.0
    before, after = windows(at, at + warm_s, until * 60 + 5.0, begin=begin, **around)
    assert before.minutes == after.minutes
    return (before.first - AT, before.end - AT), (after.first - AT, after.end - AT)


@pytest.mark.parametrize(
    ("given", "before", "after"),
    [
        ({"until": AT + 11}, (-10, 0), (1, 11)),
        ({"until": AT + 11, "warm_s": 90.0}, (-9, 0), (2, 11)),
        ({"until": AT + 11, "begin": AT - 4}, (-4, 0), (1, 5)),
        ({"until": AT + 100, "following": (AT + 8) * 60.0}, (-7, 0), (1, 8)),
        ({"until": AT + 100, "previous": (AT - 6) * 60 + 59.0}, (-5, 0), (1, 6)),
        ({"until": AT + 1 + DAY + 500}, (-DAY, 0), (1, 1 + DAY)),
        ({"until": AT + 1 + 3 * DAY + 500}, (-3 * DAY, 0), (1, 1 + 3 * DAY)),
        ({"until": AT + 90 * DAY}, (-LONGEST, 0), (1, 1 + LONGEST)),
        ({"until": AT}, (0, 0), (1, 1)),
        ({"until": AT + 30, "begin": None}, (0, 0), (1, 1)),
        ({"until": AT - 100}, (0, 0), (1, 1)),  # the clock went back over the switch
        ({"until": AT + 30, "warm_s": -500.0}, (-29, 0), (1, 30)),  # a worker whose clock is behind
    ],
)
def test_windows(given: dict[str, Any], before: tuple[int, int], after: tuple[int, int]) -> None:
    assert _windows(**given) == (before, after)


def test_a_window_s_length() -> None:
    assert Window(3, 10).minutes == 7
