"""Rules as a list, and what came of each of them for one example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quorate.console import words
from quorate.console.elements import Node


class RulesBoard:
    """The rules in the order in which they are tried, with what is wrong with them."""

    def __init__(self) -> None:
        with Node("section", "card wide", aria_labelledby="rules-title"):
            Node("h2", "", "In this order", id="rules-title")
            self._lead = Node("p", "quiet note", "Not known yet.")
            self._list = Node("ol", "rules", data_testid="rules")
        self._shown: Any = None

    def show(self, found: Mapping[str, Any]) -> None:
        """List them; what changes from look to look are the counts alone."""
        if found == self._shown:
            return
        self._shown = found
        self._lead.say(lead(found))
        self._list.clear()
        if not found["rules"]:
            return
        with self._list:
            for rule in found["rules"]:
                with Node("li", "rule never" if rule["never"] else "rule", data_rule=rule["number"]):
                    Node("span", "number", str(rule["number"]), aria_hidden="true")
                    with Node("div", "body"):
                        with Node("p", "condition"):
                            Node("span", "unseen", f"Rule {rule['number']}: when ")
                            Node("code", "", rule["when"])
                        Node("p", "uses", f"→ {used(rule['then'], found['kind'])}")
                        if rule["finding"]:
                            Node("p", "finding bad" if rule["never"] else "finding", sentence(rule["finding"]))
                    Node("span", "fired figure quiet", _fired(rule["fired"]))
            with Node("li", "rule", data_rule="otherwise"):
                Node("span", "number", "–", aria_hidden="true")
                with Node("div", "body"):
                    Node("p", "condition", "otherwise")
                    Node("p", "uses", f"→ {used(found['otherwise'], found['kind'])}")
                Node("span", "fired figure quiet", _fired(found["otherwise_fired"]))


class TriedBoard:
    """What an example did: what it comes to, then every rule with its parts."""

    def __init__(self) -> None:
        self._said = Node("p", "said", " ", role="status", data_testid="tried")
        self._note = Node("p", "quiet note", " ")
        self._list = Node("ol", "rules tried", data_testid="tried-rules")

    def clear(self) -> None:
        """Nothing was tried."""
        self._said.say(" ")
        self._note.say(" ")
        self._list.clear()

    def show(self, found: Mapping[str, Any], note: str = "") -> None:
        """Show an explanation; ``note`` says what it is of."""
        self._said.say(verdict(found))
        unknown = f"Not known of this example: {', '.join(found['unknown'])}." if found["unknown"] else ""
        self._note.say(" ".join(part for part in (note, unknown) if part) or " ")
        self._list.clear()
        fires = found["fires"]
        with self._list:
            for rule in found["rules"]:
                fired = rule["rule"] == fires
                late = fires is not None and rule["rule"] > fires
                with Node("li", f"rule{' fires' if fired else ''}{' late' if late else ''}", data_rule=rule["rule"]):
                    Node("span", "number", str(rule["rule"]), aria_hidden="true")
                    with Node("div", "body"):
                        with Node("p", "condition"):
                            Node("code", "", rule["when"])
                        outcome = value(rule["value"], rule["why"]) + (", but it is not reached" if late else "")
                        Node("p", "uses", f"It is {outcome}.")
                        _parts(rule["parts"])


def _parts(parts: Sequence[Mapping[str, Any]]) -> None:
    if not parts:
        return
    with Node("details"):
        Node("summary", "", "Part by part")
        with Node("ul", "parts"):
            for part in parts:
                with Node("li", f"depth{min(part['depth'], 6)}"):
                    Node("code", "", part["text"])
                    Node("span", "quiet", f" is {value(part['value'], part['why'])}")


def lead(found: Mapping[str, Any]) -> str:
    """One sentence about how it decides."""
    if not found["rules"]:
        return f"No rules: the policy of this endpoint is '{found['policy']}'. An example shows what it would draw."
    verb = "sends requests on" if found["kind"] == "front" else "decides"
    zone = "" if found["timezone"] == "UTC" else f" Times are those of {found['timezone']}."
    return f"The first rule whose condition is true {verb}; one that is unknown does not fire.{zone}"


def used(then: Mapping[str, float], kind: str) -> str:
    """What a rule uses, or where it sends to.

    >>> used({"a": 1.0}, "front"), used({"a": 1.0, "b": 3.0, "c": 0.0}, "endpoint")
    ('goes to a', 'a 25.0 %, b 75.0 %')
    """
    total = sum(then.values())
    if len(then) == 1:
        return f"goes to {next(iter(then))}" if kind == "front" else next(iter(then))
    return ", ".join(f"{name} {words.percent(weight / total)}" for name, weight in then.items() if weight)


def verdict(found: Mapping[str, Any]) -> str:
    """What an example comes to, in a sentence."""
    then = used(found["then"], found["kind"])
    if not found["rules"]:
        return f"The policy would draw: {then}."
    verb = "" if found["kind"] == "front" else "uses "
    if found["fires"] is None:
        return f"No rule fires, so “otherwise” decides: it {verb}{then}."
    return f"Rule {found['fires']} fires: it {verb}{then}."


def value(found: Any, why: str | None) -> str:
    """A value as it is written in a condition, or why there is none.

    >>> value(True, None), value("gold", None), value(None, "division by zero")
    ('true', '"gold"', 'unknown (division by zero)')
    """
    if found is None:
        return f"unknown ({why})" if why else "unknown"
    if isinstance(found, bool):
        return "true" if found else "false"
    return f'"{found}"' if isinstance(found, str) else f"{found:.6g}"


def sentence(text: str) -> str:
    """With a capital."""
    return text[:1].upper() + text[1:]


def _fired(count: int | None) -> str:
    return "" if count is None else f"fired {words.counted(count, 'time')}"


def facts_of(found: Mapping[str, Any]) -> Iterator[str]:
    """Facts or a context, one by one, as they are shown."""
    for name, known in found.items():
        yield f"{name} = {value(known, None)}"
