"""Equal windows before and after a switch, in whole minutes."""

from __future__ import annotations

from dataclasses import dataclass

DAY = 24 * 60
LONGEST = 7 * DAY


@dataclass(frozen=True, slots=True)
class Window:
    """Minutes from ``first``, before ``end`` (Unix time / 60)."""

    first: int
    end: int

    @property
    def minutes(self) -> int:
        """How long it is."""
        return self.end - self.first


def windows(
    at: float, warm_until: float, now: float, *, begin: int | None, previous: float | None, following: float | None
) -> tuple[Window, Window]:
    """The longest equal windows there are before the minute of the switch, and after that in which it was warm.

    They reach neither beyond ``begin`` (the first minute with traffic), nor beyond the minutes of the ``previous`` and
    the ``following`` switch, nor into the present minute. From one day on they are whole days, so that both have the
    same hours of the day, and a week at most. They are empty where there is nothing to compare, as where the clock went
    back over the switch.
    """
    switched = int(at // 60)
    start = int(max(warm_until, at) // 60) + 1
    lowest = switched if begin is None else begin
    if previous is not None:
        lowest = max(lowest, int(previous // 60) + 1)
    highest = int(now // 60)
    if following is not None:
        highest = min(highest, int(following // 60))
    length = max(min(switched - lowest, highest - start, LONGEST), 0)
    if length >= DAY:
        length -= length % DAY
    return Window(switched - length, switched), Window(start, start + length)
