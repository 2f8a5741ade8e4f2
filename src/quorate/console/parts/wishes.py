"""What is asked of an answer beside the row: how long it may take, how sure it must be, how often its set must hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.console import words
from quorate.console.catalogue import Endpoint
from quorate.console.elements import Node

BOUNDS = {"max_ms": (0.0, 3_600_000.0), "min_confidence": (0.0, 1.0), "coverage": (0.5, 0.999)}
TAKES = {
    "max_ms": "a number of milliseconds above 0, an hour at most",
    "min_confidence": "a number from 0 to 1",
    "coverage": "a share from 0.5 to 0.999",
}
TITLES = {"max_ms": "At most, ms", "min_confidence": "Confidence, at least", "coverage": "Coverage of the set"}
IDS = {"max_ms": "wish-max-ms", "min_confidence": "wish-min-confidence", "coverage": "wish-coverage"}


def offered(endpoint: Endpoint) -> tuple[str, ...]:
    """What an endpoint can honour: a time always; a confidence of labels, unless it is blind; a coverage where a
    strategy can promise one."""
    found = ["max_ms"]
    if endpoint.output == "scores" and not endpoint.blind:
        found.append("min_confidence")
    if endpoint.promising and not endpoint.blind:
        found.append("coverage")
    return tuple(found)


def read(typed: Mapping[str, Any]) -> dict[str, float]:
    """What was typed, as options of a request; :class:`ValueError` says which is wrong and what it takes."""
    found = {}
    for name, (low, high) in BOUNDS.items():
        text = str(typed.get(name) or "").strip()
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            value = low - 1.0
        if not low <= value <= high or (name == "max_ms" and value == 0):
            raise ValueError(f"'{TITLES[name]}' takes {TAKES[name]}; got '{text[:40]}'.")
        found[name] = value
    return found


class Wishes:
    """A field for each that the endpoint can honour, all empty: nothing is asked."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._fields: dict[str, Node] = {}
        names = offered(endpoint)
        with Node("fieldset", "wishes"):
            Node("legend", "", "What is asked of the answer")
            with Node("div", "fields open"):
                for name in names:
                    self._field(name)
            self._note = Node("p", "quiet note", "", data_testid="wishes-note") if "coverage" in names else None
            self._problem = Node("p", "problem slim", "", role="alert", data_testid="wishes-problem")
        self.chosen("")

    def _field(self, name: str) -> None:
        low, high = BOUNDS[name]
        deadline = self._endpoint.deadline_ms
        hint = f"{deadline:g}" if name == "max_ms" and deadline is not None else "any" if name != "coverage" else "none"
        step = "any" if name == "max_ms" else "0.01"
        with Node("div", "field"):
            Node("label", "", TITLES[name], for_=IDS[name])
            self._fields[name] = Node(
                "input", "", id=IDS[name], type="number", inputmode="decimal", min=low, max=high, step=step,
                placeholder=hint, autocomplete="off",
            )  # fmt: skip

    def chosen(self, strategy: str) -> None:
        """This strategy or member is to answer, or whom the policy draws: offer a coverage where it can promise one."""
        if self._note is None:
            return
        can = self._endpoint.promises(strategy)
        self._fields["coverage"].put(disabled=not can)
        able = words.listed([*self._endpoint.promising])
        self._note.say("" if can else f"Of whom is asked now no coverage can be promised; calibrated is {able}.")

    def complain(self, sentence: str) -> None:
        """Say what is wrong with what was typed; nothing clears it."""
        self._problem.say(sentence)
