"""The steps of a rolling upgrade, on children that are only states."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from quorate.engines.rolling import SPARE_READY_S, START_ATTEMPTS, Rolling


@dataclass
class Child:
    name: str
    ready_at: float | None = 0.0
    retiring: bool = False
    deaths: int = 0

    def back(self) -> None:
        self.retiring = False
        self.ready_at = 1.0


class Upgrade:
    def __init__(self, *names: str) -> None:
        self.now = 0.0
        self.spare = Child("spare", ready_at=None)
        self.children = [Child(name) for name in names]
        self.retired: list[str] = []
        self.rolling = Rolling(self.spare, self.children, retire=self._retire, clock=lambda: self.now)

    def _retire(self, child: Child) -> None:
        self.retired.append(child.name)
        child.retiring = True
        child.ready_at = None


@pytest.fixture
def upgrade() -> Upgrade:
    return Upgrade("one", "two")


def test_nobody_goes_before_the_spare_is_ready_and_one_at_a_time(upgrade: Upgrade) -> None:
    step = upgrade.rolling.step
    assert (step(), upgrade.retired) == (None, [])
    upgrade.spare.back()
    assert (step(), upgrade.retired) == (None, ["one"])
    assert (step(), upgrade.retired) == (None, ["one"])
    upgrade.children[0].retiring = False  # it has ended, and is not back
    assert (step(), upgrade.retired) == (None, ["one"])
    upgrade.children[0].back()
    assert (step(), upgrade.retired) == (None, ["one", "two"])
    upgrade.children[1].back()
    assert step() == (True, "Upgraded: 2 processes were replaced.")
    assert upgrade.retired == ["one", "two", "spare"]


def test_a_spare_that_dies_ends_it_before_anybody_went(upgrade: Upgrade) -> None:
    upgrade.spare.deaths = 1
    done, why = upgrade.rolling.step() or (None, "")
    assert not done
    assert "the old ones go on" in why
    assert upgrade.retired == []


def test_a_spare_that_is_never_ready_ends_it_too(upgrade: Upgrade) -> None:
    upgrade.now = SPARE_READY_S - 1
    assert upgrade.rolling.step() is None
    upgrade.now = SPARE_READY_S
    assert (upgrade.rolling.step() or (True, ""))[0] is False
    assert upgrade.retired == []


def test_the_spare_stays_where_one_does_not_come_back(upgrade: Upgrade) -> None:
    upgrade.spare.back()
    upgrade.rolling.step()
    upgrade.children[0].retiring = False
    upgrade.children[0].deaths = START_ATTEMPTS
    assert upgrade.rolling.step() == (False, "one does not come back; spare answers in its place meanwhile.")
    assert upgrade.retired == ["one"]
