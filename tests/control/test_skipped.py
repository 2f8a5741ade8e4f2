"""Why members were not asked, from the record of a decision and the plan that decided it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quorate import plugins
from quorate.codecs import state as state_codec
from quorate.codecs.snapshot import EndpointRoute, PolicyRoute, StrategyRoute
from quorate.control.decisions import describe
from quorate.control.skipped import why_skipped
from quorate.core.combine.base import Combiner
from quorate.core.types import Decision, MemberRun, Status
from quorate.errors import IntegrityError
from tests.ladder import Ladder, ladder

MEMBERS = ("x", "y", "z")
BLOBS = {f"blob-{name}": content for name, content in state_codec.encode(ladder([["x"], ["y"]], sure=0.8)).items()}
STAGED = StrategyRoute(
    "steps", "ladder", ("x", "y"), 1, plan="stepwise", state={name.removeprefix("blob-"): name for name in BLOBS},
    stages=(("x",), ("y",)),
)  # fmt: skip
PLAIN = StrategyRoute("average", "mean", MEMBERS, 1)
ENDPOINT = EndpointRoute("main", 1, "letters", (STAGED, PLAIN), PolicyRoute("fixed", {"strategy": "steps"}))
OK, FAILED, SKIPPED = 0, 1, 2


@pytest.fixture(autouse=True)
def _ladders(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan of the tests is a plugin like any other."""
    build: Callable[..., Combiner] = plugins.build

    def with_ladder(group: str, kind: str, *given: Any) -> Any:
        return Ladder() if kind == "ladder" else build(group, kind, *given)

    monkeypatch.setattr(plugins, "build", with_ladder)


def decision(yes: list[list[float]], status: list[list[int]], **more: Any) -> Decision:
    """One of three members that are so sure of the second of two classes."""
    p = np.array(yes, np.float32)
    outputs = np.where((np.array(status) == OK)[:, :, None], np.stack([1 - p, p], 2), np.nan).astype(np.float32)
    answer = np.nanmean(outputs, axis=1).astype(np.float32)
    plain: dict[str, Any] = {
        "id": "0190b3a0-1234-7000-8000-000000000001", "endpoint": "main", "revision": 1, "state_version": 0,
        "source": "policy", "arrived": 1.0, "queue_ms": 0.0, "latency_ms": 1.0, "context": {},
        "strategies": ("steps", "average"), "propensities": (1.0, 0.0), "assigned": "steps", "served": "steps",
        "members": tuple(MemberRun(name, 1, Status.OK, 1.0) for name in MEMBERS), "outputs": outputs,
        "status": np.array(status, np.int8), "answer": answer, "degraded": False, "rows": len(yes),
        "input_digest": b"", "classes": ("no", "yes"),
    }  # fmt: skip
    return Decision(**plain | more)


def test_each_row_says_for_itself_why_it_ended() -> None:
    found = decision(
        [[0.9, 0.5, 0.5], [0.6, 0.5, 0.5], [0.6, 0.9, 0.5]],
        [[OK, SKIPPED, SKIPPED], [OK, SKIPPED, SKIPPED], [OK, OK, SKIPPED]],
    )
    assert why_skipped(found, ENDPOINT, BLOBS.__getitem__) == [
        [None, None, None],
        ["stopped", "no_time", None],
        ["not_in_strategy"] * 3,
    ]


def test_the_stages_count_rows_by_what_became_of_them() -> None:
    found = decision(
        [[0.9, 0.5, 0.5], [0.6, 0.5, 0.5], [0.6, 0.9, 0.5]],
        [[OK, SKIPPED, SKIPPED], [OK, SKIPPED, SKIPPED], [OK, OK, SKIPPED]],
    )
    shown = describe(found, endpoint=ENDPOINT, skipped=why_skipped(found, ENDPOINT, BLOBS.__getitem__))
    assert shown["stages"] == [
        {"members": ["x"], "rows": 3, "stopped": 0, "no_time": 0},
        {"members": ["y"], "rows": 1, "stopped": 1, "no_time": 1},
    ]
    assert shown["members"][1]["skipped"] == ["stopped", "no_time", None]


def test_a_row_that_was_not_sure_enough_for_its_caller_had_no_time() -> None:
    """0.85 satisfies the plan and not the caller, for whom it goes on as long as there is time."""
    rows, status = [[0.85, 0.5, 0.5], [0.97, 0.5, 0.5]], [[OK, SKIPPED, SKIPPED]] * 2
    asked = decision(rows, status, facts={"min_confidence": 0.9})
    assert why_skipped(asked, ENDPOINT, BLOBS.__getitem__)[1] == ["no_time", "stopped"]
    assert why_skipped(decision(rows, status), ENDPOINT, BLOBS.__getitem__)[1] == ["stopped", "stopped"]


def test_members_that_are_all_asked_at_once_are_left_out_for_time_only() -> None:
    found = decision([[0.6, 0.7, 0.5]], [[OK, OK, SKIPPED]], assigned="average", served="average")
    assert why_skipped(found, ENDPOINT, BLOBS.__getitem__) == [[None], [None], ["no_time"]]


def test_a_member_that_was_chosen_alone_answers_alone() -> None:
    found = decision([[0.6, 0.5, 0.5]], [[OK, SKIPPED, SKIPPED]], assigned="x", served="x", source="caller")
    assert why_skipped(found, ENDPOINT, BLOBS.__getitem__) == [[None], ["not_in_strategy"], ["not_in_strategy"]]


def test_what_is_not_known_is_not_made_up() -> None:
    found = decision([[0.6, 0.5, 0.5]], [[OK, SKIPPED, SKIPPED]])
    assert why_skipped(found, None, BLOBS.__getitem__) == [[None], [None], [None]]
    unrecorded = found._replace(outputs=np.zeros((1, 3, 0), np.float32))
    assert why_skipped(unrecorded, ENDPOINT, BLOBS.__getitem__) == [[None], [None], ["not_in_strategy"]]

    def lost(_: str) -> bytes:
        raise IntegrityError("It is gone.")

    assert why_skipped(found, ENDPOINT, lost) == [[None], [None], ["not_in_strategy"]]


def test_nothing_is_read_where_everybody_ran() -> None:
    found = decision([[0.6, 0.7, 0.8]], [[OK, FAILED, OK]])
    assert why_skipped(found, ENDPOINT, {}.__getitem__) == [[None], [None], [None]]
