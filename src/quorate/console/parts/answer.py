"""The answer: label, bars, how it came about. Everything has its place before there is anything to show."""

from __future__ import annotations

from collections.abc import Mapping

from quorate.console import words
from quorate.console.catalogue import Endpoint
from quorate.console.elements import Node
from quorate.console.parts.record import Entry

IN_ORDER = 12
"""Up to so many classes keep their order; of more, the likeliest are shown."""
BARS = 8


class AnswerCard:
    """What was answered; :meth:`show` an entry, :meth:`wait` for one, or say what went wrong with :meth:`fail`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._bars: list[tuple[Node, Node, Node, Node]] = []
        with Node("div", "verdict"):
            self._label = Node("p", "label empty", "?", data_testid="label")
            with Node("div", "beside"):
                self._sure = Node("p", "sure", "No answer yet")
                self._by = Node("p", "quiet", "Ask something, and it shows here.")
        # Said as one sentence, once an answer is complete; the parts above would be read in pieces.
        self._said = Node("p", "unseen", role="status", aria_live="polite")
        with Node("div", "told-of"):
            self._problem = Node("p", "problem", role="alert", data_testid="problem")
            promises = bool(endpoint.promising) and not endpoint.blind
            self._promise = Node("p", "", "", data_testid="promise") if promises else None
            self._withheld = None if endpoint.blind else Node("p", "withheld", "", data_testid="withheld")
        if endpoint.blind:
            Node("p", "blind note", BLIND)
        elif endpoint.output == "scores":
            with Node("ol", "bars", aria_label="Probability of each class"):
                for _ in range(len(endpoint.classes) if self._in_order else BARS):
                    with Node("li", "bar") as row:
                        name = Node("span", "name", words.DASH)
                        with Node("span", "track", aria_hidden="true"):
                            fill = Node("span", "fill")
                        value = Node("span", "value", words.DASH)
                    self._bars.append((row, name, fill, value))
            self._fill({})
        else:
            with Node("dl", "values"):
                for target in endpoint.targets[1:] and endpoint.targets:
                    Node("dt", "", target)
                    value = Node("dd", "", words.DASH)
                    self._bars.append((value, value, value, value))

    @property
    def _in_order(self) -> bool:
        return 0 < len(self._endpoint.classes) <= IN_ORDER

    def wait(self) -> None:
        """An answer is on its way."""
        self._label.flag("waiting", True)
        self._problem.say("")

    def fail(self, sentence: str) -> None:
        """There is no answer, and this is why."""
        self._label.flag("waiting", False)
        self._label.flag("empty", True)
        self._label.say("?")
        self._sure.say("No answer")
        self._by.say("")
        self._fill({})
        self._promised("", "")
        self._problem.say(sentence)

    def show(self, entry: Entry) -> None:
        """An answer, all at once."""
        self._label.flag("waiting", False)
        self._label.flag("empty", False)
        self._problem.say("")
        self._label.say(entry.label)
        self._label.flag("long", len(entry.label) > 3)
        if self._endpoint.blind:
            self._sure.say("")
            self._by.say("")
            self._said.say(f"The answer is {entry.label}.")
            return
        sure = "" if entry.confidence is None else f"{words.percent(entry.confidence)} sure"
        self._label.flag("empty", entry.abstained)
        self._sure.say("No answer" if entry.abstained else sure or entry.unit)
        self._by.say(_by(entry))
        promise = words.promise(entry.labels, entry.ends, entry.coverage)
        why = f"It abstains. {entry.reason}" if entry.abstained else entry.reason
        self._promised(promise, why)
        told = "There is no answer" if entry.abstained else f"The answer is {entry.label}{f', {sure}' if sure else ''}"
        self._said.say(" ".join(part for part in (f"{told}.", _by(entry), promise, why) if part))
        if entry.degraded and entry.missing:
            self._problem.say(
                f"This answer is degraded: {words.listed(entry.missing)} gave nothing; the others answered."
            )
        elif entry.degraded:
            self._problem.say("This answer is degraded: it came from the fallback.")
        self._fill(entry.probabilities or {})
        for (value, *_), number in zip(self._bars, entry.values, strict=False):
            value.say(words.number(number))

    def _promised(self, promise: str, why: str) -> None:
        for node, text in ((self._promise, promise), (self._withheld, why)):
            if node is not None:
                node.say(text)

    def _fill(self, found: Mapping[str, float]) -> None:
        if self._endpoint.output != "scores" or self._endpoint.blind:
            return
        top = max(found, key=found.__getitem__) if found else None
        if self._in_order:
            names = list(self._endpoint.classes)
        else:
            names = sorted(found, key=found.__getitem__, reverse=True)[:BARS]
        for index, (row, name, fill, value) in enumerate(self._bars):
            label = names[index] if index < len(names) else words.DASH
            share = found.get(label)
            name.say(label)
            fill.grow(share or 0.0)
            value.say(words.percent(share))
            row.flag("top", label == top)


BLIND = (
    "This endpoint is blind while strategies are compared: it tells its label and nothing else, so that nobody can "
    "know which strategy answered."
)


def _by(entry: Entry) -> str:
    parts = [f"by {entry.strategy}" if entry.strategy else "", words.milliseconds(entry.latency_ms)]
    return " in ".join(part for part in parts if part)
