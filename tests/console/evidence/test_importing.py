"""A file of outcomes is told in parts, and every row that is no outcome is accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from quorate.client import OutcomeReceipt
from quorate.client.answers import Rejected
from quorate.console.evidence import importing
from quorate.console.evidence.importing import Done, telling


class Server:
    """Takes all but what says "no"."""

    def __init__(self) -> None:
        self.parts: list[list[Mapping[str, Any]]] = []

    async def outcomes(self, told: list[Mapping[str, Any]]) -> OutcomeReceipt:
        self.parts.append(told)
        wrong = [index for index, each in enumerate(told) if each.get("truth") == "no"]
        return OutcomeReceipt(
            accepted=len(told) - len(wrong),
            rejected=tuple(Rejected(index, "invalid_input", "Not a class.") for index in wrong),
        )


def tell(body: str, **asked: str) -> tuple[Server, Done]:
    server, done = Server(), Done()

    async def run() -> None:
        async for _ in telling(body.encode(), asked, server, done):
            pass

    asyncio.run(run())
    return server, done


def test_rows_of_csv_with_their_lines() -> None:
    server, done = tell(
        "case,said,paid\na,yes,1.5\nb,no,\nc,,x\nd,yes\n",
        name="t.csv", id="case", truth="said", rewards="revenue=paid", source="expert",
    )  # fmt: skip
    assert server.parts == [
        [
            {"id": "a", "source": "expert", "truth": "yes"},
            {"id": "a", "source": "expert", "rewards": {"revenue": 1.5}},
            {"id": "b", "source": "expert", "truth": "no"},
        ]
    ]
    assert (done.accepted, done.refused) == (2, 3)
    assert [line for line, _ in done.rejected] == [4, 5, 3]
    assert dict(done.rejected)[3] == "Not a class."
    assert str(done).endswith("2 accepted, 0 known already, 0 wait for their decision, 3 rejected.")


@pytest.mark.parametrize("name", ["t.ndjson", "unnamed"])
def test_lines_of_json_are_known_by_name_or_look(name: str) -> None:
    server, done = tell('{"id": "a", "truth": 2.5}\nnot json\n', name=name, truth="truth")
    assert server.parts == [[{"id": "a", "source": "user", "truth": 2.5}]]
    assert [line for line, _ in done.rejected] == [2]


def test_many_rows_go_in_parts_and_only_the_first_rejected_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "SHOWN", 3)
    lines = "".join(f"{number},{'no' if number % 2 else 'yes'}\n" for number in range(2500))
    server, done = tell(f"id,truth\n{lines}", name="t.csv", truth="truth")
    assert [len(part) for part in server.parts] == [1000, 1000, 500]
    assert (done.rows, done.accepted, done.refused) == (2500, 1250, 1250)
    assert [line for line, _ in done.rejected] == [3, 5, 7]
